//! `vla_msgs`, our own package: `launch/vla_msgs` holds the `.msg` files.

use serde::{Deserialize, Serialize};

use super::{Duration, Header, message};

/// One decision: the chunk that the policy gave and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActionChunk {
    /// Stamp and frame of the observation.
    pub header: Header,
    /// The instruction.
    pub task: String,
    /// sha256 of the bundle's manifest, hex.
    pub bundle_digest: String,
    /// Counts up from the start of the node.
    pub chunk_id: u64,
    /// `live`, `shadow` or `replay`.
    pub source: String,
    /// One per action dimension.
    pub names: Vec<String>,
    /// Steps.
    pub chunk_size: u32,
    /// From one step to the next.
    pub action_dt: Duration,
    /// Row-major `[chunk_size, names]`, units of the data set.
    pub actions: Vec<f64>,
    /// From the start of the inference to its result.
    pub inference_delay: Duration,
    /// Picture tokens that survived pruning; 0 where the policy does not prune.
    pub kept_tokens: u32,
    /// `images.<camera>`, `joint_states`, `eef_pose`, `tf` or `state`.
    pub inputs: Vec<String>,
    /// One per input: from its stamp to the start of the inference.
    pub input_ages: Vec<Duration>,
    /// `sent`, `dry_run`, `clamped` or `rejected: reason`.
    pub verdict: String,
}

message!("vla_msgs", "ActionChunk", ActionChunk);

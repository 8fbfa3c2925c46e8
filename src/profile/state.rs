//! Inputs of state other than joint positions.

use serde::Deserialize;
use vla_bundle::Unit;

use super::Align;

/// Where the end effector's pose comes from, and which state dimensions it feeds.
#[derive(Clone, Debug, PartialEq)]
pub struct EefInput {
    /// A topic or two frames.
    pub source: EefSource,
    /// Oldest pose that may be used, ms, positive.
    pub max_age_ms: f64,
    /// Which pose belongs to a picture.
    pub align: Align,
    /// State dimensions that x, y and z feed, in m; empty where they feed none.
    pub position: Vec<String>,
    /// State dimensions that the rotation feeds, in the order of the policy's convention; empty where it feeds none.
    pub rotation: Vec<String>,
}

/// Where the end effector's pose comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum EefSource {
    /// `geometry_msgs/PoseStamped`.
    Topic {
        /// Topic; `None` for the default.
        topic: Option<String>,
        /// Frame from which the pose is seen; messages of another one are refused.
        frame: String,
    },
    /// `/tf` and `/tf_static`.
    Frames {
        /// Frame from which the pose is seen.
        base: String,
        /// Frame of the end effector.
        tip: String,
    },
}

/// A `std_msgs/Float64MultiArray` topic with state values in the policy's own conventions.
#[derive(Clone, Debug, PartialEq)]
pub struct StateArray {
    /// Topic; `None` for the default.
    pub topic: Option<String>,
    /// Oldest message that may be used, ms, positive, counted from its arrival: the message has no stamp.
    pub max_age_ms: f64,
    /// Which message belongs to a picture.
    pub align: Align,
    /// Values in every message.
    pub size: usize,
    /// Those that are used.
    pub values: Vec<StateElement>,
}

/// One value of a state array.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateElement {
    /// Its index, below the array's size.
    pub index: usize,
    /// Name of the state dimension that it feeds.
    pub state: String,
    /// Unit of the message's value.
    pub unit: Unit,
}

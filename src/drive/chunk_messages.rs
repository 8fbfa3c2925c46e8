//! Decisions as `vla_msgs/ActionChunk`, the same from the live node and from replay.

use crate::deploy::Deployment;
use crate::engine::Decision;
use crate::msg::{ActionChunk, Duration, Header};

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The node on the robot.
    Live,
    /// A bag.
    Replay,
}

impl Source {
    /// The word for it in the message.
    pub fn word(self) -> &'static str {
        match self {
            Source::Live => "live",
            Source::Replay => "replay",
        }
    }
}

/// What is the same in all chunk messages of a run.
#[derive(Clone, Debug)]
pub struct ChunkMessages {
    source: Source,
    bundle_digest: String,
    names: Vec<String>,
    action_dt: Duration,
}

impl ChunkMessages {
    /// For the decisions of one deployment.
    pub fn new(deployment: &Deployment, source: Source) -> Self {
        Self {
            source,
            bundle_digest: deployment.bundle_digest().to_owned(),
            names: deployment.actions().iter().map(|action| action.name.to_string()).collect(),
            action_dt: deployment.action_dt().into(),
        }
    }

    /// The chunk of a decision and what became of it.
    pub fn message(&self, decision: &Decision) -> ActionChunk {
        ActionChunk {
            header: Header::new(decision.stamp, decision.frame_id.as_str()),
            task: decision.task.to_string(),
            bundle_digest: self.bundle_digest.clone(),
            chunk_id: decision.chunk_id.0,
            source: self.source.word().to_owned(),
            names: self.names.clone(),
            chunk_size: decision.chunk.chunk_size() as u32,
            action_dt: self.action_dt,
            actions: decision.chunk.values().to_vec(),
            inference_delay: decision.inference_delay.into(),
            kept_tokens: decision.kept_tokens,
            inputs: decision.inputs.iter().map(|input| input.name.to_string()).collect(),
            input_ages: decision.inputs.iter().map(|input| input.age.into()).collect(),
            verdict: decision.verdict.to_string(),
        }
    }
}

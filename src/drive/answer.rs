//! One observation in, one answer out: all that node and replay want from a policy.

use super::stages::{StageLengths, StageTimer};
use crate::inference::Inference;
use crate::types::{Chunk, Observation, Robot};

/// Answers observations and says what each stage cost.
pub trait Answer {
    /// The actions for `observation`, or in one sentence why there are none.
    fn answer(&mut self, observation: &Observation) -> Result<Answered, String>;
}

/// The answer to one observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The actions in the data set's units.
    pub chunk: Chunk<Robot>,
    /// Picture tokens that survived pruning; 0 where the policy does not prune.
    pub kept_tokens: u32,
    /// What each stage took on this machine, in the order in which they ran.
    pub stages: StageLengths,
}

impl Answer for Inference {
    fn answer(&mut self, observation: &Observation) -> Result<Answered, String> {
        let mut timer = StageTimer::default();
        let outcome = self.infer(observation, &mut timer).map_err(|error| error.to_string())?;
        Ok(Answered { chunk: outcome.chunk, kept_tokens: outcome.kept_tokens, stages: timer.into_lengths() })
    }
}

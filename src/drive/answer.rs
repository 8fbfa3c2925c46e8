//! One observation in, one answer out: all that node and replay want from a policy.

use super::clock::Stopwatch;
use super::stages::{StageLengths, StageTimer};
use crate::inference::Inference;
use crate::time::Span;
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

/// Answers that are timed at least and at most, and when there have been enough.
const TIMED: [usize; 2] = [2, 20];
const ENOUGH: Span = Span::from_nanos(3_000_000_000);

/// The longest of several answers to the same observation.
///
/// # Errors
/// In one sentence why there is no answer.
pub fn longest_answer(policy: &mut impl Answer, observation: &Observation) -> Result<Span, String> {
    let [least, most] = TIMED;
    let (start, mut longest) = (Stopwatch::start(), Span::ZERO);
    for answer in 0..most {
        if answer >= least && start.elapsed() >= ENOUGH {
            break;
        }
        let watch = Stopwatch::start();
        policy.answer(observation)?;
        longest = longest.max(watch.elapsed());
    }
    Ok(longest)
}

impl Answer for Inference {
    fn answer(&mut self, observation: &Observation) -> Result<Answered, String> {
        let mut timer = StageTimer::default();
        let outcome = self.infer(observation, &mut timer).map_err(|error| error.to_string())?;
        Ok(Answered { chunk: outcome.chunk, kept_tokens: outcome.kept_tokens, stages: timer.into_lengths() })
    }
}

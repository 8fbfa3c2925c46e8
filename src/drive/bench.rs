//! Runs one observation again and again and tells what each stage costs.

use std::num::NonZeroUsize;

use super::clock::Stopwatch;
use crate::inference::{Inference, InferenceError};
use crate::policy::Observer;
use crate::time::Span;
use crate::types::Observation;

/// Runs before the measured ones; caches, arenas and clock frequencies settle meanwhile.
const WARM_UP: usize = 3;

/// Lengths of every stage over all runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Costs {
    /// Stages in the order in which they run.
    pub stages: Vec<StageCost>,
    /// Whole inferences.
    pub total: StageCost,
}

/// Lengths of one stage, sorted.
#[derive(Clone, Debug, PartialEq)]
pub struct StageCost {
    /// Stage name.
    pub name: String,
    lengths: Vec<Span>,
}

impl StageCost {
    /// The lengths of all runs of the stage `name`, in any order.
    pub fn new(name: &str, mut lengths: Vec<Span>) -> Self {
        lengths.sort_unstable();
        Self { name: name.to_owned(), lengths }
    }

    /// How often it ran.
    pub fn runs(&self) -> usize {
        self.lengths.len()
    }

    /// The length that `share` (in [0, 1]) of the runs did not exceed, by nearest rank.
    pub fn quantile(&self, share: f64) -> Span {
        let rank = (share * self.lengths.len() as f64).ceil() as usize;
        self.lengths.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// Measures `runs` inferences with an instruction that stays.
///
/// Graphs of the instruction run only in the warm-up, and are measured there.
///
/// # Errors
/// The first inference that fails.
pub fn bench(
    inference: &mut Inference,
    observation: &Observation,
    runs: NonZeroUsize,
) -> Result<Costs, InferenceError> {
    let mut warm_up = Timer::default();
    for _ in 0..WARM_UP {
        inference.forget_instruction();
        inference.infer(observation, &mut warm_up)?;
    }
    let mut timer = Timer::default();
    let mut totals = Vec::with_capacity(runs.get());
    for _ in 0..runs.get() {
        let watch = Stopwatch::start();
        inference.infer(observation, &mut timer)?;
        totals.push(watch.elapsed());
    }
    let Timer { stages: warm, .. } = warm_up;
    let stages = warm
        .into_iter()
        .map(|(name, lengths)| {
            let measured = timer.stages.iter().find(|(other, _)| *other == name);
            StageCost::new(&name, measured.map_or(lengths, |(_, lengths)| lengths.clone()))
        })
        .collect();
    Ok(Costs { stages, total: StageCost::new("total", totals) })
}

/// Lengths per stage, in the order in which the stages first ran.
#[derive(Default)]
struct Timer {
    stages: Vec<(String, Vec<Span>)>,
    running: Option<(String, Stopwatch)>,
}

impl Observer for Timer {
    fn stage(&mut self, name: &str) {
        self.end();
        self.running = Some((name.to_owned(), Stopwatch::start()));
    }

    fn end(&mut self) {
        let Some((name, watch)) = self.running.take() else { return };
        let length = watch.elapsed();
        match self.stages.iter_mut().find(|(known, _)| *known == name) {
            Some((_, lengths)) => lengths.push(length),
            None => self.stages.push((name, vec![length])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks_of_the_sorted_lengths() {
        let cost = StageCost::new("body", [40, 10, 30, 20].map(|ms| Span::from_millis(f64::from(ms))).to_vec());
        let quantiles = [0.0, 0.5, 0.95, 1.0].map(|share| cost.quantile(share).millis());
        assert_eq!(quantiles, [10.0, 20.0, 40.0, 40.0]);
        assert_eq!(cost.runs(), 4);
    }
}

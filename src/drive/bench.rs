//! Runs one observation again and again and tells what each stage costs.

use std::num::NonZeroUsize;

use super::clock::Stopwatch;
use super::stages::{StageCost, StageTimer};
use crate::inference::{Inference, InferenceError};
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
    let mut warm_up = Vec::with_capacity(WARM_UP);
    for _ in 0..WARM_UP {
        inference.forget_instruction();
        let mut timer = StageTimer::default();
        inference.infer(observation, &mut timer)?;
        warm_up.push(timer.into_lengths());
    }
    let (mut measured, mut totals) = (Vec::with_capacity(runs.get()), Vec::with_capacity(runs.get()));
    for _ in 0..runs.get() {
        let mut timer = StageTimer::default();
        let watch = Stopwatch::start();
        inference.infer(observation, &mut timer)?;
        totals.push(watch.elapsed());
        measured.push(timer.into_lengths());
    }
    let measured = StageCost::of_inferences(&measured);
    let stages = StageCost::of_inferences(&warm_up).into_iter().map(|warm| {
        let found = measured.iter().find(|cost| cost.name == warm.name);
        found.cloned().unwrap_or(warm)
    });
    Ok(Costs { stages: stages.collect(), total: StageCost::new("total", totals) })
}

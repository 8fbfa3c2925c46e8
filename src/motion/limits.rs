//! Limits from what a joint did, and how much of it they would have stopped.

use super::{Estimate, Estimates};
use crate::time::Span;

/// How limits are taken from motion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Share of the motion that is inside before the margin, above 0.5 and at most 1.
    pub share: f64,
    /// Share of the range, or of the limit, that is added; not negative.
    pub margin: f64,
    /// Time between two rows of the policy whose steps are limited, positive.
    pub row_length: Span,
}

/// Limits of one joint, in its unit and seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Smallest and largest position; `None` where it is not limited.
    pub range: Option<[f64; 2]>,
    /// Largest change within the time between two rows.
    pub step: Option<f64>,
    /// Largest velocity, acceleration and jerk.
    pub derivatives: [Option<f64>; 3],
}

/// Whether something was outside: position, step, velocity, acceleration, jerk.
pub type Flags = [bool; 5];

/// Blocks of a track that are held out one after another.
const BLOCKS: usize = 5;

/// Limits around what a joint did: of positions the share `share` from both sides, of the absolute values of steps,
/// velocities, accelerations and jerks the share `share`, widened by the margin. `None` where nothing was estimated.
pub fn bounds(estimates: &Estimates, fit: Fit) -> Option<Bounds> {
    bounds_of(&estimates.all.iter().collect::<Vec<_>>(), &steps(estimates, fit.row_length), fit)
}

/// For each estimate, what `bounds` would have stopped.
pub fn flags(estimates: &Estimates, bounds: &Bounds, row_length: Span) -> Vec<Flags> {
    let steps = steps(estimates, row_length);
    estimates.all.iter().zip(steps).map(|(estimate, step)| flags_of(estimate, step, bounds)).collect()
}

/// For each estimate, what bounds would have stopped that were taken from the other four fifths of the motion: what
/// to expect of motion that was not recorded.
pub fn held_out(estimates: &Estimates, fit: Fit) -> Vec<Flags> {
    let steps = steps(estimates, fit.row_length);
    let count = estimates.all.len();
    let mut flags = Vec::with_capacity(count);
    for block in 0..BLOCKS {
        let held = block * count / BLOCKS..(block + 1) * count / BLOCKS;
        let others = (0..count).filter(|index| !held.contains(index));
        let kept: Vec<_> = others.clone().filter_map(|index| estimates.all.get(index)).collect();
        let kept_steps: Vec<_> = others.filter_map(|index| steps.get(index).copied()).collect();
        let bounds = bounds_of(&kept, &kept_steps, fit);
        for (estimate, step) in estimates.all.iter().zip(&steps).skip(held.start).take(held.len()) {
            flags.push(bounds.as_ref().map_or([false; 5], |bounds| flags_of(estimate, *step, bounds)));
        }
    }
    flags
}

fn bounds_of(estimates: &[&Estimate], steps: &[Option<f64>], fit: Fit) -> Option<Bounds> {
    if estimates.is_empty() {
        return None;
    }
    let mut positions: Vec<f64> = estimates.iter().map(|estimate| estimate.derivatives[0]).collect();
    let (low, high) = (quantile(&mut positions, 1.0 - fit.share), quantile(&mut positions, fit.share));
    let room = fit.margin * (high - low);
    let largest = |mut values: Vec<f64>| (1.0 + fit.margin) * quantile(&mut values, fit.share);
    let known: Vec<f64> = steps.iter().flatten().map(|step| step.abs()).collect();
    Some(Bounds {
        range: Some([low - room, high + room]),
        step: (!known.is_empty()).then(|| largest(known)),
        derivatives: [1, 2, 3]
            .map(|order| Some(largest(estimates.iter().map(|e| e.derivatives[order].abs()).collect()))),
    })
}

fn flags_of(estimate: &Estimate, step: Option<f64>, bounds: &Bounds) -> Flags {
    let [position, velocity, acceleration, jerk] = estimate.derivatives;
    let beyond = |value: f64, limit: Option<f64>| limit.is_some_and(|limit| value.abs() > limit);
    let [max_velocity, max_acceleration, max_jerk] = bounds.derivatives;
    [
        bounds.range.is_some_and(|[min, max]| position < min || position > max),
        step.is_some_and(|step| beyond(step, bounds.step)),
        beyond(velocity, max_velocity),
        beyond(acceleration, max_acceleration),
        beyond(jerk, max_jerk),
    ]
}

/// How far the joint came from each estimate within a row, on a line between estimates; `None` where none follows.
fn steps(estimates: &Estimates, row_length: Span) -> Vec<Option<f64>> {
    let all = &estimates.all;
    let mut next = 0;
    all.iter()
        .map(|estimate| {
            let end = estimate.at + row_length;
            while all.get(next).is_some_and(|later| later.at < end) {
                next += 1;
            }
            let (after, before) = (all.get(next)?, all.get(next.checked_sub(1)?)?);
            let whole = after.at.since(before.at).secs();
            let share = if whole > 0.0 { end.since(before.at).secs() / whole } else { 1.0 };
            let [from, to] = [before, after].map(|estimate| estimate.derivatives[0]);
            Some(from + share * (to - from) - estimate.derivatives[0])
        })
        .collect()
}

/// The value that the share `share` of `values` does not exceed, on a line between neighbours; 0 of none. Sorts them.
pub(super) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = share.clamp(0.0, 1.0) * (values.len().saturating_sub(1)) as f64;
    let (below, rest) = (place.floor() as usize, place.fract());
    let at = |index: usize| values.get(index).copied();
    let low = at(below).unwrap_or_default();
    low + rest * (at(below + 1).unwrap_or(low) - low)
}

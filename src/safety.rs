//! Actions -> [`SafeCommand`]: the only place that can build one, and the only thing publishers accept.
//!
//! First the gate: a chunk passes whole or is rejected whole with its first violation; nothing is clamped. Then the
//! motion: what passed is followed sample by sample inside the limits, one horizon ahead and with a stop behind it.

mod channel;
mod eef;
mod gate;
mod motion;
mod pose;
#[cfg(test)]
mod tests;
mod twist;
mod values;

use std::sync::Arc;

use vla_bundle::Unit;

use crate::profile::OutputKind;
use crate::time::{Span, Stamp};

pub use gate::{Basis, Gate, Targets};
pub use motion::{Drive, Motion, MotionState};

/// What the robot is told from a moment on, for every output of the deployment. It ends at rest.
#[derive(Clone, Debug, PartialEq)]
pub struct SafeCommand {
    stamp: Stamp,
    outputs: Vec<SafeOutput>,
}

/// The part of a command that one output publishes.
#[derive(Clone, Debug, PartialEq)]
pub struct SafeOutput {
    names: Arc<[Arc<str>]>,
    is_path: bool,
    /// Of values that are not on a path, which are 0 when nothing moves.
    stops: Arc<[bool]>,
    times: Vec<Span>,
    /// How long a row is in effect that is not replaced.
    row_length: Span,
    values: Vec<f64>,
    /// As many as values, or none.
    velocities: Vec<f64>,
}

impl SafeCommand {
    /// When it begins; the rows' times count from here.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// One per output, in the deployment's order.
    pub fn outputs(&self) -> &[SafeOutput] {
        &self.outputs
    }

    /// When row `index` of an output is due; `None` behind the last.
    pub fn due(&self, output: usize, index: usize) -> Option<Stamp> {
        self.outputs.get(output)?.times.get(index).map(|time| self.stamp + *time)
    }

    /// The same, `by` later.
    fn shifted(&self, by: Span) -> Self {
        Self { stamp: self.stamp + by, outputs: self.outputs.clone() }
    }

    /// The row in effect right before `stamp`: the last one that is due earlier.
    fn row_before(&self, output: usize, stamp: Stamp) -> Option<usize> {
        let times = &self.outputs.get(output)?.times;
        times.partition_point(|time| self.stamp + *time < stamp).checked_sub(1)
    }

    fn row(&self, output: usize, row: usize) -> Option<&[f64]> {
        self.outputs.get(output)?.rows().nth(row)
    }

    /// The row in effect at `now`: when it was due and when it is over, counted from `start`, and its values. `None` where
    /// the last row has been reached: nothing follows it.
    fn in_effect(&self, output: usize, now: Stamp, start: Stamp) -> Option<([Span; 2], &[f64])> {
        let times = &self.outputs.get(output)?.times;
        let row = times.partition_point(|time| self.stamp + *time <= now).checked_sub(1)?;
        self.due(output, row + 1)?;
        let due = self.due(output, row)?.since(start);
        Some(([due, due + self.outputs.get(output)?.row_length], self.row(output, row)?))
    }
}

impl SafeOutput {
    fn path(names: &Arc<[Arc<str>]>, dt: Span) -> Self {
        Self { is_path: true, ..Self::held(names, &[].into(), dt) }
    }

    fn held(names: &Arc<[Arc<str>]>, stops: &Arc<[bool]>, row_length: Span) -> Self {
        let (times, values, velocities) = (Vec::new(), Vec::new(), Vec::new());
        let (names, stops) = (Arc::clone(names), Arc::clone(stops));
        Self { names, is_path: false, stops, times, row_length, values, velocities }
    }

    fn add(&mut self, at: Span, values: impl Iterator<Item = f64>) {
        self.times.push(at);
        self.values.extend(values);
    }

    /// Stops what the last row does, from `at` on. Nothing where a row is a place to stay at.
    fn stop(&mut self, at: Span) {
        let last = self.values.len().saturating_sub(self.names.len());
        if self.stops.contains(&true)
            && let Some(row) = self.values.get(last..)
        {
            let stop: Vec<f64> = self.stop_after(row).collect();
            self.add(at, stop.into_iter());
        }
    }

    /// Bytes of its numbers.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.times) + size_of_val(&*self.values) + size_of_val(&*self.velocities)
    }

    /// Names of the values of a row: ROS joint names, or the actions' names.
    pub fn names(&self) -> &Arc<[Arc<str>]> {
        &self.names
    }

    /// When each row is due, counted from the command's stamp, rising; none where the output is to stay as it is.
    pub fn times(&self) -> &[Span] {
        &self.times
    }

    /// One row per time, one value per name, in the output's units. The last row is one to stay at.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> + DoubleEndedIterator {
        self.values.chunks_exact(self.names.len())
    }

    /// Whether the values go from row to row on a path, rather than one after the other.
    pub fn is_path(&self) -> bool {
        self.is_path
    }

    /// How long a row is in effect that is not replaced.
    pub fn row_length(&self) -> Span {
        self.row_length
    }

    /// What stops the robot where `row` was the last that left: velocities and changes are 0, a gripper keeps its grip.
    pub fn stop_after<'a>(&'a self, row: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        row.iter().zip(self.stops.iter()).map(|(value, stops)| if *stops { 0.0 } else { *value })
    }

    /// How fast the values change at each row, per second; none where the values do not go from row to row.
    pub fn velocities(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.velocities.chunks_exact(self.names.len())
    }
}

/// The first thing that is wrong with a chunk.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Violation {
    /// Another shape than the bundle promises.
    #[error("the chunk is {got:?} steps x values, wanted {wanted:?}")]
    Shape {
        /// Steps and values per step.
        got: [usize; 2],
        /// Steps and values per step.
        wanted: [usize; 2],
    },
    /// NaN or infinite.
    #[error("action `{action}` row {row} is {value}")]
    NotFinite {
        /// Action dimension.
        action: Arc<str>,
        /// Row of the chunk.
        row: usize,
        /// The value.
        value: f64,
    },
    /// Outside its range.
    #[error("{at} row {row} is {value} {}, wanted {min} to {max}", .unit.word())]
    Limit {
        /// Output and name.
        at: Target,
        /// Row of the chunk.
        row: usize,
        /// The value, in `unit`.
        value: f64,
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// Unit of all three.
        unit: Unit,
    },
    /// Too far from the value before it.
    #[error("{at} row {row} steps from {from} to {value} {}, wanted at most {max_step}", .unit.word())]
    Step {
        /// Output and name.
        at: Target,
        /// Row of the chunk.
        row: usize,
        /// Value before it: of the row before, the command in effect or the measured one.
        from: f64,
        /// The value, in `unit`.
        value: f64,
        /// Largest step.
        max_step: f64,
        /// Unit of all three.
        unit: Unit,
    },
    /// Too far from the pose or the velocity before it.
    #[error("{at} row {row} changes by {by} {}, wanted at most {max}", .unit.word())]
    Change {
        /// Output and what of it.
        at: Target,
        /// Row of the chunk.
        row: usize,
        /// How far, in `unit`.
        by: f64,
        /// How far it may be.
        max: f64,
        /// Unit of both.
        unit: Unit,
    },
    /// Numbers that no rotation has.
    #[error("{at} row {row} is no rotation")]
    NoRotation {
        /// Output and what of it.
        at: Target,
        /// Row of the chunk.
        row: usize,
    },
    /// A change of something of which nobody knows where it is.
    #[error("{at} is not measured")]
    Unmeasured {
        /// Output and name.
        at: Target,
    },
}

impl Violation {
    /// One word for counting.
    pub fn class(&self) -> &'static str {
        match self {
            Violation::Shape { .. } => "shape",
            Violation::NotFinite { .. } => "not_finite",
            Violation::Limit { .. } => "limit",
            Violation::Step { .. } | Violation::Change { .. } => "step",
            Violation::NoRotation { .. } => "no_rotation",
            Violation::Unmeasured { .. } => "unmeasured",
        }
    }
}

/// Output and name of a published value.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    kind: OutputKind,
    name: Arc<str>,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} `{}`", self.kind.word(), self.name)
    }
}

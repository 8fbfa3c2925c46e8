//! Actions -> [`SafeCommand`]: the only place that can build one, and the only thing publishers accept.
//!
//! A command passes whole or is rejected whole with its first violation; nothing is clamped.

mod eef;
mod gate;
mod pose;
#[cfg(test)]
mod tests;
mod twist;
mod values;

use std::sync::Arc;

use vla_bundle::Unit;

use crate::profile::OutputKind;
use crate::time::{Span, Stamp};

pub use gate::{Basis, Gate};

/// A trajectory segment that passed the gate, for every output of the deployment.
#[derive(Debug, PartialEq)]
pub struct SafeCommand {
    stamp: Stamp,
    times: Vec<Span>,
    row_length: Span,
    outputs: Vec<SafeOutput>,
}

/// The part of a command that one output publishes.
#[derive(Debug, PartialEq)]
pub struct SafeOutput {
    names: Arc<[Arc<str>]>,
    values: Vec<f64>,
    /// One per name: whether the value is 0 when nothing moves.
    stops: Arc<[bool]>,
}

impl SafeCommand {
    /// Stamp of the observation; the rows' times count from here.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// When each row is due, counted from [`Self::stamp`], rising; at least one.
    pub fn times(&self) -> &[Span] {
        &self.times
    }

    /// One per output, in the deployment's order.
    pub fn outputs(&self) -> &[SafeOutput] {
        &self.outputs
    }

    /// When row `index` is due; `None` behind the last.
    pub fn due(&self, index: usize) -> Option<Stamp> {
        self.times.get(index).map(|time| self.stamp + *time)
    }

    /// When row `index` is over, whether or not another follows.
    pub fn end(&self, index: usize) -> Option<Stamp> {
        self.due(index).map(|due| due + self.row_length)
    }

    /// Whether an output goes on moving the robot after its last row until it is told to stop.
    pub fn wants_stop(&self) -> bool {
        self.outputs.iter().any(|output| output.stops.contains(&true))
    }

    /// Whether a row is still to come at `now`.
    fn is_running(&self, now: Stamp) -> bool {
        self.due(self.times.len().saturating_sub(1)).is_some_and(|due| due >= now)
    }

    /// The row in effect right before `stamp`: the last one that is due earlier.
    fn row_before(&self, stamp: Stamp) -> Option<usize> {
        (0..self.times.len()).rev().find(|index| self.due(*index).is_some_and(|due| due < stamp))
    }

    fn row(&self, output: usize, row: usize) -> Option<&[f64]> {
        self.outputs.get(output)?.rows().nth(row)
    }
}

impl SafeOutput {
    /// Names of the values of a row: ROS joint names, or the actions' names.
    pub fn names(&self) -> &Arc<[Arc<str>]> {
        &self.names
    }

    /// One row per time of the command, one value per name, in the output's units.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> + DoubleEndedIterator {
        self.values.chunks_exact(self.names.len())
    }

    /// What stops the robot where row `index` was the last: velocities and changes are 0, a gripper keeps its grip.
    /// `None` where the output's last row is a place to stay at.
    pub fn stop_after(&self, index: usize) -> Option<Vec<f64>> {
        let row = self.rows().nth(index).filter(|_| self.stops.contains(&true))?;
        Some(row.iter().zip(self.stops.iter()).map(|(value, stops)| if *stops { 0.0 } else { *value }).collect())
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

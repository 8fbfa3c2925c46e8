//! The gate: finite, width, limits, step size.

use std::ops::Range;
use std::sync::Arc;

use super::{SafeCommand, SafeOutput, Violation, pose, twist, values};
use crate::deploy::{Action, Content, Deployment, Output};
use crate::execute::Schedule;
use crate::time::Stamp;
use crate::types::{Chunk, Measured, Robot};

/// Turns chunks into commands, or says why not.
#[derive(Debug)]
pub struct Gate {
    actions: Vec<Action>,
    chunk_size: usize,
    outputs: Vec<Output>,
    last: Option<Arc<SafeCommand>>,
}

/// Where the robot is.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// The time.
    pub now: Stamp,
    /// Where it was when the chunk's observation was made.
    pub at_observation: Measured<'a>,
    /// Where it is now.
    pub measured: Measured<'a>,
}

impl Gate {
    /// A gate for a deployment, before anything was sent.
    pub fn new(deployment: &Deployment) -> Self {
        Self {
            actions: deployment.actions().to_vec(),
            chunk_size: deployment.chunk_size(),
            outputs: deployment.outputs().to_vec(),
            last: None,
        }
    }

    /// The command that `rows` of a chunk come to.
    ///
    /// # Errors
    /// The first [`Violation`], in the order of outputs, rows and values.
    pub fn pass(
        &self,
        chunk: &Chunk<Robot>,
        schedule: Schedule,
        rows: Range<usize>,
        basis: Basis<'_>,
    ) -> Result<SafeCommand, Violation> {
        self.shape(chunk)?;
        self.finite(chunk)?;
        let times = rows.clone().map(|row| schedule.due(row).since(schedule.stamp)).collect();
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (index, output) in self.outputs.iter().enumerate() {
            let start = schedule.due(rows.start);
            let before = Before { last: self.last.as_deref(), output: index, start, basis };
            let rows = chunk.rows().enumerate().skip(rows.start).take(rows.len());
            let (values, stops) = match &output.content {
                Content::Values(dims) => values::judge(output, dims, rows, before)?,
                Content::Pose(rule) => (pose::judge(rule, rows, before)?, [false; 7].into()),
                Content::Twist(rule) => (twist::judge(rule, schedule.action_dt, rows, before)?, [true; 6].into()),
            };
            outputs.push(SafeOutput { names: Arc::clone(&output.names), values, stops });
        }
        Ok(SafeCommand { stamp: schedule.stamp, times, row_length: schedule.action_dt, outputs })
    }

    /// Remembers what was sent: the next command continues it.
    pub fn sent(&mut self, command: Arc<SafeCommand>) {
        self.last = Some(command);
    }

    fn shape(&self, chunk: &Chunk<Robot>) -> Result<(), Violation> {
        let (got, wanted) = ([chunk.chunk_size(), chunk.action_dim()], [self.chunk_size, self.actions.len()]);
        if got == wanted { Ok(()) } else { Err(Violation::Shape { got, wanted }) }
    }

    /// The whole chunk, not only the rows that are executed: a policy that yields NaN somewhere is not to be trusted.
    fn finite(&self, chunk: &Chunk<Robot>) -> Result<(), Violation> {
        for (row, values) in chunk.rows().enumerate() {
            for (value, action) in values.iter().zip(&self.actions) {
                if !value.is_finite() {
                    return Err(Violation::NotFinite { action: Arc::clone(&action.name), row, value: *value });
                }
            }
        }
        Ok(())
    }
}

/// What an output did before the command that is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before<'a> {
    last: Option<&'a SafeCommand>,
    /// Index of the output.
    output: usize,
    /// When the first row of the new command is due.
    pub start: Stamp,
    pub basis: Basis<'a>,
}

impl<'a> Before<'a> {
    /// The row that was last commanded for a time before the new command's first row.
    pub fn commanded(&self) -> Option<&'a [f64]> {
        let last = self.last?;
        last.row(self.output, last.row_before(self.start)?)
    }

    /// The same, while rows of its command are still to come. A command that has run out says nothing: the robot has
    /// come to rest, wherever that is.
    pub fn running(&self) -> Option<&'a [f64]> {
        self.last.filter(|last| last.is_running(self.basis.now)).and_then(|_| self.commanded())
    }

    /// The row that is still in effect when the new command's first row takes its place.
    pub fn in_effect(&self) -> Option<&'a [f64]> {
        let last = self.last?;
        let row = last.row_before(self.start)?;
        last.end(row).filter(|end| *end >= self.start).and_then(|_| last.row(self.output, row))
    }
}

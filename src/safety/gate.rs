//! The gate: finite, width, limits, step size.

use std::ops::Range;
use std::sync::Arc;

use super::{SafeCommand, Violation, pose, twist, values};
use crate::deploy::{Action, Content, Deployment, Output};
use crate::execute::Schedule;
use crate::time::{Span, Stamp};
use crate::types::{Chunk, Measured, Robot};

/// Turns chunks into rows that may be followed, or says why not.
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
    /// When the first row is due.
    pub start: Stamp,
    /// The row that is being followed now, of all outputs; `None` where the robot holds.
    pub following: Option<&'a [f64]>,
}

/// Rows that passed, in the outputs' units.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// Executed time of the first row; the others follow an action's length apart.
    pub first: Span,
    /// The values of all outputs, one output after the other; row-major.
    pub values: Vec<f64>,
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

    /// What `rows` of a chunk come to; before the first of them the one that is past, because the path comes from there.
    ///
    /// # Errors
    /// The first [`Violation`], in the order of outputs, rows and values.
    pub fn pass(
        &self,
        chunk: &Chunk<Robot>,
        schedule: Schedule,
        rows: Range<usize>,
        basis: Basis<'_>,
    ) -> Result<Targets, Violation> {
        self.shape(chunk)?;
        self.finite(chunk)?;
        let past = rows.start.checked_sub(1).and_then(|row| Some((row, chunk.rows().nth(row)?)));
        let mut outputs: Vec<(usize, Vec<f64>)> = Vec::with_capacity(self.outputs.len());
        for (index, output) in self.outputs.iter().enumerate() {
            let column: usize = outputs.iter().map(|(width, _)| width).sum();
            let before = Before {
                last: self.last.as_deref(),
                output: index,
                columns: column..column + output.names.len(),
                basis,
            };
            let rows = chunk.rows().enumerate().skip(rows.start).take(rows.len());
            let values = match &output.content {
                Content::Values(dims) => values::judge(output, dims, rows, &before)?,
                Content::Pose(rule) => pose::judge(rule, rows, &before)?,
                Content::Twist(rule) => twist::judge(rule, schedule.action_dt, rows, &before)?,
            };
            let past = past.map(|past| match &output.content {
                Content::Values(dims) => values::past(output, dims, past, &before),
                Content::Pose(rule) => pose::past(rule, past, &before),
                Content::Twist(_) => Ok(vec![0.0; output.names.len()]),
            });
            outputs.push((output.names.len(), [past.transpose()?.unwrap_or_default(), values].concat()));
        }
        let first = rows.start.saturating_sub(1);
        let width: usize = outputs.iter().map(|(width, _)| width).sum();
        let mut values = Vec::with_capacity((rows.end - first) * width);
        for row in 0..rows.end - first {
            for (width, output) in &outputs {
                values.extend(output.iter().skip(row * width).take(*width));
            }
        }
        Ok(Targets { first: schedule.due(first), values })
    }

    /// Remembers what was sent: the next chunk continues it.
    pub fn sent(&mut self, command: Arc<SafeCommand>) {
        self.last = Some(command);
    }

    /// The clock jumped by `by`: what was sent is due that much later.
    pub fn shift(&mut self, by: Span) {
        self.last = self.last.as_ref().map(|last| Arc::new(last.shifted(by)));
    }

    #[cfg(test)]
    pub(super) fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// What was sent last.
    pub fn last(&self) -> Option<&SafeCommand> {
        self.last.as_deref()
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

/// What an output did before the rows that are judged.
#[derive(Clone, Debug)]
pub(super) struct Before<'a> {
    last: Option<&'a SafeCommand>,
    /// Index of the output.
    output: usize,
    /// Its values in a row of all outputs.
    columns: Range<usize>,
    pub basis: Basis<'a>,
}

impl<'a> Before<'a> {
    /// The row that is being followed; where the robot holds, what was last commanded.
    pub fn commanded(&self) -> Option<&'a [f64]> {
        self.running().or_else(|| {
            let last = self.last?;
            last.row(self.output, last.row_before(self.output, self.basis.start)?)
        })
    }

    /// The row that is being followed. A robot that holds says nothing: it has come to rest, wherever that is.
    pub fn running(&self) -> Option<&'a [f64]> {
        self.basis.following?.get(self.columns.clone())
    }
}

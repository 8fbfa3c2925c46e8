//! The gate: finite, width, limits, step size.

use std::ops::Range;
use std::sync::Arc;

use vla_bundle::Reference;

use super::{Place, SafeCommand, SafeOutput, Target, Violation};
use crate::deploy::{Action, Deployment, Output, OutputDim, Rest, Rule};
use crate::execute::Schedule;
use crate::profile::{Limits, OutputKind};
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
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (index, output) in self.outputs.iter().enumerate() {
            let mut values: Vec<f64> = Vec::with_capacity(rows.len() * output.dims.len());
            for (row, actions) in chunk.rows().enumerate().skip(rows.start).take(rows.len()) {
                for (place, (dim, name)) in output.dims.iter().zip(output.names.iter()).enumerate() {
                    let slot = Slot {
                        last: self.last.as_deref(),
                        place: Place { output: index, dim: place },
                        target: (output.kind, name),
                        dim,
                        row,
                        start: schedule.due(rows.start),
                        before: values.len().checked_sub(output.dims.len()).and_then(|at| values.get(at)).copied(),
                        basis,
                    };
                    values.push(slot.value(actions)?);
                }
            }
            outputs.push(SafeOutput { names: Arc::clone(&output.names), values });
        }
        let times = rows.map(|row| schedule.due(row).since(schedule.stamp)).collect();
        Ok(SafeCommand { stamp: schedule.stamp, times, outputs })
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

/// One value of one row on its way through the gate, and what it was before.
struct Slot<'a> {
    last: Option<&'a SafeCommand>,
    place: Place,
    target: (OutputKind, &'a Arc<str>),
    dim: &'a OutputDim,
    row: usize,
    /// When the first row of the command is due.
    start: Stamp,
    /// The value in the row before, of the same command.
    before: Option<f64>,
    basis: Basis<'a>,
}

impl Slot<'_> {
    /// The published value, inside its limits. The comparisons are written so that NaN fails.
    fn value(&self, actions: &[f64]) -> Result<f64, Violation> {
        let action = actions.get(self.dim.action).copied();
        let value = action.and_then(|action| self.resolve(action)).ok_or_else(|| self.unmeasured())?;
        let (limits, unit, row) = (self.dim.limits, self.dim.unit, self.row);
        if !(limits.min <= value && value <= limits.max) {
            let Limits { min, max, .. } = limits;
            return Err(Violation::Limit { at: self.at(), row, value, min, max, unit });
        }
        let from = match self.previous() {
            Some(from) => from,
            None if self.dim.rest == Rest::Unknown => return Ok(value),
            None => return Err(self.unmeasured()),
        };
        if (value - from).abs() <= limits.max_step {
            return Ok(value);
        }
        Err(Violation::Step { at: self.at(), row, from, value, max_step: limits.max_step, unit })
    }

    /// The published value that an action means; `None` where what it is added to is unknown.
    fn resolve(&self, action: f64) -> Option<f64> {
        let Rule::Delta { gain, reference } = self.dim.rule else { return self.dim.rule.absolute(action) };
        let base = match reference {
            Reference::ChunkStart => self.at_rest(self.basis.at_observation),
            // Later rows build on the row before: where the robot will be then is not measured yet.
            Reference::Measured => self.before.or_else(|| self.at_rest(self.basis.measured)),
            Reference::LastCommand => {
                self.before.or_else(|| self.commanded()).or_else(|| self.at_rest(self.basis.measured))
            }
        };
        base.map(|base| base + gain * action)
    }

    /// What this value must not be far from: the row before, the command that is still running, or where the robot
    /// is. A command that has run out says nothing: the robot has come to rest, wherever that is.
    fn previous(&self) -> Option<f64> {
        let running = || self.last?.is_running(self.basis.now).then(|| self.commanded())?;
        self.before.or_else(running).or_else(|| self.at_rest(self.basis.measured))
    }

    /// The value that was last commanded for a time before this command's first row.
    fn commanded(&self) -> Option<f64> {
        let last = self.last?;
        last.value(last.row_before(self.start)?, self.place)
    }

    /// Where the value stands without a command, by what was measured.
    fn at_rest(&self, measured: Measured<'_>) -> Option<f64> {
        match self.dim.rest {
            Rest::Measured(joint) => measured.joints.get(joint).copied(),
            Rest::Zero => Some(0.0),
            Rest::Unknown => self.commanded(),
        }
    }

    fn at(&self) -> Target {
        Target { kind: self.target.0, name: Arc::clone(self.target.1) }
    }

    fn unmeasured(&self) -> Violation {
        Violation::Unmeasured { at: self.at() }
    }
}

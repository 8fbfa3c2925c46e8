//! Values that each carry one action: inside their limits, and no farther from what was before than one step.

use std::sync::Arc;

use vla_bundle::Reference;

use super::gate::Before;
use super::{Target, Violation};
use crate::deploy::{Output, OutputDim, Rest, Rule};
use crate::profile::{Limits, OutputKind};
use crate::types::Measured;

/// The values of `rows` (index in the chunk, actions), row-major.
pub(super) fn judge<'a>(
    output: &Output,
    dims: &[OutputDim],
    rows: impl ExactSizeIterator<Item = (usize, &'a [f64])>,
    before: &Before<'_>,
) -> Result<Vec<f64>, Violation> {
    let mut values: Vec<f64> = Vec::with_capacity(rows.len() * dims.len());
    for (row, actions) in rows {
        for (place, (dim, name)) in dims.iter().zip(output.names.iter()).enumerate() {
            let row_before = values.len().checked_sub(dims.len()).and_then(|at| values.get(at)).copied();
            let slot = Slot { target: (output.kind, name), place, dim, row, row_before, before };
            values.push(slot.value(actions)?);
        }
    }
    Ok(values)
}

/// The row before the first, which is not executed any more: where the values are on their way from.
pub(super) fn past(
    output: &Output,
    dims: &[OutputDim],
    (row, actions): (usize, &[f64]),
    before: &Before<'_>,
) -> Result<Vec<f64>, Violation> {
    let slots = dims.iter().zip(output.names.iter()).enumerate();
    let slot = |(place, (dim, name))| Slot { target: (output.kind, name), place, dim, row, row_before: None, before };
    slots.map(|at| slot(at).past(actions)).collect()
}

/// One value of one row on its way through the gate, and what it was before.
struct Slot<'a> {
    target: (OutputKind, &'a Arc<str>),
    /// Index of the value.
    place: usize,
    dim: &'a OutputDim,
    row: usize,
    /// The value in the row before, of the same command.
    row_before: Option<f64>,
    before: &'a Before<'a>,
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

    /// What the value was meant to be; of a change, what it is added to.
    fn past(&self, actions: &[f64]) -> Result<f64, Violation> {
        let is_from_row_to_row =
            matches!(self.dim.rule, Rule::Delta { reference, .. } if reference != Reference::ChunkStart);
        let action = actions.get(self.dim.action).copied();
        let value = if is_from_row_to_row { self.resolve(0.0) } else { action.and_then(|action| self.resolve(action)) };
        let value = value.ok_or_else(|| self.unmeasured())?;
        Ok(value.clamp(self.dim.limits.min, self.dim.limits.max))
    }

    /// The published value that an action means; `None` where what it is added to is unknown.
    fn resolve(&self, action: f64) -> Option<f64> {
        let Rule::Delta { gain, reference } = self.dim.rule else { return self.dim.rule.absolute(action) };
        let base = match reference {
            Reference::ChunkStart => self.at_rest(self.before.basis.at_observation),
            // Later rows build on the row before: where the robot will be then is not measured yet.
            Reference::Measured => self.row_before.or_else(|| self.at_rest(self.before.basis.measured)),
            Reference::LastCommand => {
                self.row_before.or_else(|| self.commanded()).or_else(|| self.at_rest(self.before.basis.measured))
            }
        };
        base.map(|base| base + gain * action)
    }

    /// What this value must not be far from: the row before, what is still being done, or where the robot is.
    fn previous(&self) -> Option<f64> {
        let value = |row: &[f64]| row.get(self.place).copied();
        let still = match self.dim.rest {
            Rest::Zero => self.before.commanded(),
            Rest::Measured(_) | Rest::Unknown => self.before.running(),
        };
        self.row_before.or_else(|| still.and_then(value)).or_else(|| self.at_rest(self.before.basis.measured))
    }

    fn commanded(&self) -> Option<f64> {
        self.before.commanded()?.get(self.place).copied()
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

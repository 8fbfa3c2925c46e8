//! What poses and velocities of an end effector have in common at the gate.

use vla_bundle::{EefFrame, Unit};

use super::{Target, Violation};
use crate::deploy::RotationRule;
use crate::geometry::{Rotation, norm};
use crate::profile::{OutputKind, Workspace};

/// A row of an output under judgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub output: OutputKind,
    /// Row of the chunk.
    pub index: usize,
}

impl Row {
    pub fn at(self, name: &str) -> Target {
        Target { kind: self.output, name: name.into() }
    }

    pub fn no_rotation(self) -> Violation {
        Violation::NoRotation { at: self.at("rotation"), row: self.index }
    }

    /// The turn that actions mean, axis times angle in rad. More than half a turn between two rows is none: the way there
    /// would be the other way round.
    pub fn turn(self, rule: &RotationRule, actions: &[f64]) -> Result<[f64; 3], Violation> {
        let turn = rule.turn(actions).ok_or_else(|| self.no_rotation())?;
        self.below("rotation", (norm(turn), std::f64::consts::PI), Unit::Rad)?;
        Ok(turn)
    }

    /// A position inside the workspace. The comparisons are written so that NaN fails, here and below.
    pub fn inside(self, workspace: Workspace, position: [f64; 3]) -> Result<(), Violation> {
        let Workspace { min, max } = workspace;
        for (((name, value), min), max) in ["x", "y", "z"].into_iter().zip(position).zip(min).zip(max) {
            if !(min <= value && value <= max) {
                let (at, row) = (self.at(name), self.index);
                return Err(Violation::Limit { at, row, value, min, max, unit: Unit::M });
            }
        }
        Ok(())
    }

    /// A length of at most `max`.
    pub fn below(self, name: &str, (value, max): (f64, f64), unit: Unit) -> Result<(), Violation> {
        if value <= max {
            return Ok(());
        }
        Err(Violation::Limit { at: self.at(name), row: self.index, value, min: 0.0, max, unit })
    }

    /// A difference of at most `max` to what was before.
    pub fn near(self, name: &str, (by, max): (f64, f64), unit: Unit) -> Result<(), Violation> {
        if by <= max {
            return Ok(());
        }
        Err(Violation::Change { at: self.at(name), row: self.index, by, max, unit })
    }
}

/// A vector along the axes of the base, of an end effector that is turned like this.
pub(super) fn in_base(frame: EefFrame, vector: [f64; 3], turned: Rotation) -> [f64; 3] {
    match frame {
        EefFrame::Base => vector,
        EefFrame::Tool => turned.turn(vector),
    }
}

/// From `a` to `b`.
pub(super) fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [b[0] - a[0], b[1] - a[1], b[2] - a[2]]
}

//! Target poses of an end effector: inside the workspace, and each near the one before.

use vla_bundle::{Reference, Unit};

use super::Violation;
use super::eef::{Row, difference, in_base};
use super::gate::Before;
use crate::deploy::{Aim, PoseRule};
use crate::geometry::{Pose, Rotation, norm, sum};
use crate::profile::{OutputKind, Workspace};

/// x, y, z in m and the quaternion x, y, z, w for each of `rows` (index in the chunk, actions), row-major.
///
/// The quaternion's length is 1, and its sign the one that is nearer to the row's before.
pub(super) fn judge<'a>(
    rule: &PoseRule,
    rows: impl ExactSizeIterator<Item = (usize, &'a [f64])>,
    before: &Before<'_>,
) -> Result<Vec<f64>, Violation> {
    let mut values = Vec::with_capacity(rows.len() * 7);
    let mut row_before = None;
    for (index, actions) in rows {
        let row = Row { output: OutputKind::EefPose, index };
        let target = Slot { rule, row, row_before, before }.target(actions)?;
        values.extend(target.position);
        values.extend(target.rotation.xyzw());
        row_before = Some(target);
    }
    Ok(values)
}

/// The row before the first, which is not executed any more: where the pose is on its way from.
pub(super) fn past(
    rule: &PoseRule,
    (index, actions): (usize, &[f64]),
    before: &Before<'_>,
) -> Result<Vec<f64>, Violation> {
    let row = Row { output: OutputKind::EefPose, index };
    let pose = Slot { rule, row, row_before: None, before }.past(actions)?;
    Ok(pose.position.into_iter().chain(pose.rotation.xyzw()).collect())
}

/// One pose on its way through the gate, and what was before it.
struct Slot<'a> {
    rule: &'a PoseRule,
    row: Row,
    /// The pose in the row before, of the same command.
    row_before: Option<Pose>,
    before: &'a Before<'a>,
}

impl Slot<'_> {
    fn target(&self, actions: &[f64]) -> Result<Pose, Violation> {
        let limits = &self.rule.limits;
        let position = self.position(actions)?;
        self.row.inside(limits.workspace, position)?;
        let rotation = self.rotation(actions)?;
        let running = || self.before.running().and_then(pose);
        let from = self.row_before.or_else(running).map_or_else(|| self.measured(), Ok)?;
        let way = norm(difference(from.position, position));
        self.row.near("position", (way, limits.max_step_m), Unit::M)?;
        self.row.near("rotation", (rotation.angle_to(from.rotation), limits.max_step_rad), Unit::Rad)?;
        let seen = self.row_before.or_else(|| self.commanded()).unwrap_or(from);
        Ok(Pose { position, rotation: rotation.nearer_to(seen.rotation) })
    }

    /// What the pose was meant to be; of a change, what it is added to.
    fn past(&self, actions: &[f64]) -> Result<Pose, Violation> {
        let from_row_to_row = |aim| match aim {
            Aim::By { reference: Reference::ChunkStart, .. } | Aim::At => None,
            Aim::By { reference, .. } => Some(reference),
        };
        let position = match from_row_to_row(self.rule.position_aim) {
            Some(reference) => self.base(reference)?.position,
            None => self.position(actions)?,
        };
        let rotation = match from_row_to_row(self.rule.rotation_aim) {
            Some(reference) => self.base(reference)?.rotation,
            None => self.rotation(actions)?,
        };
        let Workspace { min, max } = self.rule.limits.workspace;
        let mut inside = position;
        inside.iter_mut().zip(min).zip(max).for_each(|((value, min), max)| *value = value.clamp(min, max));
        Ok(Pose { position: inside, rotation })
    }

    fn position(&self, actions: &[f64]) -> Result<[f64; 3], Violation> {
        let read = self.rule.position.read(actions).ok_or_else(|| self.unmeasured())?;
        match self.rule.position_aim {
            Aim::At => Ok(read),
            Aim::By { reference, frame } => {
                let base = self.base(reference)?;
                Ok(sum(base.position, in_base(frame, read, base.rotation)))
            }
        }
    }

    fn rotation(&self, actions: &[f64]) -> Result<Rotation, Violation> {
        let rule = &self.rule.rotation;
        let Aim::By { reference, frame } = self.rule.rotation_aim else {
            return rule.read(actions).ok_or_else(|| self.row.no_rotation());
        };
        let base = self.base(reference)?.rotation;
        let turn = match reference {
            // All the way from there, however far that is.
            Reference::ChunkStart => rule.turn(actions).ok_or_else(|| self.row.no_rotation())?,
            Reference::Measured | Reference::LastCommand => self.row.turn(rule, actions)?,
        };
        Ok(Rotation::from_vector(in_base(frame, turn, base)).then(base))
    }

    /// What a change is added to.
    fn base(&self, reference: Reference) -> Result<Pose, Violation> {
        let known = match reference {
            Reference::ChunkStart => return self.before.basis.at_observation.eef.ok_or_else(|| self.unmeasured()),
            // Later rows build on the row before: where the robot will be then is not measured yet.
            Reference::Measured => self.row_before,
            Reference::LastCommand => self.row_before.or_else(|| self.commanded()),
        };
        known.map_or_else(|| self.measured(), Ok)
    }

    fn commanded(&self) -> Option<Pose> {
        self.before.commanded().and_then(pose)
    }

    fn measured(&self) -> Result<Pose, Violation> {
        self.before.basis.measured.eef.ok_or_else(|| self.unmeasured())
    }

    fn unmeasured(&self) -> Violation {
        Violation::Unmeasured { at: self.row.at("position") }
    }
}

/// A row that passed as the pose that it is.
fn pose(row: &[f64]) -> Option<Pose> {
    let &[x, y, z, qx, qy, qz, qw] = row else { return None };
    Pose::new([x, y, z], [qx, qy, qz, qw]).ok()
}

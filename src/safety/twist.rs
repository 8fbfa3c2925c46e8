//! Velocities of an end effector: not too fast, each near the one before, and none that leads out of the workspace.

use vla_bundle::{EefFrame, Unit};

use super::Violation;
use super::eef::{Row, difference, in_base};
use super::gate::Before;
use crate::deploy::TwistRule;
use crate::geometry::{Pose, Rotation, norm, sum};
use crate::profile::OutputKind;
use crate::time::Span;

/// Velocity and velocity of turning along the axes of the base, m/s and rad/s.
#[derive(Clone, Copy, Debug)]
struct Velocity {
    linear: [f64; 3],
    angular: [f64; 3],
}

impl Velocity {
    const NONE: Velocity = Velocity { linear: [0.0; 3], angular: [0.0; 3] };

    /// A row that passed as the velocity that it is.
    fn of(row: &[f64]) -> Option<Self> {
        let &[vx, vy, vz, wx, wy, wz] = row else { return None };
        Some(Self { linear: [vx, vy, vz], angular: [wx, wy, wz] })
    }

    /// Where it leads from `pose` in `length`.
    fn from(self, pose: Pose, length: Span) -> Pose {
        let times = |vector: [f64; 3]| vector.map(|value| value * length.secs());
        let rotation = Rotation::from_vector(times(self.angular)).then(pose.rotation);
        Pose { position: sum(pose.position, times(self.linear)), rotation }
    }
}

/// Both vectors for each of `rows` (index in the chunk, actions), row-major; each row is in effect for `length`.
///
/// Where they lead is reckoned from the measured pose on: first as fast as the robot was told to move before.
pub(super) fn judge<'a>(
    rule: &TwistRule,
    length: Span,
    rows: impl ExactSizeIterator<Item = (usize, &'a [f64])>,
    before: &Before<'_>,
) -> Result<Vec<f64>, Violation> {
    let mut values = Vec::with_capacity(rows.len() * 6);
    let mut velocity = before.commanded().and_then(Velocity::of).unwrap_or(Velocity::NONE);
    let until_start = before.basis.start.since(before.basis.now).max(Span::ZERO);
    let mut pose = before.basis.measured.eef.map(|pose| velocity.from(pose, until_start));
    for (index, actions) in rows {
        let row = Row { output: OutputKind::EefTwist, index };
        let from = pose.ok_or_else(|| unmeasured(row))?;
        velocity = allowed(rule, (row, length), (velocity, from), actions)?;
        let to = velocity.from(from, length);
        row.inside(rule.limits.workspace, to.position)?;
        values.extend(velocity.linear.into_iter().chain(velocity.angular));
        pose = Some(to);
    }
    Ok(values)
}

/// The velocity that actions mean, where it is inside its bounds.
fn allowed(
    rule: &TwistRule,
    (row, length): (Row, Span),
    (before, pose): (Velocity, Pose),
    actions: &[f64],
) -> Result<Velocity, Violation> {
    let TwistRule { position, position_frame, rotation, rotation_frame, limits } = rule;
    let way = position.read(actions).ok_or_else(|| unmeasured(row))?;
    let turn = row.turn(rotation, actions)?;
    let per_second = |frame: EefFrame, vector| in_base(frame, vector, pose.rotation).map(|value| value / length.secs());
    let (linear, angular) = (per_second(*position_frame, way), per_second(*rotation_frame, turn));
    row.below("linear", (norm(linear), limits.max_m_per_s), Unit::MPerS)?;
    row.below("angular", (norm(angular), limits.max_rad_per_s), Unit::RadPerS)?;
    let [faster, turning] = [difference(before.linear, linear), difference(before.angular, angular)].map(norm);
    row.near("linear", (faster, limits.max_step_m_per_s), Unit::MPerS)?;
    row.near("angular", (turning, limits.max_step_rad_per_s), Unit::RadPerS)?;
    Ok(Velocity { linear, angular })
}

fn unmeasured(row: Row) -> Violation {
    Violation::Unmeasured { at: row.at("position") }
}

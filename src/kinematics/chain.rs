//! The joints between two links, and where one is seen from the other.

use std::sync::Arc;

use super::{Joint, Motion, Robot};
use crate::geometry::{Pose, Rotation};

/// The way from a base link to a tip link.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    joints: Vec<Arc<str>>,
    /// From the link where the ways part, the base's way.
    to_base: Way,
    /// From there, the tip's.
    to_tip: Way,
}

/// Why there is no chain.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChainError {
    /// No such link.
    #[error("robot description of `{robot}`: no link `{link}`; it has {has}")]
    NoLink {
        /// The robot.
        robot: String,
        /// The link.
        link: String,
        /// Every link.
        has: String,
    },
    /// A joint that joint states cannot place.
    #[error(
        "robot description of `{robot}`: joint `{joint}` between `{base}` and `{tip}` is {kind}, wanted fixed, revolute, continuous or prismatic"
    )]
    Free {
        /// The robot.
        robot: String,
        /// The joint.
        joint: Arc<str>,
        /// The base link.
        base: String,
        /// The tip link.
        tip: String,
        /// The URDF's word.
        kind: &'static str,
    },
}

/// Moving joints from one link down to another, with all that is fixed between them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Way {
    steps: Vec<Step>,
    /// What comes after the last moving joint.
    rest: Option<Pose>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    /// Where the joint is, seen from behind the joint before it.
    origin: Pose,
    moves: Moves,
    axis: [f64; 3],
    /// Place of the position in the caller's list.
    position: usize,
    multiplier: f64,
    offset: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moves {
    Turns,
    Slides,
}

const NOWHERE: Pose = Pose { position: [0.0; 3], rotation: Rotation::NONE };

impl Chain {
    pub(super) fn between(robot: &Robot, base: &str, tip: &str) -> Result<Self, ChainError> {
        let (mut above_base, mut above_tip) = (path(robot, base)?, path(robot, tip)?);
        // Joints that are above both move both.
        while above_base.last().is_some() && above_base.last() == above_tip.last() {
            above_base.pop();
            above_tip.pop();
        }
        let free = |(joint, kind): (&Joint, _)| ChainError::Free {
            robot: robot.name.clone(),
            joint: Arc::clone(&joint.name),
            base: base.to_owned(),
            tip: tip.to_owned(),
            kind,
        };
        let mut joints = Vec::new();
        let to_base = Way::down(robot, above_base, &mut joints).map_err(free)?;
        let to_tip = Way::down(robot, above_tip, &mut joints).map_err(free)?;
        Ok(Self { joints, to_base, to_tip })
    }

    /// The joints whose positions decide, in the order in which [`Self::pose`] takes them: from the base to the tip; a
    /// joint that mimics another is not among them, the other is.
    pub fn joints(&self) -> &[Arc<str>] {
        &self.joints
    }

    /// Where the tip is, seen from the base, at `positions` (rad or m, one per joint of [`Self::joints`]); `None` where
    /// their number is another, or they or the pose are not finite. Does not allocate.
    pub fn pose(&self, positions: &[f64]) -> Option<Pose> {
        if positions.len() != self.joints.len() || !positions.iter().all(|value| value.is_finite()) {
            return None;
        }
        let pose = self.to_base.end(positions).inverse().then(&self.to_tip.end(positions));
        let finite = pose.position.iter().chain(&pose.rotation.xyzw()).all(|value| value.is_finite());
        finite.then_some(pose)
    }
}

impl Way {
    /// The way along the joints `above` a link, lowest first; `moving` gets the joints whose positions decide. A joint
    /// that is free is the error.
    fn down<'a>(
        robot: &Robot,
        above: Vec<&'a Joint>,
        moving: &mut Vec<Arc<str>>,
    ) -> Result<Self, (&'a Joint, &'static str)> {
        let mut way = Way::default();
        for joint in above.into_iter().rev() {
            let moved = match joint.motion {
                Motion::Fixed => None,
                Motion::Revolute { axis, .. } | Motion::Continuous { axis, .. } => Some((Moves::Turns, axis)),
                Motion::Prismatic { axis, .. } => Some((Moves::Slides, axis)),
                Motion::Free { kind } => return Err((joint, kind)),
            };
            let origin = way.rest.map_or(joint.origin, |rest| rest.then(&joint.origin));
            way.rest = Some(origin);
            if let Some((moves, axis)) = moved {
                let (position, multiplier, offset) = source(robot, joint, moving);
                way.steps.push(Step { origin, moves, axis, position, multiplier, offset });
                way.rest = None;
            }
        }
        Ok(way)
    }

    fn end(&self, positions: &[f64]) -> Pose {
        let mut pose = NOWHERE;
        for step in &self.steps {
            let position = positions.get(step.position).copied().unwrap_or_default();
            let along = step.axis.map(|part| part * (step.multiplier * position + step.offset));
            let moved = match step.moves {
                Moves::Turns => Pose { rotation: Rotation::from_vector(along), ..NOWHERE },
                Moves::Slides => Pose { position: along, ..NOWHERE },
            };
            pose = pose.then(&step.origin).then(&moved);
        }
        self.rest.map_or(pose, |rest| pose.then(&rest))
    }
}

/// Place, multiplier and offset of the position that moves a joint.
fn source(robot: &Robot, joint: &Joint, moving: &mut Vec<Arc<str>>) -> (usize, f64, f64) {
    let (mut source, mut multiplier, mut offset) = (joint, 1.0, 0.0);
    // A robot that was read has no circle of mimics.
    while let Some(mimic) = &source.mimic {
        offset += multiplier * mimic.offset;
        multiplier *= mimic.multiplier;
        let Some(next) = robot.joint(&mimic.joint) else { break };
        source = next;
    }
    let place = moving.iter().position(|name| *name == source.name).unwrap_or_else(|| {
        moving.push(Arc::clone(&source.name));
        moving.len() - 1
    });
    (place, multiplier, offset)
}

/// The joints above a link, lowest first.
fn path<'a>(robot: &'a Robot, link: &str) -> Result<Vec<&'a Joint>, ChainError> {
    if !robot.links.contains_key(link) {
        let has = robot.links.keys().map(|link| &**link).collect::<Vec<_>>().join(", ");
        return Err(ChainError::NoLink { robot: robot.name.clone(), link: link.to_owned(), has });
    }
    let mut path = Vec::new();
    let mut above = robot.above(link);
    // A robot that was read is a tree.
    while let Some(joint) = above {
        path.push(joint);
        above = robot.above(&joint.parent);
    }
    Ok(path)
}

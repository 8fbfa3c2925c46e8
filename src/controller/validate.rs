//! `validate_trajectory_msg`: what makes the controller drop a message.

use std::sync::Arc;

use super::{Config, Joints, Trajectory};
use crate::time::{Span, Stamp};

/// Velocities at the end that are closer to zero are zero: the controller compares with the epsilon of `float`.
const STANDSTILL: f64 = f32::EPSILON as f64;

/// Why the controller drops a message; it says so in its log and nowhere else.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Not every joint is named, and `allow_partial_joints_goal` is false; or more are named than there are.
    #[error("the trajectory names {got} joints, the controller has {wanted}")]
    JointCount {
        /// Joints of the trajectory.
        got: usize,
        /// Joints of the controller.
        wanted: usize,
    },
    /// No joints.
    #[error("the trajectory names no joints")]
    NoJoints,
    /// No points.
    #[error("the trajectory has no points")]
    NoPoints,
    /// Not a joint of the controller.
    #[error("the trajectory names joint `{joint}`, which the controller has not")]
    UnknownJoint {
        /// The joint.
        joint: Arc<str>,
    },
    /// The controller does not look for this; what it would do with the joint that is missing is not defined.
    #[error("the trajectory names joint `{joint}` twice")]
    JointTwice {
        /// The joint.
        joint: Arc<str>,
    },
    /// Ends in motion, and `allow_nonzero_velocity_at_trajectory_end` is false.
    #[error("the last point has velocity {velocity} at joint `{joint}`, wanted 0")]
    EndVelocity {
        /// The joint.
        joint: Arc<str>,
        /// Its velocity, rad/s or m/s.
        velocity: f64,
    },
    /// All of it is past.
    #[error("the trajectory ended {by} ago")]
    Past {
        /// Time since its last point.
        by: Span,
    },
    /// Not later than the point before it.
    #[error("point {point} is {time} after the start, the one before it {before}")]
    Time {
        /// Index of the point.
        point: usize,
        /// Its time.
        time: Span,
        /// The time of the point before it.
        before: Span,
    },
    /// Another number of values than joints; positions may not be absent.
    #[error("point {point} has {got} {what}, wanted {wanted}")]
    Width {
        /// Index of the point.
        point: usize,
        /// Which values.
        what: &'static str,
        /// How many.
        got: usize,
        /// How many joints are named.
        wanted: usize,
    },
}

/// The same messages that the controller drops; where several things are wrong, not always the same one is named.
pub(super) fn validate(config: &Config, now: Stamp, trajectory: &Trajectory<'_>) -> Result<(), Refused> {
    joints(config, trajectory)?;
    points(trajectory)?;
    let Some(last) = trajectory.points.last() else { return Err(Refused::NoPoints) };
    if !config.allow_nonzero_velocity_at_trajectory_end {
        let mut moving = trajectory.joints.iter().zip(last.joints.velocities).filter(|(_, v)| v.abs() > STANDSTILL);
        if let Some((joint, velocity)) = moving.next() {
            return Err(Refused::EndVelocity { joint: Arc::clone(joint), velocity: *velocity });
        }
    }
    let end = trajectory.stamp + last.time_from_start;
    if trajectory.stamp != Stamp::default() && end < now {
        return Err(Refused::Past { by: now.since(end) });
    }
    Ok(())
}

fn joints(config: &Config, trajectory: &Trajectory<'_>) -> Result<(), Refused> {
    let (got, wanted) = (trajectory.joints.len(), config.joints.len());
    if got != wanted && (!config.allow_partial_joints_goal || got > wanted) {
        return Err(Refused::JointCount { got, wanted });
    }
    if trajectory.joints.is_empty() {
        return Err(Refused::NoJoints);
    }
    for (index, joint) in trajectory.joints.iter().enumerate() {
        if config.joints.iter().all(|known| known.name != *joint) {
            return Err(Refused::UnknownJoint { joint: Arc::clone(joint) });
        }
        if trajectory.joints.iter().take(index).any(|earlier| earlier == joint) {
            return Err(Refused::JointTwice { joint: Arc::clone(joint) });
        }
    }
    Ok(())
}

fn points(trajectory: &Trajectory<'_>) -> Result<(), Refused> {
    let mut before = None;
    for (point, content) in trajectory.points.iter().enumerate() {
        let time = content.time_from_start;
        if let Some(before) = before.filter(|before| time <= *before) {
            return Err(Refused::Time { point, time, before });
        }
        before = Some(time);
        let Joints { positions, velocities, accelerations } = content.joints;
        let wanted = trajectory.joints.len();
        for (what, got, may_be_absent) in [
            ("positions", positions.len(), false),
            ("velocities", velocities.len(), true),
            ("accelerations", accelerations.len(), true),
        ] {
            if got != wanted && !(may_be_absent && got == 0) {
                return Err(Refused::Width { point, what, got, wanted });
            }
        }
    }
    Ok(())
}

//! `control_msgs`: what the actions of grippers take and give.

use serde::{Deserialize, Serialize};

use super::JointState;

/// Goal of `control_msgs/action/GripperCommand`: its one field is a `control_msgs/GripperCommand`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GripperCommandGoal {
    /// Where it should be, m or rad.
    pub position: f64,
    /// Largest force or torque, N or Nm.
    pub max_effort: f64,
}

/// Result and feedback of `control_msgs/action/GripperCommand`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GripperCommandState {
    /// Where it is, m or rad.
    pub position: f64,
    /// What it exerts, N or Nm.
    pub effort: f64,
    /// Whether it exerts the most and does not move.
    pub stalled: bool,
    /// Whether it is where it should be.
    pub reached_goal: bool,
}

/// Goal of `control_msgs/action/ParallelGripperCommand`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParallelGripperCommandGoal {
    /// Joint, position and largest effort.
    pub command: JointState,
}

/// Result of `control_msgs/action/ParallelGripperCommand`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParallelGripperCommandResult {
    /// Where it is.
    pub state: JointState,
    /// Whether it exerts the most and does not move.
    pub stalled: bool,
    /// Whether it is where it should be.
    pub reached_goal: bool,
}

/// Feedback of `control_msgs/action/ParallelGripperCommand`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParallelGripperCommandFeedback {
    /// Where it is.
    pub state: JointState,
}

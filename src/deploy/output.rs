//! What leaves: which values each output publishes, and how they come from the actions.

use std::sync::Arc;

use vla_bundle::Unit;

use super::Line;
use crate::profile::{Limits, OutputKind};

/// A topic that moves the robot.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The word for it in the profile and in messages.
    pub kind: OutputKind,
    /// The message.
    pub form: Form,
    /// Topic as written: absolute, relative or private (`~/`).
    pub topic: String,
    /// Names of its values in message order: ROS joint names, or the actions' names.
    pub names: Arc<[Arc<str>]>,
    /// How its values come from the actions.
    pub content: Content,
}

/// The message that an output publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `trajectory_msgs/JointTrajectory`, the whole segment at once.
    Trajectory,
    /// `std_msgs/Float64MultiArray`, row by row when due.
    Array,
    /// `std_msgs/Float64`, row by row when due.
    Number,
}

/// How the values of an output come from the actions.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Each value from one action; one per name.
    Values(Vec<OutputDim>),
}

impl Output {
    /// Values that each carry one action; empty where an output makes its values otherwise.
    pub fn dims(&self) -> &[OutputDim] {
        match &self.content {
            Content::Values(dims) => dims,
        }
    }
}

/// One published value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputDim {
    /// Action dimension that it carries, an index into [`Deployment::actions`].
    pub action: usize,
    /// Unit of the published value.
    pub unit: Unit,
    /// How the action becomes the published value.
    pub rule: Rule,
    /// What may be published.
    pub limits: Limits,
    /// Where the value stands before anything was commanded.
    pub rest: Rest,
}

/// How an action becomes a published value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The value is the line at the action.
    Absolute(Line),
    /// The value is a reference plus `gain` times the action.
    Delta {
        /// Sign, scale and unit.
        gain: f64,
        /// What the change is added to.
        reference: vla_bundle::Reference,
    },
    /// The value is between `closed` and `open`, by the opening in [0, 1] that the action means.
    Gripper {
        /// Which opening the action means.
        rule: vla_bundle::GripperRule,
        /// Published value of a fully open gripper.
        open: f64,
        /// Published value of a fully closed gripper.
        closed: f64,
    },
}

impl Rule {
    /// The published value that an action means by itself; `None` for a change, which means nothing without its reference.
    pub fn absolute(self, action: f64) -> Option<f64> {
        match self {
            Rule::Absolute(line) => Some(line.at(action)),
            Rule::Gripper { rule, open, closed } => {
                // In this form both ends are reached exactly.
                let opening = rule.opening(action);
                Some(open * opening + closed * (1.0 - opening))
            }
            Rule::Delta { .. } => None,
        }
    }
}

/// Where a value stands before anything was commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Where the joint is measured: an index into [`JointsInput::names`].
    Measured(usize),
    /// At 0: a controller without input does not move.
    Zero,
    /// Nobody knows: a controller does not say how far its gripper is open.
    Unknown,
}

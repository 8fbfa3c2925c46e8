//! What leaves: which values each output publishes, and how they come from the actions.

use std::sync::Arc;

use vla_bundle::{EefFrame, RotationConvention, Unit};

use super::Line;
use crate::geometry::Rotation;
use crate::profile::{GripperAction, GripperEdges, Limits, MotionLimits, OutputKind, PoseLimits, TwistLimits};

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
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// `trajectory_msgs/JointTrajectory`, the whole segment at once.
    Trajectory,
    /// `std_msgs/Float64MultiArray`, row by row when due.
    Array,
    /// `std_msgs/Float64`, row by row when due.
    Number,
    /// A goal of an action, where a row is an edge.
    Goal {
        /// Which action.
        action: GripperAction,
        /// When a goal follows another one.
        edges: GripperEdges,
    },
    /// `geometry_msgs/PoseStamped`, row by row when due.
    Pose {
        /// Its frame.
        frame: Arc<str>,
    },
    /// `geometry_msgs/TwistStamped`, row by row when due.
    Twist {
        /// Its frame.
        frame: Arc<str>,
    },
}

/// How the values of an output come from the actions.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Each value from one action; one per name.
    Values(Vec<OutputDim>),
    /// x, y, z in m and the quaternion x, y, z, w.
    Pose(PoseRule),
    /// Linear velocity in m/s, then that of turning about the axes in rad/s.
    Twist(TwistRule),
}

/// How actions become a target pose.
#[derive(Clone, Debug, PartialEq)]
pub struct PoseRule {
    /// Where it is.
    pub position: PositionRule,
    /// Whether that is a place or a way.
    pub position_aim: Aim,
    /// How it is turned.
    pub rotation: RotationRule,
    /// Whether that is an orientation or a turn.
    pub rotation_aim: Aim,
    /// What may be published.
    pub limits: PoseLimits,
}

/// How actions become a velocity: each is the change until the next row.
#[derive(Clone, Debug, PartialEq)]
pub struct TwistRule {
    /// How far it moves.
    pub position: PositionRule,
    /// Along whose axes.
    pub position_frame: EefFrame,
    /// How far it turns.
    pub rotation: RotationRule,
    /// About whose axes.
    pub rotation_frame: EefFrame,
    /// What may be published.
    pub limits: TwistLimits,
}

/// How actions become a place or a way: terms for x, y and z, m.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionRule(pub [Term; 3]);

/// How actions become an orientation or a turn.
#[derive(Clone, Debug, PartialEq)]
pub struct RotationRule {
    /// For the numbers of the convention; angles in rad.
    pub terms: Vec<Term>,
    /// What the numbers mean.
    pub convention: RotationConvention,
}

/// A number: `gain` times an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// Action dimension, an index into [`super::Deployment::actions`].
    pub action: usize,
    /// Scale and unit.
    pub gain: f64,
}

/// What numbers of an end effector say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Where it should be, seen from the base.
    At,
    /// By how much it should move.
    By {
        /// What the change is added to.
        reference: vla_bundle::Reference,
        /// Whose axes they are.
        frame: EefFrame,
    },
}

impl Term {
    fn read(self, actions: &[f64]) -> Option<f64> {
        actions.get(self.action).map(|action| self.gain * action)
    }
}

impl PositionRule {
    /// x, y and z in m; `None` where an action is missing.
    pub fn read(&self, actions: &[f64]) -> Option<[f64; 3]> {
        let [x, y, z] = self.0.map(|term| term.read(actions));
        Some([x?, y?, z?])
    }
}

impl RotationRule {
    /// The rotation; `None` where the numbers are none.
    pub fn read(&self, actions: &[f64]) -> Option<Rotation> {
        Rotation::read(self.convention, &self.numbers(actions)?)
    }

    /// The rotation as axis times angle, rad. Of axis-angle it is the numbers themselves, beyond pi too: where to turn is
    /// the same, how to get there is not.
    pub fn turn(&self, actions: &[f64]) -> Option<[f64; 3]> {
        match (self.convention, &self.numbers(actions)?[..]) {
            (RotationConvention::AxisAngle, &[x, y, z]) => Some([x, y, z]),
            (convention, numbers) => Some(Rotation::read(convention, numbers)?.vector()),
        }
    }

    fn numbers(&self, actions: &[f64]) -> Option<Vec<f64>> {
        self.terms.iter().map(|term| term.read(actions)).collect()
    }
}

impl Output {
    /// Values that each carry one action; empty where an output makes its values otherwise.
    pub fn dims(&self) -> &[OutputDim] {
        match &self.content {
            Content::Values(dims) => dims,
            Content::Pose(_) | Content::Twist(_) => &[],
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
    /// How it may move; `None` where the value is one after the other.
    pub motion: Option<MotionLimits>,
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
    /// Whether it opens and closes a gripper.
    pub fn is_gripper(self) -> bool {
        matches!(self, Rule::Gripper { .. })
    }

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

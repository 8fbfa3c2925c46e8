//! What moves the robot: topics, what they publish, and the bounds of every value.

use serde::Deserialize;
use vla_bundle::Unit;

/// A topic that moves the robot.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Topic; `None` for the default of its kind.
    pub topic: Option<String>,
    /// What it publishes.
    pub content: Content,
}

/// What an output publishes, with its values in message order.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// `trajectory_msgs/JointTrajectory`: positions of named joints, the whole segment at once.
    JointTrajectory(Vec<OutputDim>),
    /// `std_msgs/Float64MultiArray`, one message per row when it is due: positions of joints in the controller's order.
    JointPositions(Vec<OutputDim>),
    /// `std_msgs/Float64MultiArray`, one message per row when it is due: inputs of a controller in [-1, 1].
    ControllerInput(Vec<OutputDim>),
    /// The position of one gripper, one message per row when it is due.
    GripperPosition {
        /// Its type.
        message: GripperMessage,
        /// Joint that is measured and checked against; `None` where nobody knows how far the gripper is open.
        joint: Option<String>,
        /// The position.
        dim: OutputDim,
    },
}

/// The message of a gripper's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GripperMessage {
    /// `std_msgs/Float64MultiArray` of one value, as forward controllers take it.
    #[serde(rename = "float64_multi_array")]
    Float64MultiArray,
    /// `std_msgs/Float64`.
    Float64,
}

/// The word for what an output publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `Content`")]
pub enum OutputKind {
    JointTrajectory,
    JointPositions,
    ControllerInput,
    GripperPosition,
}

impl OutputKind {
    /// The word for it in profiles and messages.
    pub fn word(self) -> &'static str {
        match self {
            OutputKind::JointTrajectory => "joint_trajectory",
            OutputKind::JointPositions => "joint_positions",
            OutputKind::ControllerInput => "controller_input",
            OutputKind::GripperPosition => "gripper_position",
        }
    }
}

impl Output {
    /// What it publishes, as a word.
    pub fn kind(&self) -> OutputKind {
        match &self.content {
            Content::JointTrajectory(_) => OutputKind::JointTrajectory,
            Content::JointPositions(_) => OutputKind::JointPositions,
            Content::ControllerInput(_) => OutputKind::ControllerInput,
            Content::GripperPosition { .. } => OutputKind::GripperPosition,
        }
    }

    /// Values that each carry one action.
    pub fn dims(&self) -> &[OutputDim] {
        match &self.content {
            Content::JointTrajectory(dims) | Content::JointPositions(dims) | Content::ControllerInput(dims) => dims,
            Content::GripperPosition { dim, .. } => std::slice::from_ref(dim),
        }
    }

    /// Actions that it carries.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.dims().iter().map(|dim| dim.action.as_str())
    }

    /// Joints whose position is checked against what is measured.
    pub fn joints(&self) -> impl Iterator<Item = &str> {
        let (dims, gripper) = match &self.content {
            Content::JointTrajectory(dims) | Content::JointPositions(dims) => (dims.as_slice(), None),
            Content::ControllerInput(_) => (&[][..], None),
            Content::GripperPosition { joint, .. } => (&[][..], joint.as_deref()),
        };
        dims.iter().map(|dim| dim.name.as_str()).chain(gripper)
    }
}

/// One value of an output.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputDim {
    /// ROS joint name; the action's name where no joint stands for the value.
    pub name: String,
    /// Action dimension that it carries.
    pub action: String,
    /// Unit of the published value.
    pub unit: Unit,
    /// How the action becomes the published value.
    pub carries: Carries,
    /// What may be published.
    pub limits: Limits,
}

/// How an action becomes a published value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Carries {
    /// `sign * action + offset`, after the unit; changes take the sign alone.
    Position {
        /// 1 or -1.
        sign: f64,
        /// Robot position of the policy's zero, in the output's unit.
        offset: f64,
    },
    /// A gripper: the opening that the action means, between two published values.
    Opening {
        /// Published value of a fully open gripper.
        open: f64,
        /// Published value of a fully closed gripper.
        closed: f64,
    },
}

/// Bounds of a published value, in the output's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Smallest value.
    pub min: f64,
    /// Largest value, above `min`.
    pub max: f64,
    /// Largest change from one row to the next, positive.
    pub max_step: f64,
}

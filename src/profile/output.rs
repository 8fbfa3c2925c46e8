//! What moves the robot: topics, what they publish, and the bounds of every value.

use vla_bundle::Unit;

use super::Controller;

/// A topic that moves the robot.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Topic; `None` for the default of its kind.
    pub topic: Option<String>,
    /// What it publishes.
    pub content: Content,
    /// What plays its trajectories; `None` where nobody said, and where it publishes none.
    pub controller: Option<Controller>,
}

/// What an output publishes.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Values that each carry one action.
    Values {
        /// What takes them.
        taker: Taker,
        /// In message order.
        dims: Vec<OutputDim>,
    },
    /// `geometry_msgs/PoseStamped`, one message per row when it is due: where the end effector should be.
    EefPose {
        /// Its actions.
        eef: EefActions,
        /// What may be published.
        limits: PoseLimits,
    },
    /// `geometry_msgs/TwistStamped`, one message per row when it is due: how fast the end effector should move.
    EefTwist {
        /// Its actions.
        eef: EefActions,
        /// What may be published.
        limits: TwistLimits,
    },
}

/// What takes values that each carry one action.
#[derive(Clone, Debug, PartialEq)]
pub enum Taker {
    /// `trajectory_msgs/JointTrajectory`: positions of named joints, the whole segment at once.
    JointTrajectory,
    /// `std_msgs/Float64MultiArray`, one message per row when it is due: positions of joints in the controller's order.
    JointPositions,
    /// `std_msgs/Float64MultiArray`, one message per row when it is due: inputs of a controller in [-1, 1].
    ControllerInput,
    /// The position of one gripper, one message per row when it is due.
    GripperPosition {
        /// Its type.
        message: GripperMessage,
        /// Joint that is measured and checked against; `None` where nobody knows how far the gripper is open.
        joint: Option<String>,
    },
}

/// The actions of an output that moves the end effector, and the frame of its messages.
#[derive(Clone, Debug, PartialEq)]
pub struct EefActions {
    /// Frame of the messages; the end effector's pose is measured in the same.
    pub frame: String,
    /// Actions along x, y and z.
    pub position: [String; 3],
    /// Actions of the rotation, in the order of the policy's convention.
    pub rotation: Vec<String>,
}

/// A box that the end effector's position does not leave, in the output's frame, m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workspace {
    /// Smallest x, y and z.
    pub min: [f64; 3],
    /// Largest x, y and z, each above its `min`.
    pub max: [f64; 3],
}

/// Bounds of a target pose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoseLimits {
    /// Where it may be.
    pub workspace: Workspace,
    /// Farthest way from one row to the next, m, positive.
    pub max_step_m: f64,
    /// Largest angle from one row to the next, rad, positive and at most pi.
    pub max_step_rad: f64,
    /// How it moves along each axis of the frame, m.
    pub linear: MotionLimits,
    /// How it turns about each axis of the frame, rad.
    pub angular: MotionLimits,
}

/// Bounds of a value that goes from one row to the next, in its unit; all positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MotionLimits {
    /// Largest velocity, per second.
    pub max_velocity: f64,
    /// Largest acceleration, per second squared.
    pub max_acceleration: f64,
    /// Largest jerk, per second cubed.
    pub max_jerk: f64,
}

/// Bounds of a velocity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwistLimits {
    /// Where it may lead.
    pub workspace: Workspace,
    /// Largest speed, positive.
    pub max_m_per_s: f64,
    /// Largest speed of turning, positive.
    pub max_rad_per_s: f64,
    /// Largest change of velocity from one row to the next, positive.
    pub max_step_m_per_s: f64,
    /// Largest change of the velocity of turning from one row to the next, positive.
    pub max_step_rad_per_s: f64,
}

/// How a gripper's position is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GripperMessage {
    /// `std_msgs/Float64MultiArray` of one value, as forward controllers take it.
    Float64MultiArray,
    /// `std_msgs/Float64`.
    Float64,
    /// A goal of an action, at edges only.
    Action {
        /// Which action.
        action: GripperAction,
        /// When a goal follows another one.
        edges: GripperEdges,
    },
}

/// An action that moves a gripper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GripperAction {
    /// `control_msgs/action/GripperCommand`, up to Humble.
    GripperCommand,
    /// `control_msgs/action/ParallelGripperCommand`, from Jazzy on.
    ParallelGripperCommand,
}

/// When a gripper gets a new goal, and how hard it may try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GripperEdges {
    /// Smallest difference from the goal before, in the output's unit, positive.
    pub hysteresis: f64,
    /// Shortest time after the goal before, ms, positive.
    pub dwell_ms: f64,
    /// Largest force or torque, N or Nm, positive.
    pub max_effort: f64,
}

/// The word for what an output publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `Content` and `Taker`")]
pub enum OutputKind {
    JointTrajectory,
    JointPositions,
    ControllerInput,
    GripperPosition,
    EefPose,
    EefTwist,
}

impl OutputKind {
    /// The word for it in profiles and messages.
    pub fn word(self) -> &'static str {
        match self {
            OutputKind::JointTrajectory => "joint_trajectory",
            OutputKind::JointPositions => "joint_positions",
            OutputKind::ControllerInput => "controller_input",
            OutputKind::GripperPosition => "gripper_position",
            OutputKind::EefPose => "eef_pose",
            OutputKind::EefTwist => "eef_twist",
        }
    }
}

impl Output {
    /// What it publishes, as a word.
    pub fn kind(&self) -> OutputKind {
        match &self.content {
            Content::Values { taker, .. } => match taker {
                Taker::JointTrajectory => OutputKind::JointTrajectory,
                Taker::JointPositions => OutputKind::JointPositions,
                Taker::ControllerInput => OutputKind::ControllerInput,
                Taker::GripperPosition { .. } => OutputKind::GripperPosition,
            },
            Content::EefPose { .. } => OutputKind::EefPose,
            Content::EefTwist { .. } => OutputKind::EefTwist,
        }
    }

    /// Whether its values go from one row to the next on a path.
    pub fn is_sampled(&self) -> bool {
        match &self.content {
            Content::Values { dims, .. } => dims.iter().any(|dim| dim.motion.is_some()),
            Content::EefPose { .. } => true,
            Content::EefTwist { .. } => false,
        }
    }

    /// Values that each carry one action; empty where the output moves the end effector.
    pub fn dims(&self) -> &[OutputDim] {
        match &self.content {
            Content::Values { dims, .. } => dims,
            Content::EefPose { .. } | Content::EefTwist { .. } => &[],
        }
    }

    /// What moves the end effector; `None` where the output does not.
    pub fn eef(&self) -> Option<&EefActions> {
        match &self.content {
            Content::EefPose { eef, .. } | Content::EefTwist { eef, .. } => Some(eef),
            Content::Values { .. } => None,
        }
    }

    /// Actions that it carries.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        let of_eef = self.eef().into_iter().flat_map(|eef| eef.position.iter().chain(&eef.rotation));
        self.dims().iter().map(|dim| &dim.action).chain(of_eef).map(String::as_str)
    }

    /// Joints whose position is checked against what is measured.
    pub fn joints(&self) -> impl Iterator<Item = &str> {
        let are_joints = match &self.content {
            Content::Values { taker, .. } => match taker {
                Taker::JointTrajectory | Taker::JointPositions => true,
                Taker::GripperPosition { joint, .. } => joint.is_some(),
                Taker::ControllerInput => false,
            },
            Content::EefPose { .. } | Content::EefTwist { .. } => false,
        };
        self.dims().iter().filter(move |_| are_joints).map(|dim| dim.name.as_str())
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
    /// How it may move; `None` where the value is one after the other.
    pub motion: Option<MotionLimits>,
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

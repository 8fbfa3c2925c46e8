//! ROS 2 as the node needs it: a few typed subscriptions and publishers by absolute topic name.
//!
//! [`Transport`] is ours; `dds` implements it and alone names the middleware.

mod dds;
mod original;
mod settings;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

pub use dds::{Dds, DdsSession};
pub use original::{Keeper, Original, Originals};
pub use settings::{DdsSettings, Network, Services, SettingsError, largest_receive_buffer};

use crate::drive::control::Asking;
use crate::drive::gripper::GripperGoal;
use crate::drive::parameters::Parameters;
use crate::geometry::PoseError;
use crate::msg::{FrameError, InfoError, JointsError, Message};
use crate::profile::GripperAction;
use crate::time::{Span, Stamp};
use crate::types::{Arrives, Frame, JointSample, Optics, PoseSample, Transform};

/// Filter for the middleware's own log, which reports as errors what DDS repairs by itself.
pub const LOG_FILTER: &str = "rustdds=off";

/// A value with the stamp of its message's header.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamped<T> {
    /// When it was true.
    pub stamp: Stamp,
    /// What was true.
    pub value: T,
}

/// A text, and whether anybody says it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// It was sent while we listened.
    Fresh(String),
    /// It was sent before we listened, and its publisher kept it.
    Latched(String),
}

/// Where the messages of a subscription go. Runs on the middleware's thread: it must not wait.
pub type Sink<T> = Box<dyn FnMut(Result<T, InputError>) + Send>;

/// A message that arrived and cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InputError {
    /// A picture that we cannot read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A camera info that says nothing about its pictures.
    #[error(transparent)]
    Info(#[from] InfoError),
    /// A joint state that contradicts itself.
    #[error(transparent)]
    Joints(#[from] JointsError),
    /// A pose that is none.
    #[error(transparent)]
    Pose(#[from] PoseError),
    /// Bytes that are not the message that the topic promises.
    #[error("{0}")]
    Bytes(String),
}

/// Why the middleware refused.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No node.
    #[error("cannot join DDS domain {domain} as `{node}`: {reason}")]
    Join {
        /// ROS_DOMAIN_ID.
        domain: u16,
        /// The node's absolute name.
        node: String,
        /// In the middleware's words.
        reason: String,
    },
    /// No subscription or publisher.
    #[error("cannot {action} `{topic}`: {reason}")]
    Endpoint {
        /// `subscribe to` or `publish`.
        action: &'static str,
        /// Absolute topic name.
        topic: String,
        /// In the middleware's words.
        reason: String,
    },
    /// No thread.
    #[error("cannot start the ROS thread: {0}")]
    Thread(std::io::Error),
}

/// A service that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nobody, or not in time.
    #[error("service `{service}` did not answer within {within}")]
    Silent {
        /// Absolute name.
        service: String,
        /// How long everything that was to be asked could take.
        within: Span,
    },
    /// In the middleware's words, or something else than an answer.
    #[error("service `{service}`: {reason}")]
    Failed {
        /// Absolute name.
        service: String,
        /// Why.
        reason: String,
    },
}

/// A message that did not leave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot publish on `{topic}`: {reason}")]
pub struct PublishError {
    /// Absolute topic name.
    pub topic: String,
    /// In the middleware's words.
    pub reason: String,
}

/// Sends messages of one type on one topic, and never waits for a slow reader.
pub trait Publish<M>: Send {
    /// Sends `message`, or says why it did not leave.
    fn publish(&self, message: M) -> Result<(), PublishError>;
}

/// A client of an action that moves a gripper.
pub struct GripperClient {
    /// Takes goals; the newest one wins.
    pub goals: Box<dyn Publish<GripperGoal>>,
    /// Set where a goal was refused or nobody answered.
    pub lost: Arc<AtomicBool>,
}

/// Somebody on a topic of ours who cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("`{topic}`: {reason}")]
pub struct Mismatch {
    /// Absolute topic name.
    pub topic: String,
    /// Who, and in what we differ.
    pub reason: String,
}

/// A node whose messages flow until it is dropped.
pub trait Session {
    /// Publishers and subscribers on our topics whose type or quality of service does not fit.
    fn mismatches(&self) -> Vec<Mismatch>;

    /// Whether they still flow; false after a panic on the middleware's thread.
    fn is_alive(&self) -> bool;
}

/// A node in the making: endpoints are made first, then messages flow from `start` until the session is dropped.
pub trait Transport {
    /// Messages flow while it lives.
    type Session: Session;

    /// Puts every message of the subscriptions that follow there, right before its sink is called.
    fn keep_originals(&mut self, _originals: &Originals) {}

    /// `sensor_msgs/Image`, best effort, the newest only.
    fn subscribe_image(&mut self, topic: &str, sink: Sink<Stamped<Frame>>) -> Result<(), TransportError>;

    /// `sensor_msgs/CompressedImage`, best effort, the newest only.
    fn subscribe_compressed_image(&mut self, topic: &str, sink: Sink<Stamped<Frame>>) -> Result<(), TransportError>;

    /// `sensor_msgs/CameraInfo` of pictures that arrive like this, best effort, the newest only.
    fn subscribe_camera_info(
        &mut self,
        topic: &str,
        arrives: Arrives,
        sink: Sink<Optics>,
    ) -> Result<(), TransportError>;

    /// `sensor_msgs/JointState`, best effort.
    fn subscribe_joints(&mut self, topic: &str, sink: Sink<Stamped<JointSample>>) -> Result<(), TransportError>;

    /// `rosgraph_msgs/Clock`, best effort, the newest only.
    fn subscribe_clock(&mut self, topic: &str, sink: Sink<Stamp>) -> Result<(), TransportError>;

    /// `geometry_msgs/PoseStamped`, best effort.
    fn subscribe_pose(&mut self, topic: &str, sink: Sink<Stamped<PoseSample>>) -> Result<(), TransportError>;

    /// `tf2_msgs/TFMessage` of frames that move, best effort.
    fn subscribe_transforms(&mut self, topic: &str, sink: Sink<Vec<Transform>>) -> Result<(), TransportError>;

    /// `tf2_msgs/TFMessage` of frames that never move, reliable, with those from before we came.
    fn subscribe_fixed_transforms(&mut self, topic: &str, sink: Sink<Vec<Transform>>) -> Result<(), TransportError>;

    /// `std_msgs/Float64MultiArray`, best effort.
    fn subscribe_array(&mut self, topic: &str, sink: Sink<Vec<f64>>) -> Result<(), TransportError>;

    /// `std_msgs/String`, reliable, with the last one from before we came where its publisher keeps it.
    fn subscribe_text(&mut self, topic: &str, sink: Sink<Text>) -> Result<(), TransportError>;

    /// `std_msgs/Bool` again and again, best effort.
    fn subscribe_flag(&mut self, topic: &str, sink: Sink<bool>) -> Result<(), TransportError>;

    /// `std_msgs/Empty` again and again, best effort; each says `false`: nothing is pressed.
    fn subscribe_beat(&mut self, topic: &str, sink: Sink<bool>) -> Result<(), TransportError>;

    /// The button with this index of `sensor_msgs/Joy`, best effort.
    fn subscribe_button(&mut self, topic: &str, button: usize, sink: Sink<bool>) -> Result<(), TransportError>;

    /// `std_msgs/Bool`, reliable, with the last one from before we came where its publisher keeps it.
    fn subscribe_latched_flag(&mut self, topic: &str, sink: Sink<bool>) -> Result<(), TransportError>;

    /// Any message, reliable, the newest only.
    fn publisher<M: Message + Serialize + Send + 'static>(
        &mut self,
        topic: &str,
    ) -> Result<Box<dyn Publish<M>>, TransportError>;

    /// A client of an action that moves a gripper.
    fn gripper(&mut self, action: &str, kind: GripperAction) -> Result<GripperClient, TransportError>;

    /// The parameter services of a ROS node.
    fn serve_parameters(&mut self, parameters: Parameters) -> Result<(), TransportError>;

    /// The services of a managed node, those that start and stop the robot, and the action that runs the policy.
    fn serve_control(&mut self, asking: Asking) -> Result<(), TransportError>;

    /// Lets messages flow.
    fn start(self) -> Result<Self::Session, TransportError>;
}

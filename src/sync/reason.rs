//! Why a sample is dropped, and why there is no observation.

use std::sync::Arc;

use crate::geometry::PoseError;
use crate::time::Span;

/// A sample that is not usable.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{stream}: {reason}")]
pub struct Dropped {
    /// `images.<camera>`, `joint_states`, `eef_pose`, `tf` or `state`.
    pub stream: Arc<str>,
    /// What is wrong with it.
    pub reason: DropReason,
}

/// What is wrong with a sample.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DropReason {
    /// The deployment has no camera of this index.
    #[error("no camera has the index {index}")]
    UnknownCamera {
        /// The index.
        index: usize,
    },
    /// A frame without a byte.
    #[error("no data")]
    Empty,
    /// A picture of another size than the camera's.
    #[error("picture of {} x {} pixels, the profile says {} x {}", .got[0], .got[1], .wanted[0], .wanted[1])]
    PictureSize {
        /// Width and height; 0 and 0 where the file does not say it.
        got: [u32; 2],
        /// Width and height of the profile.
        wanted: [u32; 2],
    },
    /// The stream already has a sample of this time or later.
    #[error("stamp is {by} before the newest one's")]
    NotNewer {
        /// How much older it is; zero for a repetition.
        by: Span,
    },
    /// Names and positions do not pair up.
    #[error("{names} names, but {positions} positions")]
    Lengths {
        /// Number of names.
        names: usize,
        /// Number of positions.
        positions: usize,
    },
    /// A wanted joint is in the message twice.
    #[error("joint `{joint}` is there twice")]
    DoubledJoint {
        /// Its name.
        joint: Arc<str>,
    },
    /// The position of a wanted joint is NaN or infinite.
    #[error("joint `{joint}` is {value}")]
    NotFinite {
        /// Its name.
        joint: Arc<str>,
        /// Its position.
        value: f64,
    },
    /// A pose that is seen from another frame.
    #[error("seen from frame `{got}`, wanted `{wanted}`")]
    Frame {
        /// The message's frame.
        got: String,
        /// The robot profile's.
        wanted: Arc<str>,
    },
    /// Numbers that are no pose.
    #[error("frame `{child}`: {error}")]
    Transform {
        /// The frame that is placed.
        child: String,
        /// What is wrong.
        error: PoseError,
    },
    /// More frames than any robot has.
    #[error("more than {limit} frames")]
    Frames {
        /// How many are kept.
        limit: usize,
    },
    /// An array of another size than the robot profile says.
    #[error("{got} values, wanted {wanted}")]
    Size {
        /// Values in the message.
        got: usize,
        /// Values that the profile names.
        wanted: usize,
    },
    /// A wanted value of an array is NaN or infinite.
    #[error("value {index} is {value}")]
    ElementNotFinite {
        /// Its index.
        index: usize,
        /// The value.
        value: f64,
    },
}

impl DropReason {
    /// One word for counting.
    pub fn class(&self) -> &'static str {
        match self {
            DropReason::UnknownCamera { .. } => "unknown_camera",
            DropReason::Empty => "empty",
            DropReason::PictureSize { .. } => "picture_size",
            DropReason::NotNewer { .. } => "not_newer",
            DropReason::Lengths { .. } => "lengths",
            DropReason::DoubledJoint { .. } => "doubled_joint",
            DropReason::NotFinite { .. } | DropReason::ElementNotFinite { .. } => "not_finite",
            DropReason::Frame { .. } => "frame",
            DropReason::Transform { .. } => "transform",
            DropReason::Frames { .. } => "frames",
            DropReason::Size { .. } => "size",
        }
    }
}

/// Why there is no observation now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// Nobody said what to do.
    #[error("no instruction yet")]
    NoInstruction,
    /// What was said before we listened starts nothing: whoever said it may be gone.
    #[error("the latched instruction `{task}` starts nothing by itself, send it again")]
    LatchedInstruction {
        /// What was said.
        task: Arc<str>,
    },
    /// The instruction is blank: a way to stop.
    #[error("the instruction is empty")]
    EmptyInstruction,
    /// The anchor's newest frame was observed already.
    #[error("no new frame of the anchor camera")]
    NoNewFrame,
    /// Nothing usable ever came.
    #[error("{stream}: nothing usable yet")]
    NeverSeen {
        /// `images.<camera>`, `joint_states.<joint>`, `eef_pose`, `tf` or `state`.
        stream: Arc<str>,
    },
    /// The newest sample's stamp is too old.
    #[error("{stream}: {age} old, at most {max_age}")]
    Stale {
        /// `images.<camera>`, `joint_states.<joint>`, `eef_pose`, `tf` or `state`.
        stream: Arc<str>,
        /// By its stamp.
        age: Span,
        /// Largest age.
        max_age: Span,
    },
    /// The newest sample was too old when it reached us: its clock is not ours, or its driver is late.
    #[error("{stream}: stamped {behind} before it arrived, at most {max_age}")]
    Behind {
        /// `images.<camera>`, `joint_states.<joint>`, `eef_pose`, `tf` or `state`.
        stream: Arc<str>,
        /// From its stamp to its arrival.
        behind: Span,
        /// Largest age.
        max_age: Span,
    },
    /// The camera sends the same picture over and over, whatever its stamps say.
    #[error("{stream}: the same picture for {still}, at most {longest} unless it `may_stand_still`")]
    Frozen {
        /// `images.<camera>`.
        stream: Arc<str>,
        /// From the first of these pictures to the newest, by their stamps.
        still: Span,
        /// Largest age.
        longest: Span,
    },
    /// The newest sample reached us too long ago, whatever its stamp says.
    #[error("{stream}: silent for {silence}, at most {max_age}")]
    Silent {
        /// `images.<camera>`, `joint_states.<joint>`, `eef_pose`, `tf` or `state`.
        stream: Arc<str>,
        /// Since it reached us.
        silence: Span,
        /// Largest age.
        max_age: Span,
    },
    /// The newest sample's stamp is in the future.
    #[error("{stream}: {ahead} ahead of the clock, at most {max_skew}")]
    Ahead {
        /// `images.<camera>`, `joint_states.<joint>`, `eef_pose`, `tf` or `state`.
        stream: Arc<str>,
        /// By its stamp.
        ahead: Span,
        /// Largest skew.
        max_skew: Span,
    },
    /// The camera info is of other pictures than those that come.
    #[error("{stream}: of pictures of {} x {} pixels, they have {} x {}", .wanted[0], .wanted[1], .got[0], .got[1])]
    OtherSize {
        /// `camera_info.<camera>`.
        stream: Arc<str>,
        /// Width and height that it is of.
        wanted: [u32; 2],
        /// Width and height of the newest picture; 0 and 0 where its file does not say it.
        got: [u32; 2],
    },
    /// The stream had not begun when the anchor's frame was taken.
    #[error("{stream}: its first sample is {by} after the anchor camera's picture")]
    Later {
        /// `images.<camera>`, `joint_states.<joint>`, `eef_pose`, `tf` or `state`.
        stream: Arc<str>,
        /// Its stamp minus the anchor's.
        by: Span,
    },
    /// No sample is of the time of the anchor's frame.
    #[error("{stream}: {skew} apart from the anchor camera, at most {max_skew}")]
    Apart {
        /// `images.<camera>`, `joint_states.<joint>`, `eef_pose`, `tf` or `state`.
        stream: Arc<str>,
        /// Its stamp minus the anchor's.
        skew: Span,
        /// Largest skew.
        max_skew: Span,
    },
}

impl NotReady {
    /// The stream at fault; `None` for the instruction, and where nothing is at fault.
    pub fn stream(&self) -> Option<&Arc<str>> {
        match self {
            NotReady::NoInstruction
            | NotReady::LatchedInstruction { .. }
            | NotReady::EmptyInstruction
            | NotReady::NoNewFrame => None,
            NotReady::NeverSeen { stream }
            | NotReady::Stale { stream, .. }
            | NotReady::Behind { stream, .. }
            | NotReady::Frozen { stream, .. }
            | NotReady::Later { stream, .. }
            | NotReady::Silent { stream, .. }
            | NotReady::Ahead { stream, .. }
            | NotReady::OtherSize { stream, .. }
            | NotReady::Apart { stream, .. } => Some(stream),
        }
    }

    /// Whether two reasons differ at most in their times.
    pub fn is_same_cause(&self, other: &NotReady) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.stream() == other.stream()
    }
}

//! From messages to the runtime's values and back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::file_size::file_size;
use super::{
    CameraInfo, CompressedImage, Duration, Header, Image, JointState, Joy, PoseStamped, RegionOfInterest, TFMessage,
    Time,
};
use crate::geometry::{Pose, PoseError};
use crate::time::{Span, Stamp};
use crate::types::{
    Arrives, Calibration, Encoding, Frame, JointSample, LayoutError, Lens, LensError, Optics, Pinhole, PoseSample,
    Readout, Region, Transform,
};

const SUPPORTED_FORMATS: &str = "jpeg, png";

/// Why a picture cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Pixels that we cannot read.
    #[error("image encoding `{got}` is not supported; supported are {}", Encoding::raw_names())]
    Encoding {
        /// What the message says.
        got: String,
    },
    /// A file that we cannot read.
    #[error("compressed image format `{got}` is not supported; supported are {SUPPORTED_FORMATS}")]
    Format {
        /// What the message says.
        got: String,
    },
    /// Sizes and bytes that do not fit together.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A compressed image without a file.
    #[error("compressed image has no data")]
    NoFile,
}

/// Why a joint state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JointsError {
    /// Lists of different lengths.
    #[error("joint state has {names} names and {positions} positions")]
    Lengths {
        /// Number of names.
        names: usize,
        /// Number of positions.
        positions: usize,
    },
    /// One name twice.
    #[error("joint state names `{name}` twice")]
    Twice {
        /// The name.
        name: String,
    },
}

/// Why a camera info cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InfoError {
    /// What drivers send until somebody calibrates.
    #[error("the camera is not calibrated: `k` of its camera info is zero")]
    Uncalibrated,
    /// Numbers that are no camera.
    #[error("camera info: {0}")]
    Lens(#[from] LensError),
}

impl CameraInfo {
    /// How pictures that arrive like this were seen, in pixels of what is sent.
    ///
    /// # Errors
    /// A camera that is not calibrated, or numbers that are no camera.
    pub fn to_optics(&self, arrives: Arrives) -> Result<Optics, InfoError> {
        let calibration = self.calibration()?;
        Ok(match arrives {
            Arrives::Bent => Optics::Bent(Lens::new(&calibration)?),
            Arrives::Rectified => Optics::Straight(Pinhole::rectified(&calibration)?),
        })
    }

    /// The camera of pictures that arrive as the sensor sees them, where its lens bends nothing.
    ///
    /// # Errors
    /// As [`Self::to_optics`], and a lens that bends something.
    pub fn to_raw_pinhole(&self) -> Result<Pinhole, InfoError> {
        Ok(Pinhole::raw(&self.calibration()?)?)
    }

    fn calibration(&self) -> Result<Calibration<'_>, InfoError> {
        // The message's own definition of a camera that is not calibrated.
        if self.k[0] == 0.0 {
            return Err(InfoError::Uncalibrated);
        }
        let RegionOfInterest { x_offset: x, y_offset: y, height, width, .. } = self.roi;
        let region = Region { x, y, width, height };
        let is_all = [x, y, width, height] == [0; 4];
        Ok(Calibration {
            size: [self.width, self.height],
            readout: Readout {
                region: (!is_all).then_some(region),
                binning: [self.binning_x, self.binning_y].map(|pixels| pixels.max(1)),
            },
            model: &self.distortion_model,
            distortion: &self.d,
            camera_matrix: self.k,
            rectification: self.r,
            projection: self.p,
        })
    }
}

impl Image<'_> {
    /// The picture; its bytes are copied once, without bytes behind the last row. `is_bigendian` says nothing about
    /// bytes and is not read.
    pub fn to_frame(&self) -> Result<Frame, FrameError> {
        let &Self { width, height, step, .. } = self;
        let unsupported = || FrameError::Encoding { got: self.encoding.clone() };
        let encoding = Encoding::raw(&self.encoding).ok_or_else(unsupported)?;
        let layout = encoding.layout([width, height], step, self.data.len())?;
        let data = Arc::from(&self.data[..layout.bytes]);
        Ok(Frame { frame_id: self.header.frame_id.clone(), encoding, width, height, step, data })
    }
}

impl CompressedImage<'_> {
    /// The picture; its file is copied once, and of its content only the header's size is read.
    pub fn to_frame(&self) -> Result<Frame, FrameError> {
        let unsupported = || FrameError::Format { got: self.format.clone() };
        let encoding = file_encoding(&self.format).ok_or_else(unsupported)?;
        if self.data.is_empty() {
            return Err(FrameError::NoFile);
        }
        let frame_id = self.header.frame_id.clone();
        let [width, height] = file_size(self.data).unwrap_or_default();
        Ok(Frame { frame_id, encoding, width, height, step: 0, data: Arc::from(self.data) })
    }
}

/// What `format` promises: a plain name, or image_transport's `bgr8; jpeg compressed bgr8`.
/// `16UC1; compressedDepth png` has a header of its own in front of the file and is no picture for us.
fn file_encoding(format: &str) -> Option<Encoding> {
    let kind = format.rsplit_once(';').map_or(format, |(_, kind)| kind);
    match kind.split_ascii_whitespace().next()?.to_ascii_lowercase().as_str() {
        "jpeg" | "jpg" => Some(Encoding::Jpeg),
        "png" => Some(Encoding::Png),
        _ => None,
    }
}

impl JointState {
    /// Positions by name.
    pub fn to_joints(&self) -> Result<JointSample, JointsError> {
        if self.name.len() != self.position.len() {
            return Err(JointsError::Lengths { names: self.name.len(), positions: self.position.len() });
        }
        let mut seen = BTreeSet::new();
        if let Some(name) = self.name.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(JointsError::Twice { name: name.clone() });
        }
        Ok(JointSample { names: self.name.clone(), positions: self.position.clone() })
    }
}

impl PoseStamped {
    /// The pose and its frame.
    pub fn to_pose(&self) -> Result<PoseSample, PoseError> {
        let pose = Pose::new(self.pose.position.into(), self.pose.orientation.into())?;
        Ok(PoseSample { frame_id: frame(&self.header.frame_id), pose })
    }
}

impl TFMessage {
    /// Transforms of frames that move, of `/tf`.
    pub fn moving(&self) -> Vec<Transform> {
        let stamp = |header: &Header| Some(header.stamp.into());
        self.transforms(stamp)
    }

    /// Transforms of frames that never move, of `/tf_static`.
    pub fn fixed(&self) -> Vec<Transform> {
        self.transforms(|_| None)
    }

    fn transforms(&self, stamp: impl Fn(&Header) -> Option<Stamp>) -> Vec<Transform> {
        let transform = |t: &super::TransformStamped| Transform {
            parent: frame(&t.header.frame_id),
            child: frame(&t.child_frame_id),
            stamp: stamp(&t.header),
            pose: Pose::new(t.transform.translation.into(), t.transform.rotation.into()),
        };
        self.transforms.iter().map(transform).collect()
    }
}

/// Frames of ROS 1 began with a slash, and some publishers still write it.
fn frame(id: &str) -> String {
    id.strip_prefix('/').unwrap_or(id).to_owned()
}

impl Header {
    /// A header of this time and frame.
    pub fn new(stamp: Stamp, frame_id: impl Into<String>) -> Self {
        Self { stamp: stamp.into(), frame_id: frame_id.into() }
    }
}

impl From<Stamp> for Time {
    fn from(stamp: Stamp) -> Self {
        let (sec, nanosec) = stamp.to_ros();
        Self { sec, nanosec }
    }
}

impl From<Time> for Stamp {
    fn from(time: Time) -> Self {
        Stamp::from_ros(time.sec, time.nanosec)
    }
}

impl Joy {
    /// Whether the button with this index is held; one that is not there is not.
    pub fn is_held(&self, button: usize) -> bool {
        self.buttons.get(button).is_some_and(|state| *state != 0)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        let (sec, nanosec) = Stamp::from_nanos(span.nanos()).to_ros();
        Self { sec, nanosec }
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Span::from_nanos(Stamp::from_ros(duration.sec, duration.nanosec).nanos())
    }
}

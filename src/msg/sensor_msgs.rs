//! `sensor_msgs`: pictures borrow their bytes from the message.

use serde::{Deserialize, Serialize};

use super::{Header, message};

/// A picture as rows of pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image<'a> {
    /// When, and the camera's optical frame.
    pub header: Header,
    /// Rows.
    pub height: u32,
    /// Pixels per row.
    pub width: u32,
    /// Channels and their order, `rgb8`.
    pub encoding: String,
    /// 1 where numbers wider than a byte are big-endian.
    pub is_bigendian: u8,
    /// Bytes per row, padding included.
    pub step: u32,
    /// `height` x `step` bytes.
    #[serde(borrow, with = "serde_bytes")]
    pub data: &'a [u8],
}

/// A picture as a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompressedImage<'a> {
    /// When, and the camera's optical frame.
    pub header: Header,
    /// What the file is: `jpeg`, `png`, or image_transport's `bgr8; jpeg compressed bgr8`.
    pub format: String,
    /// The file.
    #[serde(borrow, with = "serde_bytes")]
    pub data: &'a [u8],
}

/// What the joints do; every list is empty or has one value per name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JointState {
    /// When.
    pub header: Header,
    /// Joint names.
    pub name: Vec<String>,
    /// rad or m.
    pub position: Vec<f64>,
    /// rad/s or m/s.
    pub velocity: Vec<f64>,
    /// Nm or N.
    pub effort: Vec<f64>,
}

/// What a person does with a joystick or a pendant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Joy {
    /// When.
    pub header: Header,
    /// Positions, in [-1, 1].
    pub axes: Vec<f32>,
    /// 1 where held.
    pub buttons: Vec<i32>,
}

/// How a camera sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CameraInfo {
    /// When, and the camera's optical frame.
    pub header: Header,
    /// Rows at calibration.
    pub height: u32,
    /// Pixels per row at calibration.
    pub width: u32,
    /// `plumb_bob`, `equidistant`, ...
    pub distortion_model: String,
    /// Distortion parameters.
    pub d: Vec<f64>,
    /// Intrinsics of the raw picture, 3x3 row-major, pixels.
    pub k: [f64; 9],
    /// Rectification, 3x3 row-major.
    pub r: [f64; 9],
    /// Projection of the rectified picture, 3x4 row-major, pixels.
    pub p: [f64; 12],
    /// Pixels combined horizontally; 0 means 1.
    pub binning_x: u32,
    /// Pixels combined vertically; 0 means 1.
    pub binning_y: u32,
    /// The part of the sensor that is sent.
    pub roi: RegionOfInterest,
}

/// A part of a picture in full-resolution pixels; all zero means all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionOfInterest {
    /// Left edge.
    pub x_offset: u32,
    /// Upper edge.
    pub y_offset: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Whether a distinct rectified region should be computed.
    pub do_rectify: bool,
}

message!("sensor_msgs", "Image", Image<'_>);
message!("sensor_msgs", "CompressedImage", CompressedImage<'_>);
message!("sensor_msgs", "JointState", JointState);
message!("sensor_msgs", "Joy", Joy);
message!("sensor_msgs", "CameraInfo", CameraInfo);
message!("sensor_msgs", "RegionOfInterest", RegionOfInterest);

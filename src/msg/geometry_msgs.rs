//! `geometry_msgs` and `tf2_msgs`: where things are and how they move.

use serde::{Deserialize, Serialize};

use super::{Header, message};

/// Three numbers along the axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vector3 {
    /// Along x.
    pub x: f64,
    /// Along y.
    pub y: f64,
    /// Along z.
    pub z: f64,
}

/// A rotation, of length 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quaternion {
    /// x.
    pub x: f64,
    /// y.
    pub y: f64,
    /// z.
    pub z: f64,
    /// w, the real part.
    pub w: f64,
}

/// Where something is and how it is turned; `geometry_msgs/Pose`, renamed because `geometry` has its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoseMessage {
    /// m.
    pub position: Vector3,
    /// How it is turned.
    pub orientation: Quaternion,
}

/// A pose, when and in which frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoseStamped {
    /// When, and the frame.
    pub header: Header,
    /// The pose.
    pub pose: PoseMessage,
}

/// Velocities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Twist {
    /// m/s.
    pub linear: Vector3,
    /// rad/s about the axes.
    pub angular: Vector3,
}

/// Velocities, when and in which frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TwistStamped {
    /// When, and the frame.
    pub header: Header,
    /// The velocities.
    pub twist: Twist,
}

/// The pose of one frame in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transform {
    /// m.
    pub translation: Vector3,
    /// How it is turned.
    pub rotation: Quaternion,
}

/// The pose of `child_frame_id` in the header's frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TransformStamped {
    /// When, and the parent frame.
    pub header: Header,
    /// The frame that is placed.
    pub child_frame_id: String,
    /// Where.
    pub transform: Transform,
}

/// What `/tf` and `/tf_static` carry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TFMessage {
    /// Each for another child frame.
    pub transforms: Vec<TransformStamped>,
}

impl From<[f64; 3]> for Vector3 {
    fn from([x, y, z]: [f64; 3]) -> Self {
        Self { x, y, z }
    }
}

impl From<Vector3> for [f64; 3] {
    fn from(vector: Vector3) -> Self {
        [vector.x, vector.y, vector.z]
    }
}

impl From<[f64; 4]> for Quaternion {
    fn from([x, y, z, w]: [f64; 4]) -> Self {
        Self { x, y, z, w }
    }
}

impl From<Quaternion> for [f64; 4] {
    fn from(quaternion: Quaternion) -> Self {
        [quaternion.x, quaternion.y, quaternion.z, quaternion.w]
    }
}

message!("geometry_msgs", "Vector3", Vector3);
message!("geometry_msgs", "Quaternion", Quaternion);
message!("geometry_msgs", "Pose", PoseMessage);
message!("geometry_msgs", "PoseStamped", PoseStamped);
message!("geometry_msgs", "Twist", Twist);
message!("geometry_msgs", "TwistStamped", TwistStamped);
message!("geometry_msgs", "Transform", Transform);
message!("geometry_msgs", "TransformStamped", TransformStamped);
message!("tf2_msgs", "TFMessage", TFMessage);

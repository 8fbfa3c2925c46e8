//! ROS 2 messages and their CDR bytes: what bags hold and what the wire carries.
//!
//! Field order is the order of the `.msg` files and is all that counts on the wire. Units are those of the message
//! definitions (SI). Nothing here knows DDS.

mod cdr;
mod control_msgs;
mod convert;
mod diagnostic_msgs;
mod file_size;
mod geometry_msgs;
mod sensor_msgs;
mod std_msgs;
mod trajectory_msgs;
mod vla_msgs;

use std::fmt;

pub use cdr::{CdrError, from_cdr, to_cdr};
pub use control_msgs::{
    GripperCommandGoal, GripperCommandState, ParallelGripperCommandFeedback, ParallelGripperCommandGoal,
    ParallelGripperCommandResult,
};
pub use convert::{FrameError, InfoError, JointsError};
pub use diagnostic_msgs::{DiagnosticArray, DiagnosticStatus, KeyValue, Level};
pub use geometry_msgs::{
    PoseMessage, PoseStamped, Quaternion, TFMessage, Transform, TransformStamped, Twist, TwistStamped, Vector3,
};
pub use sensor_msgs::{CameraInfo, CompressedImage, Image, JointState, Joy, RegionOfInterest};
pub use std_msgs::{
    Bool, Clock, Duration, Empty, Float64, Float64MultiArray, Header, MultiArrayDimension, MultiArrayLayout,
    StringMessage, Time,
};
pub use trajectory_msgs::{JointTrajectory, JointTrajectoryPoint};
pub use vla_msgs::ActionChunk;

/// A message with a ROS type name.
pub trait Message {
    /// Its type.
    const TYPE: TypeName;
}

/// The name of a message type, displayed as `package/msg/Name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// The package, `sensor_msgs`.
    pub package: &'static str,
    /// The message, `Image`.
    pub name: &'static str,
}

impl TypeName {
    /// Whether `text`, as bags write it, names this type: `package/msg/Name` or the older `package/Name`.
    pub fn matches(&self, text: &str) -> bool {
        let Some((package, name)) = text.split_once('/') else { return false };
        package == self.package && name.strip_prefix("msg/").unwrap_or(name) == self.name
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/msg/{}", self.package, self.name)
    }
}

/// Implements [`Message`] for a struct.
macro_rules! message {
    ($package:literal, $name:literal, $type:ty) => {
        impl $crate::msg::Message for $type {
            const TYPE: $crate::msg::TypeName = $crate::msg::TypeName { package: $package, name: $name };
        }
    };
}
pub(crate) use message;

#[cfg(test)]
mod tests;

//! `std_msgs`, `builtin_interfaces` and `rosgraph_msgs`.

use serde::{Deserialize, Serialize};

use super::message;

/// A point in time since the Unix epoch (or the start of the simulation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub sec: i32,
    /// Nanoseconds in [0, 1e9).
    pub nanosec: u32,
}

/// A length of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duration {
    /// Whole seconds, rounded down.
    pub sec: i32,
    /// Nanoseconds in [0, 1e9).
    pub nanosec: u32,
}

/// When and where a message was true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// When.
    pub stamp: Time,
    /// Coordinate frame.
    pub frame_id: String,
}

/// A text; `std_msgs/String`, renamed because Rust has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StringMessage {
    /// The text, UTF-8.
    pub data: String,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bool {
    /// The answer.
    pub data: bool,
}

/// Nothing but that it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {
    /// The wire knows no empty structures.
    pub structure_needs_at_least_one_member: u8,
}

/// A number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Float64 {
    /// The number.
    pub data: f64,
}

/// Numbers with the shape they came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Float64MultiArray {
    /// The shape.
    pub layout: MultiArrayLayout,
    /// The numbers, row-major.
    pub data: Vec<f64>,
}

/// Shape of a multi array.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiArrayLayout {
    /// Outermost first.
    pub dim: Vec<MultiArrayDimension>,
    /// Numbers to skip in front.
    pub data_offset: u32,
}

/// One dimension of a multi array.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiArrayDimension {
    /// What it counts.
    pub label: String,
    /// How many.
    pub size: u32,
    /// Numbers from one to the next of the dimension outside this one.
    pub stride: u32,
}

/// The time of a simulation, `/clock`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Simulated time.
    pub clock: Time,
}

message!("builtin_interfaces", "Time", Time);
message!("builtin_interfaces", "Duration", Duration);
message!("std_msgs", "Header", Header);
message!("std_msgs", "String", StringMessage);
message!("std_msgs", "Bool", Bool);
message!("std_msgs", "Empty", Empty);
message!("std_msgs", "Float64", Float64);
message!("std_msgs", "Float64MultiArray", Float64MultiArray);
message!("std_msgs", "MultiArrayLayout", MultiArrayLayout);
message!("std_msgs", "MultiArrayDimension", MultiArrayDimension);
message!("rosgraph_msgs", "Clock", Clock);

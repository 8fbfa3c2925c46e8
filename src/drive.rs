//! Drivers: the only code that reads a clock, waits, spawns threads or speaks ROS.

pub mod bench;
pub mod chunk_messages;
pub mod clock;
pub mod node;
pub mod replay;
pub mod ros;
pub mod ros_args;
pub mod signals;
pub mod stages;
pub mod synthetic;

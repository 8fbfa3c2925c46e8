//! Drivers: the only code that reads a clock, waits, spawns threads or speaks ROS.

pub mod bench;
pub mod clock;
pub mod ros;
pub mod ros_args;
pub mod synthetic;

//! Drivers: the only code that reads a clock, waits, spawns threads or speaks ROS.

pub mod answer;
pub mod bench;
pub mod chunk_messages;
pub mod clock;
pub mod command_log;
pub mod commands;
pub mod control;
#[cfg(test)]
mod faults;
pub mod flight;
pub mod gripper;
pub mod lifecycle;
pub mod node;
pub mod parameters;
pub mod playback;
pub mod replay;
pub mod ros;
pub mod ros_args;
pub mod runs;
pub mod signals;
pub mod stages;
pub mod synthetic;

use crate::time::Span;

/// How often a driver tells the engine that time has passed: so long may a frame wait whose inference has become due.
const TICK: Span = Span::from_nanos(5_000_000);

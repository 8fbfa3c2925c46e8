//! The flight recorder: what the node was told and what it decided in the last seconds, written as a bag when something
//! goes wrong, so that `vla replay` decides the same again.
//!
//! Beside inputs, chunks and commands a file holds a log of the engine: every event with its time, and the engine's
//! [`State`] where its replay begins. The thread that owns the engine hands everything over and waits for nothing.

mod file;
mod recorder;
mod recording;
mod ring;
#[cfg(test)]
mod tests;
mod trigger;

use serde::{Deserialize, Serialize};

use crate::engine::{RequestId, State};
use crate::interlock::Input;
use crate::time::Span;

pub use recorder::{FlightRecorder, StartError, Status};
pub use trigger::Trigger;

/// Where the engine's log stands in a file: JSON texts of [`Entry`], as `std_msgs/String`.
pub const LOG_TOPIC: &str = "~/engine_log";

/// What the engine was given beside the messages, at the log time; a message was given to it at its log time, and had
/// arrived at its publish time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// What it had become by then.
    State(Box<State>),
    /// Time passed.
    Tick,
    /// The robot was to come to rest.
    Stop,
    /// Somebody asked for something.
    Interlock(Input),
    /// An inference ended.
    Inferred {
        /// Which one.
        request: RequestId,
        /// How long it took.
        delay: Span,
        /// Why there is no chunk.
        failure: Option<String>,
    },
    /// Something went wrong.
    Trigger(Trigger),
}

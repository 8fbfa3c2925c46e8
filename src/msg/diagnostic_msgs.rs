//! `diagnostic_msgs`: how the node is doing.

use serde::{Deserialize, Serialize};

use super::{Header, message};

/// The state of several components at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticArray {
    /// When.
    pub header: Header,
    /// One per component.
    pub status: Vec<DiagnosticStatus>,
}

/// The state of one component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticStatus {
    /// See [`Level`].
    pub level: u8,
    /// The component.
    pub name: String,
    /// The state in words.
    pub message: String,
    /// Serial number or the like.
    pub hardware_id: String,
    /// Numbers behind it, units in the keys.
    pub values: Vec<KeyValue>,
}

/// One fact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// What, with its unit.
    pub key: String,
    /// How much.
    pub value: String,
}

/// How bad it is, in rising order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    #[default]
    Ok = 0,
    /// Degraded.
    Warn = 1,
    /// Not working.
    Error = 2,
    /// No data.
    Stale = 3,
}

message!("diagnostic_msgs", "DiagnosticArray", DiagnosticArray);
message!("diagnostic_msgs", "DiagnosticStatus", DiagnosticStatus);
message!("diagnostic_msgs", "KeyValue", KeyValue);

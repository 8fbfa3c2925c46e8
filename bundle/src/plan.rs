//! The order in which graphs run, as data.
//!
//! Tensors live in one name space: a graph input takes the tensor of its own name, a graph output makes one,
//! and each name is made once.

use serde::{Deserialize, Serialize};

/// One entry of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case", deny_unknown_fields)]
pub enum Stage {
    /// Runs a graph once; its outputs join the name space.
    Run {
        /// Key in the manifest's `graphs`.
        graph: String,
        /// When its outputs go out of date.
        every: Cadence,
    },
}

impl Stage {
    /// The graph this stage runs.
    pub fn graph(&self) -> &str {
        match self {
            Stage::Run { graph, .. } => graph,
        }
    }
}

/// When a stage's outputs go out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cadence {
    /// With the instruction: depends on text and constants alone.
    Instruction,
    /// With every observation.
    Observation,
}

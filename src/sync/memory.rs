//! What of the past is in no sample, as a value.

use serde::{Deserialize, Serialize};

use super::Sync;
use crate::time::Stamp;

/// What was observed last, and the instruction, which may come from the parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    observed: Option<Stamp>,
    task: Option<String>,
}

impl Sync {
    /// What it remembers beside its samples.
    pub fn memory(&self) -> Memory {
        Memory { observed: self.observed, task: self.task.as_deref().map(str::to_owned) }
    }

    /// Goes on from there.
    pub fn remember(&mut self, memory: Memory) {
        self.observed = memory.observed;
        self.task = memory.task.map(Into::into);
    }
}

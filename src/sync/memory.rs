//! What of the past is in no sample, as a value.

use serde::{Deserialize, Serialize};

use super::Sync;
use super::seen::Seen;
use crate::time::Stamp;

/// What was observed last, and the instruction, which may come from the parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    observed: Option<Stamp>,
    seen: Seen,
    task: Option<String>,
    /// Since when each camera shows what it shows.
    unchanged_since: Vec<Stamp>,
}

impl Sync {
    /// What it remembers beside its samples.
    pub fn memory(&self) -> Memory {
        Memory {
            observed: self.observed,
            seen: self.seen.clone(),
            task: self.task.as_deref().map(str::to_owned),
            unchanged_since: self.cameras.iter().map(|camera| camera.unchanged_since).collect(),
        }
    }

    /// Goes on from there.
    pub fn remember(&mut self, memory: Memory) {
        (self.observed, self.seen) = (memory.observed, memory.seen);
        self.task = memory.task.map(Into::into);
        for (camera, since) in self.cameras.iter_mut().zip(memory.unchanged_since) {
            camera.unchanged_since = since;
        }
    }
}

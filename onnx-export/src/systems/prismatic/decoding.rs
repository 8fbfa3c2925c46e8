//! In which order a policy of the family writes its actions.

use std::path::Path;

use crate::ExportError;
use crate::checkpoint::StatisticsSource;
use crate::request::{Lacks, Request};

use super::head::ActionHead;

/// How the language model writes actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoding {
    /// All values of a chunk at once, in the places of placeholders.
    Parallel {
        /// Where the states that are read begin, relative to the first placeholder; a request may say another place.
        hidden_offset: i64,
    },
    /// One step of actions, token by token.
    Autoregressive,
}

impl Decoding {
    /// What the request makes of it.
    pub fn asked(self, request: &Request, lacks: &mut Lacks) -> Self {
        match (self, request.hidden_offset) {
            (Self::Parallel { .. }, Some(offset)) if !(-1..=1).contains(&offset) => {
                lacks.note(format!("`--hidden-offset` is {offset}, wanted -1, 0 or 1"));
            }
            (Self::Autoregressive, Some(offset)) => {
                lacks.note(format!("`--hidden-offset` is {offset}, but this system has no placeholders"));
            }
            _ => {}
        }
        match (self, request.chunk_size) {
            (Self::Parallel { .. }, Some(0)) => lacks.note("`--chunk-size` is 0, wanted at least 1".to_owned()),
            (Self::Autoregressive, Some(steps)) if steps != 1 => {
                lacks.note(format!("`--chunk-size` is {steps}, wanted 1: this system writes one step"));
            }
            _ => {}
        }
        match (self, request.hidden_offset) {
            (Self::Parallel { .. }, Some(hidden_offset)) => Self::Parallel { hidden_offset },
            _ => self,
        }
    }

    /// Whether it fits the head, and where its statistics may stand.
    pub fn check_head(self, head: &ActionHead, dir: &Path) -> Result<StatisticsSource, ExportError> {
        match (self, head) {
            (Self::Parallel { .. }, _) => Ok(StatisticsSource::File),
            (Self::Autoregressive, ActionHead::Discrete) => Ok(StatisticsSource::FileOrConfig),
            (Self::Autoregressive, _) => Err(ExportError::Mismatch {
                what: "action head".to_owned(),
                got: "an `action_head` file".to_owned(),
                wanted: "none: this system writes tokens".to_owned(),
                path: dir.to_owned(),
            }),
        }
    }
}

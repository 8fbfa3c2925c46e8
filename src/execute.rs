//! Which actions belong to now: how chunks follow each other in executed time.
//!
//! Executed time passes while the robot executes, and stands still while it holds. Row `i` of a chunk belongs to the
//! executed time of its observation plus `i * dt`: what was executed since then is skipped, and after a hold or a cold
//! start nothing is. Pure functions; the clock is the caller's.

mod asynchronous;
mod feasibility;
mod receding_horizon;
mod synchronous;
mod temporal_ensemble;
mod timeline;

use std::ops::Range;

use crate::time::Span;

pub use asynchronous::{Aggregate, Asynchronous};
pub use feasibility::{Feasibility, Unfit};
pub use temporal_ensemble::TemporalEnsemble;
pub use timeline::{Form, Layout, Timeline, TimelineState};

/// When a chunk is asked for, and what becomes of the one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Execution {
    /// The robot executes a chunk, comes to rest, looks, and gets the next one.
    Synchronous,
    /// A fresh chunk takes the place of what is left of the one before.
    RecedingHorizon,
    /// Every prediction for a moment counts, the oldest most.
    TemporalEnsemble(TemporalEnsemble),
    /// The next chunk is asked for when little is left, and the overlap is merged.
    Asynchronous(Asynchronous),
}

/// What is left to execute when somebody asks whether to infer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    /// Rows still to come.
    pub rows: f64,
    /// Rows executed per chunk.
    pub n_action_steps: usize,
    /// Whether the robot is at rest.
    pub is_at_rest: bool,
}

impl Execution {
    /// The word for it in parameters.
    pub fn word(&self) -> &'static str {
        match self {
            Execution::Synchronous => "synchronous",
            Execution::RecedingHorizon => "receding_horizon",
            Execution::TemporalEnsemble(_) => "temporal_ensemble",
            Execution::Asynchronous(_) => "asynchronous",
        }
    }

    /// Whether an inference is wanted now.
    pub fn wants_chunk(&self, left: Left) -> bool {
        match self {
            Execution::Synchronous => synchronous::wants_chunk(left),
            Execution::RecedingHorizon | Execution::TemporalEnsemble(_) => true,
            Execution::Asynchronous(asynchronous) => asynchronous.wants_chunk(left),
        }
    }

    /// Executed time of row 0: the observation's, or now.
    pub fn anchor(&self, observed: Span, now: Span) -> Span {
        match self {
            Execution::Synchronous => synchronous::anchor(now),
            Execution::RecedingHorizon | Execution::TemporalEnsemble(_) | Execution::Asynchronous(_) => observed,
        }
    }

    /// Weights of the old and of the fresh prediction of a row, where `predictions` were merged into the old one.
    pub fn blend(&self, predictions: u32) -> [f64; 2] {
        match self {
            Execution::Synchronous | Execution::RecedingHorizon => receding_horizon::LATEST,
            Execution::TemporalEnsemble(ensemble) => ensemble.blend(predictions),
            Execution::Asynchronous(asynchronous) => asynchronous.aggregate.weights(),
        }
    }
}

/// When the rows of a chunk are due, in executed time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When row 0 is due.
    pub anchor: Span,
    /// Time from one row to the next.
    pub action_dt: Span,
    /// Rows executed per chunk.
    pub n_action_steps: usize,
}

/// Every row that was to be executed is in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("late: the last of {rows} rows was due {by} ago")]
pub struct Late {
    /// Rows that were to be executed.
    pub rows: usize,
    /// Time since the last of them was due.
    pub by: Span,
}

impl Schedule {
    /// When row `index` is due.
    pub fn due(&self, index: usize) -> Span {
        self.anchor + self.action_dt.times(index as i64)
    }

    /// Of the first `n_action_steps` rows those that are not past at `now`.
    ///
    /// # Errors
    /// [`Late`] where none is left.
    pub fn rows(&self, now: Span) -> Result<Range<usize>, Late> {
        let rows = self.n_action_steps;
        let first = (0..rows).find(|index| self.due(*index) >= now);
        first.map(|first| first..rows).ok_or(Late { rows, by: now - self.due(rows.saturating_sub(1)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(millis_after_observation: f64) -> Result<Range<usize>, Late> {
        let anchor = Span::from_nanos(1_700_000_007);
        let schedule = Schedule { anchor, action_dt: Span::from_millis(50.0), n_action_steps: 3 };
        schedule.rows(anchor + Span::from_millis(millis_after_observation))
    }

    #[test]
    fn a_late_chunk_skips_its_past_rows() {
        assert_eq!(rows(0.0), Ok(0..3));
        assert_eq!(rows(0.001), Ok(1..3));
        assert_eq!(rows(50.0), Ok(1..3));
        assert_eq!(rows(100.0), Ok(2..3));
    }

    #[test]
    fn a_chunk_from_an_observation_ahead_of_the_clock_is_executed_whole() {
        assert_eq!(rows(-20.0), Ok(0..3));
    }

    #[test]
    fn a_chunk_that_is_wholly_past_is_late_by_its_last_row() {
        let late = rows(130.0).unwrap_err();
        assert_eq!(late.to_string(), "late: the last of 3 rows was due 30.000 ms ago");
    }
}

//! Which rows of a fresh chunk are executed, and when. A pure function of stamps.
//!
//! Row `i` belongs to the observation's stamp plus `i * dt`, however long the inference took; rows whose time has
//! passed are skipped, because playing them late would move the robot back in time.

use std::ops::Range;

use crate::time::{Span, Stamp};

/// When the rows of a chunk are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Stamp of the observation: row 0 is due then.
    pub stamp: Stamp,
    /// Time from one row to the next.
    pub action_dt: Span,
    /// Rows executed per inference.
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
    pub fn due(&self, index: usize) -> Stamp {
        self.stamp + self.action_dt.times(index as i64)
    }

    /// Receding horizon: of the first `n_action_steps` rows those that are not past at `now`.
    ///
    /// # Errors
    /// [`Late`] where none is left.
    pub fn rows(&self, now: Stamp) -> Result<Range<usize>, Late> {
        let rows = self.n_action_steps;
        let first = (0..rows).find(|index| self.due(*index) >= now);
        first.map(|first| first..rows).ok_or(Late { rows, by: now.since(self.due(rows.saturating_sub(1))) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(millis_after_observation: f64) -> Result<Range<usize>, Late> {
        let stamp = Stamp::from_ros(100, 7);
        let schedule = Schedule { stamp, action_dt: Span::from_millis(50.0), n_action_steps: 3 };
        schedule.rows(stamp + Span::from_millis(millis_after_observation))
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

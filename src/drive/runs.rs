//! Goals of the action `~/run_policy`: one at a time, each with an end that says why.
//!
//! Time is an argument; what a run does to the robot is for others to do.

use crate::interlock::{Authority, Reason};
use crate::time::{Span, Stamp};

/// Who asked for a run: the UUID of an action's goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoalId(pub [u8; 16]);

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which one.
    pub goal: GoalId,
    /// The action's status.
    pub status: EndStatus,
    /// In one sentence.
    pub reason: String,
}

/// The status with which a goal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndStatus {
    /// It ran as long as it was to run.
    Succeeded,
    /// Who asked for it did not want it any more.
    Canceled,
    /// Something else ended it.
    Aborted,
}

/// How a run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which one.
    pub goal: GoalId,
    /// Chunks decided since its start.
    pub chunks: u64,
    /// Whether the robot moves, or why not.
    pub state: String,
}

/// The run that goes on now.
#[derive(Debug, Default)]
pub struct Runs(Option<Run>);

#[derive(Debug)]
struct Run {
    goal: GoalId,
    began: Stamp,
    /// Longest time that it may take; zero for any.
    max_duration: Span,
    chunks: u64,
}

impl Runs {
    /// Begins a run; the one that went on is aborted.
    pub fn begin(&mut self, now: Stamp, goal: GoalId, max_duration: Span) -> Option<Ended> {
        let preempted = self.end(EndStatus::Aborted, "a newer goal took its place");
        self.0 = Some(Run { goal, began: now, max_duration, chunks: 0 });
        preempted
    }

    /// Ends the run of `goal` on request; `None` where it does not go on.
    pub fn cancel(&mut self, goal: GoalId) -> Option<Ended> {
        self.0.as_ref().filter(|run| run.goal == goal)?;
        self.end(EndStatus::Canceled, "canceled")
    }

    /// Another instruction came from elsewhere.
    pub fn instructed(&mut self) -> Option<Ended> {
        self.end(EndStatus::Aborted, "another instruction took its place")
    }

    /// Looks whether the run is over at `now`: its time, or by a stop that lasts. A stop that ends by itself, such as a
    /// deadman that is held again, is waited for.
    pub fn look(&mut self, now: Stamp, authority: Authority) -> Option<Ended> {
        let run = self.0.as_ref()?;
        if let Authority::Stopped(reason) = authority
            && !Self::waits_for_end_of(reason)
        {
            return self.end(EndStatus::Aborted, &reason.to_string());
        }
        let elapsed = now.since(run.began);
        if run.max_duration > Span::ZERO && elapsed >= run.max_duration {
            let reason = format!("ran for {:.3} s", run.max_duration.secs());
            return self.end(EndStatus::Succeeded, &reason);
        }
        None
    }

    /// Whether a stop for this reason ends by itself; one that only a person ends is the end of a run as well.
    pub fn waits_for_end_of(reason: Reason) -> bool {
        match reason {
            Reason::EStopNeverHeard | Reason::DeadmanNotHeld | Reason::TakenOver | Reason::DryRun => true,
            Reason::Inactive
            | Reason::EStop(_)
            | Reason::EStopReleased(_)
            | Reason::ProtectiveStop
            | Reason::Asked
            | Reason::NotStarted
            | Reason::DeadmanReleased => false,
        }
    }

    /// A chunk was decided.
    pub fn decided(&mut self, authority: Authority) -> Option<Progress> {
        let run = self.0.as_mut()?;
        run.chunks += 1;
        let state = match authority {
            Authority::Moves => "moving".to_owned(),
            Authority::Stopped(reason) => reason.to_string(),
        };
        Some(Progress { goal: run.goal, chunks: run.chunks, state })
    }

    /// The node ends, or something else that nobody comes back from.
    pub fn abort(&mut self, reason: &str) -> Option<Ended> {
        self.end(EndStatus::Aborted, reason)
    }

    fn end(&mut self, status: EndStatus, reason: &str) -> Option<Ended> {
        self.0.take().map(|run| Ended { goal: run.goal, status, reason: reason.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: GoalId = GoalId([1; 16]);
    const SECOND: GoalId = GoalId([2; 16]);

    fn at(secs: f64) -> Stamp {
        Stamp::from_ros(1_700_000_000, 0) + Span::from_secs(secs)
    }

    fn begun() -> Runs {
        let mut runs = Runs::default();
        assert_eq!(runs.begin(at(0.0), FIRST, Span::from_secs(2.5)), None);
        runs
    }

    fn ended(goal: GoalId, status: EndStatus, reason: &str) -> Ended {
        Ended { goal, status, reason: reason.to_owned() }
    }

    #[test]
    fn a_run_succeeds_when_its_time_is_over() {
        let mut runs = begun();
        assert_eq!(runs.look(at(2.4), Authority::Moves), None);
        assert_eq!(runs.decided(Authority::Moves).map(|progress| progress.chunks), Some(1));
        let want = Progress { goal: FIRST, chunks: 2, state: "the deadman is not held".to_owned() };
        assert_eq!(runs.decided(Authority::Stopped(Reason::DeadmanNotHeld)), Some(want));
        assert_eq!(runs.look(at(2.5), Authority::Moves), Some(ended(FIRST, EndStatus::Succeeded, "ran for 2.500 s")));
        assert_eq!((runs.look(at(9.0), Authority::Moves), runs.decided(Authority::Moves)), (None, None));
    }

    #[test]
    fn without_a_longest_time_it_goes_on_until_somebody_cancels_it() {
        let mut runs = Runs::default();
        runs.begin(at(0.0), SECOND, Span::ZERO);
        assert_eq!(runs.look(at(1e6), Authority::Moves), None);
        assert_eq!(runs.cancel(FIRST), None);
        assert_eq!(runs.cancel(SECOND), Some(ended(SECOND, EndStatus::Canceled, "canceled")));
    }

    #[test]
    fn a_newer_goal_and_another_instruction_take_its_place() {
        let mut runs = begun();
        let preempted = runs.begin(at(1.0), SECOND, Span::ZERO);
        assert_eq!(preempted, Some(ended(FIRST, EndStatus::Aborted, "a newer goal took its place")));
        assert_eq!(runs.instructed(), Some(ended(SECOND, EndStatus::Aborted, "another instruction took its place")));
    }

    #[test]
    fn a_stop_that_lasts_aborts_it_and_one_that_passes_does_not() {
        let mut runs = begun();
        for passing in [Reason::TakenOver, Reason::DeadmanNotHeld, Reason::DryRun] {
            assert_eq!(runs.look(at(1.0), Authority::Stopped(passing)), None);
        }
        let stopped = runs.look(at(1.0), Authority::Stopped(Reason::ProtectiveStop));
        assert_eq!(stopped, Some(ended(FIRST, EndStatus::Aborted, "protective stop; it moves again after ~/start")));
    }
}

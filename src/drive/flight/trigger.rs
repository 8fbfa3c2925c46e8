//! What has the recorder write.

use serde::{Deserialize, Serialize};

use crate::engine::{Effect, Rejection, Report, Verdict};
use crate::interlock::Reason;

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// One word, part of the file's name.
    pub class: String,
    /// What happened.
    pub reason: String,
}

/// What the robot does when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Robot {
    Moves,
    Stands,
}

impl Trigger {
    /// A trigger of this class.
    pub fn new(class: &str, reason: &impl ToString) -> Self {
        Self { class: class.to_owned(), reason: reason.to_string() }
    }

    /// What of an effect of the engine is one, by what the robot does: a chunk that is refused for what it is or for
    /// being late, a failed inference, an e-stop, a clock that jumped, and what stops a robot that moves although nobody
    /// asked for it.
    pub(super) fn of(effect: &Effect, robot: Robot) -> Option<Self> {
        match effect {
            Effect::Decided(decision) => match &decision.verdict {
                // Somebody wanted these.
                Verdict::Sent
                | Verdict::DryRun
                | Verdict::Rejected(Rejection::Stopped(_) | Rejection::InstructionChanged) => None,
                Verdict::Rejected(rejection) => Some(Self::new(rejection.class(), rejection)),
            },
            Effect::Report(report) => Self::reported(report, robot),
            Effect::Infer { .. } | Effect::Command(_) => None,
        }
    }

    fn reported(report: &Report, robot: Robot) -> Option<Self> {
        let moves = robot == Robot::Moves;
        match report {
            Report::InferenceFailed { .. } => Some(Self::new("inference_failed", report)),
            Report::ClockWentBack { .. } => Some(Self::new("clock_went_back", report)),
            Report::StoodStill { .. } => Some(Self::new("stood_still", report)),
            Report::NotReady(reason) => {
                (moves && reason.stream().is_some()).then(|| Self::new("unusable_input", reason))
            }
            Report::Stopped(reason @ (Reason::EStop(_) | Reason::ProtectiveStop)) => {
                Some(Self::new(reason.class(), reason))
            }
            Report::Stopped(Reason::Inactive | Reason::Asked | Reason::DryRun | Reason::NotStarted)
            | Report::Dropped(_)
            | Report::Outdated { .. } => None,
            Report::Stopped(reason) => moves.then(|| Self::new(reason.class(), reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RequestId;
    use crate::interlock::EStopCause;
    use crate::sync::NotReady;
    use crate::time::Span;

    /// The class of a report where the robot stands and where it moves.
    fn classes(report: Report) -> [Option<String>; 2] {
        let effect = Effect::Report(report);
        [Robot::Stands, Robot::Moves].map(|robot| Trigger::of(&effect, robot).map(|trigger| trigger.class))
    }

    fn both(class: &str) -> [Option<String>; 2] {
        [Some(class.to_owned()), Some(class.to_owned())]
    }

    fn in_motion(class: &str) -> [Option<String>; 2] {
        [None, Some(class.to_owned())]
    }

    #[test]
    fn an_e_stop_a_failure_and_a_jumping_clock_are_triggers_at_any_time() {
        let failed = Report::InferenceFailed { request: RequestId(7), reason: "out of memory".to_owned() };
        assert_eq!(classes(failed), both("inference_failed"));
        assert_eq!(classes(Report::Stopped(Reason::EStop(EStopCause::Silent))), both("estop"));
        assert_eq!(classes(Report::Stopped(Reason::ProtectiveStop)), both("protective_stop"));
        assert_eq!(classes(Report::ClockWentBack { by: Span::from_millis(9.0) }), both("clock_went_back"));
        assert_eq!(classes(Report::StoodStill { passed: Span::from_millis(900.0) }), both("stood_still"));
    }

    #[test]
    fn an_input_or_a_person_that_stops_a_robot_counts_only_where_it_moves() {
        let stream = "images.front".into();
        let stale = NotReady::Stale { stream, age: Span::from_millis(300.0), max_age: Span::from_millis(100.0) };
        assert_eq!(classes(Report::NotReady(stale)), in_motion("unusable_input"));
        assert_eq!(classes(Report::Stopped(Reason::DeadmanReleased)), in_motion("deadman"));
        assert_eq!(classes(Report::Stopped(Reason::TakenOver)), in_motion("takeover"));
    }

    #[test]
    fn what_somebody_wanted_is_no_trigger() {
        for reason in [Reason::Asked, Reason::Inactive, Reason::NotStarted, Reason::DryRun] {
            assert_eq!(classes(Report::Stopped(reason)), [None, None]);
        }
        assert_eq!(classes(Report::NotReady(NotReady::EmptyInstruction)), [None, None]);
        assert_eq!(classes(Report::Outdated { request: RequestId(7) }), [None, None]);
    }
}

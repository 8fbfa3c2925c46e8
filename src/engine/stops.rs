//! What stops the robot at once, and what it takes to move again.

use super::{Effect, Engine, Report};
use crate::deploy::Deployment;
use crate::interlock::{Authority, Input, Reason};
use crate::time::Stamp;

impl Engine {
    /// An engine of a node that is active from the start, as in a replay.
    pub fn activated(deployment: &Deployment) -> Self {
        let mut engine = Self::new(deployment);
        engine.interlocks.activate();
        engine.authority = engine.interlocks.authority(Stamp::default());
        engine
    }

    /// Takes an input of the interlocks at `now` and appends what follows from it to `effects`.
    ///
    /// # Errors
    /// A start or a reset that is refused, and why.
    pub fn interlock(&mut self, now: Stamp, input: Input, effects: &mut Vec<Effect>) -> Result<(), Reason> {
        self.pass(now, effects);
        let taken = self.interlocks.handle(now, input);
        self.enforce(now, effects);
        taken
    }

    /// Whether the robot may move at `now`.
    pub fn authority(&self, now: Stamp) -> Authority {
        self.interlocks.authority(now)
    }

    /// Stops the robot where it may move no longer. An inference that runs by then moves nothing either, whatever happens
    /// until it is done: it saw the robot before the stop.
    pub(super) fn enforce(&mut self, now: Stamp, effects: &mut Vec<Effect>) {
        self.interlocks.settle(now);
        let authority = self.interlocks.authority(now);
        let before = std::mem::replace(&mut self.authority, authority);
        let Authority::Stopped(reason) = authority else { return };
        if before == Authority::Moves {
            self.stop(now, effects);
        }
        if let Some(pending) = &mut self.pending {
            pending.stopped = Some(reason);
        }
        if before != authority {
            effects.push(Effect::Report(Report::Stopped(reason)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{REST, inferred};
    use super::super::{Event, RequestId};
    use super::*;
    use crate::deploy::ParamValue;
    use crate::deploy::samples::arm::{at, frame, joints};
    use crate::deploy::samples::{arm_with, overlapping_arm};
    use crate::interlock::EStopCause;
    use crate::types::{Sample, Switch, Value};

    /// Small steps from where the arm rests.
    const STEPS: [[f64; 3]; 4] = [[1.0, 0.15, 0.5], [2.0, 0.2, 0.6], [3.0, 0.25, 0.7], [4.0, 0.3, 0.8]];

    struct Arm {
        engine: Engine,
        asked: Option<RequestId>,
    }

    impl Arm {
        fn new() -> Self {
            Self { engine: Engine::activated(&overlapping_arm()), asked: None }
        }

        fn handle(&mut self, ms: f64, event: Event) -> Vec<Effect> {
            let mut effects = Vec::new();
            self.engine.handle(at(ms), event, &mut effects);
            let asked = effects.iter().find_map(|effect| match effect {
                Effect::Infer { request, .. } => Some(*request),
                _ => None,
            });
            self.asked = asked.or(self.asked);
            effects
        }

        fn look(&mut self, ms: f64) -> Vec<Effect> {
            [joints(ms, REST), frame(0, ms)].map(|sample| self.handle(ms, Event::Sample(sample))).concat()
        }

        fn answer(&mut self, ms: f64) -> Vec<Effect> {
            let Some(request) = self.asked.take() else { return Vec::new() };
            self.handle(ms, Event::Inferred { request, result: Ok(inferred(&STEPS)) })
        }

        fn interlock(&mut self, ms: f64, input: Input) -> Vec<Effect> {
            let mut effects = Vec::new();
            // A start is refused where it should be.
            let _ = self.engine.interlock(at(ms), input, &mut effects);
            effects
        }
    }

    fn commands(effects: &[Effect]) -> usize {
        effects.iter().filter(|effect| matches!(effect, Effect::Command(_))).count()
    }

    fn verdict(effects: &[Effect]) -> String {
        let decided = effects.iter().find_map(|effect| match effect {
            Effect::Decided(decision) => Some(decision.verdict.to_string()),
            _ => None,
        });
        decided.expect("a decision")
    }

    #[test]
    fn a_stop_brings_the_arm_to_rest_once_and_nothing_renews_what_it_did() {
        let mut arm = Arm::new();
        arm.look(0.0);
        assert_eq!(commands(&arm.answer(1.0)), 1);
        let stopped = arm.interlock(20.0, Input::Stop);
        assert_eq!(commands(&stopped), 1, "it brakes");
        assert_eq!(stopped.last(), Some(&Effect::Report(Report::Stopped(Reason::Asked))));
        for ms in (25..400).step_by(5) {
            assert_eq!(commands(&arm.handle(f64::from(ms), Event::Tick)), 0, "at {ms}");
        }
    }

    #[test]
    fn a_chunk_inferred_across_a_stop_moves_nothing_and_the_next_one_does() {
        let mut arm = Arm::new();
        arm.look(0.0);
        arm.interlock(10.0, Input::Brake);
        arm.interlock(20.0, Input::Start);
        let across = arm.answer(30.0);
        assert_eq!(verdict(&across), "rejected: protective stop; it moves again after ~/start");
        assert_eq!(commands(&across), 0);
        arm.look(60.0);
        let fresh = arm.answer(61.0);
        assert_eq!((verdict(&fresh).as_str(), commands(&fresh)), ("sent", 1));
    }

    #[test]
    fn a_heartbeat_that_was_lost_stays_lost_and_a_silence_stays_as_long_though_the_clock_goes_back() {
        let text = |text: &str| ParamValue::String(text.to_owned());
        let deployment = arm_with(&[("estop", text("/estop")), ("estop_timeout_ms", ParamValue::Int(100))]);
        let released = |engine: &mut Engine| {
            let value = Value::Switch { switch: Switch::EStop(0), on: false };
            let sample = Sample { stamp: at(0.0), received: at(0.0), value };
            engine.handle(at(0.0), Event::Sample(sample), &mut Vec::new());
        };
        let reason = |engine: &mut Engine, ms: f64| {
            engine.handle(at(ms), Event::Tick, &mut Vec::new());
            engine.authority(at(ms))
        };
        let mut lost = Engine::activated(&deployment);
        released(&mut lost);
        assert_eq!(reason(&mut lost, 101.0), Authority::Stopped(Reason::EStop(EStopCause::Silent)));
        let before = Authority::Stopped(Reason::EStopReleased(EStopCause::Silent));
        released(&mut lost);
        assert_eq!(reason(&mut lost, 31.0), before);

        let mut silent = Engine::activated(&deployment);
        released(&mut silent);
        assert_eq!(reason(&mut silent, 90.0), Authority::Stopped(Reason::DryRun));
        assert_eq!(reason(&mut silent, 20.0), Authority::Stopped(Reason::DryRun));
        assert_eq!(reason(&mut silent, 31.0), Authority::Stopped(Reason::EStop(EStopCause::Silent)));
    }

    #[test]
    fn an_inactive_node_infers_nothing() {
        let mut arm = Arm::new();
        arm.interlock(0.0, Input::Deactivate);
        arm.look(1.0);
        assert_eq!(arm.asked, None);
        arm.interlock(2.0, Input::Activate);
        arm.look(60.0);
        assert!(arm.asked.is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn where_the_robot_may_not_move_no_command_exists_but_the_one_that_brakes(
            steps in prop::collection::vec((1.0..60.0_f64, 0..8_usize), 1..80),
        ) {
            let (mut arm, mut ms) = (Arm::new(), 0.0);
            for (gap, what) in steps {
                ms += gap;
                let before = arm.engine.authority;
                let effects = match what {
                    0 | 1 => arm.look(ms),
                    2 => arm.answer(ms),
                    3 => arm.interlock(ms, Input::Stop),
                    4 => arm.interlock(ms, Input::Start),
                    5 => arm.interlock(ms, if gap < 30.0 { Input::Deactivate } else { Input::Activate }),
                    _ => arm.handle(ms, Event::Tick),
                };
                let (moved, moves) = (before == Authority::Moves, arm.engine.authority == Authority::Moves);
                let wanted = match (moved, moves) {
                    (_, true) => 0..=2,
                    (true, false) => 0..=1,
                    (false, false) => 0..=0,
                };
                prop_assert!(wanted.contains(&commands(&effects)), "{effects:?}");
            }
        }
    }
}

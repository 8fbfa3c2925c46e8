//! Scripted clocks, exact messages.

use super::*;
use crate::deploy::samples::arm::{at, frame, instruction, joints};
use crate::deploy::samples::{arm_with, live_arm, overlapping_arm};
use crate::safety::SafeCommand;
use crate::types::Sample;

/// Where the arm rests: shoulder 0 deg, elbow 0.1 rad, gripper half open.
pub(super) const REST: [f64; 3] = [0.25, 0.1, 0.03];

/// Small steps from [`REST`] onwards.
const STEPS: [[f64; 3]; 4] = [[1.0, 0.15, 0.5], [2.0, 0.2, 0.6], [3.0, 0.25, 0.7], [4.0, 0.3, 0.8]];

pub(super) fn inferred(rows: &[[f64; 3]]) -> Inferred {
    let chunk = Chunk::new(rows.concat(), 3).unwrap();
    Inferred { chunk, kept_tokens: 17, inference_delay: Span::from_millis(12.0) }
}

/// An engine and its clock.
struct Script {
    engine: Engine,
}

impl Script {
    fn live() -> Self {
        Self { engine: Engine::activated(&live_arm()) }
    }

    fn at(&mut self, ms: f64, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.engine.handle(at(ms), event, &mut effects);
        effects
    }

    fn interlock(&mut self, ms: f64, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.engine.interlock(at(ms), input, &mut effects).unwrap();
        effects
    }

    fn sample(&mut self, sample: Sample) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.engine.handle(sample.received, Event::Sample(sample), &mut effects);
        effects
    }

    /// Joints and a frame of `ms`; the request that follows.
    fn request(&mut self, ms: f64, positions: [f64; 3]) -> RequestId {
        self.sample(joints(ms, positions));
        let effects = self.sample(frame(0, ms));
        let [.., Effect::Infer { request, .. }] = &effects[..] else { panic!("{effects:?}") };
        *request
    }

    /// What was decided, and what was commanded where it was sent.
    fn answer_with_command(
        &mut self,
        ms: f64,
        request: RequestId,
        rows: &[[f64; 3]],
    ) -> (Decision, Option<Arc<SafeCommand>>) {
        let mut effects = self.at(ms, Event::Inferred { request, result: Ok(inferred(rows)) }).into_iter();
        let Some(Effect::Decided(decision)) = effects.next() else { panic!("no decision") };
        let command = effects.next().map(|effect| match effect {
            Effect::Command(command) => command,
            other => panic!("{other:?}"),
        });
        assert_eq!((effects.next(), command.is_some()), (None, decision.verdict == Verdict::Sent));
        (decision, command)
    }

    fn answer(&mut self, ms: f64, request: RequestId, rows: &[[f64; 3]]) -> Decision {
        self.answer_with_command(ms, request, rows).0
    }

    /// Ticks from `from` to `to` every 5 ms, and everything that follows.
    fn ticks(&mut self, from: f64, to: f64) -> Vec<Effect> {
        let steps = ((to - from) / 5.0) as usize;
        (0..=steps).flat_map(|step| self.at(from + 5.0 * step as f64, Event::Tick)).collect()
    }

    /// The verdict on a chunk inferred from the arm at rest.
    fn verdict(&mut self, rows: &[[f64; 3]]) -> String {
        let request = self.request(0.0, REST);
        self.answer(0.0, request, rows).verdict.to_string()
    }
}

/// The second value of a command's only output, 10 ms apart.
fn elbow(command: &SafeCommand) -> Vec<f64> {
    let [output] = command.outputs() else { panic!("not one output") };
    output.rows().map(|row| row[1]).collect()
}

#[test]
fn a_fresh_chunk_becomes_a_command_that_begins_where_the_arm_is_and_ends_at_rest() {
    let mut script = Script::live();
    let request = script.request(0.0, REST);
    let (decision, command) = script.answer_with_command(40.0, request, &STEPS);
    assert_eq!((decision.chunk_id, decision.stamp), (RequestId(0), at(0.0)));
    assert_eq!((decision.frame_id.as_str(), &*decision.task), ("camera_0_optical", "pick up the cup"));
    assert_eq!((decision.kept_tokens, decision.inference_delay), (17, Span::from_millis(12.0)));
    assert_eq!(decision.verdict.to_string(), "sent");
    let command = command.unwrap();
    assert_eq!(command.stamp(), at(40.0));
    let [output] = command.outputs() else { panic!("not one output") };
    assert_eq!(output.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["j1", "j2", "finger"]);
    let rows: Vec<&[f64]> = output.rows().collect();
    assert_eq!(rows[0], REST);
    // Nothing was executed before, so that row 0 belongs to now; n_action_steps is 3, so row 2 of 100 ms on is the last.
    // There the arm comes to rest, as soon as its acceleration and its jerk allow.
    let (last, want) = (rows.last().unwrap(), [0.197_640_122_440_170_1, 0.25, 0.038]);
    assert!(last.iter().zip(want).all(|(got, want)| (got - want).abs() < 0.01), "{last:?}");
    assert!(rows.len() > 11 && rows.len() < 30, "{}", rows.len());
    assert_eq!(output.velocities().last().unwrap(), [0.0; 3]);
}

#[test]
fn a_command_is_renewed_in_time_and_reaches_no_farther_than_its_horizon_and_a_stop() {
    let mut script = Script { engine: Engine::activated(&overlapping_arm()) };
    let request = script.request(0.0, REST);
    let (_, first) = script.answer_with_command(
        0.0,
        request,
        &[[1.0, 0.15, 0.5], [2.0, 0.2, 0.6], [3.0, 0.25, 0.7], [4.0, 0.3, 0.8]],
    );
    let mut effects = script.ticks(5.0, 40.0);
    script.sample(joints(45.0, REST));
    effects.extend(script.ticks(45.0, 80.0));
    script.sample(joints(85.0, REST));
    effects.extend(script.ticks(85.0, 130.0));
    let commands: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Command(command) => Some(command),
            _ => None,
        })
        .collect();
    assert_eq!(commands.iter().map(|command| command.stamp()).collect::<Vec<_>>(), [at(100.0)]);
    // The same path, 100 ms on.
    assert_eq!(elbow(&first.unwrap())[10..], elbow(commands[0]));
}

#[test]
fn an_arm_whose_joints_fall_silent_comes_to_rest() {
    let mut script = Script { engine: Engine::activated(&overlapping_arm()) };
    let request = script.request(0.0, REST);
    script.answer(0.0, request, &STEPS);
    assert_eq!(script.ticks(5.0, 50.0), []);
    // The joints may be 50 ms old.
    let effects = script.at(55.0, Event::Tick);
    let [Effect::Report(report), Effect::Command(stop)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(report.to_string(), "not ready: joint_states.j1: 55.000 ms old, at most 50.000 ms");
    let elbow = elbow(stop);
    // Not faster than 4 rad/s: 40 rad/s2 and 800 rad/s3 stop it within 0.15 s and 0.3 rad.
    let moving = elbow.iter().take_while(|position| **position != elbow[elbow.len() - 1]).count();
    assert!(moving < 16 && (elbow.last().unwrap() - elbow[0]).abs() < 0.3, "{elbow:?}");
    assert!(!script.ticks(60.0, 300.0).iter().any(|effect| matches!(effect, Effect::Command(_))));
}

#[test]
fn a_stop_in_the_first_moment_of_a_motion_is_no_trajectory_of_the_past() {
    let mut script = Script { engine: Engine::activated(&overlapping_arm()) };
    let request = script.request(0.0, REST);
    script.answer(0.0, request, &STEPS);
    // The sample in force is the one at rest, and due 4 ms ago.
    let effects = script.at(4.0, Event::Stop);
    let [Effect::Command(stop)] = &effects[..] else { panic!("{effects:?}") };
    // One horizon of 300 ms, so that the controller takes it in the place of what was to be stopped.
    assert_eq!((stop.stamp(), elbow(stop)), (at(0.0), vec![REST[1]; 31]));
}

#[test]
fn a_stop_ends_the_motion_and_the_next_chunk_begins_a_new_one() {
    let mut script = Script { engine: Engine::activated(&overlapping_arm()) };
    let request = script.request(0.0, REST);
    let (_, first) = script.answer_with_command(0.0, request, &STEPS);
    let effects = script.at(20.0, Event::Stop);
    let [Effect::Command(stop)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((stop.stamp(), elbow(stop)[0]), (at(20.0), elbow(&first.unwrap())[2]));
    assert_eq!(script.at(25.0, Event::Stop), [], "it is stopping already");
    let request = script.request(60.0, REST);
    assert_eq!(script.answer(61.0, request, &STEPS).verdict, Verdict::Sent);
}

#[test]
fn a_clock_that_goes_back_stops_the_arm_where_it_is() {
    let mut script = Script { engine: Engine::activated(&overlapping_arm()) };
    let request = script.request(5000.0, REST);
    let (_, first) = script.answer_with_command(5000.0, request, &STEPS);
    script.ticks(5005.0, 5030.0);
    let effects = script.at(30.0, Event::Tick);
    let [Effect::Report(report), Effect::Command(stop), ..] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(report.to_string(), "the clock went back by 5000.000 ms");
    assert_eq!((stop.stamp(), elbow(stop)[0]), (at(30.0), elbow(&first.unwrap())[3]));
}

#[test]
fn what_was_under_way_when_the_process_stood_still_is_given_up() {
    let mut script = Script { engine: Engine::activated(&overlapping_arm()) };
    let request = script.request(0.0, REST);
    script.answer(0.0, request, &STEPS);
    let effects = script.at(151.0, Event::Tick);
    assert_eq!(effects[0].clone(), Effect::Report(Report::StoodStill { passed: Span::from_millis(151.0) }));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Command(_))), "{effects:?}");
}

#[test]
fn after_a_jump_ahead_in_motion_nothing_begins_until_the_arm_rests_in_either_time() {
    let mut script = Script { engine: Engine::activated(&overlapping_arm()) };
    let request = script.request(0.0, REST);
    let (_, command) = script.answer_with_command(0.0, request, &STEPS);
    let end = 10.0 * (elbow(&command.unwrap()).len() - 1) as f64;
    script.ticks(5.0, 20.0);
    let request = script.request(5020.0, REST);
    let early = script.answer(5020.0, request, &STEPS).verdict.to_string();
    assert_eq!(
        early,
        format!("rejected: the clock jumped in motion: the robot may still move for {:.3} ms", end - 20.0)
    );
    script.ticks(5025.0, 5000.0 + end - 5.0);
    let request = script.request(5000.0 + end - 1.0, REST);
    assert!(script.answer(5000.0 + end - 1.0, request, &STEPS).verdict != Verdict::Sent);
    let request = script.request(5060.0 + end, REST);
    assert_eq!(script.answer(5060.0 + end, request, &STEPS).verdict, Verdict::Sent);
}

#[test]
fn a_stop_that_is_asked_for_first_after_the_clock_went_back_is_of_its_new_time() {
    let mut script = Script { engine: Engine::activated(&overlapping_arm()) };
    let request = script.request(5000.0, REST);
    let (_, first) = script.answer_with_command(5000.0, request, &STEPS);
    script.ticks(5005.0, 5030.0);
    let effects = script.interlock(30.0, Input::Stop);
    let [Effect::Report(report), Effect::Command(stop), ..] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(report.to_string(), "the clock went back by 5000.000 ms");
    assert_eq!((stop.stamp(), elbow(stop)[0]), (at(30.0), elbow(&first.unwrap())[3]));
}

#[test]
fn with_dry_run_no_command_exists() {
    let mut script = Script { engine: Engine::activated(&arm_with(&[])) };
    let request = script.request(0.0, REST);
    let decision = script.answer(0.0, request, &STEPS);
    assert_eq!(decision.verdict.to_string(), "dry_run");
    assert_eq!(script.engine.health(at(0.0)).counts.dry_run, 1);
}

#[test]
fn nothing_is_inferred_until_every_stream_is_fresh() {
    let mut script = Script::live();
    assert_eq!(script.sample(frame(0, 0.0)), []);
    assert_eq!(script.sample(joints(100.5, REST)), []);
    let effects = script.at(101.0, Event::Tick);
    let [Effect::Report(report)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(report.to_string(), "not ready: images.front: 101.000 ms old, at most 100.000 ms");
}

#[test]
fn a_cause_is_reported_once() {
    let mut script = Script::live();
    assert_eq!(script.at(0.0, Event::Tick).len(), 1);
    assert_eq!(script.at(10.0, Event::Tick), []);
    script.sample(frame(0, 20.0));
    let effects = script.at(21.0, Event::Tick);
    let [Effect::Report(report)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(report.to_string(), "not ready: joint_states.j1: nothing usable yet");
    assert_eq!(script.engine.health(at(21.0)).waiting.unwrap().to_string(), "joint_states.j1: nothing usable yet");
}

#[test]
fn one_inference_runs_at_a_time_and_at_the_given_rate() {
    let mut script = Script::live();
    let request = script.request(0.0, REST);
    script.sample(joints(190.0, REST));
    assert_eq!(script.sample(frame(0, 190.0)), [], "the model is busy");
    script.sample(joints(240.0, REST));
    assert_eq!(script.sample(frame(0, 240.0)), [], "the model is still busy");
    assert_eq!(script.engine.health(at(240.0)).inferring, Some(request));
    let failed = Event::Inferred { request, result: Err("out of memory".to_owned()) };
    let effects = script.at(245.0, failed);
    let [Effect::Report(report), Effect::Infer { request, observation }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(report.to_string(), "inference 0 failed: out of memory");
    assert_eq!((*request, observation.stamp), (RequestId(1), at(240.0)));
    let request = *request;
    script.answer(250.0, request, &STEPS);
    script.sample(joints(390.0, REST));
    assert_eq!(script.sample(frame(0, 390.0)), []);
    let is_inference = |effect: &Effect| matches!(effect, Effect::Infer { .. });
    assert!(!script.at(399.0, Event::Tick).iter().any(is_inference), "5 Hz, counted from 200 ms");
    assert!(matches!(script.at(400.0, Event::Tick)[..], [.., Effect::Infer { request: RequestId(2), .. }]));
}

#[test]
fn waiting_for_the_next_frame_is_no_cause_for_a_report() {
    let mut script = Script::live();
    script.request(0.0, REST);
    assert_eq!(script.at(1.0, Event::Tick), []);
    assert_eq!(script.engine.health(at(1.0)).waiting, None);
}

#[test]
fn a_frames_jitter_costs_no_period() {
    let mut script = Script::live();
    let mut starts = Vec::new();
    for ms in [0.0, 203.0, 401.0, 602.0, 1100.0, 1250.0, 1300.0] {
        let effects = [joints(ms, REST), frame(0, ms)].map(|sample| script.sample(sample));
        for effect in effects.into_iter().flatten() {
            let Effect::Infer { request, .. } = effect else { panic!("{effect:?}") };
            starts.push(ms);
            script.at(ms + 1.0, Event::Inferred { request, result: Err("x".to_owned()) });
        }
    }
    assert_eq!(starts, [0.0, 203.0, 401.0, 602.0, 1100.0, 1300.0]);
}

#[test]
fn a_clock_that_jumped_back_does_not_stop_inference() {
    let mut script = Script::live();
    let request = script.request(5000.0, REST);
    script.at(5001.0, Event::Inferred { request, result: Err("x".to_owned()) });
    assert_eq!(script.request(0.0, REST), RequestId(1));
}

#[test]
fn a_result_that_nobody_waits_for_is_refused() {
    let mut script = Script::live();
    let event = Event::Inferred { request: RequestId(3), result: Ok(inferred(&STEPS)) };
    let effects = script.at(0.0, event);
    assert_eq!(effects, [Effect::Report(Report::Outdated { request: RequestId(3) })]);
    let request = script.request(1.0, REST);
    script.answer(2.0, request, &STEPS);
    let effects = script.at(3.0, Event::Inferred { request, result: Ok(inferred(&STEPS)) });
    assert_eq!(effects, [Effect::Report(Report::Outdated { request })]);
    script.ticks(5.0, 205.0);
    let request = script.request(210.0, REST);
    let event = Event::Inferred { request: RequestId(0), result: Ok(inferred(&STEPS)) };
    assert_eq!(script.at(211.0, event), [Effect::Report(Report::Outdated { request: RequestId(0) })]);
    assert_eq!(script.answer(212.0, request, &STEPS).verdict.to_string(), "sent");
    assert_eq!(script.engine.health(at(212.0)).counts.outdated, 3);
}

#[test]
fn a_chunk_of_an_old_instruction_is_not_executed() {
    let mut script = Script::live();
    let request = script.request(0.0, REST);
    script.sample(instruction(1.0, "put it down"));
    let decision = script.answer(2.0, request, &STEPS);
    assert_eq!(decision.verdict.to_string(), "rejected: the instruction has changed");
    assert_eq!(&*decision.task, "pick up the cup");
    script.sample(joints(200.0, REST));
    let effects = script.sample(frame(0, 200.0));
    let [Effect::Infer { observation, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(&*observation.task, "put it down");
}

#[test]
fn a_chunk_that_is_wholly_past_is_rejected_and_counted() {
    let mut script = Script::live();
    let request = script.request(0.0, REST);
    script.sample(joints(100.0, REST));
    let decision = script.answer(101.0, request, &STEPS);
    assert_eq!(decision.verdict.to_string(), "rejected: late: the last of 3 rows was due 1.000 ms ago");
    assert_eq!(script.engine.health(at(101.0)).counts.rejected, [("late", 1)].into());
}

#[test]
fn nothing_is_sent_to_a_robot_whose_joints_went_silent_meanwhile() {
    let mut script = Script::live();
    let request = script.request(0.0, REST);
    let decision = script.answer(51.0, request, &STEPS);
    assert_eq!(decision.verdict.to_string(), "rejected: joint_states.j1: 51.000 ms old, at most 50.000 ms");
}

#[test]
fn a_chunk_of_another_shape_is_rejected() {
    assert_eq!(Script::live().verdict(&STEPS[..3]), "rejected: the chunk is [3, 3] steps x values, wanted [4, 3]");
}

#[test]
fn one_value_that_is_no_number_rejects_the_chunk_even_where_it_is_not_executed() {
    let mut rows = STEPS;
    rows[3][2] = f64::NAN;
    assert_eq!(Script::live().verdict(&rows), "rejected: action `gripper` row 3 is NaN");
    rows[3][2] = f64::NEG_INFINITY;
    assert_eq!(Script::live().verdict(&rows), "rejected: action `gripper` row 3 is -inf");
}

#[test]
fn a_row_outside_the_limits_rejects_the_chunk() {
    let mut rows = STEPS;
    rows[1][1] = 1.5;
    assert_eq!(Script::live().verdict(&rows), "rejected: joint_trajectory `j2` row 1 is 1.5 rad, wanted -1 to 1");
}

#[test]
fn a_step_from_row_to_row_that_is_too_large_rejects_the_chunk() {
    let mut rows = STEPS;
    rows[2][1] = 0.5;
    assert_eq!(
        Script::live().verdict(&rows),
        "rejected: joint_trajectory `j2` row 2 steps from 0.2 to 0.5 rad, wanted at most 0.1"
    );
}

#[test]
fn the_first_step_is_measured_from_where_the_arm_is() {
    let rows = STEPS.map(|[shoulder, _, gripper]| [shoulder, 0.5, gripper]);
    assert_eq!(
        Script::live().verdict(&rows),
        "rejected: joint_trajectory `j2` row 0 steps from 0.1 to 0.5 rad, wanted at most 0.1"
    );
}

/// The elbow at the same position in every row.
fn elbow_at(position: f64) -> [[f64; 3]; 4] {
    [[0.0, position, 0.5]; 4]
}

/// What becomes of an elbow position at `ms`, while a command is running that has it at 0.15 rad at 0 ms, 0.2 at 50,
/// 0.25 at 100 and 0.3 at 150, and the arm lags behind at 0.1.
fn after_a_running_command(ms: f64, position: f64) -> String {
    let mut script = Script { engine: Engine::activated(&overlapping_arm()) };
    let request = script.request(0.0, REST);
    let rising = [0.15, 0.2, 0.25, 0.3].map(|elbow| [0.0, elbow, 0.5]);
    assert_eq!(script.answer(0.0, request, &rising).verdict.to_string(), "sent");
    let request = script.request(ms, REST);
    script.answer(ms, request, &elbow_at(position)).verdict.to_string()
}

#[test]
fn the_first_step_is_measured_from_the_command_that_is_still_running() {
    // At 90 ms it is on its way from 0.2 to 0.25.
    assert_eq!(after_a_running_command(90.0, 0.33), "sent");
    let refused = after_a_running_command(90.0, 0.35);
    assert!(refused.starts_with("rejected: joint_trajectory `j2` row 0 steps from 0.24"), "{refused}");
}

#[test]
fn a_row_that_takes_the_place_of_another_follows_the_one_before() {
    assert_eq!(after_a_running_command(100.0, 0.16), "sent");
    let refused = after_a_running_command(100.0, 0.36);
    assert!(refused.starts_with("rejected: joint_trajectory `j2` row 0 steps from 0.25"), "{refused}");
}

#[test]
fn a_command_that_has_run_out_gives_way_to_where_the_arm_is() {
    let mut script = Script::live();
    let request = script.request(0.0, REST);
    script.answer(0.0, request, &elbow_at(0.15));
    // Somebody pushed the arm.
    script.ticks(5.0, 195.0);
    let request = script.request(200.0, [0.25, 0.6, 0.03]);
    assert_eq!(
        script.answer(200.0, request, &elbow_at(0.15)).verdict.to_string(),
        "rejected: joint_trajectory `j2` row 0 steps from 0.6 to 0.15 rad, wanted at most 0.1"
    );
}

#[test]
fn a_result_from_before_the_clock_went_back_is_rejected() {
    let mut script = Script::live();
    let request = script.request(5000.0, REST);
    script.sample(joints(100.0, REST));
    let verdict = script.answer(101.0, request, &STEPS).verdict.to_string();
    assert_eq!(verdict, "rejected: the clock went back: the observation is 4899.000 ms ahead");
}

#[test]
fn after_a_dry_run_is_asked_for_nothing_is_sent() {
    let mut script = Script::live();
    let request = script.request(0.0, REST);
    assert_eq!(script.answer(0.0, request, &STEPS).verdict.to_string(), "sent");
    script.ticks(5.0, 195.0);
    let request = script.request(200.0, REST);
    let effects = script.interlock(201.0, Input::DryRun);
    let told = Effect::Report(Report::Stopped(Reason::DryRun));
    assert!(effects.iter().all(|effect| matches!(effect, Effect::Command(_)) || *effect == told), "{effects:?}");
    assert_eq!(script.answer(202.0, request, &STEPS).verdict, Verdict::DryRun);
}

#[test]
fn a_model_slower_than_the_camera_answers_one_frame_and_is_then_given_the_newest() {
    let mut script = Script::live();
    let request = script.request(0.0, REST);
    for ms in (1..=32).map(|frame| f64::from(frame) * 10.0) {
        assert_eq!(script.sample(joints(ms, REST)), []);
        assert_eq!(script.sample(frame(0, ms)), []);
    }
    let effects = script.at(325.0, Event::Inferred { request, result: Ok(inferred(&STEPS)) });
    let [Effect::Decided(late), Effect::Infer { observation, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((late.stamp, observation.stamp), (at(0.0), at(320.0)));
    assert_eq!(late.verdict.to_string(), "rejected: late: the last of 3 rows was due 225.000 ms ago");
}

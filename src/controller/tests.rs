//! Expected values are closed forms: a polynomial that is known is met again between its points.

mod agreement;
mod bridging;
mod property;
mod refusals;

use super::*;

/// 1000 Hz would hide what a period does; 10 ms are one hundredth of a second.
pub(super) const PERIOD: Span = Span::from_nanos(10_000_000);

pub(super) fn at(millis: f64) -> Stamp {
    Stamp::from_ros(1000, 0) + Span::from_millis(millis)
}

pub(super) fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

pub(super) fn config(distribution: Distribution) -> Config {
    let joints = names(&["shoulder", "elbow"]).into_iter().map(|name| Joint { name, continuous: false });
    Config {
        distribution,
        joints: joints.collect(),
        update_period: PERIOD,
        interpolation: Interpolation::Splines,
        bridge_from: BridgeFrom::Measured,
        allow_partial_joints_goal: false,
        allow_nonzero_velocity_at_trajectory_end: true,
    }
}

/// Where the arm rests.
pub(super) const REST: [f64; 2] = [0.5, -1.0];

pub(super) fn resting(distribution: Distribution) -> TrajectoryController {
    TrajectoryController::new(config(distribution), at(0.0), &REST)
}

pub(super) fn measured(positions: &[f64]) -> Joints<'_> {
    Joints { positions, ..Joints::default() }
}

/// One row per point: milliseconds from the start, and positions, velocities, accelerations of both joints.
pub(super) type Rows<'a> = &'a [(f64, &'a [f64], &'a [f64], &'a [f64])];

pub(super) fn send(
    controller: &mut TrajectoryController,
    [now, stamp]: [Stamp; 2],
    rows: Rows<'_>,
) -> Result<(), Refused> {
    let joints = names(&["shoulder", "elbow"]);
    let points: Vec<_> = rows
        .iter()
        .map(|(millis, positions, velocities, accelerations)| Point {
            time_from_start: Span::from_millis(*millis),
            joints: Joints { positions, velocities, accelerations },
        })
        .collect();
    controller.accept(now, Trajectory { stamp, joints: &joints, points: &points }, measured(&REST))
}

pub(super) fn sampled(controller: &TrajectoryController, now: Stamp) -> State {
    let mut state = State::new(2);
    controller.sample(now, &mut state);
    state
}

pub(super) fn assert_near(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).for_each(|(got, want)| assert!((got - want).abs() < 1e-9, "{got} instead of {want}"));
}

/// Of the second joint everything is this many times what the first one does.
const ELBOW: f64 = -2.0;

fn both(value: f64) -> [f64; 2] {
    [value, ELBOW * value]
}

#[test]
fn without_velocities_the_way_between_points_is_a_line() {
    let mut humble = resting(Distribution::Humble);
    let rows: Rows<'_> = &[(0.0, &[1.0, 2.0], &[], &[]), (200.0, &[2.0, -2.0], &[], &[])];
    send(&mut humble, [at(0.0), at(0.0)], rows).unwrap();
    // A quarter of the way; 1 rad and -4 rad in 200 ms.
    let state = sampled(&humble, at(50.0));
    assert_near(&state.positions, &[1.25, 1.0]);
    assert_near(&state.velocities, &[5.0, -20.0]);
    assert_near(&state.accelerations, &[0.0, 0.0]);
}

#[test]
fn velocities_at_both_points_give_the_cubic_that_has_them() {
    // p = 1 + 2 t - 3 t^2 + 4 t^3, with t in s: points at 0 and 0.5 s say what it says there.
    let p = |t: f64| 1.0 + 2.0 * t - 3.0 * t * t + 4.0 * t * t * t;
    let v = |t: f64| 2.0 - 6.0 * t + 12.0 * t * t;
    let mut humble = resting(Distribution::Humble);
    let rows: Rows<'_> = &[(0.0, &both(1.0), &both(2.0), &[]), (500.0, &both(1.75), &both(2.0), &[])];
    send(&mut humble, [at(0.0), at(0.0)], rows).unwrap();
    for t in [0.125, 0.25, 0.4] {
        let state = sampled(&humble, at(1e3 * t));
        assert_near(&state.positions, &both(p(t)));
        assert_near(&state.velocities, &both(v(t)));
        assert_near(&state.accelerations, &both(-6.0 + 24.0 * t));
    }
}

#[test]
fn accelerations_at_both_points_give_the_quintic_that_has_them() {
    // p = 1 - t + 0.5 t^2 + t^3 - 2 t^4 + 3 t^5 between 0 and 2 s.
    let p = |t: f64| 1.0 - t + 0.5 * t.powi(2) + t.powi(3) - 2.0 * t.powi(4) + 3.0 * t.powi(5);
    let v = |t: f64| -1.0 + t + 3.0 * t.powi(2) - 8.0 * t.powi(3) + 15.0 * t.powi(4);
    let a = |t: f64| 1.0 + 6.0 * t - 24.0 * t.powi(2) + 60.0 * t.powi(3);
    let mut humble = resting(Distribution::Humble);
    // By hand: p(2) = 1 - 2 + 2 + 8 - 32 + 96 = 73, v(2) = -1 + 2 + 12 - 64 + 240 = 189, a(2) = 1 + 12 - 96 + 480 = 397.
    let rows: Rows<'_> =
        &[(0.0, &both(1.0), &both(-1.0), &both(1.0)), (2000.0, &both(73.0), &both(189.0), &both(397.0))];
    send(&mut humble, [at(0.0), at(0.0)], rows).unwrap();
    for t in [0.25, 1.0, 1.75] {
        let state = sampled(&humble, at(1e3 * t));
        assert_near(&state.positions, &both(p(t)));
        assert_near(&state.velocities, &both(v(t)));
        assert_near(&state.accelerations, &both(a(t)));
    }
}

#[test]
fn one_point_without_velocities_makes_its_two_segments_lines() {
    let mut humble = resting(Distribution::Humble);
    let rows: Rows<'_> = &[
        (0.0, &[0.0, 0.0], &[9.0, 9.0], &[]),
        (100.0, &[1.0, 2.0], &[], &[]),
        (200.0, &[3.0, 1.0], &[9.0, 9.0], &[]),
        (300.0, &[3.0, 1.0], &[0.0, 0.0], &[]),
    ];
    send(&mut humble, [at(0.0), at(0.0)], rows).unwrap();
    assert_near(&sampled(&humble, at(50.0)).positions, &[0.5, 1.0]);
    assert_near(&sampled(&humble, at(150.0)).positions, &[2.0, 1.5]);
    // The last one is a cubic: 3 + 9 t - 180 t^2 + 900 t^3 from 9 rad/s to rest over 0.1 s.
    let t: f64 = 0.05;
    let bump = 9.0 * t - 180.0 * t * t + 900.0 * t * t * t;
    assert_near(&sampled(&humble, at(250.0)).positions, &[3.0 + bump, 1.0 + bump]);
}

#[test]
fn accelerations_without_velocities_command_zero_as_the_controller_does() {
    let mut humble = resting(Distribution::Humble);
    let rows: Rows<'_> = &[(0.0, &[1.0, 2.0], &[], &[0.0, 0.0]), (100.0, &[1.0, 2.0], &[], &[0.0, 0.0])];
    send(&mut humble, [at(0.0), at(0.0)], rows).unwrap();
    assert_eq!(sampled(&humble, at(50.0)).positions, [0.0, 0.0]);
}

#[test]
fn after_the_last_point_it_is_held_and_so_is_its_velocity() {
    for distribution in [Distribution::Humble, Distribution::Jazzy] {
        let mut controller = resting(distribution);
        let rows: Rows<'_> = &[(10.0, &[1.0, 2.0], &[3.0, 0.0], &[]), (60.0, &[1.5, 2.0], &[4.0, -1.0], &[])];
        send(&mut controller, [at(0.0), at(0.0)], rows).unwrap();
        assert_eq!(controller.end(), at(60.0));
        let state = sampled(&controller, at(5000.0));
        assert_eq!((&state.positions[..], &state.velocities[..]), (&[1.5, 2.0][..], &[4.0, -1.0][..]));
    }
    let mut controller = resting(Distribution::Humble);
    send(&mut controller, [at(0.0), at(0.0)], &[(60.0, &[1.5, 2.0], &[], &[])]).unwrap();
    assert_eq!(sampled(&controller, at(61.0)).velocities, [0.0, 0.0]);
}

#[test]
fn without_interpolation_the_next_point_is_commanded() {
    let none = Config { interpolation: Interpolation::None, ..config(Distribution::Humble) };
    let mut controller = TrajectoryController::new(none, at(0.0), &REST);
    let rows: Rows<'_> = &[(20.0, &[1.0, 2.0], &[], &[]), (40.0, &[3.0, 4.0], &[], &[]), (60.0, &[5.0, 6.0], &[], &[])];
    send(&mut controller, [at(0.0), at(0.0)], rows).unwrap();
    let commanded = [0.0, 19.0, 20.0, 39.0, 40.0, 59.0, 60.0].map(|millis| sampled(&controller, at(millis)).positions);
    // Up to the first point what is measured; from each point on already the one behind it.
    assert_eq!(commanded, [[0.5, -1.0], [0.5, -1.0], [3.0, 4.0], [3.0, 4.0], [5.0, 6.0], [5.0, 6.0], [5.0, 6.0]]);
}

#[test]
fn jazzy_commands_one_period_ahead_of_its_reference() {
    let rows: Rows<'_> = &[(0.0, &[1.0, 2.0], &[], &[]), (100.0, &[2.0, 0.0], &[], &[])];
    let mut jazzy = resting(Distribution::Jazzy);
    send(&mut jazzy, [at(0.0), at(0.0)], rows).unwrap();
    assert_near(&sampled(&jazzy, at(20.0)).positions, &[1.3, 1.4]);
    let mut reference = State::default();
    jazzy.reference(at(20.0), &mut reference);
    assert_near(&reference.positions, &[1.2, 1.6]);
    let mut humble = resting(Distribution::Humble);
    send(&mut humble, [at(0.0), at(0.0)], rows).unwrap();
    assert_near(&sampled(&humble, at(20.0)).positions, &[1.2, 1.6]);
}

#[test]
fn joints_are_taken_by_name() {
    let mut humble = resting(Distribution::Humble);
    let joints = names(&["elbow", "shoulder"]);
    let point =
        Point { time_from_start: Span::ZERO, joints: Joints { velocities: &[0.3, 0.4], ..measured(&[7.0, 8.0]) } };
    let message = Trajectory { stamp: at(0.0), joints: &joints, points: &[point] };
    humble.accept(at(0.0), message, measured(&REST)).unwrap();
    let state = sampled(&humble, at(0.0));
    assert_eq!((&state.positions[..], &state.velocities[..]), (&[8.0, 7.0][..], &[0.4, 0.3][..]));
}

#[test]
fn a_forward_controller_steps_at_once_and_goes_on_without_end() {
    let mut controller = ForwardController::new(&REST);
    let mut state = State::default();
    controller.accept(&[1.0, 2.0]).unwrap();
    controller.sample(&mut state);
    assert_eq!(state, State { positions: vec![1.0, 2.0], ..State::new(2) });
    let refused = controller.accept(&[3.0]).unwrap_err();
    assert_eq!(refused.to_string(), "the command has 1 values, the controller takes 2");
    controller.sample(&mut state);
    assert_eq!(state.positions, [1.0, 2.0]);
}

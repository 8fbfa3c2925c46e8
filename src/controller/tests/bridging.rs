//! One message after another: where the new one takes over.

use super::*;

#[test]
fn a_first_point_in_the_past_makes_the_command_step_to_where_the_trajectory_is() {
    let mut humble = resting(Distribution::Humble);
    // Started 75 ms ago: three quarters of the way between its points.
    let rows: Rows<'_> = &[(0.0, &[2.0, 0.0], &[], &[]), (100.0, &[4.0, 1.0], &[], &[])];
    assert_eq!(sampled(&humble, at(75.0)).positions, REST);
    send(&mut humble, [at(75.0), at(0.0)], rows).unwrap();
    assert_near(&sampled(&humble, at(75.0)).positions, &[3.5, 0.75]);
}

#[test]
fn a_stamp_of_zero_starts_in_the_cycle_that_first_sees_it() {
    let mut humble = resting(Distribution::Humble);
    let rows: Rows<'_> = &[(0.0, &[2.0, 0.0], &[], &[]), (100.0, &[4.0, 1.0], &[], &[])];
    send(&mut humble, [at(300.0), Stamp::default()], rows).unwrap();
    assert_near(&sampled(&humble, at(350.0)).positions, &[3.0, 0.5]);
    assert_eq!(humble.end(), at(400.0));
}

#[test]
fn a_first_point_to_come_is_bridged_from_the_measured_state() {
    let mut humble = resting(Distribution::Humble);
    let rows: Rows<'_> = &[(40.0, &[1.0, 1.0], &[], &[])];
    send(&mut humble, [at(100.0), at(100.0)], rows).unwrap();
    // A quarter of the way from REST.
    assert_near(&sampled(&humble, at(110.0)).positions, &[0.625, -0.5]);
}

#[test]
fn a_new_message_forgets_the_old_one_at_once() {
    let mut humble = resting(Distribution::Humble);
    let far: Rows<'_> = &[(0.0, &[0.5, -1.0], &[], &[]), (100.0, &[10.5, -1.0], &[], &[])];
    send(&mut humble, [at(0.0), at(0.0)], far).unwrap();
    assert_near(&sampled(&humble, at(50.0)).positions, &[5.5, -1.0]);
    // 60 ms: the old one would be at 6.5. The robot measures REST, and is commanded back to it.
    send(&mut humble, [at(60.0), at(60.0)], &[(40.0, &[0.9, -1.0], &[], &[])]).unwrap();
    assert_near(&sampled(&humble, at(60.0)).positions, &[0.5, -1.0]);
    assert_near(&sampled(&humble, at(80.0)).positions, &[0.7, -1.0]);
    assert_eq!(sampled(&humble, at(200.0)).positions, [0.9, -1.0]);
}

fn moving(distribution: Distribution) -> TrajectoryController {
    let desired = Config { bridge_from: BridgeFrom::Desired, ..config(distribution) };
    let mut controller = TrajectoryController::new(desired, at(0.0), &REST);
    // 100 rad/s, so that 1 ms is 0.1 rad.
    let rows: Rows<'_> = &[(0.0, &[0.0, 0.0], &[], &[]), (1000.0, &[100.0, 200.0], &[], &[])];
    send(&mut controller, [at(0.0), at(0.0)], rows).unwrap();
    controller
}

#[test]
fn humble_in_open_loop_bridges_from_the_command_of_the_cycle_before() {
    let mut humble = moving(Distribution::Humble);
    // The cycle before 200 ms commanded what belongs to 190 ms: 19 and 38, held to be true at 200 ms.
    send(&mut humble, [at(200.0), at(200.0)], &[(40.0, &[23.0, 40.0], &[], &[])]).unwrap();
    assert_near(&sampled(&humble, at(200.0)).positions, &[19.0, 38.0]);
    assert_near(&sampled(&humble, at(210.0)).positions, &[20.0, 38.5]);
}

#[test]
fn jazzy_from_the_desired_state_bridges_from_the_cycle_before_and_its_command_one_period_on() {
    let mut jazzy = moving(Distribution::Jazzy);
    // The cycle before 200 ms commanded what belongs to 200 ms: 20 and 40, but is remembered as of 190 ms. The cycle
    // at 200 ms commands 210 ms: 20 of 50 ms of the way to the point at 240 ms.
    send(&mut jazzy, [at(200.0), at(200.0)], &[(40.0, &[25.0, 45.0], &[], &[])]).unwrap();
    assert_near(&sampled(&jazzy, at(200.0)).positions, &[22.0, 42.0]);
}

#[test]
fn the_desired_state_has_velocities_so_that_a_bridge_to_velocities_is_a_cubic() {
    let mut humble = moving(Distribution::Humble);
    // From 19 at 100 rad/s to 21 at 0 rad/s in 40 ms. Half way a cubic is at the middle plus T (v0 - v1) / 8.
    let rows: Rows<'_> = &[(40.0, &[21.0, 38.0], &[0.0, 0.0], &[])];
    send(&mut humble, [at(200.0), at(200.0)], rows).unwrap();
    assert_near(&sampled(&humble, at(220.0)).positions, &[20.0 + 0.04 * 100.0 / 8.0, 38.0 + 0.04 * 200.0 / 8.0]);
}

#[test]
fn velocities_that_are_not_measured_make_the_bridge_a_line_on_humble_and_a_cubic_from_rest_on_jazzy() {
    let rows: Rows<'_> = &[(40.0, &[0.9, -1.0], &[0.0, 0.0], &[])];
    let mut humble = resting(Distribution::Humble);
    send(&mut humble, [at(0.0), at(0.0)], rows).unwrap();
    assert_near(&sampled(&humble, at(10.0)).positions, &[0.6, -1.0]);
    let mut jazzy = resting(Distribution::Jazzy);
    send(&mut jazzy, [at(0.0), at(0.0)], rows).unwrap();
    // 10 ms of 40 ms from rest to rest: s^2 (3 - 2 s) = 0.15625 of the way; the cycle at 0 commands it.
    assert_near(&sampled(&jazzy, at(0.0)).positions, &[0.5 + 0.4 * 0.15625, -1.0]);
}

#[test]
fn measured_velocities_enter_the_bridge() {
    let mut humble = resting(Distribution::Humble);
    let joints = names(&["shoulder", "elbow"]);
    let arrives = Joints { velocities: &[0.0, 0.0], ..measured(&[0.9, -1.0]) };
    let point = Point { time_from_start: Span::from_millis(40.0), joints: arrives };
    let message = Trajectory { stamp: at(0.0), joints: &joints, points: &[point] };
    humble.accept(at(0.0), message, Joints { velocities: &[8.0, 0.0], ..measured(&REST) }).unwrap();
    // The middle of the way plus T (v0 - v1) / 8.
    assert_near(&sampled(&humble, at(20.0)).positions, &[0.7 + 0.04 * 8.0 / 8.0, -1.0]);
}

#[test]
fn a_continuous_joint_is_bridged_the_short_way_on_jazzy() {
    let target = [3.0, 0.0];
    let start = |distribution| {
        let mut config = config(distribution);
        config.joints[0].continuous = true;
        let mut controller = TrajectoryController::new(config, at(0.0), &[-3.0, 0.0]);
        let joints = names(&["shoulder", "elbow"]);
        let point = Point { time_from_start: Span::from_millis(30.0), joints: measured(&target) };
        let message = Trajectory { stamp: at(0.0), joints: &joints, points: &[point] };
        controller.accept(at(0.0), message, measured(&[-3.0, 0.0])).unwrap();
        controller
    };
    // -3 rad is 2 pi - 3 = 3.283 rad: 0.283 rad from 3 rad. A third of the way at 10 ms, which the cycle at 0 commands.
    let turn = 2.0 * std::f64::consts::PI;
    assert_near(&sampled(&start(Distribution::Jazzy), at(0.0)).positions, &[turn - 3.0 + (6.0 - turn) / 3.0, 0.0]);
    // Humble goes the long way.
    assert_near(&sampled(&start(Distribution::Humble), at(10.0)).positions, &[-1.0, 0.0]);
}

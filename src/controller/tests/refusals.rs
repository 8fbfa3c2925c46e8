//! What the controller drops, and that a dropped message changes nothing.

use super::*;

fn refusal(controller: &mut TrajectoryController, now: Stamp, joints: &[&str], points: &[Point<'_>]) -> String {
    let joints = names(joints);
    let message = Trajectory { stamp: at(0.0), joints: &joints, points };
    controller.accept(now, message, measured(&REST)).unwrap_err().to_string()
}

fn point(millis: f64, positions: &[f64]) -> Point<'_> {
    Point { time_from_start: Span::from_millis(millis), joints: measured(positions) }
}

const BOTH: [&str; 2] = ["shoulder", "elbow"];

#[test]
fn every_reason_is_told_and_changes_nothing() {
    let mut controller = resting(Distribution::Humble);
    let whole = [point(10.0, &[1.0, 2.0])];
    let cases: [(&[&str], &[Point<'_>], &str); 8] = [
        (&["elbow"], &[point(10.0, &[1.0])], "the trajectory names 1 joints, the controller has 2"),
        (&[], &whole, "the trajectory names 0 joints, the controller has 2"),
        (&["shoulder", "wrist"], &whole, "the trajectory names joint `wrist`, which the controller has not"),
        (&["elbow", "elbow"], &whole, "the trajectory names joint `elbow` twice"),
        (&BOTH, &[], "the trajectory has no points"),
        (&BOTH, &[point(10.0, &[1.0])], "point 0 has 1 positions, wanted 2"),
        (&BOTH, &[point(10.0, &[])], "point 0 has 0 positions, wanted 2"),
        (
            &BOTH,
            &[point(10.0, &[1.0, 2.0]), point(10.0, &[1.0, 2.0])],
            "point 1 is 10.000 ms after the start, the one before it 10.000 ms",
        ),
    ];
    for (joints, points, wanted) in cases {
        assert_eq!(refusal(&mut controller, at(0.0), joints, points), wanted);
        assert_eq!(sampled(&controller, at(500.0)).positions, REST);
    }
}

#[test]
fn velocities_and_accelerations_have_one_value_per_joint_or_none() {
    let mut controller = resting(Distribution::Humble);
    let mut wrong = [point(0.0, &[1.0, 2.0]), point(10.0, &[1.0, 2.0])];
    wrong[1].joints.velocities = &[0.0];
    assert_eq!(refusal(&mut controller, at(0.0), &BOTH, &wrong), "point 1 has 1 velocities, wanted 2");
    wrong[1].joints.velocities = &[];
    wrong[0].joints.accelerations = &[0.0, 0.0, 0.0];
    assert_eq!(refusal(&mut controller, at(0.0), &BOTH, &wrong), "point 0 has 3 accelerations, wanted 2");
}

#[test]
fn a_trajectory_that_has_ended_is_refused_and_one_that_ends_now_is_not() {
    let mut controller = resting(Distribution::Jazzy);
    let rows = [point(10.0, &[1.0, 2.0]), point(60.0, &[3.0, 4.0])];
    assert_eq!(refusal(&mut controller, at(60.25), &BOTH, &rows), "the trajectory ended 0.250 ms ago");
    send(&mut controller, [at(60.0), at(0.0)], &[(10.0, &[1.0, 2.0], &[], &[]), (60.0, &[3.0, 4.0], &[], &[])])
        .unwrap();
    assert_eq!(sampled(&controller, at(60.0)).positions, [3.0, 4.0]);
}

#[test]
fn an_end_in_motion_is_refused_where_the_parameter_says_so() {
    let strict = Config { allow_nonzero_velocity_at_trajectory_end: false, ..config(Distribution::Jazzy) };
    let mut controller = TrajectoryController::new(strict, at(0.0), &REST);
    let end = |velocity: f64| {
        let mut controller = controller.clone();
        send(&mut controller, [at(0.0), at(0.0)], &[(10.0, &[1.0, 2.0], &[0.0, velocity], &[])])
    };
    // Exactly the epsilon of `float` is still standstill.
    assert_eq!(end(-1.192_092_895_507_812_5e-7), Ok(()));
    let refused = end(-1.3e-7).unwrap_err();
    assert_eq!(refused, Refused::EndVelocity { joint: "elbow".into(), velocity: -1.3e-7 });
    // Velocities before the last point are nobody's concern.
    let rows: Rows<'_> = &[(10.0, &[1.0, 2.0], &[5.0, 5.0], &[]), (20.0, &[1.0, 2.0], &[0.0, 0.0], &[])];
    send(&mut controller, [at(0.0), at(0.0)], rows).unwrap();
}

#[test]
fn joints_that_a_partial_goal_leaves_out_stay_where_they_were_last_commanded() {
    let partial = Config { allow_partial_joints_goal: true, ..config(Distribution::Humble) };
    let mut controller = TrajectoryController::new(partial, at(0.0), &REST);
    send(&mut controller, [at(0.0), at(0.0)], &[(10.0, &[0.7, -3.0], &[], &[])]).unwrap();
    let joints = names(&["shoulder"]);
    let message = Trajectory { stamp: at(100.0), joints: &joints, points: &[point(0.0, &[0.2])] };
    controller.accept(at(100.0), message, measured(&[9.0, 9.0])).unwrap();
    assert_eq!(sampled(&controller, at(100.0)).positions, [0.2, -3.0]);
    let three = ["shoulder", "elbow", "shoulder"];
    let refused = refusal(&mut controller, at(0.0), &three, &[point(0.0, &[1.0, 2.0, 3.0])]);
    assert_eq!(refused, "the trajectory names 3 joints, the controller has 2");
    assert_eq!(refusal(&mut controller, at(0.0), &[], &[point(0.0, &[])]), "the trajectory names no joints");
}

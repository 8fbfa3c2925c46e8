//! Any trajectory that is taken.

use proptest::prelude::*;

use super::*;

/// Milliseconds to the point from the one before it, and positions and velocities of both joints there.
type Step = (f64, [f64; 2], [f64; 2]);

/// What the points have.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Have {
    Positions,
    Velocities,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (1.0..80.0, prop::array::uniform2(-3.0..3.0), prop::array::uniform2(-2.0..2.0));
    prop::collection::vec(step, 1..8)
}

fn play(distribution: Distribution, steps: &[Step], starts_after: f64, points_have: Have) -> TrajectoryController {
    let mut controller = resting(distribution);
    let joints = names(&["shoulder", "elbow"]);
    let (mut points, mut millis) = (Vec::new(), starts_after);
    for (wait, positions, velocities) in steps {
        let velocities: &[f64] = if points_have == Have::Velocities { velocities } else { &[] };
        let joints = Joints { positions, velocities, accelerations: &[] };
        points.push(Point { time_from_start: Span::from_millis(millis), joints });
        millis += wait;
    }
    let message = Trajectory { stamp: at(0.0), joints: &joints, points: &points };
    controller.accept(at(0.0), message, measured(&REST)).unwrap();
    controller
}

proptest! {
    #[test]
    fn every_point_is_met_when_it_is_due(steps in steps(), starts_after in 0.0..50.0, points_have in prop_oneof![Just(Have::Positions), Just(Have::Velocities)]) {
        let controller = play(Distribution::Humble, &steps, starts_after, points_have);
        let mut millis = starts_after;
        for (wait, positions, _) in &steps {
            let due = at(0.0) + Span::from_millis(millis);
            let state = sampled(&controller, due);
            for (got, want) in state.positions.iter().zip(positions) {
                prop_assert!((got - want).abs() < 1e-9, "{got} instead of {want}");
            }
            millis += wait;
        }
    }

    #[test]
    fn lines_stay_between_their_ends_and_do_not_jump(steps in steps(), starts_after in 1.0..50.0) {
        let controller = play(Distribution::Humble, &steps, starts_after, Have::Positions);
        let reach = |joint: usize| {
            let all = steps.iter().map(move |step| step.1[joint]).chain([REST[joint]]);
            (all.clone().fold(f64::MAX, f64::min), all.fold(f64::MIN, f64::max))
        };
        let mut before = sampled(&controller, at(0.0));
        for millis in 1..700 {
            let state = sampled(&controller, at(f64::from(millis)));
            for joint in 0..2 {
                let (low, high) = reach(joint);
                prop_assert!(state.positions[joint] >= low - 1e-9 && state.positions[joint] <= high + 1e-9);
                // At least 1 ms from point to point and at most 6 rad; a line takes no more than that in any 1 ms.
                prop_assert!((state.positions[joint] - before.positions[joint]).abs() <= 6.0 + 1e-9);
            }
            before = state;
        }
    }

    #[test]
    fn a_cubic_has_no_step_and_no_step_in_velocity(steps in steps()) {
        let controller = play(Distribution::Humble, &steps, 0.0, Have::Velocities);
        let mut millis = 0.0;
        for (wait, _, velocities) in &steps {
            let due = at(0.0) + Span::from_millis(millis);
            let [just_before, just_after] = [-1, 1].map(|nanos| sampled(&controller, due + Span::from_nanos(nanos)));
            if millis > 0.0 {
                for (joint, wanted) in velocities.iter().enumerate() {
                    // 1 ns at accelerations below 6 (6 rad) / (1 ms)^2.
                    prop_assert!((just_before.velocities[joint] - wanted).abs() < 0.1);
                    let step = just_after.positions[joint] - just_before.positions[joint];
                    prop_assert!(step.abs() < 1e-4);
                }
            }
            millis += wait;
        }
    }

    #[test]
    fn what_jazzy_commands_is_its_reference_one_period_later(steps in steps(), millis in 0.0..700.0) {
        let controller = play(Distribution::Jazzy, &steps, 5.0, Have::Velocities);
        let mut reference = State::default();
        controller.reference(at(millis) + PERIOD, &mut reference);
        prop_assert_eq!(sampled(&controller, at(millis)), reference);
    }
}

//! Whatever comes in whatever order: nothing is observed that is old or apart.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Frame { camera: usize, stamped: i32 },
    Joints { stamped: i32 },
    Later { ms: i32 },
}

fn step() -> impl Strategy<Value = Step> {
    // Stamps are late, right, or ahead of the clock.
    let stamped = -150..60;
    prop_oneof![
        3 => (0..2_usize, stamped.clone()).prop_map(|(camera, stamped)| Step::Frame { camera, stamped }),
        2 => stamped.prop_map(|stamped| Step::Joints { stamped }),
        2 => (-40..60).prop_map(|ms| Step::Later { ms }),
    ]
}

proptest! {
    #[test]
    fn what_is_observed_is_fresh_and_of_one_time(steps in prop::collection::vec(step(), 1..200), as_of in any::<bool>()) {
        let second = "- {kind: camera, camera: wrist, transport: raw, max_age_ms: 200}\n- kind: joint_states";
        let robot = ARM_PROFILE.replace("- kind: joint_states", second);
        let align = if as_of { "as_of" } else { "nearest" };
        let robot = robot.replace("- kind: joint_states\n", &format!("- kind: joint_states\n  align: {align}\n"));
        let deployment = Deployment::check(&bundle(ARM_IO, &["front", "wrist"]), &profile(&robot), parameters(&task()));
        let mut sync = Sync::new(&deployment.unwrap());
        let mut now = 1000;
        for step in steps {
            let stamp = |stamped| at(f64::from(now + stamped));
            let received = at(f64::from(now));
            let sample = match step {
                Step::Frame { camera, stamped } => Sample { stamp: stamp(stamped), received, ..frame(camera, f64::from(now)) },
                Step::Joints { stamped } => Sample { stamp: stamp(stamped), received, ..joints(0.0, [f64::from(now + stamped), 0.2, 0.02]) },
                Step::Later { ms } => {
                    now += ms;
                    continue;
                }
            };
            let _ = sync.accept(received, sample);
            if let Ok(observation) = sync.observe(received) {
                let skew = 40.0 + 1e-9;
                let anchor = received.since(observation.stamp).millis();
                for (input, limit) in sync.ages().iter().zip([100.0_f64, 200.0, 50.0]) {
                    let age = input.age.millis();
                    prop_assert!((age - anchor).abs() <= skew && age >= -skew, "{} {age} {anchor}", input.name);
                    // The newest is within its limit; what belongs to the picture may be older by what lies between.
                    prop_assert!(age <= limit.max(anchor + skew), "{} {age}", input.name);
                }
                let measured = at(sync.seen().joints[0]);
                prop_assert!(!as_of || measured <= observation.stamp);
            }
        }
    }
}

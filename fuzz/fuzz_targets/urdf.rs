//! Any bytes as a robot description; what is read has chains, and their poses are finite.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vla_runtime::kinematics::Robot;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(robot) = Robot::parse(text) else { return };
    let (Some(first), Some(last)) = (robot.joints().first(), robot.joints().last()) else { return };
    for (base, tip) in [(&first.parent, &last.child), (&last.child, &first.child)] {
        let Ok(chain) = robot.chain(base, tip) else { continue };
        let positions: Vec<f64> = (0..chain.joints().len()).map(|index| 0.3 - 0.7 * index as f64).collect();
        let Some(pose) = chain.pose(&positions) else { continue };
        let length: f64 = pose.rotation.xyzw().iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-6, "a quaternion {length} long");
        assert!(pose.position.iter().all(|value| value.is_finite()));
    }
});

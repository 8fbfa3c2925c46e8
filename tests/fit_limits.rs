//! `vla fit-limits` on a bag whose motion is a polynomial, so that its limits are sums by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use vla_runtime::bag::BagWriter;
use vla_runtime::msg::{Header, JointState};
use vla_runtime::time::{Span, Stamp};

/// The shoulder speeds up, the elbow is held; nothing is asked about `wheel`. Every fortieth message comes twice.
fn record(path: &Path) {
    let mut bag = BagWriter::create(path).unwrap();
    for index in 0..=400 {
        let at = Stamp::from_ros(100, 0) + Span::from_millis(10.0).times(index);
        let t = 0.01 * index as f64;
        let state = JointState {
            header: Header::new(at, ""),
            name: vec!["wheel".into(), "shoulder".into(), "elbow".into()],
            position: vec![-7.0 * t, 0.0205 * t * t * t, 0.3],
            ..JointState::default()
        };
        for _ in 0..if index % 40 == 0 { 2 } else { 1 } {
            bag.write("/arm/joint_states", at, &state).unwrap();
        }
    }
    bag.finish().unwrap();
}

const PROFILE: &str = "format: 1
robot: r
control_rate_hz: 100
inputs:
- kind: joint_states
  topic: arm/joint_states
  max_age_ms: 100
  joints: [{joint: shoulder, unit: rad}, {joint: elbow, unit: rad}]
outputs:
- kind: joint_trajectory
  joints:
  - JOINT
  - {joint: elbow, action: bend, unit: rad, sign: 1, offset: 0, min: -1, max: 1, max_step: 0.1, max_velocity: 2, max_acceleration: 5, max_jerk: 50}
";

fn joint_line(limits: &str) -> String {
    format!("{{joint: shoulder, action: lift, unit: rad, sign: -1, offset: 0.25, {limits}}}")
}

/// The shoulder is faster than 0.492 rad/s from 2.83 s on, and nothing else is beyond these.
const TODAY: &str = "max_velocity: 0.492, max_acceleration: 1, max_jerk: 1";

fn fit(dir: &Path, arguments: &[&str]) -> Output {
    let profile = dir.join("robot.yaml");
    fs::write(&profile, PROFILE.replace("JOINT", &joint_line(&format!("min: -1, max: 1, max_step: 0.04, {TODAY}"))))
        .unwrap();
    let bag = dir.join("run.mcap");
    record(&bag);
    let mut command = Command::new(env!("CARGO_BIN_EXE_vla"));
    command.arg("fit-limits").arg(bag).arg("--profile").arg(profile).args(arguments);
    command.env("RUST_LOG", "warn").output().unwrap()
}

const ASKED: [&str; 8] = ["--percentile", "100", "--margin", "0.1", "--window-ms", "200", "--rate-hz", "20"];

#[test]
fn limits_are_those_of_the_motion_and_fit_the_profile() {
    let dir = tempfile::tempdir().unwrap();
    let output = fit(dir.path(), &ASKED);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // p = 0.0205 t^3 from 0.05 s to 3.95 s, where the windows are filled: from 0.0000025625 to 1.26341 with a tenth of
    // that beyond; at the end 0.95956 rad/s, 0.48585 rad/s^2, 0.123 rad/s^3, and 0.047373 rad in the last 50 ms.
    let wanted = joint_line(
        "min: -0.127, max: 1.39, max_step: 0.0522, max_velocity: 1.06, max_acceleration: 0.535, max_jerk: 0.136",
    );
    assert_eq!(text.lines().find(|line| line.starts_with("- ")), Some(format!("- {wanted}").as_str()));
    assert!(text.contains("\n# elbow did not move; nothing is proposed for it\n"), "{text}");
    // 391 of 401 samples; p is above 1 rad from 3.66 s on, and 0.04 rad per 50 ms from 3.59 s to 3.90 s.
    assert!(
        text.contains("# shoulder: 391 samples, 10 without a filled window, 11 with a stamp that another one had"),
        "{text}"
    );
    let share = |count: f64| format!("{:.2} %", 100.0 * count / 391.0);
    let positions = text.split("; position ").nth(1).unwrap();
    let [by_proposal, by_profile] = [share(0.0), share(30.0)];
    assert!(positions.starts_with(&by_proposal), "{positions}");
    assert!(positions.split(';').next().unwrap().ends_with(&by_profile), "{positions}");
    let velocities = text.split("; velocity ").nth(1).unwrap().split(';').next().unwrap();
    assert!(velocities.ends_with(&share(113.0)), "{velocities}");
    // What is printed is YAML, comments and all.
    let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(read["joints"][0]["max_acceleration"], 0.535);
}

#[test]
fn what_sets_a_limit_has_no_default_and_a_range() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str]| {
        let output = fit(dir.path(), arguments);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    for (index, name) in ["--percentile", "--margin", "--window-ms", "--rate-hz"].iter().enumerate() {
        let mut some = ASKED.to_vec();
        some.drain(2 * index..2 * index + 2);
        assert!(refused(&some).contains(name));
    }
    for (index, value, wanted) in [
        (1, "50", "--percentile is 50, wanted a number above 50 and at most 100"),
        (3, "nan", "--margin is NaN, wanted 0 or a positive number"),
        (5, "0", "--window-ms is 0, wanted a positive number"),
        (7, "inf", "--rate-hz is inf, wanted a positive number"),
    ] {
        let mut wrong = ASKED.to_vec();
        wrong[index] = value;
        assert_eq!(refused(&wrong), format!("vla: error: {wanted}\n"));
    }
}

#[test]
fn a_bag_without_the_joints_or_with_too_few_samples_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str]| String::from_utf8(fit(dir.path(), arguments).stderr).unwrap();
    let other = [&ASKED[..], &["--topic", "/other"]].concat();
    assert!(refused(&other).contains("/arm/joint_states (sensor_msgs/msg/JointState)"));
    let mut short = ASKED;
    short[5] = "50";
    assert_eq!(
        refused(&short),
        "vla: error: joint `shoulder`: none of 401 samples over 4.0 s has a filled window of 50 ms, wanted 7 samples in it\n"
    );
}

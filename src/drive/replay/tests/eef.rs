//! Commands of an end effector, and a camera that is straightened by what its info says.

use super::*;
use crate::msg::{CameraInfo, Float64, PoseMessage, PoseStamped, TwistStamped};

const IO: &str = "
rate_hz: 5
actions:
- {name: x, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
- {name: y, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
- {name: z, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
- {name: a, unit: controller_input, kind: eef_delta_rotation, scale: 0.5, frame: base, reference: measured, rotation: axis_angle}
- {name: b, unit: controller_input, kind: eef_delta_rotation, scale: 0.5, frame: base, reference: measured, rotation: axis_angle}
- {name: c, unit: controller_input, kind: eef_delta_rotation, scale: 0.5, frame: base, reference: measured, rotation: axis_angle}
- {name: gripper, unit: normalized, kind: gripper, open: 1.0, closed: 0.0}
";

const ROBOT: &str = "
format: 1
robot: reach
control_rate_hz: 100
inputs:
- {kind: camera, camera: front, transport: raw, max_age_ms: 100}
- {kind: eef_pose, frame: base, max_age_ms: 100}
outputs:
- kind: eef_pose
  frame: base
  position: [x, y, z]
  rotation: [a, b, c]
  min: [-1, -1, -1]
  max: [1, 1, 1]
  max_step_m: 0.1
  max_step_rad: 0.5
  max_m_per_s: 20
  max_m_per_s2: 200
  max_m_per_s3: 4000
  max_rad_per_s: 40
  max_rad_per_s2: 400
  max_rad_per_s3: 8000
- {kind: gripper_position, message: float64, action: gripper, unit: m, open: 0.08, closed: 0.0, max_step: 0.08}
";

/// One command: 1 cm along x and 0.1 rad about z per row, the gripper opens by a quarter per row.
struct Steps;

impl Answer for Steps {
    fn answer(&mut self, _: &Observation) -> Result<Answered, String> {
        let row = |gripper| [0.2, 0.0, 0.0, 0.0, 0.0, 0.2, gripper];
        let rows = [0.0, 0.25, 0.5, 0.75].map(row).concat();
        Ok(Answered { chunk: Chunk::new(rows, 7).unwrap(), kept_tokens: 0, stages: vec![] })
    }
}

/// A frame at 0 ms and the end effector at (0.1, -0.2, 0.3), upright, which goes on saying so.
fn observed() -> Made {
    let pose = |ms: f64| {
        let pose = PoseMessage { position: [0.1, -0.2, 0.3].into(), orientation: [0.0, 0.0, 0.0, 1.0].into() };
        PoseStamped { header: Header::new(at(ms), "base"), pose }
    };
    let made = Made::new().also(|bag| bag.write("/eef_pose", at(0.0), &pose(0.0)).unwrap()).frame(0.0);
    let later = (1..14).map(|step| 60.0 * f64::from(step));
    later.fold(made, |made, ms| made.also(|bag| bag.write("/eef_pose", at(ms), &pose(ms)).unwrap()))
}

/// The run as the bag that it is written to.
fn written(robot: &str) -> (tempfile::TempDir, BagReader) {
    let more = [("dry_run", ParamValue::Bool(false)), ("task", ParamValue::String("go".to_owned()))];
    let deployment = Deployment::check(&bundle(IO, &["front"]), &profile(robot), parameters(&more)).unwrap();
    let run = observed().run(&deployment, &mut Steps).unwrap();
    assert_eq!(run.steps.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.mcap");
    record(&path, &deployment, &names(&["~/gripper:=/hand/command"]), &run).unwrap();
    let bag = BagReader::open(&path).unwrap();
    let earlier = chunks(&bag, "/vla_node/action_chunk").unwrap();
    let changes = Changes::between(&earlier, &action_chunks(&deployment, &run));
    assert_eq!((changes.within(0.0), earlier[0].verdict.as_str()), (true, "sent"));
    (folder, bag)
}

/// Messages on a topic with the time at which they leave, ms.
fn on<M: crate::msg::Message + serde::de::DeserializeOwned>(bag: &BagReader, topic: &str) -> Vec<(f64, M)> {
    let messages = bag.messages().map(Result::unwrap).filter(|message| message.topic == topic);
    messages.map(|message| (message.log_time.since(at(0.0)).millis(), message.decode().unwrap())).collect()
}

fn assert_near(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12), "{got:?} {want:?}");
}

#[test]
fn a_target_pose_and_a_gripper_leave_together_when_their_row_is_due() {
    let (_folder, run) = written(ROBOT);
    let poses: Vec<(f64, PoseStamped)> = on(&run, "/vla_node/eef_target");
    // Decided at 10 ms, when nothing had been executed yet; the rows build on where the end effector is. Between them it is
    // told where to be every 10 ms, and behind the last one it comes to rest.
    let times: Vec<f64> = poses.iter().map(|(ms, _)| *ms).collect();
    assert!(times.iter().enumerate().all(|(index, ms)| (ms - 10.0 - 10.0 * index as f64).abs() < 1e-6), "{times:?}");
    assert!(times.len() > 42 && times.len() < 80, "{}", times.len());
    for (row, x, angle) in [(0, 0.1, 0.0), (20, 0.12, 0.2_f64), (40, 0.13, 0.3)] {
        let (ms, pose) = &poses[row];
        assert_eq!((Stamp::from(pose.header.stamp), pose.header.frame_id.as_str()), (at(*ms), "base"));
        assert_near(&<[f64; 3]>::from(pose.pose.position), &[x, -0.2, 0.3]);
        let half = angle / 2.0;
        assert_near(&<[f64; 4]>::from(pose.pose.orientation), &[0.0, 0.0, half.sin(), half.cos()]);
    }
    let grippers: Vec<(f64, Float64)> = on(&run, "/hand/command");
    let want = [(10.0, 0.0), (210.0, 0.02), (410.0, 0.04)].map(|(ms, data)| (ms, Float64 { data }));
    assert_eq!(grippers, want);
}

#[test]
fn a_velocity_ends_with_none_and_the_gripper_stays() {
    let limits = "max_m_per_s: 1\n  max_rad_per_s: 2\n  max_step_m_per_s: 1\n  max_step_rad_per_s: 2";
    let robot =
        ROBOT.replace("kind: eef_pose\n", "kind: eef_twist\n").replace("max_step_m: 0.1\n  max_step_rad: 0.5", limits);
    let (kept, rest) = robot.split_once("  max_m_per_s: 20").unwrap();
    let robot = format!("{kept}{}", &rest[rest.find("- {kind: gripper").unwrap()..]);
    let (_folder, run) = written(&robot);
    let twists: Vec<(f64, TwistStamped)> = on(&run, "/vla_node/eef_twist");
    let row = |ms| (ms, [0.05, 0.0, 0.0], 0.5);
    let want = [row(10.0), row(210.0), row(410.0), (610.0, [0.0; 3], 0.0)];
    assert_eq!(twists.len(), want.len());
    for ((at_ms, twist), (ms, linear, turning)) in twists.iter().zip(want) {
        assert_eq!((*at_ms, Stamp::from(twist.header.stamp), twist.header.frame_id.as_str()), (ms, at(ms), "base"));
        assert_near(&<[f64; 3]>::from(twist.twist.linear), &linear);
        assert_near(&<[f64; 3]>::from(twist.twist.angular), &[0.0, 0.0, turning]);
    }
    assert_eq!(on::<Float64>(&run, "/hand/command").len(), 3);
}

#[test]
fn one_output_that_refuses_keeps_all_of_them_still() {
    let more = [("dry_run", ParamValue::Bool(false)), ("task", ParamValue::String("go".to_owned()))];
    let robot = ROBOT.replace("max_step: 0.08", "max_step: 0.01");
    let deployment = Deployment::check(&bundle(IO, &["front"]), &profile(&robot), parameters(&more)).unwrap();
    let run = observed().run(&deployment, &mut Steps).unwrap();
    let verdict = run.steps[0].decision.verdict.to_string();
    assert_eq!(verdict, "rejected: gripper_position `gripper` row 1 steps from 0 to 0.02 m, wanted at most 0.01");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.mcap");
    record(&path, &deployment, &names(&[]), &run).unwrap();
    let bag = BagReader::open(&path).unwrap();
    assert!(bag.topic("/vla_node/eef_target").is_err() && bag.topic("/vla_node/gripper").is_err());
}

#[test]
fn a_camera_info_of_the_bag_reaches_the_policy() {
    struct Seen(Vec<[u32; 2]>);
    impl Answer for Seen {
        fn answer(&mut self, observation: &Observation) -> Result<Answered, String> {
            self.0.extend(observation.optics.iter().flatten().map(|optics| optics.size()));
            Err("seen".to_owned())
        }
    }
    let robot = ARM_PROFILE.replace("transport: raw,", "transport: raw, undistort: topic,");
    let task = [("task", ParamValue::String("go".to_owned()))];
    let deployment = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(&robot), parameters(&task)).unwrap();
    let error = three_observations().run(&deployment, &mut Seen(vec![])).unwrap_err().to_string();
    assert!(error.starts_with("bag lacks `/camera_info/front` (camera info of `front`); it has "), "{error}");
    let uncalibrated = CameraInfo { width: 2, height: 1, ..CameraInfo::default() };
    let info = CameraInfo {
        distortion_model: "plumb_bob".to_owned(),
        d: vec![0.0; 5],
        k: [2.0, 0.0, 1.0, 0.0, 2.0, 0.5, 0.0, 0.0, 1.0],
        r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p: [2.0, 0.0, 1.0, 0.0, 0.0, 2.0, 0.5, 0.0, 0.0, 0.0, 1.0, 0.0],
        ..uncalibrated.clone()
    };
    let made = three_observations().also(|bag| bag.write("/camera_info/front", at(100.0), &info).unwrap());
    let made = made.also(|bag| bag.write("/camera_info/front", at(150.0), &uncalibrated).unwrap());
    let mut seen = Seen(vec![]);
    let run = made.run(&deployment, &mut seen).unwrap();
    assert_eq!(seen.0, [[2, 1]; 2], "the first observation was before");
    let text = report(&deployment, &run);
    assert!(
        text.contains("unusable          1  the camera is not calibrated: `k` of its camera info is zero\n"),
        "{text}"
    );
    assert!(text.contains("not ready         1  camera_info.front: nothing usable yet\n"), "{text}");
}

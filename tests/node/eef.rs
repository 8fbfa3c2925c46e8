//! A policy of the end effector, from its checkpoint to the messages that another DDS hears.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::Node;
use super::peer::Robot;

/// The arm's checkpoint with another meaning of its seven actions: so small steps that any network may make them.
fn bundle(folder: &Path, reference: &str) -> PathBuf {
    let arm6 = std::fs::read_to_string("calibration/io/arm6.yaml").unwrap();
    let state = arm6.split_once("state:").unwrap().1;
    let how = format!("unit: controller_input, scale: 0.001, frame: base, reference: {reference}");
    let way = |name| format!("- {{name: {name}, kind: eef_delta_position, {how}}}\n");
    let turn = |name| format!("- {{name: {name}, kind: eef_delta_rotation, rotation: axis_angle, {how}}}\n");
    let actions = ["x", "y", "z"].map(way).concat() + &["a", "b", "c"].map(turn).concat();
    let gripper = "- {name: gripper, unit: m, kind: gripper, open: 0.05, closed: 0.0}\n";
    let io = folder.join("io.yaml");
    std::fs::write(&io, format!("rate_hz: 2\nactions:\n{actions}{gripper}state:{state}")).unwrap();
    let bundle = folder.join("bundle");
    let files = ["--checkpoint", "tests/data/checkpoints/arm6", "--io", io.to_str().unwrap()];
    let shape = ["--cameras", "front", "--chunk-size", "8", "--norm", "quantile", "--center-crop", "on"];
    let kind = ["--system", "openvla_oft", "--image-pipeline", "openvla_oft", "--golden", "off"];
    let export = Command::new(env!("CARGO_BIN_EXE_vla"))
        .arg("export")
        .args([&files[..], &shape, &kind].concat())
        .args(["--out", bundle.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    bundle
}

/// The arm as an end effector, with `output` in the place of its joints.
fn profile(output: &str) -> String {
    let arm6 = std::fs::read_to_string("calibration/robots/arm6.yaml").unwrap();
    let inputs = arm6.split_once("outputs:").unwrap().0.replace("compressed", "raw").replace("_ms: 200", "_ms: 2000");
    let inputs = inputs.replace("max_age_ms: 100", "max_age_ms: 2000");
    format!(
        "{inputs}- {{kind: eef_pose, frame: base, max_age_ms: 2000}}
outputs:
- {output}
  frame: base
  position: [x, y, z]
  rotation: [a, b, c]
  min: [-5, -5, -5]
  max: [5, 5, 5]
- {{kind: gripper_position, message: float64, action: gripper, unit: m, open: 0.05, closed: 0.0, max_step: 0.05}}
"
    )
}

/// Where the robot says that its end effector is.
const PLACE: [f64; 3] = [0.25, -0.5, 1.5];

const AXES: [&str; 3] = ["x", "y", "z"];

/// A robot under `prefix` that hears its chunks, its gripper and this.
fn robot(prefix: &str, kind: &str) -> Robot {
    let image = json!({"header": {"frame_id": "optical"}, "height": 24, "width": 32, "encoding": "rgb8",
        "is_bigendian": 0, "step": 96, "data": {"pattern": 24 * 96}});
    let names = ["joint_1", "joint_2", "joint_3", "joint_4", "joint_5", "joint_6", "gripper"];
    let joints = json!({"header": {}, "name": names, "position": [0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.02]});
    let [x, y, z] = PLACE;
    let pose = json!({"position": {"x": x, "y": y, "z": z}, "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}});
    let pose = json!({"header": {"frame_id": "base"}, "pose": pose});
    let send = |topic: &str, kind: &str, rate_hz: u32, message: &Value| json!({"topic": format!("{prefix}/{topic}"), "type": kind, "rate_hz": rate_hz, "stamp_now": true, "message": message});
    Robot::start(&json!({
        "hear": [
            {"topic": format!("{prefix}/mover/action_chunk"), "type": "ActionChunk"},
            {"topic": format!("{prefix}/told"), "type": kind},
            {"topic": format!("{prefix}/hand"), "type": "Float64"},
        ],
        "send": [
            send("images/front", "Image", 20, &image),
            send("joint_states", "JointState", 50, &joints),
            send("eef_pose", "PoseStamped", 50, &pose),
        ],
    }))
}

fn start(prefix: &str, reference: &str, output: &str) -> Node {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(folder.path(), reference);
    // One chunk in ten seconds: all its rows leave.
    let parameters = format!(
        "    dry_run: false\n    task: reach\n    n_action_steps: 8\n    inference_rate_hz: 0.1\n    eef_twist: {prefix}/told\n    \
         gripper: {prefix}/hand\n"
    );
    let names =
        ["-r", "__node:=mover", "-r", &format!("__ns:={prefix}"), "-r", &format!("~/eef_target:={prefix}/told")];
    Node::on(folder, &bundle, &profile(output), (&parameters, &names))
}

fn rows(chunk: &Value) -> Vec<Vec<f64>> {
    let actions: Vec<f64> = chunk["actions"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    actions.chunks(7).map(<[f64]>::to_vec).collect()
}

/// Stamp of a message, in ns.
fn nanos(message: &Value) -> i64 {
    let stamp = &message["header"]["stamp"];
    stamp["sec"].as_i64().unwrap() * 1_000_000_000 + stamp["nanosec"].as_i64().unwrap()
}

fn numbers<const N: usize>(fields: &Value, names: [&str; N]) -> [f64; N] {
    names.map(|name| fields[name].as_f64().unwrap())
}

/// The gripper is told an opening that one of the rows means.
fn assert_hand(robot: &Robot, topic: &str, rows: &[Vec<f64>]) {
    let told = robot.hear(topic, |_| true)["data"].as_f64().unwrap();
    assert!(rows.iter().any(|row| (row[6].clamp(0.0, 0.05) - told).abs() < 1e-12), "{told} of {rows:?}");
}

#[test]
fn a_target_pose_and_a_gripper_position_reach_another_dds() {
    let robot = robot("/pose", "PoseStamped");
    let node = start(
        "/pose",
        "chunk_start",
        "kind: eef_pose\n  max_step_m: 1\n  max_step_rad: 1\n  max_m_per_s: 1\n  max_m_per_s2: 10\n  \
        max_m_per_s3: 200\n  max_rad_per_s: 1\n  max_rad_per_s2: 10\n  max_rad_per_s3: 200",
    );
    let rows = rows(&robot.hear("/pose/mover/action_chunk", |chunk| chunk["verdict"] == "sent"));
    // Nothing was executed before, so that row 0 belongs to the first message.
    let first = robot.hear("/pose/told", |_| true);
    assert_eq!((numbers(&first["pose"]["position"], AXES), &first["header"]["frame_id"]), (PLACE, &json!("base")));
    for (row, due) in rows[1..3].iter().zip([500, 1000]) {
        let due = nanos(&first) + due * 1_000_000;
        let told = robot.hear("/pose/told", |told| nanos(told) >= due);
        let pose = &told["pose"];
        // The first sample from then on is up to 20 ms behind the row; the arm moves by less than 2 mm/s.
        for ((got, start), action) in numbers(&pose["position"], AXES).iter().zip(PLACE).zip(row) {
            assert!((got - start - 0.001 * action).abs() < 4e-5, "{told} of {row:?}");
        }
        // Of so small a turn the quaternion is half of it.
        for (got, action) in numbers(&pose["orientation"], AXES).iter().zip(&row[3..]) {
            assert!((got - 0.0005 * action).abs() < 2e-5, "{told} of {row:?}");
        }
        let length: f64 = numbers(&pose["orientation"], ["x", "y", "z", "w"]).iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-12, "{told}");
    }
    assert_hand(&robot, "/pose/hand", &rows);
    let (code, log) = node.end("-INT");
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_velocity_reaches_another_dds_and_is_none_once_the_node_has_ended() {
    let robot = robot("/twist", "TwistStamped");
    let limits = "max_m_per_s: 1\n  max_rad_per_s: 1\n  max_step_m_per_s: 1\n  max_step_rad_per_s: 1";
    let node = start("/twist", "measured", &format!("kind: eef_twist\n  {limits}"));
    let rows = rows(&robot.hear("/twist/mover/action_chunk", |chunk| chunk["verdict"] == "sent"));
    let mut first = None;
    for (row, due) in rows.iter().take(2).zip([0, 500_000_000]) {
        let told = robot.hear("/twist/told", |_| true);
        let start = *first.get_or_insert(nanos(&told));
        assert_eq!((nanos(&told) - start, &told["header"]["frame_id"]), (due, &json!("base")));
        let parts = ["linear", "angular"].map(|part| numbers(&told["twist"][part], AXES));
        for (got, action) in parts.concat().iter().zip(row) {
            assert!((got - 0.001 * action / 0.5).abs() < 1e-12, "{told} of {row:?}");
        }
    }
    assert_hand(&robot, "/twist/hand", &rows);
    let (code, log) = node.end("-INT");
    assert_eq!(code, Some(0), "{log}");
    let none = json!({"x": 0.0, "y": 0.0, "z": 0.0});
    let last = robot.hear("/twist/told", |told| told["twist"]["linear"] == none && told["twist"]["angular"] == none);
    assert_eq!(last["header"]["frame_id"], "base");
}

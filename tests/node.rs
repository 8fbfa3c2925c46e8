//! `vla node` as a program, against a robot on CycloneDDS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "shared/arm.rs"]
mod arm;
#[path = "shared/case.rs"]
mod case;
#[path = "node/control.rs"]
mod control;
#[path = "node/denoising.rs"]
mod denoising;
#[path = "node/eef.rs"]
mod eef;
#[path = "node/flight.rs"]
mod flight;
#[path = "ros2/peer.rs"]
mod peer;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use peer::{Robot, domain};
use serde_json::{Value, json};

/// The rows of the tiny bundle, one every half second, are three joint positions.
const IO: &str = r#"{
    "rate_hz": 2.0,
    "actions": [
        {"name": "a", "unit": "rad", "kind": "joint_position"},
        {"name": "b", "unit": "rad", "kind": "joint_position"},
        {"name": "c", "unit": "rad", "kind": "joint_position"}
    ],
    "state": [
        {"name": "a", "unit": "rad", "source": "joint_position"},
        {"name": "b", "unit": "rad", "source": "joint_position"}
    ]
}"#;

/// Joint `jb` turns the other way round; the robot lists its joints in another order.
const PROFILE: &str = "
format: 1
robot: cell
control_rate_hz: 100
inputs:
- {kind: camera, camera: front, transport: raw, max_age_ms: 2000, may_stand_still: true}
- kind: joint_states
  max_age_ms: 2000
  joints:
  - {joint: ja, state: a, unit: rad, sign: 1, offset: 0.0}
  - {joint: jb, state: b, unit: rad, sign: -1, offset: 0.0}
  - {joint: jc, unit: rad}
outputs:
- kind: joint_trajectory
  joints:
  - {joint: ja, action: a, unit: rad, sign: 1, offset: 0.0, min: -9.0, max: 9.0, max_step: 20.0, max_velocity: 400, max_acceleration: 4000, max_jerk: 80000}
  - {joint: jb, action: b, unit: rad, sign: -1, offset: 0.0, min: -9.0, max: 9.0, max_step: 20.0, max_velocity: 400, max_acceleration: 4000, max_jerk: 80000}
  - {joint: jc, action: c, unit: rad, sign: 1, offset: 0.0, min: -9.0, max: 9.0, max_step: 20.0, max_velocity: 400, max_acceleration: 4000, max_jerk: 80000}
";

/// By hand from the formulas in tests/data/recipes/tiny_bundle.py:
/// the pixels 0 to 17 have channel means 7.5, 8.5 and 9.5, normalised -16/17, -28/15 and -63/17 (-3.70588...);
/// joint ja at 1.5 is state 0.5, jb at 1.0 is position -1.0 of `b`, state -0.5; `do pick now` is 1, 2, 4.
fn expected_actions() -> Vec<f64> {
    let brightness = [(7.5 / 255.0 - 0.5) / 0.5, (8.5 / 255.0 - 0.5) / 0.25, (9.5 / 255.0 - 0.5) / 0.125];
    let rows = [0.5, -0.5].map(|state| brightness.map(|channel| state * channel + 7.0 / 3.0));
    rows.iter().flat_map(|[a, b, c]| [*a, (b + 1.0) * 2.0, *c]).collect()
}

struct Node {
    child: Child,
    folder: tempfile::TempDir,
}

impl Node {
    /// Starts `vla node` on the tiny bundle with `arguments` behind the parameter file, which says `parameters`.
    fn start(parameters: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bundle = bundle_with_io(folder.path());
        let usual = "    n_action_steps: 2\n    inference_rate_hz: 2.0\n";
        Self::on(folder, &bundle, PROFILE, (&format!("{usual}{parameters}"), arguments))
    }

    /// Starts `vla node` on a bundle and a profile of this text; its files are kept in `folder`.
    fn on(folder: tempfile::TempDir, bundle: &Path, profile: &str, (parameters, arguments): (&str, &[&str])) -> Self {
        let file = folder.path().join("params.yaml");
        let path = folder.path().join("profile.yaml");
        fs::write(&path, profile).unwrap();
        let text = format!(
            "/**:\n  ros__parameters:\n    bundle: {}\n    profile: {}\n    max_skew_ms: 2000\n{parameters}",
            bundle.display(),
            path.display()
        );
        fs::write(&file, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_vla"))
            .args(["node", "--ros-args", "--params-file"])
            .arg(&file)
            .args(arguments)
            .env("ROS_DOMAIN_ID", domain().to_string())
            .env("ROS_LOCALHOST_ONLY", "1")
            .env("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    /// Sends `signal` and gives the exit code and what was logged.
    fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let (sender, ended) = std::sync::mpsc::channel();
        let mut stderr = self.child.stderr.take().unwrap();
        std::thread::spawn(move || {
            let mut log = String::new();
            let read = stderr.read_to_string(&mut log);
            drop(sender.send(read.map(|_| log)));
        });
        let log = ended.recv_timeout(Duration::from_secs(1)).expect("ends within a second of the signal").unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Already gone where the test went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The tiny bundle with names for its dimensions.
fn bundle_with_io(folder: &Path) -> std::path::PathBuf {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bundles/tiny");
    let bundle = folder.join("bundle");
    fs::create_dir(&bundle).unwrap();
    for entry in fs::read_dir(tiny).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, bundle.join(path.file_name().unwrap())).unwrap();
    }
    let manifest = bundle.join("manifest.json");
    let mut json: Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
    json["io"] = serde_json::from_str(IO).unwrap();
    fs::write(manifest, json.to_string()).unwrap();
    bundle
}

/// A robot with a camera, joints and an instruction under `prefix`, that hears `hear`.
fn robot(prefix: &str, hear: &Value) -> Robot {
    robot_behind(prefix, hear, 0)
}

/// The same, with stamps and a `/clock` that are `behind_s` seconds in the past.
fn robot_behind(prefix: &str, hear: &Value, behind_s: u32) -> Robot {
    let image = json!({"header": {"frame_id": "optical"}, "height": 2, "width": 3, "encoding": "rgb8",
        "is_bigendian": 0, "step": 9, "data": {"pattern": 18}});
    let joints = json!({"header": {}, "name": ["jc", "jb", "ja"], "position": [0.25, 1.0, 1.5]});
    Robot::start(&json!({"hear": hear, "send": [
        {"topic": format!("{prefix}/image_raw"), "type": "Image", "rate_hz": 20, "stamp_now": true,
            "behind_s": behind_s, "message": image},
        {"topic": format!("{prefix}/joints"), "type": "JointState", "rate_hz": 50, "stamp_now": true,
            "behind_s": behind_s, "message": joints},
        {"topic": format!("{prefix}/clock"), "type": "Clock", "rate_hz": 100, "stamp_now": true,
            "behind_s": behind_s, "message": {}},
        {"topic": format!("{prefix}/task"), "type": "String", "rate_hz": 5, "message": {"data": "pick"}},
    ]}))
}

fn remaps(prefix: &str, name: &str) -> Vec<String> {
    let rules = [
        format!("__node:={name}"),
        "__ns:=/cell".to_owned(),
        format!("images/front:={prefix}/image_raw"),
        format!("joint_states:={prefix}/joints"),
        format!("~/instruction:={prefix}/task"),
        format!("~/joint_trajectory:={prefix}/follow"),
    ];
    rules.into_iter().flat_map(|rule| ["-r".to_owned(), rule]).collect()
}

fn near(got: &Value, want: &[f64]) {
    let got: Vec<f64> = got.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    let close = got.len() == want.len() && got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-5);
    assert!(close, "got {got:?}, wanted {want:?}");
}

#[test]
fn pictures_joints_and_an_instruction_become_a_trajectory() {
    let robot = robot(
        "/live",
        &json!([
            {"topic": "/cell/brain/action_chunk", "type": "ActionChunk"},
            {"topic": "/live/follow", "type": "JointTrajectory"},
            {"topic": "/diagnostics", "type": "DiagnosticArray"},
            {"topic": "ros_discovery_info", "type": "ParticipantEntitiesInfo"},
        ]),
    );
    let remaps = remaps("/live", "brain");
    let remaps: Vec<&str> = remaps.iter().map(String::as_str).collect();
    // One chunk in ten seconds: it is executed to its end.
    let node = Node::start("    dry_run: false\n    inference_rate_hz: 0.1\n", &remaps);
    robot.hear("ros_discovery_info", |info| {
        let nodes = info["node_entities_info_seq"].as_array().unwrap();
        nodes.iter().any(|node| node["node_namespace"] == "/cell" && node["node_name"] == "brain")
    });
    let chunk = robot.hear("/cell/brain/action_chunk", |chunk| chunk["verdict"] == "sent");
    let actions = expected_actions();
    near(&chunk["actions"], &actions);
    assert_eq!((&chunk["names"], &chunk["chunk_size"]), (&json!(["a", "b", "c"]), &json!(2)));
    assert_eq!((&chunk["task"], &chunk["source"]), (&json!("pick"), &json!("live")));
    assert_eq!((&chunk["header"]["frame_id"], &chunk["kept_tokens"]), (&json!("optical"), &json!(0)));
    assert_eq!(chunk["inputs"], json!(["images.front", "joint_states"]));
    assert!(chunk["input_ages"].as_array().unwrap().iter().all(|age| age["sec"].as_i64().unwrap() < 2), "{chunk}");
    assert_eq!(chunk["action_dt"], json!({"sec": 0, "nanosec": 500_000_000}));
    assert_eq!(chunk["bundle_digest"].as_str().unwrap().len(), 64);

    // jb turns the other way round, and row 1 is the last: there the arm comes to rest.
    let end = [actions[3], -actions[4], actions[5]];
    let trajectory = robot.hear("/live/follow", |trajectory| {
        let last = &trajectory["points"].as_array().unwrap().last().unwrap()["positions"];
        last.as_array().unwrap().iter().zip(end).all(|(got, want)| (got.as_f64().unwrap() - want).abs() < 1e-3)
    });
    assert_eq!(trajectory["joint_names"], json!(["ja", "jb", "jc"]));
    let points = trajectory["points"].as_array().unwrap();
    assert_eq!(points.last().unwrap()["velocities"], json!([0.0, 0.0, 0.0]));
    assert_eq!(points[0]["time_from_start"], json!({"sec": 0, "nanosec": 0}));

    let report = robot.hear("/diagnostics", |report| {
        report["status"]
            .as_array()
            .unwrap()
            .iter()
            .any(|status| status["name"] == "/cell/brain: output" && status["message"] == "commands leave")
    });
    let names: Vec<&str> = report["status"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    let inputs = ["input images.front", "input joint_states", "input instruction", "input parameter task"];
    let parts = inputs.into_iter().chain(["inference", "output", "safety", "interlock", "topics"]);
    assert_eq!(names, parts.map(|part| format!("/cell/brain: {part}")).collect::<Vec<_>>());

    let (code, log) = node.end("-INT");
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("/live/image_raw") && log.contains("/live/follow"), "{log}");
}

#[test]
fn on_simulated_time_the_chunks_bear_the_time_of_the_simulation() {
    let hear = json!([
        {"topic": "/cell/dreamer2/action_chunk", "type": "ActionChunk"},
        {"topic": "/sim/follow", "type": "JointTrajectory"},
    ]);
    let robot = robot_behind("/sim", &hear, 1_000_000_000);
    let mut remaps = remaps("/sim", "dreamer2");
    remaps.extend(["-r".to_owned(), "/clock:=/sim/clock".to_owned()]);
    let remaps: Vec<&str> = remaps.iter().map(String::as_str).collect();
    let node = Node::start("    dry_run: false\n    use_sim_time: true\n", &remaps);
    let chunk = robot.hear("/cell/dreamer2/action_chunk", |chunk| chunk["verdict"] == "sent");
    near(&chunk["actions"], &expected_actions());
    assert!(chunk["header"]["stamp"]["sec"].as_u64().unwrap() < 1_000_000_000, "{}", chunk["header"]);
    robot.hear("/sim/follow", |follow| follow["header"]["stamp"]["sec"].as_u64().unwrap() < 1_000_000_000);
    let (code, log) = node.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_dry_run_says_what_it_would_do_and_moves_nothing() {
    let robot = robot(
        "/dry",
        &json!([
            {"topic": "/cell/dreamer/action_chunk", "type": "ActionChunk"},
            {"topic": "/dry/follow", "type": "JointTrajectory"},
        ]),
    );
    let remaps = remaps("/dry", "dreamer");
    let remaps: Vec<&str> = remaps.iter().map(String::as_str).collect();
    let node = Node::start("", &remaps);
    let chunk = robot.hear("/cell/dreamer/action_chunk", |chunk| chunk["chunk_id"].as_u64().unwrap() >= 1);
    assert_eq!(chunk["verdict"], "dry_run");
    near(&chunk["actions"], &expected_actions());
    assert_eq!(robot.heard_so_far("/dry/follow"), 0);
    let (code, log) = node.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn what_does_not_fit_together_ends_the_program_with_a_sentence() {
    let mut node = Node::start("    no_such_parameter: 1\n", &[]);
    let mut log = String::new();
    node.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(node.child.wait().unwrap().code(), Some(1));
    assert!(log.contains("`no_such_parameter` is not a parameter of this node"), "{log}");
}

#[test]
fn a_signal_ends_a_node_that_is_still_loading() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("params.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let child = Command::new(env!("CARGO_BIN_EXE_vla"))
        .args(["node", "--ros-args", "--params-file"])
        .arg(&pipe)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Opens as soon as the node reads its end, which nobody will ever fill.
    let _writer = fs::File::options().write(true).open(&pipe).unwrap();
    let (code, log) = Node { child, folder }.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_controller_that_does_not_answer_keeps_the_node_from_starting() {
    let controller = "- kind: joint_trajectory
  controller:
    distribution: humble
    update_rate_hz: 100
    interpolation_method: splines
    bridge_from: measured
    allow_nonzero_velocity_at_trajectory_end: true
    ask: {node: /nobody, manager: /nobody_at_all}";
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle_with_io(folder.path());
    let profile = PROFILE.replace("- kind: joint_trajectory", controller);
    let parameters = "    n_action_steps: 2\n    inference_rate_hz: 2.0\n";
    let mut node = Node::on(folder, &bundle, &profile, (parameters, &["-r", "__node:=unanswered"]));
    let mut log = String::new();
    node.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(node.child.wait().unwrap().code(), Some(1));
    let wanted = "vla: error: service `/nobody/get_state` did not answer within 10000.000 ms\n";
    assert!(log.ends_with(wanted), "{log}");
}

#[test]
fn a_policy_that_is_too_slow_for_its_chunks_does_not_get_a_robot_to_move() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle_with_io(folder.path());
    let ends = |parameters: &str, arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut node = Node::on(folder, &bundle, PROFILE, (parameters, arguments));
        let mut log = String::new();
        node.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert_eq!(node.child.wait().unwrap().code(), Some(1), "{log}");
        log
    };
    // The one row of such a chunk is past when it is there.
    let log = ends("    n_action_steps: 1\n    inference_rate_hz: 2.0\n    dry_run: false\n", &["-r", "__node:=hasty"]);
    let (_, why) = log.rsplit_once("vla: error: ").expect(&log);
    assert!(why.starts_with("the policy cannot be loaded: inference takes "), "{log}");
    assert!(why.contains("do not fit into 0.000 ms of chunk (`n_action_steps` is 1)"), "{log}");
    assert!(why.contains("what fits: `n_action_steps` of at least 2 (the bundle predicts 2)"), "{log}");
    // Where nothing moves it is only said: the node goes on.
    let parameters = "    n_action_steps: 1\n    inference_rate_hz: 2.0\n";
    let robot = robot("/slow", &json!([{"topic": "/cell/patient/action_chunk", "type": "ActionChunk"}]));
    let remaps = remaps("/slow", "patient");
    let remaps: Vec<&str> = remaps.iter().map(String::as_str).collect();
    let node = Node::on(folder, &bundle, PROFILE, (parameters, &remaps));
    robot.hear("/cell/patient/action_chunk", |chunk| chunk["verdict"].as_str().unwrap().starts_with("rejected: late"));
    let (_, log) = node.end("-TERM");
    assert!(log.contains("nothing could move: inference takes "), "{log}");
}

//! State from a pose, along frames and from an array, through the small bundle whose numbers are known.

use serde_json::Value;
use vla_runtime::msg::ActionChunk;

use super::*;

const IO: &str = r#"{
    "rate_hz": 10.0,
    "actions": [
        {"name": "a", "unit": "controller_input", "kind": "eef_delta_position",
            "scale": 1.0, "frame": "base", "reference": "measured"},
        {"name": "b", "unit": "controller_input", "kind": "eef_delta_position",
            "scale": 1.0, "frame": "base", "reference": "measured"},
        {"name": "c", "unit": "controller_input", "kind": "eef_delta_position",
            "scale": 1.0, "frame": "base", "reference": "measured"}
    ],
    "state": [
        {"name": "y", "unit": "m", "source": "eef_position"},
        {"name": "ry", "unit": "rad", "source": "eef_rotation", "rotation": "axis_angle"}
    ]
}"#;

fn profile(state: &str) -> String {
    let dims = ["a", "b", "c"].map(|name| format!("{{action: {name}, min: -1, max: 1, max_step: 1}}")).join(", ");
    format!(
        "format: 1\nrobot: cell\ninputs:\n\
         - {{kind: camera, camera: front, transport: raw, max_age_ms: 200, may_stand_still: true}}\n\
         - {state}\noutputs:\n- {{kind: controller_input, dims: [{dims}]}}\n"
    )
}

/// The small bundle with names for its dimensions.
fn bundle(folder: &Path) -> PathBuf {
    let bundle = folder.join("bundle");
    std::fs::create_dir(&bundle).unwrap();
    for entry in std::fs::read_dir(Path::new(ROOT).join("tests/data/bundles/tiny")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, bundle.join(path.file_name().unwrap())).unwrap();
    }
    let manifest = bundle.join("manifest.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    json["io"] = serde_json::from_str(IO).unwrap();
    std::fs::write(manifest, json.to_string()).unwrap();
    bundle
}

/// By hand from the formulas in tests/data/recipes/tiny_bundle.py, for these values of `y` and `ry`:
/// the pixels 0 to 17 have channel means 7.5, 8.5 and 9.5; `do pick now` is 1, 2, 4.
fn actions([y, ry]: [f64; 2]) -> Vec<f64> {
    let brightness = [(7.5 / 255.0 - 0.5) / 0.5, (8.5 / 255.0 - 0.5) / 0.25, (9.5 / 255.0 - 0.5) / 0.125];
    let rows = [y - 1.0, ry / 2.0].map(|state| brightness.map(|channel| state * channel + 7.0 / 3.0));
    rows.iter().flat_map(|[a, b, c]| [*a, (b + 1.0) * 2.0, *c]).collect()
}

/// The robot's two states in the bag are `wanted`, and for its third picture it tells none.
fn assert_states(state: &str, wanted: [[f64; 2]; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let [robot, out] = ["robot.yaml", "out.mcap"].map(|name| dir.path().join(name));
    std::fs::write(&robot, profile(state)).unwrap();
    let bundle = bundle(dir.path());
    let what = ["replay", bundle.to_str().unwrap(), "tests/data/bags/state", "--profile", robot.to_str().unwrap()];
    let how = ["--params", "launch/params/arm6.yaml", "--out", out.to_str().unwrap()];
    let names = ["--ros-args", "-r", "__node:=vla", "-p", "n_action_steps:=2", "-p", "inference_rate_hz:=10.0"];
    let text = stdout(&vla(&[&what[..], &how, &names].concat()));
    assert!(text.starts_with("decisions         2  in 1.099 s\n"), "{text}");
    let run = BagReader::open(&out).unwrap();
    let chunks = run.messages().map(Result::unwrap).filter(|message| message.topic == "/vla/action_chunk");
    let chunks: Vec<ActionChunk> = chunks.map(|chunk| chunk.decode().unwrap()).collect();
    assert_eq!(chunks.len(), 2);
    for (chunk, state) in chunks.iter().zip(wanted) {
        let close = chunk.actions.iter().zip(actions(state)).all(|(got, want)| (got - want).abs() < 1e-5);
        assert!(close && chunk.actions.len() == 6, "{state:?}: {:?}", chunk.actions);
    }
}

#[test]
fn a_pose_in_the_bag_becomes_the_policys_state() {
    // Rotated by 2 acos(-0.6) about (0.6, 0.8, 0), then by 2 acos(0.8) about y.
    let [first, second] = [0.8 * 4.428_594_871_176_362, 1.287_002_217_586_57];
    assert_states(
        "{kind: eef_pose, frame: world, max_age_ms: 300, position: [x, y, z], rotation: [rx, ry, rz]}",
        [[-0.5, first], [1.5, second]],
    );
}

#[test]
fn frames_in_the_bag_become_the_policys_state() {
    // The arm's quarter turn about z, to the left and to the right, moves the hand's (0.5, 0, 0.25) by 0.5 in y;
    // with the hand's quarter turn about x it is a third of a turn about (1, 1, 1) and about (1, -1, -1).
    let third = std::f64::consts::TAU / 3.0 / 3.0_f64.sqrt();
    assert_states(
        "{kind: tf, base: base, tip: hand, max_age_ms: 300, position: [x, y, z], rotation: [rx, ry, rz]}",
        [[2.5, third], [1.5, -third]],
    );
}

#[test]
fn an_array_in_the_bag_becomes_the_policys_state() {
    let values = "[{index: 2, state: y, unit: m}, {index: 0, state: ry, unit: rad}]";
    assert_states(&format!("{{kind: state, max_age_ms: 300, size: 3, values: {values}}}"), [[-3.0, 0.5], [2.0, -0.25]]);
}

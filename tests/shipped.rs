//! Every file that ships for a robot or a data set loads, and those that belong together fit together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vla_bundle::{ActionKind, Io, IoFile, StateSource};
use vla_runtime::deploy::{ParamValue, RunParameters};
use vla_runtime::profile::{EefSource, Output, OutputKind, Profile};

fn shipped(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn io(name: &str) -> Io {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("calibration/io").join(name);
    IoFile::parse(&std::fs::read_to_string(&path).unwrap(), name).unwrap()
}

fn robot(name: &str) -> Profile {
    Profile::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("calibration/robots").join(name)).unwrap()
}

/// Actions of `io` that no output of `robot` carries, and the other way round.
fn unmatched(io: &Io, robot: &Profile) -> Vec<String> {
    let carried: Vec<&str> = robot.outputs().iter().flat_map(Output::actions).collect();
    let wanted: Vec<&str> = io.actions.iter().map(|dim| dim.name.as_str()).collect();
    let missing = wanted.iter().filter(|name| !carried.contains(name));
    missing.chain(carried.iter().filter(|name| !wanted.contains(name))).map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_io_file_loads_with_the_width_of_its_data_set() {
    let widths: Vec<(String, usize, usize)> = shipped("calibration/io")
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let io = io(&name);
            (name, io.actions.len(), io.state.len())
        })
        .collect();
    let want = [
        ("aloha.yaml", 14, 14),
        ("arm6.yaml", 7, 7),
        ("bridge.yaml", 7, 7),
        ("droid.yaml", 8, 8),
        ("libero.yaml", 7, 8),
    ];
    assert_eq!(widths, want.map(|(name, actions, state)| (name.to_owned(), actions, state)));
}

#[test]
fn a_libero_action_of_one_is_five_centimetres_or_half_a_radian() {
    let io = io("libero.yaml");
    let scales: Vec<f64> = io.actions.iter().filter_map(|dim| dim.kind.delta()).map(|delta| delta.scale).collect();
    assert_eq!(scales, [0.05, 0.05, 0.05, 0.5, 0.5, 0.5]);
}

#[test]
fn grippers_open_the_way_their_data_set_says() {
    let opening = |name: &str, value: f64| {
        let io = io(name);
        let rule = io.actions.iter().find_map(|dim| match dim.kind {
            ActionKind::Gripper(rule) => Some(rule),
            _ => None,
        });
        rule.unwrap().opening(value)
    };
    let openings = ["aloha.yaml", "bridge.yaml", "droid.yaml", "libero.yaml"].map(|name| opening(name, 0.75));
    assert_eq!(openings, [0.75, 1.0, 0.0, 1.0]);
    assert_eq!(opening("arm6.yaml", 0.0125), 0.25);
}

#[test]
fn every_robot_loads_and_carries_the_actions_of_its_policies() {
    assert_eq!(shipped("calibration/robots").len(), 5);
    for (robot_name, io_name) in [
        ("widowx_bridge.yaml", "bridge.yaml"),
        ("panda_libero_pose.yaml", "libero.yaml"),
        ("panda_droid.yaml", "droid.yaml"),
    ] {
        assert_eq!(unmatched(&io(io_name), &robot(robot_name)), [""; 0], "{robot_name}");
    }
    let (arm, panda) = (robot("arm6.yaml"), robot("panda_libero.yaml"));
    assert_eq!((arm.robot(), panda.robot()), ("arm6", "panda_libero"));
    assert_eq!(unmatched(&io("arm6.yaml"), &arm), [""; 0]);
    assert_eq!(unmatched(&io("libero.yaml"), &panda), [""; 0]);
    assert_eq!(arm.outputs()[0].kind(), OutputKind::JointTrajectory);
    assert_eq!(panda.outputs()[0].kind(), OutputKind::ControllerInput);
    let fed: Vec<&str> =
        arm.joint_states().unwrap().joints.iter().filter_map(|j| Some(&*j.feeds.as_ref()?.state)).collect();
    assert_eq!(fed, io("arm6.yaml").state.iter().map(|dim| dim.name.as_str()).collect::<Vec<_>>());
    assert!(io("arm6.yaml").state.iter().all(|dim| !matches!(dim.source, StateSource::JointVelocity)));
}

#[test]
fn a_panda_feeds_every_state_of_a_libero_policy() {
    let panda = robot("panda_libero.yaml");
    let eef = panda.eef().unwrap();
    let joints = panda.joint_states().unwrap().joints.iter().filter_map(|joint| joint.feeds.as_ref());
    let fed = eef.position.iter().chain(&eef.rotation).chain(joints.map(|feed| &feed.state));
    let io = io("libero.yaml");
    assert_eq!(fed.collect::<Vec<_>>(), io.state.iter().map(|dim| &dim.name).collect::<Vec<_>>());
    assert_eq!(eef.source, EefSource::Topic { topic: None, frame: "world".to_owned() });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    #[serde(rename = "ros__parameters")]
    parameters: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Bool(bool),
    Int(i64),
    Double(f64),
    String(String),
}

#[test]
fn every_parameter_file_runs_and_moves_nothing_by_itself() {
    for path in shipped("launch/params") {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut nodes: BTreeMap<String, Parameters> = serde_saphyr::from_str(&text).unwrap();
        let values = nodes.remove("/**").unwrap().parameters.into_iter().map(|(name, value)| {
            let value = match value {
                Value::Bool(value) => ParamValue::Bool(value),
                Value::Int(value) => ParamValue::Int(value),
                Value::Double(value) => ParamValue::Double(value),
                Value::String(value) => ParamValue::String(value),
            };
            (name, value)
        });
        let values: BTreeMap<String, ParamValue> = values.collect();
        assert_eq!(values["dry_run"], ParamValue::Bool(true));
        let profile = RunParameters::parse(&values).unwrap().profile().unwrap().to_owned();
        Profile::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(profile)).unwrap();
    }
}

/// `camera_info` files as ROS camera drivers write them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CameraInfo {
    image_width: u32,
    image_height: u32,
    camera_name: String,
    camera_matrix: Matrix,
    distortion_model: String,
    distortion_coefficients: Matrix,
    rectification_matrix: Matrix,
    projection_matrix: Matrix,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    rows: usize,
    cols: usize,
    data: Vec<f64>,
}

#[test]
fn every_camera_info_is_named_after_its_camera_and_has_whole_matrices() {
    for path in shipped("calibration/camera_info") {
        let info: CameraInfo = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(Some(info.camera_name.as_str()), path.file_stem().and_then(|stem| stem.to_str()));
        assert_eq!(info.distortion_model, "plumb_bob");
        let sizes = [
            (&info.camera_matrix, 3, 3),
            (&info.distortion_coefficients, 1, 5),
            (&info.rectification_matrix, 3, 3),
            (&info.projection_matrix, 3, 4),
        ];
        for (matrix, rows, cols) in sizes {
            assert_eq!((matrix.rows, matrix.cols, matrix.data.len()), (rows, cols, rows * cols));
        }
        // The principal point is the middle of the picture.
        let centre = [info.camera_matrix.data[2], info.camera_matrix.data[5]];
        assert_eq!(centre, [f64::from(info.image_width) / 2.0, f64::from(info.image_height) / 2.0]);
    }
}

//! Bundles, profiles and parameters that tests start from.

use std::collections::BTreeMap;

use vla_bundle::{
    Actions, Bundle, CameraModel, CameraStream, Checkpoint, Dim, Dtype, FORMAT_VERSION, FileEntry, Graph, Input,
    Integrity, IoFile, MANIFEST_FILE, Manifest, Orientation, Source, Stage, StateStream, Streams, TensorSpec,
    Unnormalize,
};

use super::{Deployment, ParamValue, RunParameters};
use crate::profile::Profile;

/// Two joints in degrees and a gripper, with a state of the same three.
pub(crate) const ARM_IO: &str = "
rate_hz: 20
actions:
- {name: shoulder, unit: deg, kind: joint_position}
- {name: elbow, unit: rad, kind: joint_position}
- {name: gripper, unit: normalized, kind: gripper, open: 1.0, closed: 0.0}
state:
- {name: shoulder, unit: deg, source: joint_position}
- {name: elbow, unit: rad, source: joint_position}
- {name: gripper, unit: normalized, source: gripper}
";

/// The arm that [`ARM_IO`] drives; it turns its shoulder the other way round.
pub(crate) const ARM_PROFILE: &str = "
format: 1
robot: arm
control_rate_hz: 100
inputs:
- {kind: camera, camera: front, transport: raw, max_age_ms: 100}
- kind: joint_states
  max_age_ms: 50
  joints:
  - {joint: j1, state: shoulder, unit: rad, sign: -1, offset: 0.25}
  - {joint: j2, state: elbow, unit: rad, sign: 1, offset: 0.0}
  - {joint: finger, state: gripper, unit: m, at_zero: 0.01, at_one: 0.05}
outputs:
- kind: joint_trajectory
  joints:
  - {joint: j1, action: shoulder, unit: rad, sign: -1, offset: 0.25, min: -1.5, max: 2.0, max_step: 0.1, max_velocity: 4, max_acceleration: 40, max_jerk: 800}
  - {joint: j2, action: elbow, unit: rad, sign: 1, offset: 0.0, min: -1.0, max: 1.0, max_step: 0.1, max_velocity: 4, max_acceleration: 40, max_jerk: 800}
  - {joint: finger, action: gripper, unit: m, open: 0.05, closed: 0.01, max_step: 0.04, max_velocity: 1.6, max_acceleration: 16, max_jerk: 320}
";

/// A bundle that predicts four steps of whatever `io` names, from the given cameras.
pub(crate) fn bundle(io: &str, cameras: &[&str]) -> Bundle {
    let mut manifest = manifest(io, cameras);
    load(&mut manifest)
}

/// The same, and it takes the intrinsics of its cameras.
pub(crate) fn measuring_bundle(io: &str, cameras: &[&str]) -> Bundle {
    let mut manifest = manifest(io, cameras);
    manifest.streams.intrinsics = Some(CameraModel::Pinhole);
    load(&mut manifest)
}

/// A bundle whose dimensions nobody named.
pub(crate) fn unnamed_bundle() -> Bundle {
    let mut manifest = manifest(ARM_IO, &["front"]);
    manifest.io = None;
    load(&mut manifest)
}

pub(crate) fn profile(text: &str) -> Profile {
    Profile::parse(text, "profile.yaml").unwrap()
}

/// The required parameters and `more`.
pub(crate) fn parameters(more: &[(&str, ParamValue)]) -> RunParameters {
    let required = [
        ("inference_rate_hz", ParamValue::Double(5.0)),
        ("n_action_steps", ParamValue::Int(3)),
        ("max_skew_ms", ParamValue::Double(40.0)),
    ];
    let values: BTreeMap<String, ParamValue> =
        required.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    RunParameters::parse(&values).unwrap()
}

/// The arm, looking through `front`, allowed to move, five inferences per second of three steps each.
pub(crate) fn live_arm() -> Deployment {
    arm_with(&[("dry_run", ParamValue::Bool(false))])
}

/// The same, but a new chunk takes over before the old one has run out.
pub(crate) fn overlapping_arm() -> Deployment {
    let rate = ("inference_rate_hz", ParamValue::Double(20.0));
    arm_with(&[("dry_run", ParamValue::Bool(false)), rate, ("n_action_steps", ParamValue::Int(4))])
}

/// The arm with an instruction and `more` parameters.
pub(crate) fn arm_with(more: &[(&str, ParamValue)]) -> Deployment {
    let task = [("task", ParamValue::String("pick up the cup".to_owned()))];
    let parameters = parameters(&[&task, more].concat());
    Deployment::check(&bundle(ARM_IO, &["front"]), &profile(ARM_PROFILE), parameters).unwrap()
}

/// Messages that the arm's robot sends, `ms` after the tests' epoch.
pub(crate) mod arm {
    use std::sync::Arc;

    use crate::time::{Span, Stamp};
    use crate::types::{Encoding, Frame, JointSample, Sample, Value};

    pub(crate) fn at(ms: f64) -> Stamp {
        Stamp::from_ros(1_700_000_000, 500) + Span::from_millis(ms)
    }

    /// No two are alike: a camera that shows the same twice is frozen.
    pub(crate) fn frame(camera: usize, ms: f64) -> Sample {
        let frame = Frame {
            frame_id: format!("camera_{camera}_optical"),
            encoding: Encoding::Jpeg,
            width: 0,
            height: 0,
            step: 0,
            data: [&[0xff, 0xd8, 0xff][..], &ms.to_be_bytes()].concat().into(),
        };
        Sample { stamp: at(ms), received: at(ms), value: Value::Frame { camera, frame: Arc::new(frame) } }
    }

    /// Out of order and with a joint that nobody asked for, as robots do.
    pub(crate) fn joints(ms: f64, [j1, j2, finger]: [f64; 3]) -> Sample {
        let names = ["finger", "mimic", "j2", "j1"].map(str::to_owned).to_vec();
        let positions = vec![finger, f64::NAN, j2, j1];
        Sample { stamp: at(ms), received: at(ms), value: Value::Joints(JointSample { names, positions }) }
    }

    pub(crate) fn instruction(ms: f64, text: &str) -> Sample {
        Sample { stamp: at(ms), received: at(ms), value: Value::Instruction(text.into()) }
    }
}

fn load(manifest: &mut Manifest) -> Bundle {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.onnx"), "graph").unwrap();
    std::fs::write(dir.path().join(MANIFEST_FILE), serde_json::to_vec(manifest).unwrap()).unwrap();
    Bundle::load(dir.path(), Integrity::Sizes).unwrap()
}

fn manifest(io: &str, cameras: &[&str]) -> Manifest {
    let io = IoFile::parse(io, "io.yaml").unwrap();
    let (chunk_size, action_dim) = (4, io.actions.len());
    let dims = vec![Dim::Fixed(chunk_size as u64), Dim::Fixed(action_dim as u64)];
    let output = TensorSpec { name: "actions".to_owned(), dtype: Dtype::Fp32, dims };
    let constant = TensorSpec { name: "seed".to_owned(), dtype: Dtype::Int64, dims: vec![Dim::Fixed(1)] };
    let graph = Graph { file: "policy.onnx".to_owned(), weights: None, inputs: vec![constant], outputs: vec![output] };
    let camera = |name: &&str| CameraStream { name: (*name).to_owned(), orientation: Orientation::AsTrained };
    let state = (!io.state.is_empty()).then_some(StateStream { dim: io.state.len(), pieces: vec![] });
    let file = FileEntry { bytes: 5, sha256: String::new() };
    Manifest {
        format_version: FORMAT_VERSION,
        system: "sample".to_owned(),
        exporter: "sample".to_owned(),
        checkpoint: Checkpoint {
            name: "sample".to_owned(),
            sha256: String::new(),
            unnorm_key: None,
            dropped: Vec::new(),
            merged: None,
        },
        precision: Dtype::Fp32,
        opset: 23,
        files: BTreeMap::from([("policy.onnx".to_owned(), file)]),
        streams: Streams { cameras: cameras.iter().map(camera).collect(), state, intrinsics: None },
        inputs: vec![Input { tensor: "seed".to_owned(), source: Source::Constant { values: vec![7] } }],
        graphs: BTreeMap::from([("policy".to_owned(), graph)]),
        dims: BTreeMap::new(),
        plan: vec![Stage::Run { graph: "policy".to_owned(), every: vla_bundle::Cadence::Observation }],
        actions: Actions {
            tensor: "actions".to_owned(),
            chunk_size,
            action_dim,
            network_dim: None,
            before: vec![],
            unnormalize: Unnormalize::Identity,
            steps: vec![],
            kept_tokens: None,
        },
        io: Some(io),
        golden: None,
    }
}

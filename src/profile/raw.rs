//! The profile as people write it, and the way from there to a checked [`Profile`].
//!
//! The YAML reader refuses numbers that are not finite, so nothing here looks for them.

mod eef;
mod output;
mod state;

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use vla_bundle::Unit;

use super::camera::RawCamera;
use super::{Align, FORMAT, Feed, FeedRule, JointStates, Limits, MeasuredJoint, MotionLimits, Output, Profile};
use output::RawOutput;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfile {
    format: u32,
    robot: String,
    control_rate_hz: Option<f64>,
    actuation_latency_ms: Option<f64>,
    inputs: Vec<RawInput>,
    outputs: Vec<RawOutput>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum RawInput {
    Camera(RawCamera),
    JointStates {
        topic: Option<String>,
        max_age_ms: f64,
        #[serde(default)]
        align: Align,
        joints: Vec<RawMeasured>,
    },
    EefPose(state::RawEefPose),
    Tf(state::RawTf),
    State(state::RawState),
    Instruction {
        topic: String,
    },
}

/// Which fields are wanted depends on `state` and on whether it is a position or a share.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMeasured {
    joint: String,
    unit: Unit,
    state: Option<String>,
    sign: Option<f64>,
    offset: Option<f64>,
    at_zero: Option<f64>,
    at_one: Option<f64>,
}

/// What is wrong, all of it.
#[derive(Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn add(&mut self, at: &str, what: &str) {
        self.0.push(format!("{at}: {what}"));
    }

    fn unique<'a>(&mut self, what: &str, names: impl IntoIterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                self.0.push(format!("{what} `{name}` is listed twice"));
            }
        }
    }

    pub(super) fn positive(&mut self, at: &str, field: &str, value: f64) {
        if value <= 0.0 {
            self.add(at, &format!("`{field}` is {value}, wanted a positive number"));
        }
    }

    fn joint_unit(&mut self, at: &str, unit: Unit) {
        if !matches!(unit, Unit::Rad | Unit::Deg | Unit::M) {
            self.add(at, &format!("`unit` is {}, wanted rad, deg or m", unit.word()));
        }
    }

    fn sign(&mut self, at: &str, sign: f64) {
        if sign.abs() != 1.0 {
            self.add(at, &format!("`sign` is {sign}, wanted 1 or -1"));
        }
    }

    /// Two numbers between which a value moves.
    fn apart(&mut self, at: &str, names: [&str; 2], values: [f64; 2]) {
        let ([a, b], [x, y]) = (names, values);
        if x == y {
            self.add(at, &format!("`{a}` is {x} and `{b}` is {y}, wanted two different numbers"));
        }
    }

    /// Velocity, acceleration and jerk, with the names of their fields.
    fn motion(&mut self, at: &str, fields: [(&str, f64); 3]) -> MotionLimits {
        for (field, value) in fields {
            self.positive(at, field, value);
        }
        let [max_velocity, max_acceleration, max_jerk] = fields.map(|(_, value)| value);
        MotionLimits { max_velocity, max_acceleration, max_jerk }
    }

    fn limits(&mut self, at: &str, [min, max]: [f64; 2], max_step: f64) -> Limits {
        if min >= max {
            self.add(at, &format!("`min` is {min} and `max` is {max}, wanted two numbers in this order"));
        }
        self.positive(at, "max_step", max_step);
        Limits { min, max, max_step }
    }
}

/// `folder` is where the profile names its files from.
pub(super) fn check(raw: RawProfile, folder: &Path) -> Result<Profile, Vec<String>> {
    if raw.format != FORMAT {
        return Err(vec![format!("`format` is {}, this build reads {FORMAT}", raw.format)]);
    }
    let mut problems = Problems::default();
    let mut profile = Profile {
        robot: raw.robot,
        control_rate_hz: raw.control_rate_hz,
        actuation_latency_ms: raw.actuation_latency_ms.unwrap_or(0.0),
        cameras: Vec::new(),
        joint_states: None,
        eef: None,
        state_array: None,
        instruction_topic: None,
        outputs: Vec::new(),
    };
    for input in raw.inputs {
        take_input(input, folder, &mut profile, &mut problems);
    }
    profile.outputs = raw.outputs.into_iter().map(|output| output.check(&mut problems)).collect();
    for output in profile.outputs.iter().filter(|output| output.actions().next().is_none()) {
        problems.add(&format!("output `{}`", output.kind().word()), "it is empty");
    }
    control(&profile, &mut problems);
    eef::check(&profile, &mut problems);
    problems.unique("camera", profile.cameras.iter().map(|c| c.camera.as_str()));
    let measured = profile.joint_states.iter().flat_map(|j| &j.joints);
    problems.unique("measured joint", measured.clone().map(|j| j.joint.as_str()));
    let by_joints = measured.filter_map(|j| j.feeds.as_ref()).map(|feed| feed.state.as_str());
    problems.unique("state", by_joints.chain(state::fed(&profile)));
    problems.unique("moved joint", profile.outputs.iter().flat_map(Output::joints));
    if problems.0.is_empty() { Ok(profile) } else { Err(problems.0) }
}

/// What goes from row to row is sampled, and nobody but the robot's maker knows how often its controller wants that.
fn control(profile: &Profile, problems: &mut Problems) {
    if let Some(rate) = profile.control_rate_hz {
        problems.positive("robot", "control_rate_hz", rate);
    } else if let Some(output) = profile.outputs.iter().find(|output| output.is_sampled()) {
        let at = format!("output `{}`", output.kind().word());
        problems.add(&at, "`control_rate_hz` is missing: so often its commands are sampled");
    }
    if profile.actuation_latency_ms < 0.0 {
        let latency = profile.actuation_latency_ms;
        problems.add("robot", &format!("`actuation_latency_ms` is {latency}, wanted at least 0"));
    }
}

fn take_input(input: RawInput, folder: &Path, profile: &mut Profile, problems: &mut Problems) {
    match input {
        RawInput::Camera(camera) => profile.cameras.push(camera.check(folder, &mut problems.0)),
        RawInput::JointStates { topic, max_age_ms, align, joints } => {
            problems.positive("joint_states", "max_age_ms", max_age_ms);
            let joints = joints.into_iter().map(|joint| take_measured(joint, problems)).collect();
            if profile.joint_states.replace(JointStates { topic, max_age_ms, align, joints }).is_some() {
                problems.0.push("input `joint_states` is listed twice".to_owned());
            }
        }
        RawInput::EefPose(pose) => state::take_eef(pose.into(), profile, problems),
        RawInput::Tf(frames) => state::take_eef(frames.into(), profile, problems),
        RawInput::State(array) => state::take_array(array, profile, problems),
        RawInput::Instruction { topic } => {
            if profile.instruction_topic.replace(topic).is_some() {
                problems.0.push("input `instruction` is listed twice".to_owned());
            }
        }
    }
}

fn take_measured(raw: RawMeasured, problems: &mut Problems) -> MeasuredJoint {
    let at = format!("measured joint `{}`", raw.joint);
    problems.joint_unit(&at, raw.unit);
    let feeds = match (raw.state, raw.sign, raw.offset, raw.at_zero, raw.at_one) {
        (None, None, None, None, None) => None,
        (Some(state), Some(sign), Some(offset), None, None) => {
            problems.sign(&at, sign);
            Some(Feed { state, rule: FeedRule::Position { sign, offset } })
        }
        (Some(state), None, None, Some(at_zero), Some(at_one)) => {
            problems.apart(&at, ["at_zero", "at_one"], [at_zero, at_one]);
            Some(Feed { state, rule: FeedRule::Share { at_zero, at_one } })
        }
        _ => {
            problems.add(&at, "wanted `state` with `sign` and `offset`, `state` with `at_zero` and `at_one`, or none");
            None
        }
    };
    MeasuredJoint { joint: raw.joint, unit: raw.unit, feeds }
}

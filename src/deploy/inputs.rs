//! Which input of the profile feeds which stream of the bundle.

use vla_bundle::{CameraStream, StateDim, StateSource, Unit};

use super::{CameraInput, JointsInput, Line, RunParameters, StateValue, factor};
use crate::profile::{FeedRule, JointStates, MeasuredJoint, OutputKind, Profile, Transport};
use crate::time::Span;

/// One input per camera of the bundle; cameras that the bundle does not look through stay unused.
pub(super) fn cameras(
    wanted: &[CameraStream],
    profile: &Profile,
    parameters: &RunParameters,
    problems: &mut Vec<String>,
) -> Vec<CameraInput> {
    for name in parameters.images.keys() {
        if !wanted.iter().any(|stream| stream.name == *name) {
            problems.push(format!("parameter `images.{name}`: the bundle has no camera `{name}`"));
        }
    }
    let mut found = Vec::with_capacity(wanted.len());
    for CameraStream { name, .. } in wanted {
        let Some(camera) = profile.cameras().iter().find(|camera| camera.camera == *name) else {
            problems.push(format!("camera `{name}`: no input of the profile shows it"));
            continue;
        };
        let topic = parameters.images.get(name).or(camera.topic.as_ref()).cloned();
        let default = || match camera.transport {
            Transport::Raw => format!("images/{name}"),
            Transport::Compressed => format!("images/{name}/compressed"),
        };
        found.push(CameraInput {
            name: name.as_str().into(),
            topic: topic.unwrap_or_else(default),
            transport: camera.transport,
            max_age: Span::from_millis(camera.max_age_ms),
            latency: Span::from_millis(camera.latency_ms),
            size: camera.size,
            view: camera.view.clone(),
        });
    }
    found
}

/// The joints that this deployment measures: those that feed the state and those that an output moves.
pub(super) struct Joints<'a> {
    stream: Option<&'a JointStates>,
    measured: Vec<&'a MeasuredJoint>,
}

impl<'a> Joints<'a> {
    pub(super) fn wanted(state: &[StateDim], profile: &'a Profile) -> Self {
        let moved = profile.outputs().iter().filter(|output| output.kind == OutputKind::JointTrajectory);
        let moved: Vec<&str> = moved.flat_map(|output| &output.dims).map(|dim| dim.name.as_str()).collect();
        let feeds =
            |joint: &MeasuredJoint| joint.feeds.as_ref().is_some_and(|f| state.iter().any(|dim| dim.name == f.state));
        let wanted = |joint: &&MeasuredJoint| feeds(joint) || moved.contains(&joint.joint.as_str());
        let stream = profile.joint_states();
        let measured = stream.map(|s| s.joints.iter().filter(wanted).collect()).unwrap_or_default();
        Self { stream, measured }
    }

    /// Position in the measured vector, and unit, of a joint.
    pub(super) fn find(&self, name: &str) -> Option<(usize, Unit)> {
        let index = self.measured.iter().position(|joint| joint.joint == name)?;
        self.measured.get(index).map(|joint| (index, joint.unit))
    }

    pub(super) fn into_input(self, topic: Option<String>) -> Option<JointsInput> {
        let stream = self.stream.filter(|_| !self.measured.is_empty())?;
        let topic = topic.or_else(|| stream.topic.clone());
        Some(JointsInput {
            topic: topic.unwrap_or_else(|| "joint_states".to_owned()),
            max_age: Span::from_millis(stream.max_age_ms),
            names: self.measured.iter().map(|joint| joint.joint.as_str().into()).collect(),
        })
    }
}

/// Where each state value comes from.
pub(super) fn state(wanted: &[StateDim], joints: &Joints<'_>, problems: &mut Vec<String>) -> Vec<StateValue> {
    let mut values = Vec::with_capacity(wanted.len());
    for dim in wanted {
        match state_value(dim, joints) {
            Ok(value) => values.push(value),
            Err(reason) => problems.push(format!("state `{}`: {reason}", dim.name)),
        }
    }
    values
}

fn state_value(dim: &StateDim, joints: &Joints<'_>) -> Result<StateValue, String> {
    let source = match dim.source {
        StateSource::JointPosition | StateSource::Gripper => None,
        StateSource::JointVelocity => Some("joint_velocity"),
        StateSource::EefPosition => Some("eef_position"),
        StateSource::EefRotation => Some("eef_rotation"),
    };
    if let Some(word) = source {
        return Err(format!("its source is `{word}`, input `joint_states` carries joint_position, gripper"));
    }
    let feeds = |joint: &&MeasuredJoint| joint.feeds.as_ref().filter(|feed| feed.state == dim.name).map(|f| f.rule);
    let found = joints.measured.iter().enumerate().find_map(|(index, joint)| Some((index, joint, feeds(joint)?)));
    let (joint, measured, rule) = found.ok_or("no joint of the profile feeds it")?;
    let mismatch = |gives: &str| {
        let (name, wanted) = (&measured.joint, dim.unit.word());
        format!("the policy wants {wanted}, joint `{name}` gives {gives}")
    };
    let line = match rule {
        FeedRule::Position { sign, offset } => {
            let unit = factor(measured.unit, dim.unit).ok_or_else(|| mismatch(measured.unit.word()))?;
            let gain = sign * unit;
            Line { gain, bias: -gain * offset }
        }
        FeedRule::Share { .. } if dim.unit != Unit::Normalized => return Err(mismatch("normalized")),
        FeedRule::Share { at_zero, at_one } => {
            let gain = 1.0 / (at_one - at_zero);
            Line { gain, bias: -gain * at_zero }
        }
    };
    Ok(StateValue { joint, line })
}

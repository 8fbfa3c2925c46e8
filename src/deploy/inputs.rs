//! Which input of the profile feeds which stream of the bundle.

use vla_bundle::{CameraStream, StateDim, Streams, Unit};

use super::{ArrayInput, CameraInput, EefInput, EefSource, InfoInput, JointsInput, Measure, RunParameters, StateValue};
use crate::profile::{self, FeedRule, InfoTopic, JointStates, MeasuredJoint, Profile, Transport};
use crate::time::Span;
use crate::types::Arrives;

/// One input per camera of the bundle; cameras that the bundle does not look through stay unused.
pub(super) fn cameras(
    streams: &Streams,
    profile: &Profile,
    parameters: &RunParameters,
    problems: &mut Vec<String>,
) -> Vec<CameraInput> {
    let wanted = &streams.cameras;
    for name in parameters.images.keys() {
        if !wanted.iter().any(|stream| stream.name == *name) {
            problems.push(format!("parameter `images.{name}`: the bundle has no camera `{name}`"));
        }
    }
    for name in parameters.camera_infos.keys() {
        let is_needed = |camera: &profile::Camera| camera.camera == *name && camera.camera_info.is_some();
        if !profile.cameras().iter().any(is_needed) {
            problems.push(format!("parameter `camera_info.{name}`: the profile wants no camera info of `{name}`"));
        }
    }
    let mut found = Vec::with_capacity(wanted.len());
    for (index, CameraStream { name, .. }) in wanted.iter().enumerate() {
        let Some(camera) = profile.cameras().iter().find(|camera| camera.camera == *name) else {
            problems.push(format!("camera `{name}`: no input of the profile shows it"));
            continue;
        };
        if streams.intrinsics.is_some() {
            intrinsics(camera, problems);
        }
        if index == 0 && camera.align.is_some() {
            problems.push(format!("camera `{name}`: `align` has no meaning, the others are aligned to its pictures"));
        }
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
            may_stand_still: camera.may_stand_still,
            align: camera.align.unwrap_or_default(),
            latency: Span::from_millis(camera.latency_ms),
            size: camera.size,
            camera_info: info(camera, streams, parameters),
            view: camera.view.clone(),
        });
    }
    found
}

/// The camera infos of a camera; rectified pictures are shown as they are, so that only a policy asks for theirs.
fn info(camera: &profile::Camera, streams: &Streams, parameters: &RunParameters) -> Option<InfoInput> {
    let is_needed = |info: &&InfoTopic| info.arrives == Arrives::Bent || streams.intrinsics.is_some();
    let info = camera.camera_info.as_ref().filter(is_needed)?;
    let topic = parameters.camera_infos.get(&camera.camera).or(info.topic.as_ref()).cloned();
    Some(InfoInput { topic: topic.unwrap_or_else(|| format!("camera_info/{}", camera.camera)), arrives: info.arrives })
}

/// What keeps a policy from knowing how a camera sees.
fn intrinsics(camera: &profile::Camera, problems: &mut Vec<String>) {
    let name = &camera.camera;
    if camera.camera_info.is_none() && camera.view.optics.is_none() {
        problems.push(format!(
            "camera `{name}`: the bundle takes its intrinsics, wanted `undistort` or `rectified` with a camera info in \
             the profile"
        ));
    }
    if camera.view.flip.is_some() {
        problems
            .push(format!("camera `{name}`: the bundle takes its intrinsics, a picture mirrored by `flip` has none"));
    }
}

/// The joints that this deployment measures: those that feed the state and those that an output moves.
pub(super) struct Joints<'a> {
    stream: Option<&'a JointStates>,
    measured: Vec<&'a MeasuredJoint>,
}

impl<'a> Joints<'a> {
    pub(super) fn wanted(state: &[StateDim], profile: &'a Profile) -> Self {
        let moved: Vec<&str> = profile.outputs().iter().flat_map(profile::Output::joints).collect();
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

    /// Position in the measured vector, unit and rule of the joint that feeds a state dimension.
    pub(super) fn feeding(&self, state: &str) -> Option<(usize, &MeasuredJoint, FeedRule)> {
        self.measured.iter().enumerate().find_map(|(index, joint)| {
            let feed = joint.feeds.as_ref().filter(|feed| feed.state == state)?;
            Some((index, *joint, feed.rule))
        })
    }

    pub(super) fn into_input(self, topic: Option<String>) -> Option<JointsInput> {
        let stream = self.stream.filter(|_| !self.measured.is_empty())?;
        let topic = topic.or_else(|| stream.topic.clone());
        Some(JointsInput {
            topic: topic.unwrap_or_else(|| "joint_states".to_owned()),
            max_age: Span::from_millis(stream.max_age_ms),
            align: stream.align,
            names: self.measured.iter().map(|joint| joint.joint.as_str().into()).collect(),
        })
    }
}

/// The end effector's pose, where the state or an output needs it.
pub(super) fn eef(profile: &Profile, state: &[StateValue]) -> Option<EefInput> {
    let is_eef = |value: &StateValue| matches!(value.from, Measure::EefPosition(_) | Measure::EefRotation(..));
    let moves_it = profile.outputs().iter().any(|output| output.eef().is_some());
    let input = profile.eef().filter(|_| moves_it || state.iter().any(is_eef))?;
    let source = match &input.source {
        profile::EefSource::Topic { topic, frame } => EefSource::Topic {
            topic: topic.clone().unwrap_or_else(|| "eef_pose".to_owned()),
            frame: frame.as_str().into(),
        },
        profile::EefSource::Frames { base, tip } => {
            EefSource::Frames { base: base.as_str().into(), tip: tip.as_str().into() }
        }
    };
    Some(EefInput { source, max_age: Span::from_millis(input.max_age_ms), align: input.align })
}

/// The state array, where the state needs it.
pub(super) fn array(profile: &Profile, state: &[StateValue]) -> Option<ArrayInput> {
    let used = state.iter().filter_map(|value| match value.from {
        Measure::Element(index) => Some(index),
        Measure::Joint(_) | Measure::EefPosition(_) | Measure::EefRotation(..) => None,
    });
    let used: Vec<usize> = used.collect();
    let input = profile.state_array().filter(|_| !used.is_empty())?;
    let topic = input.topic.clone().unwrap_or_else(|| "state".to_owned());
    let (max_age, align) = (Span::from_millis(input.max_age_ms), input.align);
    Some(ArrayInput { topic, max_age, align, size: input.size, used })
}

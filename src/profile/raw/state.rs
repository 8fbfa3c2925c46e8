//! Inputs of state other than joint positions, as people write them.

use serde::Deserialize;

use super::Problems;
use crate::profile::{Align, EefInput, EefSource, Profile, StateArray, StateElement};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEefPose {
    topic: Option<String>,
    frame: String,
    max_age_ms: f64,
    #[serde(default)]
    align: Align,
    #[serde(default)]
    position: Vec<String>,
    #[serde(default)]
    rotation: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTf {
    base: String,
    tip: String,
    max_age_ms: f64,
    #[serde(default)]
    align: Align,
    #[serde(default)]
    position: Vec<String>,
    #[serde(default)]
    rotation: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawState {
    topic: Option<String>,
    max_age_ms: f64,
    #[serde(default)]
    align: Align,
    size: usize,
    values: Vec<StateElement>,
}

impl From<RawEefPose> for EefInput {
    fn from(raw: RawEefPose) -> Self {
        let RawEefPose { topic, frame, max_age_ms, align, position, rotation } = raw;
        Self { source: EefSource::Topic { topic, frame }, max_age_ms, align, position, rotation }
    }
}

impl From<RawTf> for EefInput {
    fn from(raw: RawTf) -> Self {
        let RawTf { base, tip, max_age_ms, align, position, rotation } = raw;
        Self { source: EefSource::Frames { base, tip }, max_age_ms, align, position, rotation }
    }
}

/// The state dimensions that these inputs feed.
pub(super) fn fed(profile: &Profile) -> impl Iterator<Item = &str> {
    let eef = profile.eef.iter().flat_map(|eef| eef.position.iter().chain(&eef.rotation));
    let array = profile.state_array.iter().flat_map(|array| &array.values).map(|value| &value.state);
    eef.chain(array).map(String::as_str)
}

pub(super) fn take_eef(eef: EefInput, profile: &mut Profile, problems: &mut Problems) {
    let at = match &eef.source {
        EefSource::Topic { .. } => "eef_pose",
        EefSource::Frames { base, tip } => {
            if base == tip {
                problems.add("tf", &format!("`base` and `tip` are both `{base}`"));
            }
            "tf"
        }
    };
    problems.positive(at, "max_age_ms", eef.max_age_ms);
    if !matches!(eef.position.len(), 0 | 3) {
        problems.add(at, &format!("`position` names {} states, wanted those of x, y and z", eef.position.len()));
    }
    if profile.eef.replace(eef).is_some() {
        problems.0.push("the end effector's pose comes from two inputs".to_owned());
    }
}

pub(super) fn take_array(raw: RawState, profile: &mut Profile, problems: &mut Problems) {
    let RawState { topic, max_age_ms, align, size, values } = raw;
    problems.positive("state", "max_age_ms", max_age_ms);
    for value in values.iter().filter(|value| value.index >= size) {
        problems.add(&format!("state `{}`", value.state), &format!("`index` is {}, `size` is {size}", value.index));
    }
    if profile.state_array.replace(StateArray { topic, max_age_ms, align, size, values }).is_some() {
        problems.0.push("input `state` is listed twice".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use vla_bundle::Unit;

    use super::*;
    use crate::profile::ProfileError;

    fn parse(inputs: &str) -> Result<Profile, ProfileError> {
        let outputs = "- {kind: controller_input, dims: [{action: a, min: -1, max: 1, max_step: 1}]}";
        Profile::parse(&format!("format: 1\nrobot: r\ninputs:\n{inputs}outputs:\n{outputs}\n"), "p.yaml")
    }

    #[test]
    fn a_pose_names_the_states_that_it_feeds_in_their_order() {
        let text = "- {kind: tf, base: world, tip: hand, max_age_ms: 40, position: [x, j, z], rotation: [a, b]}\n\
                    - {kind: state, topic: /q, max_age_ms: 30, size: 3, values: [{index: 2, state: s, unit: rad}]}\n";
        let profile = parse(text).unwrap();
        let eef = profile.eef().unwrap();
        assert_eq!(eef.source, EefSource::Frames { base: "world".to_owned(), tip: "hand".to_owned() });
        assert_eq!((eef.position.join(" "), eef.rotation.join(" ")), ("x j z".to_owned(), "a b".to_owned()));
        let array = profile.state_array().unwrap();
        assert_eq!((array.topic.as_deref(), array.size, array.max_age_ms), (Some("/q"), 3, 30.0));
        assert_eq!(array.values, [StateElement { index: 2, state: "s".to_owned(), unit: Unit::Rad }]);
    }

    #[test]
    fn a_pose_without_a_frame_is_refused() {
        let error = parse("- {kind: eef_pose, max_age_ms: 40}\n").unwrap_err().to_string();
        assert!(error.contains("missing field `frame`"), "{error}");
    }

    #[test]
    fn contradictions_are_listed() {
        let text = "- {kind: tf, base: hand, tip: hand, max_age_ms: 0, position: [x]}\n\
                    - {kind: eef_pose, frame: world, max_age_ms: 40, rotation: [s]}\n\
                    - {kind: state, max_age_ms: 30, size: 3, values: [{index: 3, state: s, unit: rad}]}\n";
        let ProfileError::Inconsistent { problems, .. } = parse(text).unwrap_err() else { panic!("consistent") };
        assert_eq!(
            problems,
            [
                "tf: `base` and `tip` are both `hand`",
                "tf: `max_age_ms` is 0, wanted a positive number",
                "tf: `position` names 1 states, wanted those of x, y and z",
                "the end effector's pose comes from two inputs",
                "state `s`: `index` is 3, `size` is 3",
                "state `s` is listed twice",
            ]
        );
    }
}

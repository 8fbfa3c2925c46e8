//! Robot profiles: what the robot is, written by hand in YAML by the person who knows it.
//!
//! Raw fields become a checked [`Profile`]; nothing that moves the robot has a default.

mod align;
mod camera;
mod camera_info;
mod controller;
mod output;
mod raw;
mod state;

use std::path::Path;

use vla_bundle::Unit;

pub use align::Align;
pub use camera::{Camera, InfoTopic, Transport};
pub use controller::{Ask, Controller};
pub use output::{
    Carries, Content, EefActions, GripperAction, GripperEdges, GripperMessage, Limits, MotionLimits, Output, OutputDim,
    OutputKind, PoseLimits, Taker, TwistLimits, Workspace,
};
pub use state::{EefInput, EefSource, StateArray, StateElement};

/// The profile format this build reads.
pub const FORMAT: u32 = 1;

/// A robot whose description does not contradict itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    robot: String,
    control_rate_hz: Option<f64>,
    actuation_latency_ms: f64,
    cameras: Vec<Camera>,
    joint_states: Option<JointStates>,
    eef: Option<EefInput>,
    state_array: Option<StateArray>,
    instruction_topic: Option<String>,
    outputs: Vec<Output>,
}

/// A `sensor_msgs/JointState` topic.
#[derive(Clone, Debug, PartialEq)]
pub struct JointStates {
    /// Topic; `None` for the default.
    pub topic: Option<String>,
    /// Oldest message that may be used, ms, positive.
    pub max_age_ms: f64,
    /// Which positions belong to a picture.
    pub align: Align,
    /// Joints that are measured.
    pub joints: Vec<MeasuredJoint>,
}

/// A joint that the robot reports.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredJoint {
    /// ROS joint name.
    pub joint: String,
    /// Unit of the message's position: rad, deg or m.
    pub unit: Unit,
    /// State dimension that it feeds; `None` where it is measured only to know where the joint is.
    pub feeds: Option<Feed>,
}

/// How a joint's position becomes a state value.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// Name of the state dimension.
    pub state: String,
    /// The rule.
    pub rule: FeedRule,
}

/// How a joint's position becomes a state value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FeedRule {
    /// `sign * (position - offset)`, then the unit of the state: the inverse of [`Carries::Position`].
    Position {
        /// 1 or -1.
        sign: f64,
        /// Robot position of the policy's zero, in the joint's unit.
        offset: f64,
    },
    /// A share without a unit: 0 at `at_zero`, 1 at `at_one`, linear between and beyond.
    Share {
        /// Robot position that means 0, in the joint's unit.
        at_zero: f64,
        /// Robot position that means 1, in the joint's unit.
        at_one: f64,
    },
}

/// Why a profile is refused.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file could not be read.
    #[error("cannot read robot profile: {source}: {path}")]
    Read {
        /// Reason of the operating system.
        source: std::io::Error,
        /// The file.
        path: String,
    },
    /// Not YAML, or an unknown or missing field.
    #[error("robot profile: {reason}: {path}")]
    Parse {
        /// Reason with line and column.
        reason: String,
        /// The file.
        path: String,
    },
    /// The profile contradicts itself; every contradiction is listed.
    #[error("robot profile: {}: {path}", .problems.join("; "))]
    Inconsistent {
        /// What is wrong.
        problems: Vec<String>,
        /// The file.
        path: String,
    },
}

impl Profile {
    /// Reads a profile file.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let origin = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| ProfileError::Read { source, path: origin.clone() })?;
        Self::parse(&text, &origin)
    }

    /// Reads a profile's text; `origin` is its path: what it is called in errors, and where it names its files from.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, ProfileError> {
        // YAML 1.1 takes a plain `y` for true; a region has an `y`.
        let strict = serde_saphyr::options! { strict_booleans: true };
        let raw = serde_saphyr::from_str_with_options(text, strict)
            .map_err(|e| ProfileError::Parse { reason: e.to_string(), path: origin.to_owned() })?;
        let folder = Path::new(origin).parent().unwrap_or(Path::new(""));
        raw::check(raw, folder).map_err(|problems| ProfileError::Inconsistent { problems, path: origin.to_owned() })
    }

    /// The robot's name, for people.
    pub fn robot(&self) -> &str {
        &self.robot
    }

    /// How often a second commands that go from row to row are sampled, positive; `None` where no output does.
    pub fn control_rate_hz(&self) -> Option<f64> {
        self.control_rate_hz
    }

    /// Time from a command to the motion that it makes, ms, at least 0.
    pub fn actuation_latency_ms(&self) -> f64 {
        self.actuation_latency_ms
    }

    /// Camera topics, each for another camera.
    pub fn cameras(&self) -> &[Camera] {
        &self.cameras
    }

    /// The joint topic; its joints are named once, and feed each state dimension at most once.
    pub fn joint_states(&self) -> Option<&JointStates> {
        self.joint_states.as_ref()
    }

    /// Where the end effector's pose comes from.
    pub fn eef(&self) -> Option<&EefInput> {
        self.eef.as_ref()
    }

    /// The topic with state values of any kind.
    pub fn state_array(&self) -> Option<&StateArray> {
        self.state_array.as_ref()
    }

    /// Topic of the instruction; `None` for the default.
    pub fn instruction_topic(&self) -> Option<&str> {
        self.instruction_topic.as_deref()
    }

    /// Topics that move the robot; each joint is moved by one of them.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "format: 1\nrobot: r\ncontrol_rate_hz: 125\ninputs:\n- {kind: camera, camera: front, transport: raw, max_age_ms: 50}\noutputs:\n- kind: joint_trajectory\n  joints:\n";
    const JOINT: &str = "  - {joint: j1, action: a1, unit: rad, sign: -1, offset: 0.5, min: -2, max: 1.5, max_step: 0.05, max_velocity: 2, max_acceleration: 20, max_jerk: 400}\n";

    fn refusal(text: &str) -> String {
        Profile::parse(text, "p.yaml").unwrap_err().to_string()
    }

    #[test]
    fn a_joint_keeps_its_numbers() {
        let profile = Profile::parse(&format!("{HEAD}{JOINT}"), "p.yaml").unwrap();
        let dim = &profile.outputs()[0].dims()[0];
        assert_eq!(dim.carries, Carries::Position { sign: -1.0, offset: 0.5 });
        assert_eq!(dim.limits, Limits { min: -2.0, max: 1.5, max_step: 0.05 });
        let motion = MotionLimits { max_velocity: 2.0, max_acceleration: 20.0, max_jerk: 400.0 };
        assert_eq!((dim.motion, profile.control_rate_hz()), (Some(motion), Some(125.0)));
        assert_eq!((dim.unit, dim.name.as_str(), dim.action.as_str()), (Unit::Rad, "j1", "a1"));
    }

    #[test]
    fn a_gripper_moves_between_open_and_closed() {
        let finger = "  - {joint: f, action: g, unit: m, open: 0.01, closed: 0.04, max_step: 0.03, max_velocity: 1.2, max_acceleration: 12, max_jerk: 240}\n";
        let profile = Profile::parse(&format!("{HEAD}{finger}"), "p.yaml").unwrap();
        let dim = &profile.outputs()[0].dims()[0];
        assert_eq!(dim.carries, Carries::Opening { open: 0.01, closed: 0.04 });
        assert_eq!(dim.limits, Limits { min: 0.01, max: 0.04, max_step: 0.03 });
    }

    #[test]
    fn a_gripper_of_its_own_says_its_message_its_ends_and_its_unit() {
        let text = "format: 1
robot: r
control_rate_hz: 50
inputs: []
outputs:
- {kind: gripper_position, message: float64_multi_array, action: g, unit: m, open: 0.04, closed: 0.01, max_step: 0.03}
";
        let profile = Profile::parse(text, "p.yaml").unwrap();
        let Content::Values { taker, dims } = &profile.outputs()[0].content else { panic!("no values") };
        let [dim] = &dims[..] else { panic!("not one value") };
        let message = GripperMessage::Float64MultiArray;
        assert_eq!((taker, dim.name.as_str()), (&Taker::GripperPosition { message, joint: None }, "g"));
        assert_eq!(dim.limits, Limits { min: 0.01, max: 0.04, max_step: 0.03 });
        for field in
            ["message: float64_multi_array, ", "unit: m, ", "open: 0.04, ", "closed: 0.01, ", ", max_step: 0.03"]
        {
            let missing = refusal(&text.replace(field, ""));
            let name = field.trim_start_matches(", ").split(':').next().unwrap();
            assert!(missing.contains(&format!("missing field `{name}`")), "{missing}");
        }
        let twice = "- {kind: joint_positions, joints: [{joint: f, action: a, unit: m, open: 0, closed: 1, max_step: 1, max_velocity: 40, max_acceleration: 400, max_jerk: 8000}]}";
        let wrong = text.replace("unit: m", "joint: f, unit: m_per_s").replace("closed: 0.01", "closed: 0.04");
        assert_eq!(
            refusal(&format!("{wrong}{twice}")),
            "robot profile: gripper `g`: `unit` is m_per_s, wanted rad, deg, m or normalized; gripper `g`: `open` is 0.04 \
             and `closed` is 0.04, wanted two different numbers; moved joint `f` is listed twice: p.yaml"
        );
    }

    #[test]
    fn a_gripper_that_takes_goals_says_when_and_how_hard() {
        let text = "format: 1
robot: r
inputs: []
outputs:
- {kind: gripper_position, message: parallel_gripper_command, joint: f, action: g, unit: m, open: 0.04, closed: 0.01, max_step: 0.03, hysteresis: 0.005, dwell_ms: 250, max_effort: 12.5}
";
        let profile = Profile::parse(text, "p.yaml").unwrap();
        let Content::Values { taker: Taker::GripperPosition { message, .. }, .. } = &profile.outputs()[0].content
        else {
            panic!("no gripper")
        };
        let edges = GripperEdges { hysteresis: 0.005, dwell_ms: 250.0, max_effort: 12.5 };
        assert_eq!(*message, GripperMessage::Action { action: GripperAction::ParallelGripperCommand, edges });
        let nameless = "robot profile: gripper `g`: wanted `joint`, whose name is part of a `parallel_gripper_command`; \
                        gripper `g`: an action wants `hysteresis`, `dwell_ms` and `max_effort`: p.yaml";
        assert_eq!(refusal(&text.replace("joint: f, ", "").replace(", dwell_ms: 250", "")), nameless);
        let wrong = text.replace("parallel_gripper_command", "gripper_command").replace("250", "0");
        assert_eq!(refusal(&wrong), "robot profile: gripper `g`: `dwell_ms` is 0, wanted a positive number: p.yaml");
        let topic = refusal(&text.replace("parallel_gripper_command", "float64"));
        let want = "robot profile: gripper `g`: `hysteresis`, `dwell_ms` and `max_effort` belong to an action: p.yaml";
        assert_eq!(topic, want);
    }

    #[test]
    fn nothing_that_moves_the_robot_has_a_default() {
        for field in ["sign: -1, ", "offset: 0.5, ", "min: -2, ", "max: 1.5, "] {
            assert_eq!(
                refusal(&format!("{HEAD}{}", JOINT.replace(field, ""))),
                "robot profile: moved joint `j1`: wanted `sign`, `offset`, `min` and `max`, or `open` and `closed`: p.yaml"
            );
        }
        for field in [", max_step: 0.05", ", max_velocity: 2", ", max_acceleration: 20", ", max_jerk: 400"] {
            let missing = refusal(&format!("{HEAD}{}", JOINT.replace(field, "")));
            let name = field.trim_start_matches(", ").split(':').next().unwrap();
            assert!(missing.contains(&format!("missing field `{name}`")), "{missing}");
        }
        assert_eq!(
            refusal(&format!("{HEAD}{JOINT}").replace("control_rate_hz: 125\n", "actuation_latency_ms: -3\n")),
            "robot profile: output `joint_trajectory`: `control_rate_hz` is missing: so often its commands are sampled; robot: \
             `actuation_latency_ms` is -3, wanted at least 0: p.yaml"
        );
    }

    #[test]
    fn an_unknown_field_is_named() {
        let unknown = refusal(&format!("{HEAD}{}", JOINT.replace("max_step", "max_speed: 3, max_step")));
        assert!(unknown.contains("unknown field `max_speed`"), "{unknown}");
    }

    #[test]
    fn every_contradiction_is_listed_at_once() {
        let text = "
format: 1
robot: r
control_rate_hz: 0
inputs:
- {kind: camera, camera: front, transport: raw, max_age_ms: 0}
- {kind: camera, camera: front, transport: raw, max_age_ms: 50}
- kind: joint_states
  max_age_ms: 50
  joints:
  - {joint: j1, state: s, unit: rad, sign: 2, offset: 0}
  - {joint: j1, state: s, unit: normalized, at_zero: 1, at_one: 1}
  - {joint: j2, unit: rad, sign: 1}
outputs:
- kind: joint_trajectory
  joints:
  - {joint: j1, action: a, unit: rad, sign: 1, offset: 0, min: 1, max: 1, max_step: 0, max_velocity: 0, max_acceleration: 0, max_jerk: 0}
  - {joint: j1, action: b, unit: rad, open: 1, closed: 1, max_step: 1, max_velocity: 40, max_acceleration: 400, max_jerk: 8000}
- kind: controller_input
  dims:
  - {action: c, min: -1.5, max: 1, max_step: 0.1}
- {kind: joint_trajectory, joints: []}
";
        let error = Profile::parse(text, "p.yaml").unwrap_err();
        let ProfileError::Inconsistent { problems, .. } = error else { panic!("{error}") };
        assert_eq!(
            problems,
            [
                "camera `front`: `max_age_ms` is 0, wanted a positive number",
                "measured joint `j1`: `sign` is 2, wanted 1 or -1",
                "measured joint `j1`: `unit` is normalized, wanted rad, deg or m",
                "measured joint `j1`: `at_zero` is 1 and `at_one` is 1, wanted two different numbers",
                "measured joint `j2`: wanted `state` with `sign` and `offset`, `state` with `at_zero` and `at_one`, or none",
                "moved joint `j1`: `min` is 1 and `max` is 1, wanted two numbers in this order",
                "moved joint `j1`: `max_step` is 0, wanted a positive number",
                "moved joint `j1`: `max_velocity` is 0, wanted a positive number",
                "moved joint `j1`: `max_acceleration` is 0, wanted a positive number",
                "moved joint `j1`: `max_jerk` is 0, wanted a positive number",
                "moved joint `j1`: `open` is 1 and `closed` is 1, wanted two different numbers",
                "controller input `c`: range is [-1.5, 1], a controller input is in [-1, 1]",
                "output `joint_trajectory`: it is empty",
                "robot: `control_rate_hz` is 0, wanted a positive number",
                "camera `front` is listed twice",
                "measured joint `j1` is listed twice",
                "state `s` is listed twice",
                "moved joint `j1` is listed twice",
            ]
        );
    }

    #[test]
    fn a_number_that_is_none_is_refused() {
        for number in [".nan", ".inf", "1e999"] {
            let error = refusal(&format!("{HEAD}{}", JOINT.replace("offset: 0.5", &format!("offset: {number}"))));
            assert!(error.contains("non-finite"), "{error}");
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        assert_eq!(
            refusal(&HEAD.replace("joints:", "joints: []").replace("format: 1", "format: 2")),
            "robot profile: `format` is 2, this build reads 1: p.yaml"
        );
    }
}

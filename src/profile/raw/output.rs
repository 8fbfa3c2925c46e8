//! Outputs as people write them.

use serde::Deserialize;
use vla_bundle::Unit;

use super::Problems;
use super::eef::{RawEefPose, RawEefTwist};
use crate::profile::controller::RawController;
use crate::profile::{Carries, Content, GripperAction, GripperEdges, GripperMessage, Limits, Output, OutputDim, Taker};

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RawOutput {
    JointTrajectory { topic: Option<String>, joints: Vec<RawJoint>, controller: Option<RawController> },
    JointPositions { topic: Option<String>, joints: Vec<RawJoint> },
    ControllerInput { topic: Option<String>, dims: Vec<RawDim> },
    GripperPosition(RawGripper),
    EefPose(RawEefPose),
    EefTwist(RawEefTwist),
}

/// Either a position (`sign`, `offset`, `min`, `max`) or a gripper (`open`, `closed`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJoint {
    joint: String,
    action: String,
    unit: Unit,
    max_step: f64,
    max_velocity: f64,
    max_acceleration: f64,
    max_jerk: f64,
    sign: Option<f64>,
    offset: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    open: Option<f64>,
    closed: Option<f64>,
}

/// Either a value (`min`, `max`) or a gripper (`open`, `closed`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDim {
    action: String,
    max_step: f64,
    min: Option<f64>,
    max: Option<f64>,
    open: Option<f64>,
    closed: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGripper {
    topic: Option<String>,
    message: RawGripperMessage,
    hysteresis: Option<f64>,
    dwell_ms: Option<f64>,
    max_effort: Option<f64>,
    joint: Option<String>,
    action: String,
    unit: Unit,
    open: f64,
    closed: f64,
    max_step: f64,
}

#[derive(Clone, Copy, Deserialize)]
enum RawGripperMessage {
    #[serde(rename = "float64_multi_array")]
    Float64MultiArray,
    #[serde(rename = "float64")]
    Float64,
    #[serde(rename = "gripper_command")]
    GripperCommand,
    #[serde(rename = "parallel_gripper_command")]
    ParallelGripperCommand,
}

impl RawOutput {
    pub(super) fn check(self, problems: &mut Problems) -> Output {
        match self {
            RawOutput::JointTrajectory { topic, joints, controller } => {
                let mut output = values(topic, Taker::JointTrajectory, take_joints(joints, problems));
                output.controller = controller.map(|controller| controller.check(output.dims(), problems));
                output
            }
            RawOutput::JointPositions { topic, joints } => {
                values(topic, Taker::JointPositions, take_joints(joints, problems))
            }
            RawOutput::ControllerInput { topic, dims } => {
                let dims = dims.into_iter().map(|dim| take_dim(dim, problems)).collect();
                values(topic, Taker::ControllerInput, dims)
            }
            RawOutput::GripperPosition(gripper) => take_gripper(gripper, problems),
            RawOutput::EefPose(pose) => pose.check(problems),
            RawOutput::EefTwist(twist) => twist.check(problems),
        }
    }
}

fn values(topic: Option<String>, taker: Taker, dims: Vec<OutputDim>) -> Output {
    Output { topic, content: Content::Values { taker, dims }, controller: None }
}

fn take_joints(joints: Vec<RawJoint>, problems: &mut Problems) -> Vec<OutputDim> {
    joints.into_iter().map(|joint| take_joint(joint, problems)).collect()
}

fn take_joint(raw: RawJoint, problems: &mut Problems) -> OutputDim {
    let at = format!("moved joint `{}`", raw.joint);
    problems.joint_unit(&at, raw.unit);
    let (carries, limits) = match (raw.sign, raw.offset, raw.min, raw.max, raw.open, raw.closed) {
        (Some(sign), Some(offset), Some(min), Some(max), None, None) => {
            problems.sign(&at, sign);
            (Carries::Position { sign, offset }, problems.limits(&at, [min, max], raw.max_step))
        }
        (None, None, None, None, Some(open), Some(closed)) => opening(&at, [open, closed], raw.max_step, problems),
        _ => {
            problems.add(&at, "wanted `sign`, `offset`, `min` and `max`, or `open` and `closed`");
            unlimited(raw.max_step)
        }
    };
    let motion = problems.motion(
        &at,
        [("max_velocity", raw.max_velocity), ("max_acceleration", raw.max_acceleration), ("max_jerk", raw.max_jerk)],
    );
    OutputDim { name: raw.joint, action: raw.action, unit: raw.unit, carries, limits, motion: Some(motion) }
}

fn take_dim(raw: RawDim, problems: &mut Problems) -> OutputDim {
    let at = format!("controller input `{}`", raw.action);
    let (carries, limits) = match (raw.min, raw.max, raw.open, raw.closed) {
        (Some(min), Some(max), None, None) => {
            (Carries::Position { sign: 1.0, offset: 0.0 }, problems.limits(&at, [min, max], raw.max_step))
        }
        (None, None, Some(open), Some(closed)) => opening(&at, [open, closed], raw.max_step, problems),
        _ => {
            problems.add(&at, "wanted `min` and `max`, or `open` and `closed`");
            unlimited(raw.max_step)
        }
    };
    if limits.min < -1.0 || limits.max > 1.0 {
        problems.add(&at, &format!("range is [{}, {}], a controller input is in [-1, 1]", limits.min, limits.max));
    }
    OutputDim {
        name: raw.action.clone(),
        action: raw.action,
        unit: Unit::ControllerInput,
        carries,
        limits,
        motion: None,
    }
}

fn take_gripper(raw: RawGripper, problems: &mut Problems) -> Output {
    let at = format!("gripper `{}`", raw.action);
    let message = gripper_message(&at, &raw, problems);
    let RawGripper { topic, joint, action, unit, open, closed, max_step, .. } = raw;
    if !matches!(unit, Unit::Rad | Unit::Deg | Unit::M | Unit::Normalized) {
        problems.add(&at, &format!("`unit` is {}, wanted rad, deg, m or normalized", unit.word()));
    }
    let (carries, limits) = opening(&at, [open, closed], max_step, problems);
    let name = joint.clone().unwrap_or_else(|| action.clone());
    let dim = OutputDim { name, action, unit, carries, limits, motion: None };
    values(topic, Taker::GripperPosition { message, joint }, vec![dim])
}

fn gripper_message(at: &str, raw: &RawGripper, problems: &mut Problems) -> GripperMessage {
    let action = match raw.message {
        RawGripperMessage::Float64MultiArray | RawGripperMessage::Float64 => None,
        RawGripperMessage::GripperCommand => Some(GripperAction::GripperCommand),
        RawGripperMessage::ParallelGripperCommand => Some(GripperAction::ParallelGripperCommand),
    };
    if action == Some(GripperAction::ParallelGripperCommand) && raw.joint.is_none() {
        problems.add(at, "wanted `joint`, whose name is part of a `parallel_gripper_command`");
    }
    match (action, raw.hysteresis, raw.dwell_ms, raw.max_effort) {
        (Some(action), Some(hysteresis), Some(dwell_ms), Some(max_effort)) => {
            for (name, value) in [("hysteresis", hysteresis), ("dwell_ms", dwell_ms), ("max_effort", max_effort)] {
                problems.positive(at, name, value);
            }
            return GripperMessage::Action { action, edges: GripperEdges { hysteresis, dwell_ms, max_effort } };
        }
        (None, None, None, None) => {}
        (Some(_), ..) => problems.add(at, "an action wants `hysteresis`, `dwell_ms` and `max_effort`"),
        (None, ..) => problems.add(at, "`hysteresis`, `dwell_ms` and `max_effort` belong to an action"),
    }
    match raw.message {
        RawGripperMessage::Float64 => GripperMessage::Float64,
        _ => GripperMessage::Float64MultiArray,
    }
}

fn opening(at: &str, [open, closed]: [f64; 2], max_step: f64, problems: &mut Problems) -> (Carries, Limits) {
    problems.apart(at, ["open", "closed"], [open, closed]);
    problems.positive(at, "max_step", max_step);
    (Carries::Opening { open, closed }, Limits { min: open.min(closed), max: open.max(closed), max_step })
}

/// Stands in for a dimension that is refused anyway, so that only its first problem is reported.
fn unlimited(max_step: f64) -> (Carries, Limits) {
    (Carries::Position { sign: 1.0, offset: 0.0 }, Limits { min: -1.0, max: 1.0, max_step })
}

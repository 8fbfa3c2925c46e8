//! Which output of the profile carries which action of the bundle, and what becomes of it on the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use vla_bundle::{ActionDim, ActionKind, Delta, Io, Unit};

use super::inputs::Joints;
use super::{Content, Form, Line, Output, OutputDim, Rest, Rule, RunParameters, eef, factor};
use crate::profile::{self, Carries, GripperMessage, OutputKind, Profile, Taker};

/// Outputs with their actions; their topics are still the profile's, empty where it names none.
pub(super) fn outputs(io: &Io, profile: &Profile, joints: &Joints<'_>, problems: &mut Vec<String>) -> Vec<Output> {
    let mut carriers = Carriers { io, carriers: vec![Vec::new(); io.actions.len()] };
    let mut found = Vec::new();
    for output in profile.outputs() {
        let made = match &output.content {
            profile::Content::EefPose { eef, limits } => {
                eef::pose(eef, *limits, &mut carriers, problems).map(|rule| (Content::Pose(rule), names(&POSE_NAMES)))
            }
            profile::Content::EefTwist { eef, limits } => eef::twist(eef, *limits, &mut carriers, problems)
                .map(|rule| (Content::Twist(rule), names(&TWIST_NAMES))),
            profile::Content::Values { taker, dims } => {
                let names = dims.iter().map(|dim| dim.name.as_str().into()).collect();
                let dims = self::dims((output.kind(), taker, dims), joints, &mut carriers, problems);
                Some((Content::Values(dims), names))
            }
        };
        if let Some((content, names)) = made {
            let (kind, form) = (output.kind(), form(&output.content));
            found.push(Output { kind, form, topic: output.topic.clone().unwrap_or_default(), names, content });
        }
    }
    carriers.check(problems);
    found
}

const POSE_NAMES: [&str; 7] = ["x", "y", "z", "qx", "qy", "qz", "qw"];
const TWIST_NAMES: [&str; 6] = ["vx", "vy", "vz", "wx", "wy", "wz"];

fn names(names: &[&str]) -> Arc<[Arc<str>]> {
    names.iter().map(|name| (*name).into()).collect()
}

fn dims(
    (kind, taker, dims): (OutputKind, &Taker, &[profile::OutputDim]),
    joints: &Joints<'_>,
    carriers: &mut Carriers<'_>,
    problems: &mut Vec<String>,
) -> Vec<OutputDim> {
    let mut fitting = Vec::with_capacity(dims.len());
    for dim in dims {
        let at = place(kind, taker, &dim.name);
        let found = carriers.find(&at, &dim.action);
        match found.and_then(|(index, action)| output_dim(index, action, (taker, dim), joints)) {
            Ok(dim) => fitting.push(dim),
            Err(reason) => problems.push(format!("{at}: {reason}")),
        }
    }
    fitting
}

/// Which places of the profile carry each action.
pub(super) struct Carriers<'a> {
    io: &'a Io,
    carriers: Vec<Vec<String>>,
}

impl<'a> Carriers<'a> {
    /// The action of this name and its index, from now on carried by `at`.
    pub(super) fn find(&mut self, at: &str, name: &str) -> Result<(usize, &'a ActionDim), String> {
        let mut actions = self.io.actions.iter().zip(&mut self.carriers).enumerate();
        let found = actions.find(|(_, (action, _))| action.name == name);
        let (index, (action, carriers)) = found.ok_or_else(|| format!("the bundle has no action `{name}`"))?;
        carriers.push(at.to_owned());
        Ok((index, action))
    }

    fn check(&self, problems: &mut Vec<String>) {
        for (action, carriers) in self.io.actions.iter().zip(&self.carriers) {
            let (name, kind) = (&action.name, action.kind.word());
            match carriers.len() {
                1 => {}
                0 => problems.push(format!("action `{name}` (`{kind}`): no output of the profile carries it")),
                _ => problems.push(format!("action `{name}` is carried twice: {}", carriers.join(", "))),
            }
        }
    }
}

/// Puts every output on its own topic: the parameter's, the profile's or the default one.
pub(super) fn on_topics(
    mut outputs: Vec<Output>,
    parameters: &RunParameters,
    problems: &mut Vec<String>,
) -> Vec<Output> {
    let mut seen = BTreeSet::new();
    for output in &mut outputs {
        let (parameter, default) = match output.kind {
            OutputKind::JointTrajectory => (&parameters.topics.joint_trajectory, "~/joint_trajectory"),
            OutputKind::JointPositions | OutputKind::ControllerInput => (&parameters.topics.command, "~/command"),
            OutputKind::GripperPosition => (&parameters.topics.gripper, "~/gripper"),
            OutputKind::EefPose => (&parameters.topics.eef_target, "~/eef_target"),
            OutputKind::EefTwist => (&parameters.topics.eef_twist, "~/eef_twist"),
        };
        if let Some(topic) = parameter {
            output.topic.clone_from(topic);
        } else if output.topic.is_empty() {
            default.clone_into(&mut output.topic);
        }
        if !seen.insert(output.topic.clone()) {
            problems.push(format!("two outputs publish on topic `{}`", output.topic));
        }
    }
    outputs
}

fn place(kind: OutputKind, taker: &Taker, name: &str) -> String {
    let what = match taker {
        Taker::JointTrajectory | Taker::JointPositions => "joint",
        Taker::ControllerInput => "input",
        Taker::GripperPosition { .. } => "gripper",
    };
    format!("output `{}` ({what} `{name}`)", kind.word())
}

fn form(content: &profile::Content) -> Form {
    match content {
        profile::Content::Values { taker, .. } => match taker {
            Taker::JointTrajectory => Form::Trajectory,
            Taker::GripperPosition { message: GripperMessage::Float64, .. } => Form::Number,
            Taker::GripperPosition { message: GripperMessage::Action { action, edges }, .. } => {
                Form::Goal { action: *action, edges: *edges }
            }
            Taker::JointPositions | Taker::ControllerInput | Taker::GripperPosition { .. } => Form::Array,
        },
        profile::Content::EefPose { eef, .. } => Form::Pose { frame: eef.frame.as_str().into() },
        profile::Content::EefTwist { eef, .. } => Form::Twist { frame: eef.frame.as_str().into() },
    }
}

fn output_dim(
    index: usize,
    action: &ActionDim,
    (taker, dim): (&Taker, &profile::OutputDim),
    joints: &Joints<'_>,
) -> Result<OutputDim, String> {
    let (rule, rest) = match taker {
        Taker::JointTrajectory | Taker::JointPositions => (joint_rule(action, dim)?, measured(dim, joints)?),
        Taker::ControllerInput => input_rule(action, dim)?,
        Taker::GripperPosition { joint, .. } => {
            let rest = if joint.is_some() { measured(dim, joints)? } else { Rest::Unknown };
            (gripper_rule(action, dim)?, rest)
        }
    };
    if let (ActionKind::Gripper(gripper), Carries::Opening { open, closed }) = (&action.kind, dim.carries) {
        let stroke = (open - closed).abs();
        if gripper.threshold.is_some() && dim.limits.max_step < stroke {
            let max_step = dim.limits.max_step;
            return Err(format!(
                "action `{}` opens and closes in one step, so `max_step` is at least {stroke}, got {max_step}",
                action.name
            ));
        }
    }
    Ok(OutputDim { action: index, unit: dim.unit, rule, limits: dim.limits, rest, motion: dim.motion })
}

/// Where a joint stands must be known before it is moved: its first step is checked against it.
fn measured(dim: &profile::OutputDim, joints: &Joints<'_>) -> Result<Rest, String> {
    let (index, unit) = joints.find(&dim.name).ok_or("no input of the profile measures this joint")?;
    if unit != dim.unit {
        return Err(format!("it is commanded in {}, but measured in {}", dim.unit.word(), unit.word()));
    }
    Ok(Rest::Measured(index))
}

fn joint_rule(action: &ActionDim, dim: &profile::OutputDim) -> Result<Rule, String> {
    let name = &action.name;
    let convert = |from: Unit| {
        factor(from, dim.unit)
            .ok_or_else(|| format!("action `{name}` is in {}, the joint in {}", from.word(), dim.unit.word()))
    };
    match (&action.kind, dim.carries) {
        (ActionKind::JointPosition, Carries::Position { sign, offset }) => {
            Ok(Rule::Absolute(Line { gain: sign * convert(action.unit)?, bias: offset }))
        }
        (ActionKind::JointDelta(Delta { scale, reference }), Carries::Position { sign, .. }) => {
            let unit = match (action.unit, dim.unit) {
                // A scale turns numbers without a unit into rad or m.
                (Unit::ControllerInput | Unit::Normalized, Unit::M) => Unit::M,
                (Unit::ControllerInput | Unit::Normalized, _) => Unit::Rad,
                (unit, _) => unit,
            };
            Ok(Rule::Delta { gain: sign * scale * convert(unit)?, reference: *reference })
        }
        (ActionKind::Gripper(rule), Carries::Opening { open, closed }) => {
            Ok(Rule::Gripper { rule: *rule, open, closed })
        }
        (ActionKind::JointPosition | ActionKind::JointDelta(_), Carries::Opening { .. }) => Err(not_a_gripper(action)),
        (ActionKind::Gripper(_), Carries::Position { .. }) => Err(a_gripper(action)),
        _ => Err(refused(action, "joint_position, joint_delta, gripper")),
    }
}

fn input_rule(action: &ActionDim, dim: &profile::OutputDim) -> Result<(Rule, Rest), String> {
    match (&action.kind, dim.carries) {
        (ActionKind::EefDeltaPosition(..) | ActionKind::EefDeltaRotation(..), Carries::Position { .. }) => {
            if action.unit != Unit::ControllerInput {
                let unit = action.unit.word();
                return Err(format!("action `{}` is in {unit}, the output in controller_input", action.name));
            }
            Ok((Rule::Absolute(Line { gain: 1.0, bias: 0.0 }), Rest::Zero))
        }
        (ActionKind::Gripper(rule), Carries::Opening { open, closed }) => {
            Ok((Rule::Gripper { rule: *rule, open, closed }, Rest::Unknown))
        }
        (ActionKind::EefDeltaPosition(..) | ActionKind::EefDeltaRotation(..), Carries::Opening { .. }) => {
            Err(not_a_gripper(action))
        }
        (ActionKind::Gripper(_), Carries::Position { .. }) => Err(a_gripper(action)),
        _ => Err(refused(action, "eef_delta_position, eef_delta_rotation, gripper")),
    }
}

fn gripper_rule(action: &ActionDim, dim: &profile::OutputDim) -> Result<Rule, String> {
    match (&action.kind, dim.carries) {
        (ActionKind::Gripper(rule), Carries::Opening { open, closed }) => {
            Ok(Rule::Gripper { rule: *rule, open, closed })
        }
        _ => Err(refused(action, "gripper")),
    }
}

pub(super) fn refused(action: &ActionDim, carried: impl std::fmt::Display) -> String {
    format!("action `{}` is `{}`, it carries {carried}", action.name, action.kind.word())
}

fn a_gripper(action: &ActionDim) -> String {
    format!("action `{}` is `gripper`, it wants `open` and `closed`", action.name)
}

fn not_a_gripper(action: &ActionDim) -> String {
    format!("action `{}` is `{}`, it takes no `open` and `closed`", action.name, action.kind.word())
}

//! Which output of the profile carries which action of the bundle, and what becomes of it on the way.

use std::collections::BTreeSet;

use vla_bundle::{ActionDim, ActionKind, Delta, Io, Unit};

use super::inputs::Joints;
use super::{Content, Form, Line, Output, OutputDim, Rest, Rule, RunParameters, factor};
use crate::profile::{self, Carries, GripperMessage, OutputKind, Profile};

/// Outputs with their actions; their topics are still the profile's, empty where it names none.
pub(super) fn outputs(io: &Io, profile: &Profile, joints: &Joints<'_>, problems: &mut Vec<String>) -> Vec<Output> {
    let mut carriers: Vec<Vec<String>> = vec![Vec::new(); io.actions.len()];
    let mut found = Vec::new();
    for output in profile.outputs() {
        let mut dims = Vec::with_capacity(output.dims().len());
        for dim in output.dims() {
            let at = place(output.kind(), &dim.name);
            let Some(index) = io.actions.iter().position(|action| action.name == dim.action) else {
                problems.push(format!("{at}: the bundle has no action `{}`", dim.action));
                continue;
            };
            if let (Some(action), Some(carriers)) = (io.actions.get(index), carriers.get_mut(index)) {
                carriers.push(at.clone());
                match output_dim(index, action, (&output.content, dim), joints) {
                    Ok(dim) => dims.push(dim),
                    Err(reason) => problems.push(format!("{at}: {reason}")),
                }
            }
        }
        found.push(Output {
            kind: output.kind(),
            form: form(&output.content),
            topic: output.topic.clone().unwrap_or_default(),
            names: output.dims().iter().map(|dim| dim.name.as_str().into()).collect(),
            content: Content::Values(dims),
        });
    }
    for (action, carriers) in io.actions.iter().zip(carriers) {
        let (name, kind) = (&action.name, action.kind.word());
        match carriers.len() {
            1 => {}
            0 => problems.push(format!("action `{name}` (`{kind}`): no output of the profile carries it")),
            _ => problems.push(format!("action `{name}` is carried twice: {}", carriers.join(", "))),
        }
    }
    found
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

fn place(kind: OutputKind, name: &str) -> String {
    let what = match kind {
        OutputKind::JointTrajectory | OutputKind::JointPositions => "joint",
        OutputKind::ControllerInput => "input",
        OutputKind::GripperPosition => "gripper",
    };
    format!("output `{}` ({what} `{name}`)", kind.word())
}

fn form(content: &profile::Content) -> Form {
    match content {
        profile::Content::JointTrajectory(_) => Form::Trajectory,
        profile::Content::JointPositions(_) | profile::Content::ControllerInput(_) => Form::Array,
        profile::Content::GripperPosition { message, .. } => match message {
            GripperMessage::Float64MultiArray => Form::Array,
            GripperMessage::Float64 => Form::Number,
        },
    }
}

fn output_dim(
    index: usize,
    action: &ActionDim,
    (content, dim): (&profile::Content, &profile::OutputDim),
    joints: &Joints<'_>,
) -> Result<OutputDim, String> {
    let (rule, rest) = match content {
        profile::Content::JointTrajectory(_) | profile::Content::JointPositions(_) => {
            (joint_rule(action, dim)?, measured(dim, joints)?)
        }
        profile::Content::ControllerInput(_) => input_rule(action, dim)?,
        profile::Content::GripperPosition { joint, .. } => {
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
    Ok(OutputDim { action: index, unit: dim.unit, rule, limits: dim.limits, rest })
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

fn refused(action: &ActionDim, carried: &str) -> String {
    format!("action `{}` is `{}`, it carries {carried}", action.name, action.kind.word())
}

fn a_gripper(action: &ActionDim) -> String {
    format!("action `{}` is `gripper`, it wants `open` and `closed`", action.name)
}

fn not_a_gripper(action: &ActionDim) -> String {
    format!("action `{}` is `{}`, it takes no `open` and `closed`", action.name, action.kind.word())
}

//! Where each state value comes from, and what becomes of it on the way.

use vla_bundle::{StateDim, StateSource, Unit};

use super::eef::native;
use super::inputs::Joints;
use super::{Line, Measure, StateValue, factor};
use crate::geometry::Rotation;
use crate::profile::{EefInput, FeedRule, Profile, StateElement};

/// One value per dimension; what does not fit is a problem.
pub(super) fn state(
    wanted: &[StateDim],
    profile: &Profile,
    joints: &Joints<'_>,
    problems: &mut Vec<String>,
) -> Vec<StateValue> {
    let mut values = Vec::with_capacity(wanted.len());
    for dim in wanted {
        match value(dim, wanted, profile, joints) {
            Ok(value) => values.push(value),
            Err(reason) => problems.push(format!("state `{}`: {reason}", dim.name)),
        }
    }
    values
}

fn value(dim: &StateDim, all: &[StateDim], profile: &Profile, joints: &Joints<'_>) -> Result<StateValue, String> {
    let elements = profile.state_array().map(|array| array.values.as_slice()).unwrap_or_default();
    if let Some(element) = elements.iter().find(|element| element.state == dim.name) {
        return of_array(dim, element);
    }
    if let Some(eef) = profile.eef() {
        let find = |names: &[String]| names.iter().position(|name| *name == dim.name);
        if let Some(axis) = find(&eef.position) {
            return of_position(dim, axis);
        }
        if let Some(component) = find(&eef.rotation) {
            return of_rotation(dim, component, all, eef);
        }
    }
    of_joint(dim, joints)
}

fn of_array(dim: &StateDim, element: &StateElement) -> Result<StateValue, String> {
    let gain = factor(element.unit, dim.unit)
        .ok_or_else(|| format!("the policy wants {}, input `state` gives {}", dim.unit.word(), element.unit.word()))?;
    Ok(StateValue { from: Measure::Element(element.index), line: Line { gain, bias: 0.0 } })
}

fn of_position(dim: &StateDim, axis: usize) -> Result<StateValue, String> {
    wants(dim, StateSource::EefPosition)?;
    let gain = factor(Unit::M, dim.unit)
        .ok_or_else(|| format!("the policy wants {}, the end effector's position is in m", dim.unit.word()))?;
    Ok(StateValue { from: Measure::EefPosition(axis), line: Line { gain, bias: 0.0 } })
}

fn of_rotation(dim: &StateDim, component: usize, all: &[StateDim], eef: &EefInput) -> Result<StateValue, String> {
    wants(dim, StateSource::EefRotation)?;
    let convention = dim.rotation.ok_or(
        "the bundle does not say in which convention the rotation is: export it with an IO file that gives `rotation`",
    )?;
    let (width, named) = (Rotation::width(convention), eef.rotation.len());
    if width != named {
        return Err(format!("`{}` has {width} numbers, the profile names {named}", convention.word()));
    }
    let is_other = |other: &&StateDim| eef.rotation.contains(&other.name) && other.rotation != dim.rotation;
    if let Some(other) = all.iter().find(is_other) {
        return Err(format!("it is `{}`, `{}` is not", convention.word(), other.name));
    }
    let native = native(convention);
    let gain = factor(native, dim.unit).ok_or_else(|| {
        format!("the policy wants {}, `{}` is in {}", dim.unit.word(), convention.word(), native.word())
    })?;
    Ok(StateValue { from: Measure::EefRotation(convention, component), line: Line { gain, bias: 0.0 } })
}

fn wants(dim: &StateDim, fed: StateSource) -> Result<(), String> {
    let (is, by) = (dim.source.word(), fed.word());
    if dim.source == fed { Ok(()) } else { Err(format!("its source is `{is}`, the profile feeds it `{by}`")) }
}

fn of_joint(dim: &StateDim, joints: &Joints<'_>) -> Result<StateValue, String> {
    let (joint, measured, rule) = joints.feeding(&dim.name).ok_or("no input of the profile feeds it")?;
    if !matches!(dim.source, StateSource::JointPosition | StateSource::Gripper) {
        let word = dim.source.word();
        return Err(format!("its source is `{word}`, input `joint_states` carries joint_position, gripper"));
    }
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
    Ok(StateValue { from: Measure::Joint(joint), line })
}

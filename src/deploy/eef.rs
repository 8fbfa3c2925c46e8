//! How actions of the end effector become a target pose or a velocity.

use vla_bundle::{ActionDim, ActionKind, Delta, EefFrame, Reference, RotationConvention, Unit};

use super::outputs::{Carriers, refused};
use super::{Aim, PoseRule, PositionRule, RotationRule, Term, TwistRule, factor};
use crate::geometry::Rotation;
use crate::profile::{EefActions, PoseLimits, TwistLimits};

/// The rule of a target pose; `None` where something does not fit, which is a problem then.
pub(super) fn pose(
    eef: &EefActions,
    limits: PoseLimits,
    carriers: &mut Carriers<'_>,
    problems: &mut Vec<String>,
) -> Option<PoseRule> {
    let (position_at, rotation_at) = ("output `eef_pose` (position)", "output `eef_pose` (rotation)");
    let position = terms(position_at, &eef.position, pose_position, (carriers, problems));
    let rotation = terms(rotation_at, &eef.rotation, pose_rotation, (carriers, problems));
    let (terms, (rotation_aim, convention)) = rotation?;
    let rotation = rotation_rule(rotation_at, terms, convention, problems)?;
    let (terms, position_aim) = position?;
    Some(PoseRule { position: PositionRule(terms.try_into().ok()?), position_aim, rotation, rotation_aim, limits })
}

/// The rule of a velocity; `None` where something does not fit, which is a problem then.
pub(super) fn twist(
    eef: &EefActions,
    limits: TwistLimits,
    carriers: &mut Carriers<'_>,
    problems: &mut Vec<String>,
) -> Option<TwistRule> {
    let (position_at, rotation_at) = ("output `eef_twist` (position)", "output `eef_twist` (rotation)");
    let position = terms(position_at, &eef.position, twist_position, (carriers, problems));
    let rotation = terms(rotation_at, &eef.rotation, twist_rotation, (carriers, problems));
    let (terms, (rotation_frame, convention)) = rotation?;
    let rotation = rotation_rule(rotation_at, terms, convention, problems)?;
    let (terms, position_frame) = position?;
    Some(TwistRule { position: PositionRule(terms.try_into().ok()?), position_frame, rotation, rotation_frame, limits })
}

/// Every action with its factor, and what they all have in common.
fn terms<W: Copy + PartialEq>(
    at: &str,
    names: &[String],
    meaning: fn(&ActionDim) -> Result<(f64, W), String>,
    (carriers, problems): (&mut Carriers<'_>, &mut Vec<String>),
) -> Option<(Vec<Term>, W)> {
    let before = problems.len();
    let mut terms = Vec::with_capacity(names.len());
    let mut common: Option<(W, &str)> = None;
    for name in names {
        let found = carriers.find(at, name).and_then(|(index, action)| Ok((index, meaning(action)?)));
        match (found, common) {
            (Err(reason), _) => problems.push(format!("{at}: {reason}")),
            (Ok((_, (_, way))), Some((other, first))) if way != other => problems
                .push(format!("{at}: action `{name}` has another kind, frame, reference or convention than `{first}`")),
            (Ok((action, (gain, way))), _) => {
                common = common.or(Some((way, name)));
                terms.push(Term { action, gain });
            }
        }
    }
    (problems.len() == before).then_some(common).flatten().map(|(way, _)| (terms, way))
}

fn rotation_rule(
    at: &str,
    terms: Vec<Term>,
    convention: RotationConvention,
    problems: &mut Vec<String>,
) -> Option<RotationRule> {
    let (width, named) = (Rotation::width(convention), terms.len());
    if width == named {
        return Some(RotationRule { terms, convention });
    }
    problems.push(format!("{at}: `{}` has {width} numbers, the profile names {named}", convention.word()));
    None
}

fn pose_position(action: &ActionDim) -> Result<(f64, Aim), String> {
    match &action.kind {
        ActionKind::EefPosition(frame) => {
            let gain = factor(action.unit, Unit::M).ok_or_else(|| in_unit(action, "m"))?;
            Ok((gain, seen_from(action, *frame)?))
        }
        ActionKind::EefDeltaPosition(delta, frame) => {
            Ok((way(action, delta)?, Aim::By { reference: delta.reference, frame: *frame }))
        }
        _ => Err(refused(action, "eef_position, eef_delta_position")),
    }
}

fn pose_rotation(action: &ActionDim) -> Result<(f64, (Aim, RotationConvention)), String> {
    match &action.kind {
        ActionKind::EefRotation(frame, convention) => {
            let native = native(*convention);
            let gain = factor(action.unit, native).ok_or_else(|| in_unit(action, native.word()))?;
            Ok((gain, (seen_from(action, *frame)?, *convention)))
        }
        ActionKind::EefDeltaRotation(delta, frame, convention) => {
            let aim = Aim::By { reference: delta.reference, frame: *frame };
            Ok((turn(action, delta, *convention)?, (aim, *convention)))
        }
        _ => Err(refused(action, "eef_rotation, eef_delta_rotation")),
    }
}

fn twist_position(action: &ActionDim) -> Result<(f64, EefFrame), String> {
    match &action.kind {
        ActionKind::EefDeltaPosition(delta, frame) => {
            Ok((way(action, delta)?, from_row_to_row(action, delta, *frame)?))
        }
        _ => Err(refused(action, "eef_delta_position")),
    }
}

fn twist_rotation(action: &ActionDim) -> Result<(f64, (EefFrame, RotationConvention)), String> {
    match &action.kind {
        ActionKind::EefDeltaRotation(delta, frame, convention) => {
            let frame = from_row_to_row(action, delta, *frame)?;
            Ok((turn(action, delta, *convention)?, (frame, *convention)))
        }
        _ => Err(refused(action, "eef_delta_rotation")),
    }
}

/// Metres per unit of a change.
fn way(action: &ActionDim, delta: &Delta) -> Result<f64, String> {
    match action.unit {
        // A scale turns numbers without a unit into m.
        Unit::M | Unit::ControllerInput | Unit::Normalized => Ok(delta.scale),
        _ => Err(in_unit(action, "m, controller_input or normalized")),
    }
}

/// Radians per unit of a change, or 1 where the convention has no angles.
fn turn(action: &ActionDim, delta: &Delta, convention: RotationConvention) -> Result<f64, String> {
    match (native(convention), action.unit) {
        // A scale turns numbers without a unit into rad.
        (Unit::Rad, Unit::ControllerInput | Unit::Normalized) => Ok(delta.scale),
        (Unit::Rad, unit) => {
            let unit = factor(unit, Unit::Rad);
            Ok(delta.scale * unit.ok_or_else(|| in_unit(action, "rad, deg, controller_input or normalized"))?)
        }
        (_, Unit::Normalized) if delta.scale == 1.0 => Ok(1.0),
        (_, Unit::Normalized) => {
            let (name, word) = (&action.name, convention.word());
            Err(format!("action `{name}` has `scale` {}, which `{word}` cannot have: wanted 1", delta.scale))
        }
        _ => Err(in_unit(action, "normalized")),
    }
}

/// Unit of a rotation's numbers; `normalized` where they have none.
pub(super) fn native(convention: RotationConvention) -> Unit {
    match convention {
        RotationConvention::AxisAngle | RotationConvention::EulerXyz => Unit::Rad,
        RotationConvention::QuaternionXyzw | RotationConvention::Rotation6d => Unit::Normalized,
    }
}

fn seen_from(action: &ActionDim, frame: EefFrame) -> Result<Aim, String> {
    match frame {
        EefFrame::Base => Ok(Aim::At),
        EefFrame::Tool => {
            let (name, kind) = (&action.name, action.kind.word());
            Err(format!("action `{name}` is `{kind}` seen from the tool itself, wanted `frame: base`"))
        }
    }
}

fn from_row_to_row(action: &ActionDim, delta: &Delta, frame: EefFrame) -> Result<EefFrame, String> {
    match delta.reference {
        Reference::Measured | Reference::LastCommand => Ok(frame),
        Reference::ChunkStart => {
            let name = &action.name;
            Err(format!(
                "action `{name}` is a change from `chunk_start`, a velocity wants `measured` or `last_command`"
            ))
        }
    }
}

fn in_unit(action: &ActionDim, wanted: &str) -> String {
    format!("action `{}` is in {}, wanted {wanted}", action.name, action.unit.word())
}

//! The form in which people write an action dimension; the fields that it wants depend on its kind.

use serde::{Deserialize, Serialize};

use super::{ActionDim, ActionKind, Delta, EefFrame, GripperRule, Reference, RotationConvention, Unit};

/// The flat form that people write; which fields are wanted depends on `kind`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawActionDim {
    name: String,
    unit: Unit,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<EefFrame>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<RotationConvention>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
}

impl RawActionDim {
    fn bare(name: String, unit: Unit, kind: &str) -> Self {
        let kind = kind.to_owned();
        Self {
            name,
            unit,
            kind,
            scale: None,
            reference: None,
            frame: None,
            rotation: None,
            open: None,
            closed: None,
            threshold: None,
        }
    }

    fn want<T>(&self, field: &str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("action `{}`: kind `{}` wants `{field}`", self.name, self.kind))
    }

    fn delta(&mut self) -> Result<Delta, String> {
        let (scale, reference) = (self.scale.take(), self.reference.take());
        Ok(Delta { scale: self.want("scale", scale)?, reference: self.want("reference", reference)? })
    }

    fn take_frame(&mut self) -> Result<EefFrame, String> {
        let frame = self.frame.take();
        self.want("frame", frame)
    }

    fn take_rotation(&mut self) -> Result<RotationConvention, String> {
        let rotation = self.rotation.take();
        self.want("rotation", rotation)
    }

    fn gripper(&mut self) -> Result<GripperRule, String> {
        let (open, closed) = (self.open.take(), self.closed.take());
        let rule = GripperRule {
            open: self.want("open", open)?,
            closed: self.want("closed", closed)?,
            threshold: self.threshold.take(),
        };
        if rule.open == rule.closed || !rule.open.is_finite() || !rule.closed.is_finite() {
            return Err(format!(
                "action `{}`: `open` is {} and `closed` is {}, they must be two different numbers",
                self.name, rule.open, rule.closed
            ));
        }
        if let Some(threshold) = rule.threshold.filter(|threshold| !threshold.is_finite()) {
            return Err(format!("action `{}`: `threshold` is {threshold}, it must be a number", self.name));
        }
        Ok(rule)
    }

    fn leftover(&self) -> Option<&'static str> {
        [
            ("scale", self.scale.is_some()),
            ("reference", self.reference.is_some()),
            ("frame", self.frame.is_some()),
            ("rotation", self.rotation.is_some()),
            ("open", self.open.is_some()),
            ("closed", self.closed.is_some()),
            ("threshold", self.threshold.is_some()),
        ]
        .into_iter()
        .find_map(|(field, present)| present.then_some(field))
    }
}

impl TryFrom<RawActionDim> for ActionDim {
    type Error = String;

    fn try_from(mut raw: RawActionDim) -> Result<Self, String> {
        let kind = match raw.kind.as_str() {
            "joint_position" => ActionKind::JointPosition,
            "joint_delta" => ActionKind::JointDelta(raw.delta()?),
            "eef_delta_position" => ActionKind::EefDeltaPosition(raw.delta()?, raw.take_frame()?),
            "eef_delta_rotation" => ActionKind::EefDeltaRotation(raw.delta()?, raw.take_frame()?, raw.take_rotation()?),
            "eef_position" => ActionKind::EefPosition(raw.take_frame()?),
            "eef_rotation" => ActionKind::EefRotation(raw.take_frame()?, raw.take_rotation()?),
            "gripper" => ActionKind::Gripper(raw.gripper()?),
            other => {
                return Err(format!(
                    "action `{}`: kind `{other}` is not one of joint_position, joint_delta, eef_delta_position, \
                     eef_delta_rotation, eef_position, eef_rotation, gripper",
                    raw.name
                ));
            }
        };
        if let Some(field) = raw.leftover() {
            return Err(format!("action `{}`: kind `{}` takes no `{field}`", raw.name, raw.kind));
        }
        Ok(ActionDim { name: raw.name, unit: raw.unit, kind })
    }
}

impl From<ActionDim> for RawActionDim {
    fn from(dim: ActionDim) -> Self {
        let mut raw = RawActionDim::bare(dim.name, dim.unit, dim.kind.word());
        if let Some(delta) = dim.kind.delta() {
            raw.scale = Some(delta.scale);
            raw.reference = Some(delta.reference);
        }
        match dim.kind {
            ActionKind::JointPosition | ActionKind::JointDelta(_) => {}
            ActionKind::EefDeltaPosition(_, frame) | ActionKind::EefPosition(frame) => raw.frame = Some(frame),
            ActionKind::EefDeltaRotation(_, frame, rotation) | ActionKind::EefRotation(frame, rotation) => {
                raw.frame = Some(frame);
                raw.rotation = Some(rotation);
            }
            ActionKind::Gripper(rule) => {
                raw.open = Some(rule.open);
                raw.closed = Some(rule.closed);
                raw.threshold = rule.threshold;
            }
        }
        raw
    }
}

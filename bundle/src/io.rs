//! What each state and action dimension means. No checkpoint holds this; it comes from an IO file beside it.

mod raw;

use serde::{Deserialize, Serialize};

use crate::BundleError;
use raw::RawActionDim;

/// Meaning of a policy's state and action dimensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Io {
    /// Steps per second that one action row stands for.
    pub rate_hz: f64,
    /// One per action dimension, in the network's order.
    pub actions: Vec<ActionDim>,
    /// One per state dimension, in the network's order; empty where the policy takes no state.
    #[serde(default)]
    pub state: Vec<StateDim>,
}

/// The YAML file `--io` takes; the same fields as [`Io`].
pub struct IoFile;

impl IoFile {
    /// Reads an IO file's text; `origin` names it in errors.
    ///
    /// # Errors
    /// Not YAML, unknown or missing fields, or a dimension whose fields contradict its kind.
    pub fn parse(text: &str, origin: &str) -> Result<Io, BundleError> {
        let io: Io = serde_saphyr::from_str(text)
            .map_err(|e| BundleError::Io { origin: origin.to_owned(), reason: e.to_string() })?;
        io.check(origin)?;
        Ok(io)
    }
}

impl Io {
    /// Checks names and numbers.
    ///
    /// # Errors
    /// Rate or scale that is not a positive number, a name used twice, or a rotation where nothing turns.
    pub fn check(&self, origin: &str) -> Result<(), BundleError> {
        let fail = |reason: String| Err(BundleError::Io { origin: origin.to_owned(), reason });
        if !(self.rate_hz.is_finite() && self.rate_hz > 0.0) {
            return fail(format!("`rate_hz` is {}, it must be a positive number", self.rate_hz));
        }
        for (what, names) in [
            ("action", self.actions.iter().map(|d| d.name.as_str()).collect::<Vec<_>>()),
            ("state", self.state.iter().map(|d| d.name.as_str()).collect()),
        ] {
            let mut seen = std::collections::BTreeSet::new();
            if let Some(twice) = names.iter().find(|name| !seen.insert(**name)) {
                return fail(format!("{what} dimension `{twice}` is named twice"));
            }
        }
        for dim in &self.actions {
            if let Some(delta) = dim.kind.delta()
                && !(delta.scale.is_finite() && delta.scale != 0.0)
            {
                return fail(format!(
                    "action `{}`: `scale` is {}, it must be a number other than 0",
                    dim.name, delta.scale
                ));
            }
        }
        let is_other = |dim: &&StateDim| dim.rotation.is_some() && dim.source != StateSource::EefRotation;
        if let Some(dim) = self.state.iter().find(is_other) {
            return fail(format!("state `{}`: source `{}` takes no `rotation`", dim.name, dim.source.word()));
        }
        Ok(())
    }
}

/// One action dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawActionDim", into = "RawActionDim")]
pub struct ActionDim {
    /// Unique name; robot profiles refer to it.
    pub name: String,
    /// Unit of the un-normalised value.
    pub unit: Unit,
    /// What it moves and how.
    pub kind: ActionKind,
}

/// What an action dimension moves and how.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionKind {
    /// Absolute joint position.
    JointPosition,
    /// Change of a joint position.
    JointDelta(Delta),
    /// Change of the end effector's position along one axis.
    EefDeltaPosition(Delta, EefFrame),
    /// One component of the end effector's rotation change.
    EefDeltaRotation(Delta, EefFrame, RotationConvention),
    /// Absolute end-effector position along one axis.
    EefPosition(EefFrame),
    /// One component of the absolute end-effector rotation.
    EefRotation(EefFrame, RotationConvention),
    /// Gripper opening.
    Gripper(GripperRule),
}

impl ActionKind {
    /// The word for it in IO files and messages.
    pub fn word(&self) -> &'static str {
        match self {
            ActionKind::JointPosition => "joint_position",
            ActionKind::JointDelta(_) => "joint_delta",
            ActionKind::EefDeltaPosition(..) => "eef_delta_position",
            ActionKind::EefDeltaRotation(..) => "eef_delta_rotation",
            ActionKind::EefPosition(_) => "eef_position",
            ActionKind::EefRotation(..) => "eef_rotation",
            ActionKind::Gripper(_) => "gripper",
        }
    }

    /// Scale and reference, for the kinds that are changes.
    pub fn delta(&self) -> Option<&Delta> {
        match self {
            ActionKind::JointDelta(d) | ActionKind::EefDeltaPosition(d, _) | ActionKind::EefDeltaRotation(d, ..) => {
                Some(d)
            }
            ActionKind::JointPosition
            | ActionKind::EefPosition(_)
            | ActionKind::EefRotation(..)
            | ActionKind::Gripper(_) => None,
        }
    }
}

/// How a change becomes a movement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delta {
    /// Robot units (m or rad) per unit of the action; a LIBERO action of 1.0 is 0.05 m, so its scale is 0.05.
    pub scale: f64,
    /// What the change is added to.
    pub reference: Reference,
}

/// What a change is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The measured pose when the action is executed.
    Measured,
    /// The last command.
    LastCommand,
    /// The state of the observation that produced the chunk.
    ChunkStart,
}

/// Frame that an end-effector quantity is expressed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EefFrame {
    /// The robot's base.
    Base,
    /// The tool itself.
    Tool,
}

/// How three or more numbers make a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationConvention {
    /// Axis times angle, rad.
    AxisAngle,
    /// Roll, pitch, yaw about fixed axes, rad.
    EulerXyz,
    /// Quaternion x, y, z, w.
    QuaternionXyzw,
    /// First two columns of the rotation matrix.
    Rotation6d,
}

/// Which values of the un-normalised action mean open and closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GripperRule {
    /// Value of a fully open gripper.
    pub open: f64,
    /// Value of a fully closed gripper.
    pub closed: f64,
    /// Where given, values on the open side of it mean fully open, the others fully closed.
    pub threshold: Option<f64>,
}

impl GripperRule {
    /// Opening in [0, 1] (0 closed) that an action value means; values beyond open or closed are open or closed.
    pub fn opening(&self, value: f64) -> f64 {
        let share = |v: f64| (v - self.closed) / (self.open - self.closed);
        match self.threshold {
            Some(at) if share(value) > share(at) => 1.0,
            Some(_) => 0.0,
            None => share(value).clamp(0.0, 1.0),
        }
    }
}

/// Unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Metre.
    M,
    /// Radian.
    Rad,
    /// Degree.
    Deg,
    /// Metre per second.
    MPerS,
    /// Radian per second.
    RadPerS,
    /// A share without a unit, such as a gripper opening.
    Normalized,
    /// Input of a controller in [-1, 1]; the delta's scale says what 1 moves.
    ControllerInput,
}

impl Unit {
    /// The word for it in files and messages.
    pub fn word(self) -> &'static str {
        match self {
            Unit::M => "m",
            Unit::Rad => "rad",
            Unit::Deg => "deg",
            Unit::MPerS => "m_per_s",
            Unit::RadPerS => "rad_per_s",
            Unit::Normalized => "normalized",
            Unit::ControllerInput => "controller_input",
        }
    }
}

/// One state dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateDim {
    /// Unique name; robot profiles refer to it.
    pub name: String,
    /// Unit the policy was trained with.
    pub unit: Unit,
    /// What it measures.
    pub source: StateSource,
    /// Convention of the rotation that it is a component of; for `eef_rotation` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationConvention>,
}

/// What a state dimension measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateSource {
    /// Position of a joint.
    JointPosition,
    /// Velocity of a joint.
    JointVelocity,
    /// End-effector position along one axis.
    EefPosition,
    /// One component of the end effector's rotation.
    EefRotation,
    /// Position of a gripper finger, or the gripper's opening.
    Gripper,
}

impl StateSource {
    /// The word for it in IO files and messages.
    pub fn word(self) -> &'static str {
        match self {
            StateSource::JointPosition => "joint_position",
            StateSource::JointVelocity => "joint_velocity",
            StateSource::EefPosition => "eef_position",
            StateSource::EefRotation => "eef_rotation",
            StateSource::Gripper => "gripper",
        }
    }
}

impl RotationConvention {
    /// The word for it in IO files and messages.
    pub fn word(self) -> &'static str {
        match self {
            RotationConvention::AxisAngle => "axis_angle",
            RotationConvention::EulerXyz => "euler_xyz",
            RotationConvention::QuaternionXyzw => "quaternion_xyzw",
            RotationConvention::Rotation6d => "rotation6d",
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    const LIBERO_X: &str = "rate_hz: 20\nactions:\n- {name: eef_x, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}\n";

    #[test]
    fn a_delta_keeps_its_scale_frame_and_reference() {
        let io = IoFile::parse(LIBERO_X, "io.yaml").unwrap();
        let want = ActionKind::EefDeltaPosition(Delta { scale: 0.05, reference: Reference::Measured }, EefFrame::Base);
        assert_eq!(io.actions[0].kind, want);
        let json = serde_json::to_string(&io).unwrap();
        assert_eq!(serde_json::from_str::<Io>(&json).unwrap(), io);
    }

    #[test]
    fn a_missing_scale_is_named() {
        let text = LIBERO_X.replace("scale: 0.05, ", "");
        let err = IoFile::parse(&text, "io.yaml").unwrap_err().to_string();
        assert!(err.contains("action `eef_x`: kind `eef_delta_position` wants `scale`"), "{err}");
    }

    #[test]
    fn a_field_that_the_kind_does_not_take_is_refused() {
        let text = "rate_hz: 20\nactions:\n- {name: j1, unit: rad, kind: joint_position, scale: 2.0}\n";
        let err = IoFile::parse(text, "io.yaml").unwrap_err().to_string();
        assert!(err.contains("action `j1`: kind `joint_position` takes no `scale`"), "{err}");
    }

    #[test]
    fn an_unknown_kind_lists_the_known_ones() {
        let text = "rate_hz: 20\nactions:\n- {name: j1, unit: rad, kind: torque}\n";
        let err = IoFile::parse(text, "io.yaml").unwrap_err().to_string();
        assert!(err.contains("kind `torque` is not one of joint_position, joint_delta"), "{err}");
    }

    #[test]
    fn a_name_used_twice_is_refused() {
        let text = "rate_hz: 20\nactions:\n- {name: j1, unit: rad, kind: joint_position}\n- {name: j1, unit: rad, kind: joint_position}\n";
        let err = IoFile::parse(text, "io.yaml").unwrap_err().to_string();
        assert_eq!(err, "io.yaml: action dimension `j1` is named twice");
    }

    fn refusal(text: &str) -> String {
        IoFile::parse(text, "io.yaml").unwrap_err().to_string()
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        for rate in ["0", "-20", ".nan", ".inf"] {
            let said = refusal(&LIBERO_X.replace("20", rate));
            assert!(
                said.starts_with("io.yaml: `rate_hz` is ") && said.ends_with(", it must be a positive number"),
                "{said}"
            );
        }
        for (scale, got) in [("0", "0"), (".nan", "NaN"), ("-.inf", "-inf")] {
            let want = format!("io.yaml: action `eef_x`: `scale` is {got}, it must be a number other than 0");
            assert_eq!(refusal(&LIBERO_X.replace("0.05", scale)), want);
        }
        let gripper = |rule: &str| {
            refusal(&format!("rate_hz: 5\nactions:\n- {{name: g, unit: normalized, kind: gripper, {rule}}}\n"))
        };
        for (rule, reason) in [
            ("open: 1, closed: 1", "`open` is 1 and `closed` is 1, they must be two different numbers"),
            ("open: .inf, closed: 1", "`open` is inf and `closed` is 1, they must be two different numbers"),
            ("open: 1, closed: .nan", "`open` is 1 and `closed` is NaN, they must be two different numbers"),
            ("open: 1, closed: 0, threshold: .nan", "`threshold` is NaN, it must be a number"),
        ] {
            let said = gripper(rule);
            assert!(said.contains(&format!("action `g`: {reason}")), "{said}");
        }
    }

    #[test]
    fn a_state_name_used_twice_is_refused() {
        let state = "state:\n- {name: j1, unit: rad, source: joint_position}\n- {name: j1, unit: rad, source: joint_velocity}\n";
        assert_eq!(refusal(&format!("{LIBERO_X}{state}")), "io.yaml: state dimension `j1` is named twice");
    }

    #[test]
    fn text_that_unfolds_without_end_is_refused_at_once() {
        let lines: Vec<String> =
            (1..30).map(|i| format!("a{i}: &a{i} [*a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}]", i - 1)).collect();
        let aliases = format!("a0: &a0 [1, 2]\n{}\nrate_hz: 20\nactions: *a29\n", lines.join("\n"));
        assert!(refusal(&aliases).starts_with("io.yaml: "));
        let deep = format!("rate_hz: 20\nactions: {}", "[".repeat(1 << 16));
        assert!(refusal(&deep).starts_with("io.yaml: "));
    }

    #[test]
    fn a_state_keeps_its_rotation_convention_and_only_a_rotation_has_one() {
        let turned =
            format!("{LIBERO_X}state:\n- {{name: rx, unit: rad, source: eef_rotation, rotation: axis_angle}}\n");
        let io = IoFile::parse(&turned, "io.yaml").unwrap();
        assert_eq!(io.state[0].rotation, Some(RotationConvention::AxisAngle));
        assert_eq!(serde_json::from_str::<Io>(&serde_json::to_string(&io).unwrap()).unwrap(), io);
        let err = IoFile::parse(&turned.replace("eef_rotation", "eef_position"), "io.yaml").unwrap_err().to_string();
        assert_eq!(err, "io.yaml: state `rx`: source `eef_position` takes no `rotation`");
    }

    #[test]
    fn a_gripper_value_past_its_threshold_means_open_whatever_the_direction() {
        let libero = GripperRule { open: 1.0, closed: 0.0, threshold: Some(0.5) };
        assert_eq!([0.7, 0.2].map(|v| libero.opening(v)), [1.0, 0.0]);
        let inverted = GripperRule { open: -1.0, closed: 1.0, threshold: Some(0.25) };
        assert_eq!([0.2, 0.3].map(|v| inverted.opening(v)), [1.0, 0.0]);
    }

    #[test]
    fn a_gripper_without_threshold_is_proportional_and_clamped() {
        let finger = GripperRule { open: 0.04, closed: 0.0, threshold: None };
        assert_eq!([0.01, 0.05, -0.1].map(|v| finger.opening(v)), [0.25, 1.0, 0.0]);
    }
}

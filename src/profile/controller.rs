//! The controller behind a topic of joint trajectories: how it plays them, and where it can be asked.

use serde::Deserialize;

use super::OutputDim;
use super::raw::Problems;
use crate::controller::{BridgeFrom, Config, Distribution, Interpolation, Joint};
use crate::time::Span;

/// A joint_trajectory_controller.
#[derive(Clone, Debug, PartialEq)]
pub struct Controller {
    /// What it makes of a trajectory.
    pub config: Config,
    /// Where it is asked at start whether it is that; `None` where it is taken for it unasked.
    pub ask: Option<Ask>,
}

/// Nodes that answer for a controller, by absolute name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The controller itself.
    pub node: String,
    /// Its controller manager, which knows the rate of its cycles.
    pub manager: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawController {
    distribution: RawDistribution,
    update_rate_hz: f64,
    interpolation_method: RawInterpolation,
    bridge_from: RawBridge,
    allow_nonzero_velocity_at_trajectory_end: bool,
    #[serde(default)]
    continuous_joints: Vec<String>,
    ask: Option<Ask>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawDistribution {
    Humble,
    Jazzy,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawInterpolation {
    Splines,
    None,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawBridge {
    Measured,
    Desired,
}

impl RawController {
    /// `moved` are the joints of the topic.
    pub fn check(self, moved: &[OutputDim], problems: &mut Problems) -> Controller {
        let at = "controller";
        problems.positive(at, "update_rate_hz", self.update_rate_hz);
        for joint in &self.continuous_joints {
            if moved.iter().all(|dim| dim.name != *joint) {
                problems.add(at, &format!("continuous joint `{joint}` is not among the joints that it moves"));
            }
        }
        for node in self.ask.iter().flat_map(|ask| [&ask.node, &ask.manager]) {
            if !node.starts_with('/') || node.ends_with('/') {
                problems.add(at, &format!("node `{node}`, wanted an absolute name"));
            }
        }
        let joint = |OutputDim { name, .. }: &OutputDim| Joint {
            name: name.as_str().into(),
            continuous: self.continuous_joints.contains(name),
        };
        let config = Config {
            distribution: match self.distribution {
                RawDistribution::Humble => Distribution::Humble,
                RawDistribution::Jazzy => Distribution::Jazzy,
            },
            joints: moved.iter().map(joint).collect(),
            update_period: Span::from_secs(1.0 / self.update_rate_hz),
            interpolation: match self.interpolation_method {
                RawInterpolation::Splines => Interpolation::Splines,
                RawInterpolation::None => Interpolation::None,
            },
            bridge_from: match self.bridge_from {
                RawBridge::Measured => BridgeFrom::Measured,
                RawBridge::Desired => BridgeFrom::Desired,
            },
            // Every trajectory of ours names every joint.
            allow_partial_joints_goal: false,
            allow_nonzero_velocity_at_trajectory_end: self.allow_nonzero_velocity_at_trajectory_end,
        };
        Controller { config, ask: self.ask }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    const PROFILE: &str = "format: 1
robot: r
control_rate_hz: 100
inputs: []
outputs:
- kind: joint_trajectory
  controller:
    distribution: jazzy
    update_rate_hz: 250
    interpolation_method: splines
    bridge_from: desired
    allow_nonzero_velocity_at_trajectory_end: false
    continuous_joints: [wrist]
    ask: {node: /arm_controller, manager: /controller_manager}
  joints:
  - {joint: elbow, action: a, unit: rad, sign: 1, offset: 0, min: -1, max: 1, max_step: 0.1, max_velocity: 1, max_acceleration: 5, max_jerk: 50}
  - {joint: wrist, action: b, unit: rad, sign: 1, offset: 0, min: -1, max: 1, max_step: 0.1, max_velocity: 1, max_acceleration: 5, max_jerk: 50}
";

    #[test]
    fn a_controller_is_what_the_profile_says() {
        let profile = Profile::parse(PROFILE, "p.yaml").unwrap();
        let controller = profile.outputs()[0].controller.as_ref().unwrap();
        let joint = |name: &str, continuous| Joint { name: name.into(), continuous };
        let config = Config {
            distribution: Distribution::Jazzy,
            joints: vec![joint("elbow", false), joint("wrist", true)],
            update_period: Span::from_millis(4.0),
            interpolation: Interpolation::Splines,
            bridge_from: BridgeFrom::Desired,
            allow_partial_joints_goal: false,
            allow_nonzero_velocity_at_trajectory_end: false,
        };
        let ask = Ask { node: "/arm_controller".into(), manager: "/controller_manager".into() };
        assert_eq!(controller, &Controller { config, ask: Some(ask) });
    }

    #[test]
    fn what_a_controller_does_has_no_default() {
        let lines = PROFILE.lines().filter(|line| line.starts_with("    "));
        for line in lines.filter(|line| !line.contains("continuous_joints") && !line.contains("ask")) {
            let name = line.trim().split(':').next().unwrap();
            let error = Profile::parse(&PROFILE.replace(&format!("{line}\n"), ""), "p.yaml").unwrap_err().to_string();
            assert!(error.contains(&format!("missing field `{name}`")), "{error}");
        }
    }

    #[test]
    fn contradictions_of_a_controller_are_listed() {
        let wrong = PROFILE
            .replace("update_rate_hz: 250", "update_rate_hz: 0")
            .replace("[wrist]", "[thumb]")
            .replace("/arm_controller", "arm_controller");
        assert_eq!(
            Profile::parse(&wrong, "p.yaml").unwrap_err().to_string(),
            "robot profile: controller: `update_rate_hz` is 0, wanted a positive number; controller: continuous joint \
             `thumb` is not among the joints that it moves; controller: node `arm_controller`, wanted an absolute name: \
             p.yaml"
        );
    }
}

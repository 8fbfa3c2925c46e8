//! Outputs that move the end effector, as people write them.

use std::f64::consts::PI;

use serde::Deserialize;

use super::Problems;
use crate::profile::{Content, EefActions, EefSource, Output, PoseLimits, Profile, TwistLimits, Workspace};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEefPose {
    topic: Option<String>,
    frame: String,
    position: Vec<String>,
    rotation: Vec<String>,
    min: [f64; 3],
    max: [f64; 3],
    max_step_m: f64,
    max_step_rad: f64,
    max_m_per_s: f64,
    max_m_per_s2: f64,
    max_m_per_s3: f64,
    max_rad_per_s: f64,
    max_rad_per_s2: f64,
    max_rad_per_s3: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEefTwist {
    topic: Option<String>,
    frame: String,
    position: Vec<String>,
    rotation: Vec<String>,
    min: [f64; 3],
    max: [f64; 3],
    max_m_per_s: f64,
    max_rad_per_s: f64,
    max_step_m_per_s: f64,
    max_step_rad_per_s: f64,
}

impl RawEefPose {
    pub(super) fn check(self, problems: &mut Problems) -> Output {
        let Self { topic, frame, position, rotation, min, max, max_step_m, max_step_rad, .. } = self;
        let at = "output `eef_pose`";
        let linear = [
            ("max_m_per_s", self.max_m_per_s),
            ("max_m_per_s2", self.max_m_per_s2),
            ("max_m_per_s3", self.max_m_per_s3),
        ];
        let angular = [
            ("max_rad_per_s", self.max_rad_per_s),
            ("max_rad_per_s2", self.max_rad_per_s2),
            ("max_rad_per_s3", self.max_rad_per_s3),
        ];
        let (linear, angular) = (problems.motion(at, linear), problems.motion(at, angular));
        problems.positive(at, "max_step_m", max_step_m);
        problems.positive(at, "max_step_rad", max_step_rad);
        if max_step_rad > PI {
            problems.add(at, &format!("`max_step_rad` is {max_step_rad}, no two rotations are farther apart than pi"));
        }
        let workspace = workspace(at, min, max, problems);
        let limits = PoseLimits { workspace, max_step_m, max_step_rad, linear, angular };
        let eef = EefActions { frame, position: axes(at, position, problems), rotation };
        Output { topic, content: Content::EefPose { eef, limits }, controller: None }
    }
}

impl RawEefTwist {
    pub(super) fn check(self, problems: &mut Problems) -> Output {
        let Self { topic, frame, position, rotation, min, max, .. } = self;
        let Self { max_m_per_s, max_rad_per_s, max_step_m_per_s, max_step_rad_per_s, .. } = self;
        let at = "output `eef_twist`";
        for (field, value) in [
            ("max_m_per_s", max_m_per_s),
            ("max_rad_per_s", max_rad_per_s),
            ("max_step_m_per_s", max_step_m_per_s),
            ("max_step_rad_per_s", max_step_rad_per_s),
        ] {
            problems.positive(at, field, value);
        }
        let workspace = workspace(at, min, max, problems);
        let limits = TwistLimits { workspace, max_m_per_s, max_rad_per_s, max_step_m_per_s, max_step_rad_per_s };
        let eef = EefActions { frame, position: axes(at, position, problems), rotation };
        Output { topic, content: Content::EefTwist { eef, limits }, controller: None }
    }
}

fn workspace(at: &str, min: [f64; 3], max: [f64; 3], problems: &mut Problems) -> Workspace {
    for ((axis, min), max) in ["x", "y", "z"].into_iter().zip(min).zip(max) {
        if min >= max {
            problems.add(at, &format!("{axis} of `min` is {min} and of `max` {max}, wanted two numbers in this order"));
        }
    }
    Workspace { min, max }
}

fn axes(at: &str, names: Vec<String>, problems: &mut Problems) -> [String; 3] {
    names.try_into().unwrap_or_else(|names: Vec<String>| {
        problems.add(at, &format!("`position` names {} actions, wanted those of x, y and z", names.len()));
        Default::default()
    })
}

/// Whoever moves the end effector measures it, and in the same frame: its first step is checked against where it is.
pub(super) fn check(profile: &Profile, problems: &mut Problems) {
    let measured = profile.eef.as_ref().map(|eef| match &eef.source {
        EefSource::Topic { frame, .. } => frame,
        EefSource::Frames { base, .. } => base,
    });
    for output in &profile.outputs {
        let (at, Some(eef)) = (format!("output `{}`", output.kind().word()), output.eef()) else { continue };
        match measured {
            None => problems.add(&at, "no input measures the end effector's pose, wanted `eef_pose` or `tf`"),
            Some(frame) if *frame != eef.frame => {
                problems.add(&at, &format!("`frame` is `{}`, the end effector is measured in `{frame}`", eef.frame));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{MotionLimits, ProfileError};

    const POSE: &str = "
format: 1
robot: r
control_rate_hz: 100
inputs:
- {kind: tf, base: base, tip: hand, max_age_ms: 40}
outputs:
- kind: eef_pose
  frame: base
  position: [x, y, z]
  rotation: [roll, pitch, yaw]
  min: [0.1, -0.25, 0.02]
  max: [0.5, 0.25, 0.75]
  max_step_m: 0.03
  max_step_rad: 0.2
  max_m_per_s: 0.5
  max_m_per_s2: 2.5
  max_m_per_s3: 50
  max_rad_per_s: 1.5
  max_rad_per_s2: 7.5
  max_rad_per_s3: 150
";

    const TWIST_LIMITS: &str =
        "max_m_per_s: 0.5\n  max_rad_per_s: 1.5\n  max_step_m_per_s: 0.25\n  max_step_rad_per_s: 0.75";

    fn twist() -> String {
        let (kept, limits) = POSE.split_once("max_step_m").unwrap();
        assert!(limits.contains("max_rad_per_s3"));
        format!("{kept}{TWIST_LIMITS}\n").replace("kind: eef_pose", "kind: eef_twist")
    }

    fn problems(text: &str) -> Vec<String> {
        match Profile::parse(text, "p.yaml").unwrap_err() {
            ProfileError::Inconsistent { problems, .. } => problems,
            other => vec![other.to_string()],
        }
    }

    #[test]
    fn a_pose_and_a_twist_keep_their_bounds() {
        let pose = Profile::parse(POSE, "p.yaml").unwrap();
        let workspace = Workspace { min: [0.1, -0.25, 0.02], max: [0.5, 0.25, 0.75] };
        let Content::EefPose { eef, limits } = &pose.outputs()[0].content else { panic!("no pose") };
        let linear = MotionLimits { max_velocity: 0.5, max_acceleration: 2.5, max_jerk: 50.0 };
        let angular = MotionLimits { max_velocity: 1.5, max_acceleration: 7.5, max_jerk: 150.0 };
        assert_eq!(*limits, PoseLimits { workspace, max_step_m: 0.03, max_step_rad: 0.2, linear, angular });
        assert_eq!((eef.frame.as_str(), eef.position.join(" ")), ("base", "x y z".to_owned()));
        assert_eq!(pose.outputs()[0].actions().collect::<Vec<_>>(), ["x", "y", "z", "roll", "pitch", "yaw"]);
        let twist = Profile::parse(&twist(), "p.yaml").unwrap();
        let Content::EefTwist { limits, .. } = &twist.outputs()[0].content else { panic!("no twist") };
        assert_eq!((limits.workspace, limits.max_m_per_s, limits.max_rad_per_s), (workspace, 0.5, 1.5));
        assert_eq!((limits.max_step_m_per_s, limits.max_step_rad_per_s), (0.25, 0.75));
    }

    #[test]
    fn no_bound_of_an_end_effector_has_a_default() {
        for (text, bounds) in [(POSE.to_owned(), 10), (twist(), 6)] {
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("  m")).collect();
            assert_eq!(lines.len(), bounds);
            for line in lines.into_iter().chain(["  frame: base"]) {
                let name = line.trim().split(':').next().unwrap();
                let said = problems(&text.replace(&format!("{line}\n"), "")).concat();
                assert!(said.contains(&format!("missing field `{name}`")), "{name}: {said}");
            }
        }
    }

    #[test]
    fn what_an_end_effector_cannot_do_is_listed() {
        let wrong = POSE
            .replace("[x, y, z]", "[x, y]")
            .replace("[0.1, -0.25", "[0.1, 0.25")
            .replace("step_m: 0.03", "step_m: 0")
            .replace("0.2\n", "3.5\n")
            .replace("s2: 2.5", "s2: 0");
        let at = "output `eef_pose`: ";
        let said = problems(&wrong);
        assert_eq!(
            said.iter().map(|problem| problem.strip_prefix(at).unwrap()).collect::<Vec<_>>(),
            [
                "`max_m_per_s2` is 0, wanted a positive number",
                "`max_step_m` is 0, wanted a positive number",
                "`max_step_rad` is 3.5, no two rotations are farther apart than pi",
                "y of `min` is 0.25 and of `max` 0.25, wanted two numbers in this order",
                "`position` names 2 actions, wanted those of x, y and z",
            ]
        );
        for field in ["max_m_per_s", "max_rad_per_s", "max_step_m_per_s", "max_step_rad_per_s"] {
            let text = twist();
            let line = text.lines().find(|line| line.trim().starts_with(&format!("{field}:"))).unwrap();
            let said = problems(&text.replace(&format!("{line}\n"), &format!("  {field}: -1\n")));
            assert_eq!(said, [format!("output `eef_twist`: `{field}` is -1, wanted a positive number")]);
        }
    }

    #[test]
    fn an_end_effector_that_nobody_measures_in_its_frame_is_not_moved() {
        let said = problems(&POSE.replace("base: base", "base: world"));
        assert_eq!(said, ["output `eef_pose`: `frame` is `base`, the end effector is measured in `world`"]);
        let said =
            problems(&twist().replace("inputs:\n- {kind: tf, base: base, tip: hand, max_age_ms: 40}", "inputs: []"));
        let want = "output `eef_twist`: no input measures the end effector's pose, wanted `eef_pose` or `tf`";
        assert_eq!(said, [want]);
    }
}

//! An arm of joints, as many as a policy wants.

use std::fmt::Write as _;
use std::path::Path;

/// Joints `j1`, `j2`, .. in rad; every camera is the same one, on `/images/front`.
#[derive(Clone, Copy)]
pub struct Arm<'a> {
    pub cameras: &'a [&'a str],
    /// Joints that the policy reads, from the first on; none where it takes no state.
    pub read: usize,
    /// Joints that it moves, from the first on.
    pub moved: usize,
}

/// Where an arm's files are.
pub struct Files {
    pub io: String,
    pub profile: String,
}

impl Arm<'_> {
    /// Writes IO file and profile.
    pub fn write(&self, dir: &Path) -> Files {
        let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let files = Files { io: path("io.yaml"), profile: path("robot.yaml") };
        std::fs::write(&files.io, self.io()).unwrap();
        std::fs::write(&files.profile, self.profile()).unwrap();
        files
    }

    /// The joints that there are.
    pub fn joints(&self) -> impl Iterator<Item = usize> + use<> {
        1..=self.read.max(self.moved)
    }

    fn io(&self) -> String {
        let mut text = "rate_hz: 10\nactions:\n".to_owned();
        for i in 1..=self.moved {
            writeln!(text, "- {{name: j{i}, unit: rad, kind: joint_position}}").unwrap();
        }
        text += if self.read == 0 { "state: []\n" } else { "state:\n" };
        for i in 1..=self.read {
            writeln!(text, "- {{name: j{i}, unit: rad, source: joint_position}}").unwrap();
        }
        text
    }

    fn profile(&self) -> String {
        let camera = |name: &&str| {
            let seen = "topic: /images/front, transport: raw, max_age_ms: 200, may_stand_still: true";
            format!("- {{kind: camera, camera: {name}, {seen}}}\n")
        };
        let mut text = "format: 1\nrobot: arm\ncontrol_rate_hz: 100\ninputs:\n".to_owned();
        text.extend(self.cameras.iter().map(camera));
        text += "- kind: joint_states\n  max_age_ms: 200\n  joints:\n";
        for i in self.joints() {
            let state = if i <= self.read { format!("state: j{i}, ") } else { String::new() };
            let turned = if i <= self.read { ", sign: 1, offset: 0.0" } else { "" };
            writeln!(text, "  - {{joint: j{i}, {state}unit: rad{turned}}}").unwrap();
        }
        text += "outputs:\n- kind: joint_trajectory\n  joints:\n";
        for i in 1..=self.moved {
            let limits =
                "min: -999.0, max: 999.0, max_step: 999.0, max_velocity: 4e4, max_acceleration: 4e5, max_jerk: 8e6";
            writeln!(text, "  - {{joint: j{i}, action: j{i}, unit: rad, sign: 1, offset: 0.0, {limits}}}").unwrap();
        }
        text
    }
}

//! Whether a controller is set up as the profile says, and whether it does what it was sent.

use std::fmt;

use super::{BridgeFrom, Config, Distribution, Interpolation};
use crate::time::{Span, Stamp};

/// What a running controller says about itself: its lifecycle state and its parameters, by their names.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "see ros2_controllers")]
pub struct Reported {
    /// Label of its lifecycle state.
    pub state: String,
    pub joints: Vec<String>,
    pub command_interfaces: Vec<String>,
    pub interpolation_method: Option<String>,
    pub open_loop_control: Option<bool>,
    pub interpolate_from_desired_state: Option<bool>,
    pub allow_nonzero_velocity_at_trajectory_end: Option<bool>,
    /// Control cycles per second: its own, or those of its controller manager.
    pub update_rate: Option<i64>,
}

/// Something in which a controller is not what it is taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The parameter, or what else it is.
    pub what: &'static str,
    /// What the controller says.
    pub got: String,
    /// What it is taken for.
    pub wanted: String,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}, the profile says {}", self.what, self.got, self.wanted)
    }
}

/// Everything in which a controller is not what `config` takes it for; empty where both agree. A parameter that it does
/// not have counts as its default.
pub fn contradictions(config: &Config, reported: &Reported) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let mut compare = |what, got: String, wanted: String| {
        if got != wanted {
            found.push(Contradiction { what, got, wanted });
        }
    };
    compare("state", reported.state.clone(), "active".to_owned());
    // By name, in whatever order.
    let list = |mut names: Vec<String>| {
        names.sort_unstable();
        names.join(", ")
    };
    let joints = config.joints.iter().map(|joint| joint.name.to_string()).collect();
    compare("joints", list(reported.joints.clone()), list(joints));
    let position = "position".to_owned();
    if !reported.command_interfaces.contains(&position) {
        compare("command_interfaces", list(reported.command_interfaces.clone()), position);
    }
    let interpolation = match config.interpolation {
        Interpolation::Splines => "splines",
        Interpolation::None => "none",
    };
    let method = reported.interpolation_method.clone();
    compare("interpolation_method", method.unwrap_or_else(|| "splines".to_owned()), interpolation.to_owned());
    // Jazzy still takes the old name.
    let from_desired = reported.interpolate_from_desired_state.unwrap_or(false);
    let open_loop = reported.open_loop_control.unwrap_or(false);
    let (what, got) = match config.distribution {
        Distribution::Humble => ("open_loop_control", open_loop),
        Distribution::Jazzy => ("interpolate_from_desired_state", from_desired || open_loop),
    };
    compare(what, got.to_string(), (config.bridge_from == BridgeFrom::Desired).to_string());
    let moving = reported.allow_nonzero_velocity_at_trajectory_end;
    let moving = moving.unwrap_or(config.distribution == Distribution::Humble);
    let wanted = config.allow_nonzero_velocity_at_trajectory_end;
    compare("allow_nonzero_velocity_at_trajectory_end", moving.to_string(), wanted.to_string());
    if let Some(rate) = reported.update_rate.filter(|rate| *rate > 0) {
        let wanted = 1.0 / config.update_period.secs();
        // A period is whole nanoseconds.
        if (rate as f64 / wanted - 1.0).abs() > 1e-3 {
            compare("update_rate", rate.to_string(), format!("{wanted:.3}"));
        }
    }
    found
}

/// Watches `reference` of `~/controller_state`: a controller that refuses a message says so in its log alone, and goes
/// on with what it had.
#[derive(Clone, Debug)]
pub struct Watch {
    /// How far a reference may be from what it should be, per joint, in the joint's unit.
    tolerances: Vec<f64>,
    /// For how long it may be farther.
    patience: Span,
    apart: Option<Stamp>,
}

/// What a controller does with what it was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Following {
    /// Its reference is what it should be, or not for long something else.
    Yes,
    /// It is something else, for longer than it may be.
    No {
        /// Index of the joint that is farthest off, by its tolerance.
        joint: usize,
        /// What the reference should be.
        wanted: f64,
        /// What it is.
        got: f64,
        /// For how long.
        span: Span,
    },
}

impl Watch {
    /// Nothing is known yet.
    pub fn new(tolerances: Vec<f64>, patience: Span) -> Self {
        Self { tolerances, patience, apart: None }
    }

    /// Looks at a reference of the time `at` beside what it should be then ([`super::TrajectoryController::reference`]).
    /// A reference of another width is as wrong as can be.
    pub fn look(&mut self, at: Stamp, wanted: &[f64], got: &[f64]) -> Following {
        let missing = f64::INFINITY;
        let value = |values: &[f64], joint: usize| values.get(joint).copied().unwrap_or(missing);
        let off = |joint: usize, tolerance: f64| (value(wanted, joint) - value(got, joint)).abs() / tolerance;
        let all = self.tolerances.iter().enumerate().map(|(joint, tolerance)| (joint, off(joint, *tolerance)));
        // NaN is no distance at all.
        let near = |off: f64| off <= 1.0;
        let Some((joint, _)) = all.filter(|(_, off)| !near(*off)).max_by(|(_, a), (_, b)| a.total_cmp(b)) else {
            self.apart = None;
            return Following::Yes;
        };
        let span = at.since(*self.apart.get_or_insert(at));
        if span <= self.patience {
            return Following::Yes;
        }
        Following::No { joint, wanted: value(wanted, joint), got: value(got, joint), span }
    }
}

//! What a ros2_control controller makes of a command, as a pure function of stamps.
//!
//! [`TrajectoryController`] is the sampler of joint_trajectory_controller for the position interface, after the
//! sources of ros2_controllers (`trajectory.cpp` and `joint_trajectory_controller.cpp`; Humble 2.x, Jazzy 4.x);
//! [`ForwardController`] is forward_command_controller. They tell what the motors get, which is not what was sent:
//!
//! - A message that is accepted replaces the one before it, whole and at once. A message that is refused changes
//!   nothing, and only the controller's log tells ([`Refused`]).
//! - A header stamp of zero means: from the control cycle that first sees the message.
//! - Where the first point is past, the command steps to where the trajectory is now. Where it is to come, the command
//!   bridges to it, from what is measured or from what was last commanded ([`BridgeFrom`]).
//! - Between two points the curve is a line where one of them has no velocities, a cubic where both have, and a
//!   quintic where both also have accelerations. `interpolation_method: none` steps to the *next* point.
//! - After the last point its position is commanded until something else comes, and so is its velocity.
//!
//! The distributions differ. Jazzy commands what the trajectory is one update period from now (4.17 and later), turns
//! a continuous joint the short way to the first point, and takes velocities and accelerations that are not measured
//! for zero where the first point has them (releases of 2026), so that the bridge is of the same degree as the rest; on
//! Humble such a bridge is a line. Jazzy refuses a trajectory that ends in motion unless told otherwise, Humble takes
//! it unless told otherwise.
//!
//! Not modelled: tolerances (`constraints.*`) and `cmd_timeout`, both off by default, which end in holding the measured
//! position; `allow_integration_in_goal_trajectories`; efforts; PID gains of velocity and effort interfaces. Neither
//! distribution scales speed; robots whose drivers do (Universal Robots' `ScaledJointTrajectoryController`) play a
//! trajectory later than this says.

mod agreement;
mod forward;
mod knots;
mod spline;
#[cfg(test)]
mod tests;
mod validate;

use std::sync::Arc;

use crate::time::{Span, Stamp};
use knots::Knots;

pub use agreement::{Contradiction, Following, Reported, Watch, contradictions};
pub use forward::{ForwardController, WrongWidth};
pub use validate::Refused;

/// Whose ros2_controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// ROS 2 Humble, ros2_controllers 2.x.
    Humble,
    /// ROS 2 Jazzy, ros2_controllers 4.x as released in 2026.
    Jazzy,
}

/// The parameter `interpolation_method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// `splines`, the default: line, cubic or quintic, by what the points have.
    Splines,
    /// `none`: the next point, from the moment at which the one before it is reached.
    None,
}

/// Where the way to a first point that is still to come begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeFrom {
    /// The measured state, the default. A robot that lags behind its command is commanded back by its lag.
    Measured,
    /// The last command: `interpolate_from_desired_state` (Jazzy) or `open_loop_control` (Humble).
    Desired,
}

/// A joint of a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joint {
    /// Its name.
    pub name: Arc<str>,
    /// Whether the URDF calls it continuous: Jazzy then goes the short way round to the first point.
    pub continuous: bool,
}

/// How a controller is set up: its parameters, by ros2_controllers' names where they are parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whose controller.
    pub distribution: Distribution,
    /// `joints`, in order.
    pub joints: Vec<Joint>,
    /// Time between two control cycles: 1 / `update_rate`, positive.
    pub update_period: Span,
    /// `interpolation_method`.
    pub interpolation: Interpolation,
    /// `interpolate_from_desired_state` or `open_loop_control`.
    pub bridge_from: BridgeFrom,
    /// Default false in both. The joints that a trajectory does not name stay where they were last commanded; a Jazzy
    /// source that was read while this was written commands them to the number 1 instead, so better name every joint.
    pub allow_partial_joints_goal: bool,
    /// Default true on Humble, false on Jazzy.
    pub allow_nonzero_velocity_at_trajectory_end: bool,
}

/// A state of the joints as messages and interfaces have it; what is absent is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Joints<'a> {
    /// One per joint, rad or m.
    pub positions: &'a [f64],
    /// One per joint, rad/s or m/s, or empty.
    pub velocities: &'a [f64],
    /// One per joint, rad/s^2 or m/s^2, or empty.
    pub accelerations: &'a [f64],
}

/// A point of a trajectory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point<'a> {
    /// When it is to be reached, from the trajectory's start.
    pub time_from_start: Span,
    /// What is to be reached, in the order of the trajectory's joints.
    pub joints: Joints<'a>,
}

/// A `trajectory_msgs/JointTrajectory`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trajectory<'a> {
    /// Stamp of the header: when it starts; zero for the cycle that first sees it.
    pub stamp: Stamp,
    /// `joint_names`.
    pub joints: &'a [Arc<str>],
    /// Its points.
    pub points: &'a [Point<'a>],
}

/// What is commanded, in the order of the controller's joints; a buffer to sample into.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// rad or m.
    pub positions: Vec<f64>,
    /// rad/s or m/s.
    pub velocities: Vec<f64>,
    /// rad/s^2 or m/s^2.
    pub accelerations: Vec<f64>,
}

impl State {
    /// A buffer for this many joints, all zero.
    pub fn new(joints: usize) -> Self {
        Self { positions: vec![0.0; joints], velocities: vec![0.0; joints], accelerations: vec![0.0; joints] }
    }

    fn resize(&mut self, joints: usize) {
        for values in [&mut self.positions, &mut self.velocities, &mut self.accelerations] {
            values.resize(joints, 0.0);
        }
    }

    fn as_joints(&self) -> Joints<'_> {
        Joints { positions: &self.positions, velocities: &self.velocities, accelerations: &self.accelerations }
    }
}

/// joint_trajectory_controller between one message and the next. A clone tells what a message would do.
#[derive(Clone, Debug)]
pub struct TrajectoryController {
    config: Config,
    /// The state before the trajectory and the trajectory.
    knots: Knots,
    /// The cycle that first saw the trajectory.
    since: Stamp,
    /// The last command, where a message needs it.
    last: State,
}

impl TrajectoryController {
    /// A controller that was activated at `now` and holds `positions`, one per joint.
    pub fn new(config: Config, now: Stamp, positions: &[f64]) -> Self {
        let mut knots = Knots::new(config.joints.len());
        let held = Joints { positions, ..Joints::default() };
        knots.restart(now, held);
        knots.push(now, held);
        let last = State::new(config.joints.len());
        Self { config, knots, since: now, last }
    }

    /// The set-up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes a message in the control cycle at `now`, in which the robot measures `measured` in the order of the
    /// controller's joints; velocities and accelerations only where the controller has those state interfaces.
    ///
    /// # Errors
    /// Why the controller would refuse the message; it then goes on with what it had.
    pub fn accept(&mut self, now: Stamp, trajectory: Trajectory<'_>, measured: Joints<'_>) -> Result<(), Refused> {
        validate::validate(&self.config, now, &trajectory)?;
        let cycle_before = (now - self.config.update_period).max(self.since);
        let mut last = std::mem::take(&mut self.last);
        self.sample(cycle_before, &mut last);
        let start = if trajectory.stamp == Stamp::default() { now } else { trajectory.stamp };
        match (self.config.bridge_from, self.config.distribution) {
            (BridgeFrom::Measured, _) => self.knots.restart(now, measured),
            (BridgeFrom::Desired, Distribution::Humble) => self.knots.restart(now, last.as_joints()),
            // Jazzy remembers the cycle of the last command, not the moment one period later that it was for.
            (BridgeFrom::Desired, Distribution::Jazzy) => self.knots.restart(cycle_before, last.as_joints()),
        }
        self.knots.extend(start, &trajectory, &self.config.joints, &last.positions);
        if self.config.distribution == Distribution::Jazzy {
            self.knots.fill_before();
            self.knots.turn_before_the_short_way(&self.config.joints);
        }
        self.since = now;
        self.last = last;
        Ok(())
    }

    /// What the control cycle at `now` commands. Before the cycle that saw the last message, what that one commands.
    /// Does not allocate where `state` has the controller's size.
    pub fn sample(&self, now: Stamp, state: &mut State) {
        let ahead = match self.config.distribution {
            Distribution::Humble => Span::ZERO,
            Distribution::Jazzy => self.config.update_period,
        };
        self.reference_at(now.max(self.since) + ahead, state);
    }

    /// Where the trajectory is in the control cycle at `now`: `reference` of `~/controller_state`, one update period
    /// behind the command on Jazzy. Does not allocate where `state` has the controller's size.
    pub fn reference(&self, now: Stamp, state: &mut State) {
        self.reference_at(now.max(self.since), state);
    }

    /// When the last point is reached; the command does not change afterwards.
    pub fn end(&self) -> Stamp {
        self.knots.end()
    }

    fn reference_at(&self, time: Stamp, state: &mut State) {
        state.resize(self.config.joints.len());
        self.knots.sample(time, self.config.interpolation, state);
    }
}

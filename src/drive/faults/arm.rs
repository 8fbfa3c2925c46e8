//! An arm behind a joint_trajectory_controller, and how it came to rest.

use std::sync::Arc;

use super::{DT_S, LIMITS};
use crate::controller::{
    BridgeFrom, Config, Distribution, Interpolation, Joint, Joints, Point, Refused, State, Trajectory,
    TrajectoryController,
};
use crate::deploy::samples::arm::at;
use crate::safety::SafeCommand;
use crate::time::{Span, Stamp};

/// Between two control cycles.
const CYCLE: Span = Span::from_nanos(1_000_000);

/// Slower than this nobody sees it move, rad/s or m/s.
const STILL: f64 = 1e-4;

/// Farther from where the arm is no command may begin: `max_step` of the profile.
const STEPS: [f64; 3] = [0.1, 0.1, 0.04];

/// Where it is told to be, cycle by cycle, and it is there one cycle later.
pub(super) struct Arm {
    controller: TrajectoryController,
    commanded: State,
    /// Positions of every cycle.
    pub path: Vec<[f64; 3]>,
    pub commands: usize,
    /// Where it last said that it is.
    pub said: [f64; 3],
    /// The samples of the commands, as they follow each other.
    told: Option<(Stamp, Vec<[f64; 3]>)>,
}

impl Arm {
    pub fn new() -> Self {
        let joints = ["j1", "j2", "finger"].map(|name| Joint { name: Arc::from(name), continuous: false }).to_vec();
        let config = Config {
            distribution: Distribution::Jazzy,
            joints,
            update_period: CYCLE,
            interpolation: Interpolation::Splines,
            bridge_from: BridgeFrom::Desired,
            allow_partial_joints_goal: false,
            allow_nonzero_velocity_at_trajectory_end: true,
        };
        let rest = [0.25, 0.1, 0.03];
        let controller = TrajectoryController::new(config, at(0.0), &rest);
        Self { controller, commanded: State::new(3), path: vec![rest], commands: 0, said: rest, told: None }
    }

    /// One control cycle.
    pub fn step(&mut self, now: Stamp) {
        self.controller.sample(now, &mut self.commanded);
        let positions: [f64; 3] = self.commanded.positions.as_slice().try_into().unwrap();
        for (position, [min, max, ..]) in positions.iter().zip(LIMITS) {
            assert!(min - 1e-6 <= *position && *position <= max + 1e-6, "{positions:?} is outside the limits");
        }
        self.path.push(positions);
    }

    pub fn positions(&self) -> [f64; 3] {
        self.path[self.path.len() - 1]
    }

    /// The controller takes a command at `now`, whose stamps are `ahead` of its clock; gives the command's end.
    pub fn take(&mut self, command: &SafeCommand, now: Stamp, ahead: Span) -> Stamp {
        self.commands += 1;
        let [output] = command.outputs() else { panic!("not one output") };
        let rows: Vec<_> = output.times().iter().zip(output.rows()).zip(output.velocities()).collect();
        let points: Vec<Point> = rows
            .iter()
            .map(|((time, positions), velocities)| Point {
                time_from_start: **time,
                joints: Joints { positions, velocities, accelerations: &[] },
            })
            .collect();
        let stamp = command.stamp() - ahead;
        let trajectory = Trajectory { stamp, joints: output.names(), points: &points };
        let measured = self.positions();
        let measured = Joints { positions: &measured, ..Joints::default() };
        let rows: Vec<[f64; 3]> = output.rows().map(|row| row.try_into().unwrap()).collect();
        let end = stamp + output.times()[rest(&rows)];
        match self.controller.accept(now, trajectory, measured) {
            Ok(()) => self.splice(stamp, rows),
            // It is over, and the controller goes on with one that ends in the same place.
            Err(Refused::Past { .. }) => {
                let last = self.told.as_ref().and_then(|(_, samples)| samples.last());
                assert_eq!(last, rows.last(), "a refused command ends elsewhere");
            }
            Err(refused) => panic!("{refused}"),
        }
        end
    }

    /// A command goes on where the one before it is; what it replaces is checked first.
    fn splice(&mut self, stamp: Stamp, rows: Vec<[f64; 3]>) {
        let over = self.told.as_ref().map_or(f64::INFINITY, |(start, _)| stamp.since(*start).secs() / DT_S);
        let rest = self.told.as_ref().map_or(0, |(_, samples)| rest(samples));
        let due = over.round().max(0.0) as usize;
        // Where the clock stepped, the engine is a sample off at most.
        let near = [due, due.saturating_sub(1), due.saturating_add(1)];
        // There it arrives; one sample later its velocity is 0, and two later its acceleration.
        if over < rest as f64 + 2.0
            && let Some((start, samples)) = &mut self.told
            && let Some(index) = near.into_iter().find(|index| samples.get(*index) == rows.first())
        {
            *start = stamp - Span::from_millis(1e3 * DT_S).times(index as i64);
            samples.truncate(index);
            samples.extend(rows);
        } else {
            assert!(over >= rest as f64 - 1.0, "a command begins elsewhere, in motion");
            // Where it was told to stay, or where the robot says that somebody has moved it to.
            for (joint, from) in rows[0].into_iter().enumerate() {
                let far = [self.positions(), self.said].map(|is| (from - is[joint]).abs() / STEPS[joint]);
                assert!(far.iter().any(|far| *far <= 1.0), "a command from rest begins {far:?} steps away");
            }
            self.told = Some((stamp, rows));
        }
        self.check();
    }

    /// Every sample of what was told is inside position, velocity, acceleration and jerk, and the last one at rest.
    fn check(&self) {
        let Some((_, samples)) = &self.told else { return };
        for (place, [min, max, speed, push, jerk]) in LIMITS.into_iter().enumerate() {
            let (mut velocity, mut acceleration) = (0.0, 0.0);
            for pair in samples.windows(2) {
                let [from, to] = [pair[0][place], pair[1][place]];
                assert!(min <= to && to <= max, "{to} outside [{min}, {max}]");
                let now: f64 = (to - from) / DT_S;
                let pushed: f64 = (now - velocity) / DT_S;
                let jerked: f64 = (pushed - acceleration) / DT_S;
                assert!(now.abs() <= speed * (1.0 + 1e-6), "velocity {now}");
                assert!(pushed.abs() <= push * (1.0 + 1e-6), "acceleration {pushed}");
                assert!(jerked.abs() <= jerk * (1.0 + 1e-6) + 1e-4, "jerk {jerked}");
                (velocity, acceleration) = (now, pushed);
            }
            assert!(velocity.abs() <= 1e-6, "ends at {velocity} per second");
        }
    }

    /// How fast each joint moves now.
    pub fn speeds(&self) -> [f64; 3] {
        self.speeds_at(self.path.len() - 1)
    }

    fn speeds_at(&self, cycle: usize) -> [f64; 3] {
        let [now, before] = [self.path[cycle], self.path[cycle - 1]];
        [0, 1, 2].map(|joint| (now[joint] - before[joint]).abs() / CYCLE.secs())
    }

    /// How fast each joint changes its speed, over a sample of the command.
    fn pushes_at(&self, cycle: usize) -> [f64; 3] {
        let back = (DT_S / CYCLE.secs()) as usize;
        let (now, before) = (self.velocities_at(cycle), self.velocities_at(cycle - back));
        [0, 1, 2].map(|joint| (now[joint] - before[joint]).abs() / DT_S)
    }

    fn velocities_at(&self, cycle: usize) -> [f64; 3] {
        let [now, before] = [self.path[cycle], self.path[cycle - 1]];
        [0, 1, 2].map(|joint| (now[joint] - before[joint]) / CYCLE.secs())
    }

    /// It came to rest after `since`, at which something went wrong to which the node had to react within `reaction_ms`:
    /// no later and no farther than the profile's acceleration and jerk let it, from as fast as it was meanwhile.
    pub fn came_to_rest(&self, since: u32, reaction_ms: f64) {
        self.check();
        let since = since as usize;
        // One cycle of the controller, and one sample of a command that is in force already.
        let reaction = reaction_ms / 1e3 + DT_S + 2.0 * CYCLE.secs();
        let until = (since + (reaction / CYCLE.secs()).ceil() as usize).min(self.path.len() - 1);
        for joint in 0..3 {
            let over = |of: &dyn Fn(usize) -> [f64; 3]| (since..=until).map(|at| of(at)[joint]).fold(0.0, f64::max);
            let (speed, push) = (over(&|at| self.speeds_at(at)), over(&|at| self.pushes_at(at)));
            let [time, way] = stop(speed, push, LIMITS[joint]);
            let (time, way) = (reaction + time + 3.0 * DT_S, speed * reaction + way + 1e-3);
            let rest = since + (time / CYCLE.secs()).ceil() as usize;
            assert!(rest < self.path.len(), "the scene is too short: {rest} ms");
            let moves = (rest..self.path.len()).find(|at| self.speeds_at(*at)[joint] > STILL);
            assert_eq!(moves, None, "joint {joint} moves at this ms; it had to rest at {rest}");
            let gone = self.path[since..].iter().map(|at| (at[joint] - self.path[since][joint]).abs());
            let gone = gone.fold(0.0, f64::max);
            assert!(gone <= way, "joint {joint} went {gone}, at most {way}");
        }
    }

    /// No joint was ever faster than the profile lets it.
    pub fn stayed_inside_its_limits(&self) {
        self.check();
        for cycle in 1..self.path.len() {
            for (speed, [_, _, fastest, ..]) in self.speeds_at(cycle).into_iter().zip(LIMITS) {
                assert!(speed <= fastest * 1.01, "{speed} at {cycle} ms");
            }
        }
    }

    /// It moves now.
    pub fn moves(&self) -> bool {
        self.speeds().iter().any(|speed| *speed > 0.02)
    }
}

/// The first of the rows behind which nothing moves.
fn rest(rows: &[[f64; 3]]) -> usize {
    rows.len() - rows.iter().rev().take_while(|row| Some(*row) == rows.last()).count()
}

/// Time and way of a stop from this speed and this change of speed, whatever its sign, at the limits' acceleration `a` and
/// jerk `j`: first the change of speed goes to 0 in `push / j`, which makes it faster by half of `push^2 / j`; then it
/// brakes, with a ramp of `a / j` at both ends.
fn stop(speed: f64, push: f64, [.., a, j]: [f64; 5]) -> [f64; 2] {
    let fastest = speed + 0.5 * push * push / j;
    let brake = fastest / a + a / j;
    [push / j + brake, fastest * push / j + 0.5 * fastest * brake]
}

//! What the robot is told from now on: the path that it follows, sampled, and a stop behind it.
//!
//! Every command reaches one horizon ahead, or to where there is nothing more to do, and ends at rest; while all is
//! well the next one takes its place in time. So whatever happens to this process, the robot comes to rest inside its
//! limits, and soon.

mod state;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::channel::{Bounds, Goal, State};
use super::{SafeCommand, SafeOutput};
use crate::deploy::{Content, Deployment, Output, OutputDim, PoseRule, Rest};
use crate::execute::{Form, Layout, Timeline};
use crate::geometry::{Pose, Rotation, norm, sum};
use crate::profile::MotionLimits;
use crate::time::{Span, Stamp};
use crate::types::Measured;

pub use state::MotionState;

/// Samples of the past that are remembered, so that an observation finds what had been executed when it was made.
const REMEMBERED: usize = 512;

/// How every output moves, and where it is on its way.
#[derive(Debug)]
pub struct Motion {
    lanes: Vec<Lane>,
    /// Between two samples.
    dt: Span,
    /// Samples ahead of the one in force.
    horizon: usize,
    action_dt: Span,
    /// When the first of `path` is due.
    start: Stamp,
    /// The sample in force, those ahead, and those of the stop behind them; empty before the robot has moved.
    path: VecDeque<Sample>,
    /// How many of `path` follow the timeline; behind them it stops.
    following: usize,
    /// Whether the timeline ends before the horizon.
    reaches_end: bool,
    /// What had been executed before it began.
    done: Span,
    /// Until when the robot may still follow what was let go.
    settled: Stamp,
    /// Samples that can be used again, so that nothing is allocated.
    spare: Vec<Sample>,
    /// When something was in force, and how much had been executed then.
    past: VecDeque<(Stamp, Span)>,
    goals: [Vec<f64>; 2],
}

/// What the robot does.
#[derive(Clone, Copy, Debug)]
pub enum Drive<'a> {
    /// Follows the rows, this many seconds of them per second, above 0 and at most 1; `is_new` where they have changed.
    Follow {
        /// The rows.
        timeline: &'a Timeline,
        /// Seconds of them per second.
        pace: f64,
        /// Whether they, or the pace, differ from what the last command followed.
        is_new: bool,
    },
    /// Comes to rest.
    Stop,
}

/// All outputs at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sample {
    states: Vec<State>,
    turns: Vec<Rotation>,
    /// Executed time.
    executed: Span,
}

/// Where the timeline is at the next sample and at the one after, where it ends, and in how many samples.
struct Aim<'a> {
    goal: &'a [f64],
    after: &'a [f64],
    end: &'a [f64],
    left: f64,
}

/// An output: its values in a row of the timeline, and its states in a sample.
#[derive(Debug)]
struct Lane {
    names: Arc<[Arc<str>]>,
    columns: Range<usize>,
    states: Range<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// One after the other when due.
    Held {
        /// Which of them are 0 when nothing moves.
        stops: Arc<[bool]>,
        /// Whether they are velocities, which are smaller where everything goes slower.
        are_velocities: bool,
    },
    /// A state per value.
    Joints(Vec<Joint>),
    /// Three states of the position, three of the turning, and a rotation.
    Pose { linear: [Bounds; 3], angular: Bounds, turn: usize, step: [f64; 2] },
}

#[derive(Clone, Copy, Debug)]
struct Joint {
    bounds: Bounds,
    /// Where it is measured.
    measured: usize,
    /// Farther from where it was told to stay it has been moved by somebody else.
    step: f64,
    form: Form,
}

impl Motion {
    /// At rest, before anything was commanded.
    pub fn new(deployment: &Deployment) -> Self {
        let (dt, action_dt) = (deployment.control_dt(), deployment.action_dt());
        let mut lanes: Vec<Lane> = Vec::new();
        for output in deployment.outputs() {
            let (columns, states) = lanes.last().map_or((0, 0), |lane| (lane.columns.end, lane.states.end));
            let turn = lanes.iter().filter(|lane| matches!(lane.kind, Kind::Pose { .. })).count();
            lanes.push(Lane::new(output, (columns, states, turn)));
        }
        let width = lanes.last().map_or(0, |lane| lane.columns.end);
        let horizon = (deployment.horizon().secs() / dt.secs()).ceil().max(1.0) as usize;
        Self {
            lanes,
            dt,
            horizon,
            action_dt,
            start: Stamp::default(),
            path: VecDeque::new(),
            following: 0,
            reaches_end: false,
            done: Span::ZERO,
            settled: Stamp::default(),
            spare: Vec::new(),
            past: VecDeque::with_capacity(REMEMBERED),
            goals: [vec![0.0; width], vec![0.0; width]],
        }
    }

    /// How the rows that it follows are laid out.
    pub fn layout(&self) -> Layout {
        let mut forms: Vec<(Form, usize)> = Vec::new();
        for lane in &self.lanes {
            let width = lane.columns.len();
            match &lane.kind {
                Kind::Held { .. } => forms.push((Form::Held, width)),
                Kind::Pose { .. } => forms.push((Form::Pose, width)),
                Kind::Joints(joints) => forms.extend(joints.iter().map(|joint| (joint.form, 1))),
            }
        }
        Layout(forms)
    }

    /// How much had been executed at `at`.
    pub fn executed(&self, at: Stamp) -> Span {
        let ahead = at.since(self.start);
        if ahead >= Span::ZERO
            && let Some(last) = self.path.len().checked_sub(1)
        {
            let index = usize::try_from(ahead.nanos() / self.dt.nanos().max(1)).unwrap_or(last).min(last);
            let [sample, next] = [index, index + 1].map(|index| self.path.get(index).map(|sample| sample.executed));
            let (executed, next) = (sample.unwrap_or(self.done), next.or(sample).unwrap_or(self.done));
            let share = (ahead - self.dt.times(index as i64)).secs() / self.dt.secs();
            return executed + scaled(next - executed, share.min(1.0));
        }
        let Some(index) = self.past.iter().rposition(|(from, _)| *from <= at) else {
            return self.past.front().map_or(self.done, |(_, executed)| *executed);
        };
        let front = self.path.front().map(|sample| (self.start, sample.executed));
        let (known, next) = (self.past.get(index).copied(), self.past.get(index + 1).copied().or(front));
        let Some((from, executed)) = known else { return self.done };
        let Some((until, then)) = next.filter(|(until, _)| *until > from) else { return executed };
        executed + scaled(then - executed, at.since(from).secs() / until.since(from).secs())
    }

    /// Whether nothing moves any more at `now`, and nothing is to come.
    pub fn is_at_rest(&self, now: Stamp) -> bool {
        self.end() <= now
    }

    /// Whether nothing that was let go is still under way.
    ///
    /// # Errors
    /// How long it may still be.
    pub fn settled(&self, now: Stamp) -> Result<(), Span> {
        let left = self.settled.since(now);
        if left > Span::ZERO { Err(left) } else { Ok(()) }
    }

    /// When the next command must be made so that the robot does not begin to stop.
    pub fn renewal(&self) -> Stamp {
        self.start + self.dt.times((self.horizon / 3).max(1) as i64)
    }

    /// Forgets where it was told to be, since nobody knows whether time has passed from `latest` to `now`: the next
    /// motion starts from where the robot is measured, and not before it has come to rest in either case.
    pub fn let_go(&mut self, latest: Stamp, now: Stamp) {
        self.settled = now + self.end().since(latest).max(Span::ZERO);
        self.done = self.executed(now);
        self.spare.extend(self.path.drain(..));
        self.following = 0;
        self.remember(now, self.done);
    }

    /// The clock jumped by `by`, and the robot goes on meanwhile.
    pub fn shift(&mut self, by: Span) {
        self.start = self.start + by;
        self.settled = self.settled + by;
        self.past.iter_mut().for_each(|(at, _)| *at = *at + by);
    }

    /// What leaves from `now` on; `before` is what was told last. `None` where an output does not know where it is.
    pub fn command(
        &mut self,
        now: Stamp,
        drive: Drive<'_>,
        measured: Measured<'_>,
        before: Option<&SafeCommand>,
    ) -> Option<SafeCommand> {
        self.settled(now).ok()?;
        self.advance(now, measured)?;
        let kept = match drive {
            Drive::Follow { is_new: false, .. } => self.following.max(1),
            Drive::Follow { is_new: true, .. } | Drive::Stop => 1,
        };
        let ends = self.path.len().min(kept);
        self.spare.extend(self.path.drain(ends..));
        self.following = ends;
        if let Drive::Follow { timeline, pace, .. } = drive {
            self.reaches_end = false;
            while self.path.len() <= self.horizon && !self.reaches_end {
                self.reaches_end = !self.follow(timeline, pace);
                self.following = self.path.len();
            }
        }
        while let Some(last) = self.path.back().filter(|sample| !sample.is_at_rest()) {
            self.stop(last.executed);
        }
        Some(self.collect(now, drive, before))
    }

    /// Drops what is past, or begins at rest where the robot is.
    fn advance(&mut self, now: Stamp, measured: Measured<'_>) -> Option<()> {
        if self.is_at_rest(now) {
            let executed = self.executed(now);
            let mut rest = self.spare.pop().unwrap_or_default();
            self.rest(measured, &mut rest)?;
            rest.executed = executed;
            self.spare.extend(self.path.drain(..));
            self.path.push_back(rest);
            (self.start, self.following, self.done) = (now, 1, executed);
            self.remember(now, executed);
            return Some(());
        }
        let over = now.since(self.start).nanos() / self.dt.nanos().max(1);
        for _ in 0..over {
            let Some(sample) = self.path.pop_front() else { break };
            self.remember(self.start, sample.executed);
            self.spare.push(sample);
            self.start = self.start + self.dt;
            self.following = self.following.saturating_sub(1);
        }
        Some(())
    }

    fn remember(&mut self, at: Stamp, executed: Span) {
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back((at, executed));
    }

    /// At rest where it was told to stay; where somebody has moved it since, where it is.
    fn rest(&self, measured: Measured<'_>, rest: &mut Sample) -> Option<()> {
        let told = self.path.back();
        rest.states.clear();
        rest.turns.clear();
        for lane in &self.lanes {
            match &lane.kind {
                Kind::Held { .. } => {}
                Kind::Joints(joints) => {
                    for (joint, index) in joints.iter().zip(lane.states.clone()) {
                        let is = *measured.joints.get(joint.measured)?;
                        let told = told.and_then(|told| told.states.get(index)).map(|state| state.position);
                        let stays = told.filter(|told| (told - is).abs() <= joint.step).unwrap_or(is);
                        rest.states.push(State::at(stays.clamp(joint.bounds.min, joint.bounds.max)));
                    }
                }
                Kind::Pose { linear, turn, step, .. } => {
                    let is = measured.eef?;
                    let told = told.and_then(|told| told.pose(lane, *turn)).filter(|told| is_near(told, &is, *step));
                    let stays = told.unwrap_or(is);
                    let inside = stays.position.iter().zip(linear).map(|(value, b)| value.clamp(b.min, b.max));
                    rest.states.extend(inside.map(State::at).chain([State::default(); 3]));
                    rest.turns.push(stays.rotation);
                }
            }
        }
        Some(())
    }

    /// From when on nothing moves.
    fn end(&self) -> Stamp {
        let last = self.path.len().checked_sub(1);
        last.map_or(self.settled, |last| self.settled.max(self.start + self.dt.times(last as i64)))
    }

    /// One more sample along the timeline, or at rest before its first row; false at its end.
    fn follow(&mut self, timeline: &Timeline, pace: f64) -> bool {
        let Some(last) = self.path.back() else { return false };
        let step = scaled(self.dt, pace);
        let executed = last.executed + step;
        let [goal, after] = &mut self.goals;
        let Some((last_row, end)) = timeline.last().filter(|_| timeline.end().is_some_and(|end| executed < end)) else {
            return false;
        };
        if !timeline.sample(executed, goal) {
            self.stop(executed);
            return true;
        }
        let goes_on = executed + step <= last_row && timeline.sample(executed + step, after);
        let left = (last_row - executed).secs() / step.secs();
        let aim = Aim { goal, after: if goes_on { after } else { end }, end, left };
        let mut next = self.spare.pop().unwrap_or_default();
        next.clone_from(last);
        next.executed = executed;
        for lane in &self.lanes {
            lane.follow(&mut next, &aim, self.dt.secs());
        }
        self.path.push_back(next);
        true
    }

    /// One more sample towards rest.
    fn stop(&mut self, executed: Span) {
        let Some(last) = self.path.back() else { return };
        let mut next = self.spare.pop().unwrap_or_default();
        next.clone_from(last);
        next.executed = executed;
        let dt = self.dt.secs();
        self.lanes.iter().for_each(|lane| lane.stop(&mut next, dt));
        self.path.push_back(next);
    }

    fn collect(&self, now: Stamp, drive: Drive<'_>, before: Option<&SafeCommand>) -> SafeCommand {
        // A controller refuses a trajectory that is past when it arrives, and goes on with the one that was to be stopped.
        let rows = match drive {
            Drive::Follow { .. } => self.path.len(),
            Drive::Stop => self.path.len().max(self.horizon + 1),
        };
        let outputs = self.lanes.iter().enumerate().map(|(index, lane)| match &lane.kind {
            Kind::Held { stops, are_velocities } => {
                let (length, factor) = match drive {
                    Drive::Follow { pace, .. } => {
                        (scaled(self.action_dt, 1.0 / pace), if *are_velocities { pace } else { 1.0 })
                    }
                    Drive::Stop => (self.action_dt, 1.0),
                };
                let held = Held { stops, columns: lane.columns.clone(), length, factor, now: now.since(self.start) };
                let effect = before.and_then(|before| before.in_effect(index, now, self.start));
                self.held(lane, &held, drive, effect)
            }
            _ => self.sampled(lane, rows),
        });
        SafeCommand { stamp: self.start, outputs: outputs.collect() }
    }

    /// So many rows of a path; behind its end it stays there.
    fn sampled(&self, lane: &Lane, rows: usize) -> SafeOutput {
        let mut output = SafeOutput::path(&lane.names, self.dt);
        let stays = std::iter::repeat(self.path.back()).flatten();
        for (index, sample) in self.path.iter().chain(stays).take(rows).enumerate() {
            output.times.push(self.dt.times(index as i64));
            lane.values(sample, &mut output.values, &mut output.velocities);
        }
        output
    }

    /// The row in effect, the others when they are due, and behind them, or now, what stops.
    fn held(&self, lane: &Lane, held: &Held<'_>, drive: Drive<'_>, effect: Option<([Span; 2], &[f64])>) -> SafeOutput {
        let mut output = SafeOutput::held(&lane.names, held.stops, held.length);
        let mut end = effect.map(|([due, end], values)| {
            output.add(due, values.iter().copied());
            end
        });
        let Drive::Follow { timeline, .. } = drive else {
            if end.is_some() {
                output.stop(held.now);
            }
            return output;
        };
        let (from, until) = (self.path.front(), self.path.get(self.following.saturating_sub(1)));
        let [from, until] = [from, until].map(|sample| sample.map_or(Span::ZERO, |sample| sample.executed));
        let until = if self.reaches_end { timeline.end().unwrap_or(until) } else { until };
        for (executed, row) in timeline.rows(from, until) {
            let (Some(due), Some(row)) = (self.when(executed), row.get(held.columns.clone())) else { continue };
            // A row is not replaced in the first half of its time: it would be done twice.
            let is_free = end.is_none_or(|end| due >= end - scaled(held.length, 0.5));
            if due < held.now || !is_free {
                continue;
            }
            if let Some(end) = end.filter(|end| *end < due) {
                output.stop(end.max(held.now));
            }
            output.add(due, row.iter().map(|value| held.factor * value));
            end = Some(due + held.length);
        }
        if let Some(end) = end {
            output.stop(end.max(held.now));
        }
        output
    }

    /// When an executed time is reached, from the path's start.
    fn when(&self, executed: Span) -> Option<Span> {
        let index = self.path.iter().position(|sample| sample.executed >= executed)?;
        let at = self.path.get(index)?.executed;
        let Some(before) = index.checked_sub(1).and_then(|before| self.path.get(before)) else {
            return (at == executed).then_some(Span::ZERO);
        };
        let share = (executed - before.executed).secs() / (at - before.executed).secs();
        Some(self.dt.times(index as i64 - 1) + scaled(self.dt, share))
    }
}

/// An output whose rows are held, at one moment.
struct Held<'a> {
    stops: &'a Arc<[bool]>,
    columns: Range<usize>,
    length: Span,
    factor: f64,
    /// Since the path's start.
    now: Span,
}

impl Lane {
    fn new(output: &Output, (column, state, turn): (usize, usize, usize)) -> Self {
        let width = output.names.len();
        let (kind, states) = match &output.content {
            Content::Values(dims) => {
                let joints: Option<Vec<Joint>> = dims.iter().map(Joint::new).collect();
                if let Some(joints) = joints {
                    (Kind::Joints(joints), width)
                } else {
                    let stops = dims.iter().map(|dim| dim.rest == Rest::Zero).collect();
                    (Kind::Held { stops, are_velocities: false }, 0)
                }
            }
            Content::Pose(rule) => (pose_kind(rule, turn), 6),
            Content::Twist(_) => (Kind::Held { stops: [true; 6].into(), are_velocities: true }, 0),
        };
        let names = Arc::clone(&output.names);
        Self { names, columns: column..column + width, states: state..state + states, kind }
    }

    /// To where the timeline is next, and to rest where it ends.
    fn follow(&self, next: &mut Sample, aim: &Aim<'_>, dt: f64) {
        let columns = || self.columns.clone();
        let (Some(goal), Some(after), Some(end), Some(states)) = (
            aim.goal.get(columns()),
            aim.after.get(columns()),
            aim.end.get(columns()),
            next.states.get_mut(self.states.clone()),
        ) else {
            return;
        };
        let to = |place: usize| Goal { position: goal[place], velocity: (after[place] - goal[place]) / dt };
        match &self.kind {
            Kind::Held { .. } => {}
            Kind::Joints(joints) => {
                for (place, (state, joint)) in states.iter_mut().zip(joints).enumerate() {
                    *state = state.arriving(to(place), (end[place], aim.left), &joint.bounds, dt);
                }
            }
            Kind::Pose { linear, angular, turn, .. } => {
                let (moved, turned) = states.split_at_mut(3);
                for (place, (state, bounds)) in moved.iter_mut().zip(linear).enumerate() {
                    *state = state.arriving(to(place), (end[place], aim.left), bounds, dt);
                }
                let rotations = [goal, after, end].map(rotation);
                let (Some(now), [Some(goal), Some(after), Some(end)]) = (next.turns.get_mut(*turn), rotations) else {
                    return;
                };
                let from = |from: Rotation, to: Rotation| to.then(from.inverse()).vector();
                let (way, rate, rest) = (from(*now, goal), from(goal, after), from(*now, end));
                let mut done = [0.0; 3];
                for (axis, state) in turned.iter_mut().enumerate() {
                    let to = Goal { position: way[axis], velocity: rate[axis] / dt };
                    let next = state.arriving(to, (rest[axis], aim.left), angular, dt);
                    done[axis] = next.position;
                    *state = State { position: 0.0, ..next };
                }
                *now = Rotation::from_vector(done).then(*now);
            }
        }
    }

    fn stop(&self, next: &mut Sample, dt: f64) {
        let Sample { states, turns, .. } = next;
        let Some(states) = states.get_mut(self.states.clone()) else { return };
        match &self.kind {
            Kind::Held { .. } => {}
            Kind::Joints(joints) => {
                states.iter_mut().zip(joints).for_each(|(state, joint)| *state = state.stopping(&joint.bounds, dt));
            }
            Kind::Pose { linear, angular, turn, .. } => {
                let (moved, turned) = states.split_at_mut(3);
                moved.iter_mut().zip(linear).for_each(|(state, bounds)| *state = state.stopping(bounds, dt));
                let mut done = [0.0; 3];
                for (done, state) in done.iter_mut().zip(turned) {
                    let next = state.stopping(angular, dt);
                    *done = next.position;
                    *state = State { position: 0.0, ..next };
                }
                if let Some(rotation) = turns.get_mut(*turn) {
                    *rotation = Rotation::from_vector(done).then(*rotation);
                }
            }
        }
    }

    /// The published values of a sample, and how fast they change where that is published too.
    fn values(&self, sample: &Sample, values: &mut Vec<f64>, velocities: &mut Vec<f64>) {
        let states = sample.states.get(self.states.clone()).unwrap_or_default();
        match &self.kind {
            Kind::Held { .. } => {}
            Kind::Joints(_) => {
                values.extend(states.iter().map(|state| state.position));
                velocities.extend(states.iter().map(|state| state.velocity));
            }
            Kind::Pose { turn, .. } => {
                if let Some(pose) = sample.pose(self, *turn) {
                    values.extend(pose.position.into_iter().chain(pose.rotation.xyzw()));
                }
            }
        }
    }
}

impl Joint {
    /// `None` where the value is not the position of something that moves from one to the next.
    fn new(dim: &OutputDim) -> Option<Self> {
        let (MotionLimits { max_velocity, max_acceleration, max_jerk }, Rest::Measured(measured)) =
            (dim.motion?, dim.rest)
        else {
            return None;
        };
        let bounds = Bounds {
            min: dim.limits.min,
            max: dim.limits.max,
            velocity: max_velocity,
            acceleration: max_acceleration,
            jerk: max_jerk,
        };
        let form = if dim.rule.is_gripper() { Form::Held } else { Form::Path };
        Some(Self { bounds, measured, step: dim.limits.max_step, form })
    }
}

impl Sample {
    fn is_at_rest(&self) -> bool {
        self.states.iter().all(State::is_at_rest)
    }

    fn pose(&self, lane: &Lane, turn: usize) -> Option<Pose> {
        let [x, y, z, ..] = self.states.get(lane.states.clone())? else { return None };
        let position = [x, y, z].map(|state| state.position);
        Some(Pose { position, rotation: *self.turns.get(turn)? })
    }

    fn clone_from(&mut self, other: &Sample) {
        self.states.clone_from(&other.states);
        self.turns.clone_from(&other.turns);
        self.executed = other.executed;
    }
}

fn pose_kind(rule: &PoseRule, turn: usize) -> Kind {
    let limits = &rule.limits;
    let bounds = |[min, max]: [f64; 2], motion: MotionLimits| Bounds {
        min,
        max,
        velocity: motion.max_velocity,
        acceleration: motion.max_acceleration,
        jerk: motion.max_jerk,
    };
    let (box_min, box_max) = (limits.workspace.min, limits.workspace.max);
    let linear = [0, 1, 2].map(|axis| bounds([box_min[axis], box_max[axis]], limits.linear));
    let angular = bounds([f64::NEG_INFINITY, f64::INFINITY], limits.angular);
    Kind::Pose { linear, angular, turn, step: [limits.max_step_m, limits.max_step_rad] }
}

fn is_near(told: &Pose, is: &Pose, [max_m, max_rad]: [f64; 2]) -> bool {
    let way = norm(sum(told.position, is.position.map(|value| -value)));
    way <= max_m && told.rotation.angle_to(is.rotation) <= max_rad
}

fn rotation(row: &[f64]) -> Option<Rotation> {
    let &[.., x, y, z, w] = row else { return None };
    Pose::new([0.0; 3], [x, y, z, w]).ok().map(|pose| pose.rotation)
}

fn scaled(span: Span, factor: f64) -> Span {
    Span::from_nanos((span.nanos() as f64 * factor).round() as i64)
}

//! The state before a trajectory and the trajectory, joint by joint in the controller's order.

use std::f64::consts::PI;

use super::spline::{Curve, End};
use super::{Interpolation, Joint, Joints, State, Trajectory};
use crate::time::Stamp;

/// Points in time and what the joints do there; the first one is the state before the trajectory.
#[derive(Clone, Debug)]
pub(super) struct Knots {
    joints: usize,
    points: Vec<Knot>,
    /// Knot by knot, joint by joint: position, velocity, acceleration; what a knot has not is 0.
    values: Vec<[f64; 3]>,
}

#[derive(Clone, Copy, Debug)]
struct Knot {
    at: Stamp,
    has: Has,
}

/// What is known beside the position.
#[derive(Clone, Copy, Debug)]
struct Has {
    velocities: bool,
    accelerations: bool,
}

impl Knots {
    pub fn new(joints: usize) -> Self {
        Self { joints, points: Vec::new(), values: Vec::new() }
    }

    /// Forgets everything; `before` is where the joints are at `at`.
    pub fn restart(&mut self, at: Stamp, before: Joints<'_>) {
        self.points.clear();
        self.values.clear();
        self.push(at, before);
    }

    /// Adds a knot whose values are in the controller's order.
    pub fn push(&mut self, at: Stamp, joints: Joints<'_>) {
        let Joints { positions, velocities, accelerations } = joints;
        let has = Has { velocities: !velocities.is_empty(), accelerations: !accelerations.is_empty() };
        self.points.push(Knot { at, has });
        let value = |values: &[f64], joint: usize| values.get(joint).copied().unwrap_or(0.0);
        let all = (0..self.joints).map(|j| [value(positions, j), value(velocities, j), value(accelerations, j)]);
        self.values.extend(all);
    }

    /// Adds a trajectory that was checked; joints that it does not name stay at `otherwise`.
    pub fn extend(&mut self, start: Stamp, trajectory: &Trajectory<'_>, joints: &[Joint], otherwise: &[f64]) {
        for point in trajectory.points {
            let Joints { positions, velocities, accelerations } = point.joints;
            let has = Has { velocities: !velocities.is_empty(), accelerations: !accelerations.is_empty() };
            self.points.push(Knot { at: start + point.time_from_start, has });
            for (joint, otherwise) in joints.iter().zip(otherwise) {
                let place = trajectory.joints.iter().position(|name| *name == joint.name);
                let value = |values: &[f64]| place.and_then(|place| values.get(place)).copied();
                let position = value(positions).unwrap_or(*otherwise);
                self.values.push([
                    position,
                    value(velocities).unwrap_or_default(),
                    value(accelerations).unwrap_or_default(),
                ]);
            }
        }
    }

    /// Takes what the state before the trajectory has not for zero, where the first point has it.
    pub fn fill_before(&mut self) {
        if let [before, first, ..] = &mut self.points[..] {
            before.has.velocities |= first.has.velocities;
            before.has.accelerations |= first.has.accelerations;
        }
    }

    /// Whole turns are added to continuous joints before the trajectory, so that none is more than half a turn from
    /// the first point.
    pub fn turn_before_the_short_way(&mut self, joints: &[Joint]) {
        let Some((before, after)) = self.values.split_at_mut_checked(self.joints) else { return };
        for ((before, first), joint) in before.iter_mut().zip(after).zip(joints) {
            if joint.continuous {
                let mut way = short_way(before[0], first[0]);
                // Half a turn is as long both ways; the sign of the difference decides.
                if (way.abs() - PI).abs() < 1e-9 {
                    way = if first[0] > before[0] { way.abs() } else { -way.abs() };
                }
                before[0] = first[0] - way;
            }
        }
    }

    /// When the last knot is reached.
    pub fn end(&self) -> Stamp {
        self.points.last().map_or(Stamp::default(), |knot| knot.at)
    }

    /// Where the joints are at `time`; before the first knot, there.
    pub fn sample(&self, time: Stamp, interpolation: Interpolation, state: &mut State) {
        let behind = self.behind(time);
        if behind >= self.points.len() {
            return self.at(self.points.len().saturating_sub(1), state);
        }
        let from = behind.saturating_sub(1);
        match interpolation {
            // Before its first point a trajectory that is not interpolated has no next one yet.
            Interpolation::None => self.at(if from == 0 { 0 } else { behind }, state),
            Interpolation::Splines => self.between(from, behind, time, state),
        }
    }

    /// The first knot that is to come at `time`. The knot of the state before the trajectory counts for nothing once
    /// the first point is reached, even where it is later.
    fn behind(&self, time: Stamp) -> usize {
        match self.points.iter().skip(1).position(|knot| time < knot.at) {
            Some(behind) => behind + 1,
            None => self.points.len(),
        }
    }

    fn at(&self, knot: usize, state: &mut State) {
        for (joint, value) in self.of(knot).iter().enumerate() {
            put(state, joint, *value);
        }
    }

    fn between(&self, from: usize, to: usize, time: Stamp, state: &mut State) {
        let (Some(a), Some(b)) = (self.points.get(from), self.points.get(to)) else { return };
        let duration = b.at.since(a.at).secs();
        let elapsed = time.since(a.at).secs().clamp(0.0, duration);
        let has_velocities = a.has.velocities && b.has.velocities;
        let has_accelerations = a.has.accelerations && b.has.accelerations;
        for (joint, (start, end)) in self.of(from).iter().zip(self.of(to)).enumerate() {
            let (start, end) = (End::from(*start), End::from(*end));
            let curve = match (has_velocities, has_accelerations) {
                (false, false) => Curve::linear(start, end, duration),
                (true, false) => Curve::cubic(start, end, duration),
                (true, true) => Curve::quintic(start, end, duration),
                // The controller's chain of cases has none for this; its output stays at the zeros that it began with.
                (false, true) => Curve::ZERO,
            };
            put(state, joint, curve.at(elapsed));
        }
    }

    fn of(&self, knot: usize) -> &[[f64; 3]] {
        self.values.get(knot * self.joints..(knot + 1) * self.joints).unwrap_or_default()
    }
}

fn put(state: &mut State, joint: usize, [position, velocity, acceleration]: [f64; 3]) {
    let State { positions, velocities, accelerations } = state;
    for (values, value) in [(positions, position), (velocities, velocity), (accelerations, acceleration)] {
        if let Some(slot) = values.get_mut(joint) {
            *slot = value;
        }
    }
}

/// The shortest turn from one angle to another, in (-pi, pi]; `angles::shortest_angular_distance`.
fn short_way(from: f64, to: f64) -> f64 {
    let way = (to - from + PI).rem_euclid(2.0 * PI) - PI;
    if way <= -PI { way + 2.0 * PI } else { way }
}

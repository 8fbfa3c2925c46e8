//! One value that moves: position, velocity, acceleration and jerk inside their limits at every sample.
//!
//! Between samples the acceleration is constant, and a sample is `velocity += acceleration * dt`, then
//! `position += velocity * dt`: the differences of the commanded positions are the velocities, and so on. A step is only
//! taken where the value could still stop inside its limits afterwards; otherwise the stop itself goes on. So a value that
//! starts at rest inside its limits never leaves them, whatever it is asked to follow.

use serde::{Deserialize, Serialize};

/// Where a value is and how it moves, in its unit, per second, per second squared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub position: f64,
    pub velocity: f64,
    pub acceleration: f64,
}

/// What a value may do, in its unit, per second, per second squared and per second cubed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub min: f64,
    pub max: f64,
    pub velocity: f64,
    pub acceleration: f64,
    pub jerk: f64,
}

/// What is to be followed: where it is at the next sample, and how fast it is from there to the one after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Goal {
    pub position: f64,
    pub velocity: f64,
}

/// Halvings of the reachable accelerations: what is left is a 4096th of them.
const HALVINGS: usize = 12;

/// Longer than any stop: 60 s at 100 Hz.
const LONGEST_STOP: usize = 6000;

/// Rounding of sums that are compared with limits, as a share of the limit.
const ROUNDING: f64 = 1e-9;

impl State {
    /// At rest.
    pub fn at(position: f64) -> Self {
        Self { position, ..Self::default() }
    }

    pub fn is_at_rest(&self) -> bool {
        self.velocity == 0.0 && self.acceleration == 0.0
    }

    fn after(self, acceleration: f64, dt: f64) -> Self {
        let velocity = self.velocity + acceleration * dt;
        Self { position: self.position + velocity * dt, velocity, acceleration }
    }

    /// One sample of the stop: as fast as acceleration and jerk allow, and to rest exactly.
    pub fn stopping(self, bounds: &Bounds, dt: f64) -> Self {
        let acceleration = braking(self.velocity, self.acceleration, bounds, dt);
        let next = self.after(acceleration, dt);
        // The last difference of two equal numbers.
        let (speed, push) = (next.velocity.abs() / bounds.velocity, next.acceleration.abs() / bounds.acceleration);
        let is_over = speed <= ROUNDING && push <= ROUNDING;
        if is_over { Self::at(next.position) } else { next }
    }

    /// One sample towards a goal: on it where that can be done, else nearer, without running past it.
    pub fn following(self, goal: Goal, bounds: &Bounds, dt: f64) -> Self {
        if !(goal.position.is_finite() && goal.velocity.is_finite()) {
            return self.stopping(bounds, dt);
        }
        let reach = Reach::of(self.acceleration, bounds, dt);
        let direct = ((goal.position - self.position) / dt - self.velocity) / dt;
        if reach.holds(direct) {
            let next = self.after(direct, dt);
            // On the goal, and able to stay on it.
            let stays = Reach::of(direct, bounds, dt).holds((goal.velocity - next.velocity) / dt);
            if stays && next.can_stop(bounds, dt) {
                return next;
            }
        }
        let next = self.after(self.approach(goal, reach, bounds, dt), dt);
        if next.can_stop(bounds, dt) { next } else { self.stopping(bounds, dt) }
    }

    /// One sample towards a goal that ends at `end` in `left` samples: where it could not be stopped there any more after
    /// that, it is stopped there.
    pub fn arriving(self, goal: Goal, (end, left): (f64, f64), bounds: &Bounds, dt: f64) -> Self {
        let next = self.following(goal, bounds, dt);
        let longest = bounds.velocity / bounds.acceleration + 2.0 * bounds.acceleration / bounds.jerk;
        if left * dt > longest {
            return next;
        }
        let (stop, samples) = next.stop(bounds, dt);
        let passes = (stop - end) * next.velocity > 0.0 && left <= samples as f64 + 1.0;
        if passes { self.following(Goal { position: end, velocity: 0.0 }, bounds, dt) } else { next }
    }

    /// The reachable acceleration after which a stop relative to the goal would end nearest to it.
    fn approach(self, goal: Goal, reach: Reach, bounds: &Bounds, dt: f64) -> f64 {
        let ends_beyond = |acceleration: f64| {
            let next = self.after(acceleration, dt);
            let relative = State {
                position: next.position - goal.position,
                velocity: next.velocity - goal.velocity,
                acceleration,
            };
            relative.stop(bounds, dt).0 > 0.0
        };
        let (mut low, mut high) = (reach.low, reach.high);
        // Never faster than allowed; where it is already, the bounds cross and the lower one brakes.
        high = high.min((bounds.velocity - self.velocity) / dt).max(low);
        low = low.max((-bounds.velocity - self.velocity) / dt).min(high);
        if !ends_beyond(high) {
            return high;
        }
        if ends_beyond(low) {
            return low;
        }
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if ends_beyond(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        low
    }

    /// Where a stop from here ends, and after how many samples.
    fn stop(mut self, bounds: &Bounds, dt: f64) -> (f64, usize) {
        let mut samples = 0;
        while samples < LONGEST_STOP && !self.is_at_rest() {
            self = self.stopping(bounds, dt);
            samples += 1;
        }
        (self.position, samples)
    }

    /// Whether the stop from here stays inside the limits, and this state with it. Written so that NaN fails.
    fn can_stop(mut self, bounds: &Bounds, dt: f64) -> bool {
        for _ in 0..LONGEST_STOP {
            let is_inside = bounds.min <= self.position
                && self.position <= bounds.max
                && self.velocity.abs() <= bounds.velocity * (1.0 + ROUNDING);
            if !is_inside {
                return false;
            }
            if self.is_at_rest() {
                return true;
            }
            self = self.stopping(bounds, dt);
        }
        false
    }
}

/// Accelerations that the next sample may have.
#[derive(Clone, Copy)]
struct Reach {
    low: f64,
    high: f64,
}

impl Reach {
    fn of(acceleration: f64, bounds: &Bounds, dt: f64) -> Self {
        let change = bounds.jerk * dt;
        let low = (acceleration - change).max(-bounds.acceleration);
        let high = (acceleration + change).min(bounds.acceleration);
        Self { low, high }
    }

    fn holds(self, acceleration: f64) -> bool {
        let slack = ROUNDING * self.low.abs().max(self.high.abs());
        self.low - slack <= acceleration && acceleration <= self.high + slack
    }
}

/// The next acceleration on the way to velocity 0 and acceleration 0.
///
/// While the acceleration falls from `x` to 0 by `change` per sample, the velocity loses
/// `dt * (x + (x - change) + ...)`; the wanted one is that from which this sum is the velocity that is left.
fn braking(velocity: f64, acceleration: f64, bounds: &Bounds, dt: f64) -> f64 {
    let change = bounds.jerk * dt;
    let reach = Reach::of(acceleration, bounds, dt);
    let left = velocity.abs() / (change * dt);
    // The smallest n with n (n + 1) / 2 samples of `change` at least `left`.
    let samples = (0.5 * ((1.0 + 8.0 * left).sqrt() - 1.0)).ceil().max(1.0);
    let wanted = change * (left / samples + 0.5 * (samples - 1.0));
    (-wanted.copysign(velocity)).clamp(reach.low, reach.high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DT: f64 = 0.01;
    const BOUNDS: Bounds = Bounds { min: -1.0, max: 1.5, velocity: 1.2, acceleration: 4.0, jerk: 60.0 };

    fn inside(before: State, after: State, bounds: &Bounds, dt: f64) -> Result<(), TestCaseError> {
        let velocity = (after.position - before.position) / dt;
        let acceleration = (velocity - before.velocity) / dt;
        let jerk = (acceleration - before.acceleration) / dt;
        prop_assert!(bounds.min <= after.position && after.position <= bounds.max, "position {}", after.position);
        let close = |value: f64, limit: f64, digits: f64| value.abs() <= limit * (1.0 + 1e-6) + digits;
        prop_assert!(close(velocity, bounds.velocity, 1e-9), "velocity {velocity}");
        prop_assert!(close(acceleration, bounds.acceleration, 1e-7), "acceleration {acceleration}");
        prop_assert!(close(jerk, bounds.jerk, 1e-4), "jerk {jerk}");
        Ok(())
    }

    fn any_bounds() -> impl Strategy<Value = Bounds> {
        (-2.0..-0.01f64, 0.01..2.0f64, 0.05..5.0f64, 0.2..40.0f64, 2.0..2000.0f64)
            .prop_map(|(min, max, velocity, acceleration, jerk)| Bounds { min, max, velocity, acceleration, jerk })
    }

    fn any_goal() -> impl Strategy<Value = Goal> {
        let usual = (-3.0..3.0f64, -8.0..8.0f64);
        let wild = (any::<f64>(), any::<f64>());
        prop_oneof![9 => usual, 1 => wild].prop_map(|(position, velocity)| Goal { position, velocity })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn whatever_is_followed_the_value_stays_inside_its_limits(
            bounds in any_bounds(),
            goals in prop::collection::vec((any_goal(), 1usize..30), 1..12),
            dt in prop_oneof![Just(0.002), Just(0.01), Just(0.02)],
        ) {
            let mut state = State::at(0.0);
            for (goal, samples) in goals {
                for _ in 0..samples {
                    let next = state.following(goal, &bounds, dt);
                    inside(state, next, &bounds, dt)?;
                    state = next;
                }
            }
            let mut samples = 0;
            while !state.is_at_rest() {
                let next = state.stopping(&bounds, dt);
                inside(state, next, &bounds, dt)?;
                state = next;
                samples += 1;
                prop_assert!(samples < LONGEST_STOP, "no rest: {state:?}");
            }
        }
    }

    #[test]
    fn a_goal_that_moves_inside_the_limits_is_met_at_every_sample() {
        // 0.4 sin(1.5 t): largest velocity 0.6, acceleration 0.9, jerk 1.35; it starts with a velocity.
        let goal = |sample: u32| 0.4 * (1.5 * f64::from(sample) * DT).sin();
        let mut state = State { position: 0.0, velocity: 0.6, acceleration: 0.0 };
        for sample in 1..400 {
            let velocity = (goal(sample + 1) - goal(sample)) / DT;
            state = state.following(Goal { position: goal(sample), velocity }, &BOUNDS, DT);
            assert!((state.position - goal(sample)).abs() < 1e-12, "sample {sample}: {state:?}");
        }
    }

    #[test]
    fn a_goal_that_ends_is_left_in_time_to_stop_where_it_ends() {
        // 0.9 per second for a second.
        let goal = |sample: u32| 0.9 * f64::from(sample) * DT;
        let mut state = State { position: 0.0, velocity: 0.9, acceleration: 0.0 };
        let mut farthest = 0.0_f64;
        for sample in 1..=140_u32 {
            let aim = Goal { position: goal(sample.min(100)), velocity: if sample < 100 { 0.9 } else { 0.0 } };
            state = state.arriving(aim, (0.9, 100.0 - f64::from(sample)), &BOUNDS, DT);
            farthest = farthest.max(state.position);
            if sample < 60 {
                assert!((state.position - goal(sample)).abs() < 1e-9, "sample {sample}: {state:?}");
            }
        }
        assert!(farthest <= 0.9 + 1e-6, "{farthest}");
        assert!((state.position - 0.9).abs() < 1e-6 && state.velocity.abs() < 1e-6, "{state:?}");
    }

    #[test]
    fn a_goal_at_rest_is_reached_without_running_past_it() {
        let mut state = State::at(-0.5);
        let (mut farthest, mut samples) = (f64::MIN, 0);
        while (state.position - 0.75).abs() > 1e-6 || state.velocity.abs() > 1e-4 {
            state = state.following(Goal { position: 0.75, velocity: 0.0 }, &BOUNDS, DT);
            farthest = farthest.max(state.position);
            samples += 1;
            assert!(samples < 400, "{state:?}");
        }
        assert!(farthest <= 0.75 + 1e-6, "{farthest}");
        // The distance at full speed, speeding up and slowing down: 1.25 / 1.2 + 1.2 / 4 + 4 / 60 s, and a few samples.
        assert!((140..=155).contains(&samples), "{samples} samples");
    }

    #[test]
    fn a_stop_from_full_speed_takes_as_long_as_acceleration_and_jerk_say() {
        let mut state = State { position: 0.0, velocity: 1.2, acceleration: 0.0 };
        let mut samples = 0;
        while !state.is_at_rest() {
            state = state.stopping(&BOUNDS, DT);
            samples += 1;
        }
        // v / a + a / j = 0.3 + 0.0667 s; the distance is half of it at full speed: 0.22.
        assert!((35..=38).contains(&samples), "{samples}");
        assert!((state.position - 0.22).abs() < 0.012, "{}", state.position);
    }

    #[test]
    fn a_value_at_its_limit_moves_away_from_it_and_not_beyond() {
        let mut state = State::at(1.5);
        state = state.following(Goal { position: 9.0, velocity: 3.0 }, &BOUNDS, DT);
        assert_eq!(state, State::at(1.5));
        for _ in 0..100 {
            state = state.following(Goal { position: 1.2, velocity: 0.0 }, &BOUNDS, DT);
        }
        assert!((state.position - 1.2).abs() < 1e-6, "{state:?}");
    }

    #[test]
    fn a_goal_that_is_no_number_stops_the_value() {
        let mut state = State { position: 0.0, velocity: 0.3, acceleration: 0.0 };
        for _ in 0..100 {
            state = state.following(Goal { position: f64::NAN, velocity: f64::NAN }, &BOUNDS, DT);
            assert!(state.position.is_finite());
        }
        assert!(state.is_at_rest(), "{state:?}");
    }
}

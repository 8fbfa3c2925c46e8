//! Any chunk, finite or not, at any time: every row of every command is inside its limits and steps.

use proptest::prelude::*;

use super::tests::{REST, inferred};
use super::*;
use crate::deploy::samples::arm::{at, frame, joints};
use crate::deploy::samples::overlapping_arm;

/// Mostly small moves, so that commands pass and follow each other; sometimes anything at all.
fn value(around: f64, spread: f64) -> impl Strategy<Value = f64> + Clone {
    prop_oneof![60 => (around - spread)..(around + spread), 1 => any::<f64>()]
}

/// The elbow's neighbourhood of one run: the middle of its range, or one of its ends.
fn elbow() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![Just(0.1), Just(-0.98), Just(0.97)]
}

fn rows(elbow: f64) -> impl Strategy<Value = Vec<[f64; 3]>> {
    let row = (value(0.0, 3.0), value(elbow, 0.06), value(0.5, 0.6)).prop_map(|(a, b, c)| [a, b, c]);
    let usual = prop::collection::vec(row.clone(), 4);
    prop_oneof![20 => usual, 1 => prop::collection::vec(row, 1..6)]
}

/// Milliseconds to the next frame and to the inference's end, where the arm is then, and what the policy wants.
type Round = (f64, f64, [f64; 3], Vec<[f64; 3]>);

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    elbow().prop_flat_map(|elbow| {
        let pushed = (value(0.25, 0.3), value(elbow, 0.3), value(0.03, 0.01)).prop_map(|(a, b, c)| [a, b, c]);
        let measured = prop_oneof![10 => Just([REST[0], elbow, REST[2]]), 1 => pushed];
        prop::collection::vec((1.0..150.0, -30.0..180.0, measured, rows(elbow)), 1..12)
    })
}

/// What `arm` may do, written down a second time: smallest, largest, and per second, per second squared and cubed.
const LIMITS: [[f64; 5]; 3] =
    [[-1.5, 2.0, 4.0, 40.0, 800.0], [-1.0, 1.0, 4.0, 40.0, 800.0], [0.01, 0.05, 1.6, 16.0, 320.0]];

const DT: Span = Span::from_nanos(10_000_000);

/// What a controller makes of the commands: the newest one that has begun counts.
#[derive(Default)]
struct Controller {
    start: Stamp,
    samples: Vec<[f64; 3]>,
}

impl Controller {
    /// A command goes on exactly where the one before it is, or begins where that one has come to rest.
    fn take(&mut self, command: &crate::safety::SafeCommand) -> Result<(), TestCaseError> {
        let [output] = command.outputs() else { return Err(TestCaseError::fail("not one output")) };
        let rows: Vec<[f64; 3]> = output.rows().map(|row| row.try_into().unwrap()).collect();
        prop_assert!(output.times().iter().enumerate().all(|(index, time)| *time == DT.times(index as i64)));
        let over = command.stamp().since(self.start).nanos();
        let index = usize::try_from(over / DT.nanos()).unwrap_or(usize::MAX);
        if over % DT.nanos() == 0 && self.samples.get(index) == rows.first() {
            self.samples.truncate(index);
            self.samples.extend(rows);
            return Ok(());
        }
        let still = self.samples.iter().rev().take_while(|sample| Some(*sample) == self.samples.last()).count();
        let end = self.start + DT.times((self.samples.len() - still) as i64);
        prop_assert!(self.samples.is_empty() || command.stamp() >= end, "it begins elsewhere, in motion");
        self.check()?;
        (self.start, self.samples) = (command.stamp(), rows);
        Ok(())
    }

    /// From rest to rest inside the limits, by the differences of the positions alone.
    fn check(&self) -> Result<(), TestCaseError> {
        for (place, [min, max, speed, push, jerk]) in LIMITS.into_iter().enumerate() {
            let (mut velocity, mut acceleration) = (0.0, 0.0);
            for pair in self.samples.windows(2) {
                let [from, to] = [pair[0][place], pair[1][place]];
                prop_assert!(min <= to && to <= max, "{to} outside [{min}, {max}]");
                let now = (to - from) / DT.secs();
                let pushed = (now - velocity) / DT.secs();
                let jerked = (pushed - acceleration) / DT.secs();
                prop_assert!(now.abs() <= speed * (1.0 + 1e-6), "velocity {now}");
                prop_assert!(pushed.abs() <= push * (1.0 + 1e-6), "acceleration {pushed}");
                prop_assert!(jerked.abs() <= jerk * (1.0 + 1e-6) + 1e-4, "jerk {jerked}");
                (velocity, acceleration) = (now, pushed);
            }
            prop_assert!(velocity.abs() <= 1e-6, "ends at {velocity} per second");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_sample_of_every_command_is_inside_the_limits_and_every_command_ends_at_rest(
        rounds in rounds(),
        stops in prop::collection::vec(any::<u8>(), 12),
    ) {
        let mut engine = Engine::activated(&overlapping_arm());
        let (mut clock, mut effects, mut sent) = (0.0, Vec::new(), 0);
        let (mut controller, mut inferring) = (Controller::default(), None);
        for ((wait, delay, measured, rows), stop) in rounds.into_iter().zip(stops) {
            for sample in [joints(clock, measured), frame(0, clock)] {
                engine.handle(at(clock), Event::Sample(sample), &mut effects);
            }
            let end = clock + wait;
            while clock < end {
                clock += 5.0;
                if let Some((request, due, rows)) = inferring.take_if(|(_, due, _): &mut (_, f64, Vec<_>)| *due <= clock) {
                    let result = Ok(inferred(&rows));
                    engine.handle(at(due.max(clock - 4.0)), Event::Inferred { request, result }, &mut effects);
                }
                engine.handle(at(clock), Event::Tick, &mut effects);
            }
            if stop < 10 {
                engine.handle(at(clock), Event::Stop, &mut effects);
            }
            for effect in effects.drain(..) {
                match effect {
                    Effect::Infer { request, .. } => inferring = Some((request, clock + delay, rows.clone())),
                    Effect::Command(command) => {
                        sent += 1;
                        controller.take(&command)?;
                    }
                    Effect::Decided(_) | Effect::Report(_) => {}
                }
            }
            controller.check()?;
        }
        prop_assert!(sent < 10_000);
    }
}

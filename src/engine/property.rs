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

/// What `arm` may do, written down a second time: smallest, largest, step.
const LIMITS: [[f64; 3]; 3] = [[-1.5, 2.0, 0.1], [-1.0, 1.0, 0.1], [0.01, 0.05, 0.04]];

/// Checks one command against the limits and against what the robot was doing before it.
fn check(command: &crate::safety::SafeCommand, basis: [f64; 3]) -> Result<(), TestCaseError> {
    let [output] = command.outputs() else { return Err(TestCaseError::fail("not one output")) };
    prop_assert_eq!(output.rows().len(), command.times().len());
    let mut before = basis;
    for row in output.rows() {
        prop_assert_eq!(row.len(), 3);
        for ((value, before), [min, max, step]) in row.iter().zip(before).zip(LIMITS) {
            prop_assert!(min <= *value && *value <= max, "{value} outside [{min}, {max}]");
            prop_assert!((value - before).abs() <= step, "{before} to {value}, more than {step}");
        }
        before = [row[0], row[1], row[2]];
    }
    Ok(())
}

/// What a controller that plays `sent` in order does right before `due`: the last row of the last command that is
/// due earlier, or nothing where that command is over at `now`.
fn playing(sent: Option<&crate::safety::SafeCommand>, now: Stamp, due: Stamp) -> Option<[f64; 3]> {
    let command = sent?;
    let ends = command.stamp() + *command.times().last()?;
    if ends < now {
        return None;
    }
    let mut pairs = command.times().iter().zip(command.outputs()[0].rows());
    let row = pairs.rfind(|(time, _)| command.stamp() + **time < due)?.1;
    Some([row[0], row[1], row[2]])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_command_is_inside_limits_and_steps(rounds in rounds()) {
        let mut engine = Engine::new(&overlapping_arm());
        let (mut clock, mut effects) = (0.0, Vec::new());
        let mut last: Option<Arc<crate::safety::SafeCommand>> = None;
        for (wait, delay, measured, rows) in rounds {
            clock += wait;
            for sample in [joints(clock, measured), frame(0, clock)] {
                engine.handle(at(clock), Event::Sample(sample), &mut effects);
            }
            let request = effects.iter().find_map(|effect| match effect {
                Effect::Infer { request, .. } => Some(*request),
                _ => None,
            });
            effects.clear();
            let Some(request) = request else { continue };
            let now = at(clock + delay);
            engine.handle(now, Event::Inferred { request, result: Ok(inferred(&rows)) }, &mut effects);
            for effect in effects.drain(..) {
                let Effect::Decided(Decision { verdict: Verdict::Sent(command), .. }) = effect else { continue };
                let first = command.stamp() + command.times()[0];
                prop_assert!(first >= now, "a row of the past");
                check(&command, playing(last.as_deref(), now, first).unwrap_or(measured))?;
                last = Some(command);
            }
        }
    }
}

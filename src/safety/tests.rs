//! Changes, grippers and controller inputs on their way through the gate.

mod pose;
mod twist;

use super::*;
use crate::deploy::Deployment;
use crate::deploy::samples::arm::at;
use crate::deploy::samples::{ARM_IO, ARM_PROFILE, bundle, parameters, profile};
use crate::execute::Schedule;
use crate::types::{Chunk, Measured};

const REST: [f64; 3] = [0.25, 0.1, 0.03];

fn joints(joints: &[f64]) -> Measured<'_> {
    Measured { joints, eef: None }
}

/// The arm with an elbow that is told changes of `scale` rad per unit.
fn delta_arm(reference: &str) -> Gate {
    let delta =
        format!("{{name: elbow, unit: controller_input, kind: joint_delta, scale: 0.5, reference: {reference}}}");
    gate(&ARM_IO.replace("{name: elbow, unit: rad, kind: joint_position}", &delta), ARM_PROFILE)
}

fn gate(io: &str, robot: &str) -> Gate {
    Gate::new(&Deployment::check(&bundle(io, &["front"]), &profile(robot), parameters(&[])).unwrap())
}

/// Executed time is the tests' time.
fn schedule(ms: f64) -> Schedule {
    Schedule { anchor: Span::from_millis(ms), action_dt: Span::from_millis(50.0), n_action_steps: 3 }
}

/// The arm at `ms`, where a chunk that was observed there begins.
fn basis(ms: f64, [observed, measured]: [Measured<'_>; 2]) -> Basis<'_> {
    Basis { now: at(ms), at_observation: observed, measured, start: at(ms), following: None }
}

/// The rows of the only output.
fn rows<'a>(gate: &Gate, targets: &'a Targets) -> Vec<&'a [f64]> {
    let [output] = gate.outputs() else { panic!("not one output") };
    targets.values.chunks_exact(output.names.len()).collect()
}

/// A command of these rows, the last one followed by `stop` where it has one.
fn sent(gate: &mut Gate, ms: f64, targets: &Targets, stop: Option<&[f64]>) {
    let mut output = SafeOutput::path(&gate.outputs()[0].names, Span::from_millis(50.0));
    output.values = [&targets.values, stop.unwrap_or_default()].concat();
    let rows = output.rows().len();
    output.times = (0..rows).map(|row| Span::from_millis(50.0).times(row as i64)).collect();
    gate.sent(Arc::new(SafeCommand { stamp: at(ms), outputs: vec![output] }));
}

/// The second value of every row of the command for three rows of a chunk observed and passed at `ms`.
fn elbow(gate: &Gate, ms: f64, changes: [f64; 4], measured: &[f64]) -> Result<Vec<f64>, String> {
    let changed = changes.map(|change| [0.0, change, 0.5]).concat();
    let basis = basis(ms, [joints(&REST), joints(measured)]);
    let targets = gate.pass(&Chunk::new(changed, 3).unwrap(), schedule(ms), 0..3, basis).map_err(|e| e.to_string())?;
    Ok(rows(gate, &targets).iter().map(|row| row[1]).collect())
}

fn assert_near(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).for_each(|(got, want)| assert!((got - want).abs() < 1e-12, "{got} {want}"));
}

#[test]
fn a_change_from_the_chunks_start_does_not_add_up() {
    let got = elbow(&delta_arm("chunk_start"), 0.0, [0.1, 0.2, 0.3, 0.4], &[0.25, 0.12, 0.03]).unwrap();
    assert_near(&got, &[0.15, 0.2, 0.25]);
}

#[test]
fn a_change_from_the_measured_position_adds_up_from_where_the_arm_is() {
    let got = elbow(&delta_arm("measured"), 0.0, [0.1, 0.18, -0.1, 0.4], &[0.25, 0.12, 0.03]).unwrap();
    assert_near(&got, &[0.17, 0.26, 0.21]);
}

#[test]
fn a_change_from_the_last_command_continues_it_although_the_arm_sags() {
    let mut gate = delta_arm("last_command");
    let chunk = Chunk::new([[0.0, 0.1, 0.5]; 4].concat(), 3).unwrap();
    let first = gate.pass(&chunk, schedule(0.0), 0..3, basis(0.0, [joints(&REST); 2])).unwrap();
    assert_near(&rows(&gate, &first).iter().map(|row| row[1]).collect::<Vec<_>>(), &[0.15, 0.2, 0.25]);
    sent(&mut gate, 0.0, &first, None);
    // 200 ms on the command has run out at 0.25; the arm hangs at 0.22.
    let got = elbow(&gate, 200.0, [0.1, 0.1, 0.1, 0.1], &[0.25, 0.22, 0.03]).unwrap();
    assert_near(&got, &[0.3, 0.35, 0.4]);
    // Pushed away, the continuation is too far from it.
    let refused = elbow(&gate, 200.0, [0.1, 0.1, 0.1, 0.1], &[0.25, 0.1, 0.03]).unwrap_err();
    assert_eq!(refused, "joint_trajectory `j2` row 0 steps from 0.1 to 0.3 rad, wanted at most 0.1");
}

#[test]
fn an_arm_whose_joints_nobody_knows_is_not_moved() {
    let refused = |gate: &Gate| elbow(gate, 0.0, [0.1, 0.1, 0.1, 0.1], &[0.25]).unwrap_err();
    assert_eq!(refused(&delta_arm("measured")), "joint_trajectory `j2` is not measured");
    assert_eq!(refused(&gate(ARM_IO, ARM_PROFILE)), "joint_trajectory `j2` is not measured");
}

/// A controller input behind a gripper.
fn input_gate() -> Gate {
    let io = "
rate_hz: 20
actions:
- {name: eef_x, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
- {name: gripper, unit: normalized, kind: gripper, open: 1.0, closed: 0.0, threshold: 0.5}
";
    let robot = "
format: 1
robot: box
inputs:
- {kind: camera, camera: front, transport: raw, max_age_ms: 100}
outputs:
- kind: controller_input
  dims:
  - {action: gripper, open: -1.0, closed: 1.0, max_step: 2.0}
  - {action: eef_x, min: -0.9, max: 1.0, max_step: 0.5}
";
    gate(io, robot)
}

fn pass_inputs(gate: &Gate, ms: f64, rows: [[f64; 2]; 4]) -> Result<Targets, String> {
    let basis = basis(ms, [joints(&[]); 2]);
    gate.pass(&Chunk::new(rows.concat(), 2).unwrap(), schedule(ms), 0..3, basis).map_err(|e| e.to_string())
}

#[test]
fn a_controller_input_starts_at_rest_and_its_gripper_anywhere() {
    let gate = input_gate();
    let targets = pass_inputs(&gate, 0.0, [[0.25, 0.9], [-0.2, 0.1], [0.1, 0.8], [0.0, 0.0]]).unwrap();
    assert_eq!(rows(&gate, &targets), [[-1.0, 0.25], [1.0, -0.2], [-1.0, 0.1]]);
    let fast = pass_inputs(&gate, 0.0, [[0.75, 0.9]; 4]).unwrap_err();
    assert_eq!(fast, "controller_input `eef_x` row 0 steps from 0 to 0.75 controller_input, wanted at most 0.5");
}

#[test]
fn a_controller_input_steps_from_the_row_in_effect_until_that_is_over() {
    let mut gate = input_gate();
    let running = pass_inputs(&gate, 0.0, [[0.25, 0.9], [0.3, 0.9], [0.4, 0.9], [0.0, 0.9]]).unwrap();
    sent(&mut gate, 0.0, &running, Some(&[-1.0, 0.0]));
    // The last row was due at 100 ms and is over at 150.
    assert!(pass_inputs(&gate, 150.0, [[0.85, 0.9]; 4]).is_ok());
    let slow = pass_inputs(&gate, 151.0, [[0.85, 0.9]; 4]).unwrap_err();
    assert_eq!(slow, "controller_input `eef_x` row 0 steps from 0 to 0.85 controller_input, wanted at most 0.5");
}

#[test]
fn a_gripper_reaches_both_its_ends_exactly() {
    let robot =
        ARM_PROFILE.replace("open: 0.05, closed: 0.01, max_step: 0.04", "open: 1.491, closed: -0.6213, max_step: 3");
    let gate = gate(ARM_IO, &robot);
    let chunk = [[0.0, 0.1, 1.0], [0.0, 0.1, 0.0], [0.0, 0.1, 1.2], [0.0, 0.1, -0.1]].concat();
    let basis = basis(0.0, [joints(&REST); 2]);
    let targets = gate.pass(&Chunk::new(chunk, 3).unwrap(), schedule(0.0), 0..3, basis).unwrap();
    assert_eq!(rows(&gate, &targets).iter().map(|row| row[2]).collect::<Vec<_>>(), [1.491, -0.6213, 1.491]);
}

#[test]
fn a_row_that_is_past_is_where_the_path_comes_from() {
    let chunk = Chunk::new([[0.0, 0.12, 0.5], [1.0, 0.05, 0.5], [2.0, 0.1, 0.5], [3.0, 0.3, 0.5]].concat(), 3).unwrap();
    let past = |gate: &Gate| {
        let targets = gate.pass(&chunk, schedule(0.0), 1..3, basis(10.0, [joints(&REST); 2])).unwrap();
        assert_eq!((targets.first, rows(gate, &targets).len()), (Span::ZERO, 3));
        rows(gate, &targets)[0][1]
    };
    assert_eq!(past(&gate(ARM_IO, ARM_PROFILE)), 0.12);
    // A change of 0.06 rad from where the arm was when it was observed; from row to row, where it is now.
    assert!((past(&delta_arm("chunk_start")) - 0.16).abs() < 1e-12);
    assert_eq!(past(&delta_arm("measured")), 0.1);
}

//! Target poses on their way through the gate.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_PI_2};

use proptest::prelude::*;

use super::*;
use crate::geometry::{Pose, Rotation};

const ROBOT: &str = "
format: 1
robot: widow
control_rate_hz: 100
inputs:
- {kind: camera, camera: front, transport: raw, max_age_ms: 100}
- {kind: eef_pose, frame: base_link, max_age_ms: 50}
outputs:
- kind: eef_pose
  frame: base_link
  position: [x, y, z]
  rotation: [a, b, c]
  min: [0.1, -0.25, 0.02]
  max: [0.5, 0.25, 0.75]
  max_step_m: 0.03
  max_step_rad: 0.2
  max_m_per_s: 1
  max_m_per_s2: 5
  max_m_per_s3: 100
  max_rad_per_s: 4
  max_rad_per_s2: 20
  max_rad_per_s3: 400
";

/// Changes with this frame and reference, the rotation as axis times angle.
fn changes(frame: &str, reference: &str) -> Gate {
    let how = format!("scale: 0.5, frame: {frame}, reference: {reference}");
    let way = |name| format!("- {{name: {name}, unit: controller_input, kind: eef_delta_position, {how}}}\n");
    let turn = |name| {
        format!("- {{name: {name}, unit: controller_input, kind: eef_delta_rotation, {how}, rotation: axis_angle}}\n")
    };
    let actions = ["x", "y", "z"].map(way).concat() + &["a", "b", "c"].map(turn).concat();
    gate(&format!("rate_hz: 20\nactions:\n{actions}"), ROBOT)
}

/// Places, the rotation in this convention with these names.
fn places(convention: &str, unit: &str, names: &[&str]) -> Gate {
    let place = ["x", "y", "z"].map(|name| format!("- {{name: {name}, unit: m, kind: eef_position, frame: base}}\n"));
    let turned = |name: &&str| {
        format!("- {{name: {name}, unit: {unit}, kind: eef_rotation, frame: base, rotation: {convention}}}\n")
    };
    let turned: String = names.iter().map(turned).collect();
    let io = format!("rate_hz: 20\nactions:\n{}{turned}", place.concat());
    gate(&io, &ROBOT.replace("[a, b, c]", &format!("[{}]", names.join(", "))))
}

/// A quarter turn about z at (0.3, 0.05, 0.2): the tool's x points along y, its y against x.
fn quarter() -> Pose {
    Pose::new([0.3, 0.05, 0.2], [0.0, 0.0, FRAC_1_SQRT_2, FRAC_1_SQRT_2]).unwrap()
}

fn at_pose<'a>(eef: Pose) -> Measured<'a> {
    Measured { joints: &[], eef: Some(eef) }
}

/// The rows of a chunk with `rows` of one kind, observed at `ms` where the robot still was at `observed`.
fn pass(gate: &Gate, ms: f64, row: &[f64], [observed, measured]: [Pose; 2]) -> Result<Targets, String> {
    let basis = basis(ms, [at_pose(observed), at_pose(measured)]);
    let chunk = Chunk::new(row.repeat(4), row.len()).unwrap();
    gate.pass(&chunk, schedule(ms), 0..3, basis).map_err(|e| e.to_string())
}

fn rows(targets: &Targets) -> Vec<Vec<f64>> {
    targets.values.chunks_exact(7).map(<[f64]>::to_vec).collect()
}

fn rotation(row: &[f64]) -> Rotation {
    Pose::new([0.0; 3], [row[3], row[4], row[5], row[6]]).unwrap().rotation
}

/// 1 cm along x, -2 cm along y, 0.5 cm along z, and 0.1 rad about x.
const STEP: [f64; 6] = [0.02, -0.04, 0.01, 0.2, 0.0, 0.0];

#[test]
fn changes_along_the_base_add_up_from_where_the_end_effector_is() {
    let command = pass(&changes("base", "measured"), 0.0, &STEP, [quarter(); 2]).unwrap();
    let rows = rows(&command);
    for (row, want) in rows.iter().zip([[0.31, 0.03, 0.205], [0.32, 0.01, 0.21], [0.33, -0.01, 0.215]]) {
        assert_near(&row[..3], &want);
    }
    // A quarter about z first, then 0.3 about the base's x: the tool's z leans towards -y.
    assert_near(&rotation(&rows[2]).turn([0.0, 0.0, 1.0]), &[0.0, -(0.3_f64.sin()), 0.3_f64.cos()]);
    assert_near(&rotation(&rows[2]).turn([1.0, 0.0, 0.0]), &[0.0, 0.3_f64.cos(), 0.3_f64.sin()]);
}

#[test]
fn changes_along_the_tool_turn_with_it() {
    let rows = rows(&pass(&changes("tool", "measured"), 0.0, &STEP, [quarter(); 2]).unwrap());
    // 1 cm along the tool's x is along y, -2 cm along its y is along x.
    assert_near(&rows[0][..3], &[0.32, 0.06, 0.205]);
    // 0.1 about the tool's x, which is y: its z leans towards x.
    assert_near(&rotation(&rows[0]).turn([0.0, 0.0, 1.0]), &[0.1_f64.sin(), 0.0, 0.1_f64.cos()]);
    // The second row goes along the tool as the first has turned it: its y is now (-cos 0.1, 0, sin 0.1).
    let [c, s] = [0.1_f64.cos(), 0.1_f64.sin()];
    assert_near(&rows[1][..3], &[0.32 + 0.02 * c + 0.005 * s, 0.07, 0.205 - 0.02 * s + 0.005 * c]);
}

#[test]
fn a_change_from_the_chunks_start_does_not_add_up_and_ignores_where_the_robot_is_now() {
    let moved = Pose { position: [0.305, 0.04, 0.2], ..quarter() };
    let rows = rows(&pass(&changes("base", "chunk_start"), 0.0, &STEP, [quarter(), moved]).unwrap());
    for row in &rows {
        assert_near(&row[..3], &[0.31, 0.03, 0.205]);
    }
    assert_near(&rotation(&rows[2]).turn([0.0, 0.0, 1.0]), &[0.0, -(0.1_f64.sin()), 0.1_f64.cos()]);
}

#[test]
fn a_change_from_the_last_command_continues_it_although_the_arm_sags() {
    let mut gate = changes("base", "last_command");
    let first = pass(&gate, 0.0, &STEP, [quarter(); 2]).unwrap();
    let end = rows(&first)[2].clone();
    sent(&mut gate, 0.0, &first, None);
    let sagging = Pose { position: [0.33, -0.01, 0.205], rotation: rotation(&end) };
    let next = pass(&gate, 200.0, &STEP, [sagging; 2]).unwrap();
    assert_near(&rows(&next)[0][..3], &[0.34, -0.03, 0.22]);
    assert_near(&rotation(&rows(&next)[0]).turn([0.0, 0.0, 1.0]), &[0.0, -(0.4_f64.sin()), 0.4_f64.cos()]);
    let pushed = Pose { position: [0.33, -0.01, 0.15], ..sagging };
    let refused = pass(&gate, 200.0, &STEP, [pushed; 2]).unwrap_err();
    assert!(refused.starts_with("eef_pose `position` row 0 changes by 0.0734"), "{refused}");
    // While the old command runs, its row counts, not where the arm has come to.
    let chunk = Chunk::new(STEP.repeat(4), 6).unwrap();
    let basis = Basis { following: Some(&end), ..basis(90.0, [at_pose(pushed); 2]) };
    assert!(gate.pass(&chunk, schedule(90.0), 0..3, basis).is_ok());
}

#[test]
fn a_place_is_seen_from_the_base_in_any_convention() {
    let [a, b, c, d] = [0.0, 0.0, FRAC_1_SQRT_2, FRAC_1_SQRT_2];
    let place = [0.31, 0.04, 0.21];
    let gates: [(Gate, &[f64]); 4] = [
        (places("quaternion_xyzw", "normalized", &["p", "q", "r", "s"]), &[a, b, 0.9 * c, 0.9 * d]),
        (places("axis_angle", "rad", &["p", "q", "r"]), &[0.0, 0.0, FRAC_PI_2]),
        (places("euler_xyz", "deg", &["p", "q", "r"]), &[0.0, 0.0, 90.0]),
        (places("rotation6d", "normalized", &["p", "q", "r", "s", "t", "u"]), &[0.0, 2.0, 0.0, -1.0, 0.5, 0.0]),
    ];
    for (gate, turned) in gates {
        let command = pass(&gate, 0.0, &[&place[..], turned].concat(), [quarter(); 2]).unwrap();
        for row in rows(&command) {
            assert_near(&row[..3], &place);
            assert_near(&row[3..], &[0.0, 0.0, FRAC_1_SQRT_2, FRAC_1_SQRT_2]);
        }
    }
}

#[test]
fn the_sign_of_the_quaternion_never_jumps_from_row_to_row_nor_from_command_to_command() {
    let mut gate = places("quaternion_xyzw", "normalized", &["p", "q", "r", "s"]);
    let [c, s] = [0.8, 0.6];
    let upside = Pose::new([0.3, 0.0, 0.2], [-c, 0.0, 0.0, -s]).unwrap();
    let place = [0.3, 0.0, 0.2, c, 0.0, 0.0, s];
    // The robot reports it with the other sign, and so it goes on.
    let first = pass(&gate, 0.0, &place, [upside; 2]).unwrap();
    for row in &rows(&first) {
        assert_near(&row[3..], &[-c, 0.0, 0.0, -s]);
    }
    sent(&mut gate, 0.0, &first, None);
    // Now it reports the other one: what was published counts.
    let turned = Pose::new([0.3, 0.0, 0.2], [c, 0.0, 0.0, s]).unwrap();
    let next = pass(&gate, 1000.0, &place, [turned; 2]).unwrap();
    for row in &rows(&next) {
        assert_near(&row[3..], &[-c, 0.0, 0.0, -s]);
    }
    let chunk = [place, [0.3, 0.0, 0.2, -c, 0.0, 0.0, -s], place, place].concat();
    let basis = basis(2000.0, [at_pose(turned), at_pose(turned)]);
    let mixed = gate.pass(&Chunk::new(chunk, 7).unwrap(), schedule(2000.0), 0..3, basis).unwrap();
    for row in &rows(&mixed) {
        assert_near(&row[3..], &[-c, 0.0, 0.0, -s]);
    }
}

#[test]
fn what_a_pose_may_not_do_is_told_with_its_numbers() {
    let gate = changes("base", "measured");
    let refused = |row: [f64; 6], at: Pose| pass(&gate, 0.0, &row, [at; 2]).unwrap_err();
    let low = Pose { position: [0.3, 0.05, 0.02], ..quarter() };
    let axis = |axis: usize, value: f64| {
        let mut row = [0.0; 6];
        row[axis] = value;
        row
    };
    assert_eq!(refused(axis(2, -0.02), low), "eef_pose `z` row 0 is 0.01 m, wanted 0.02 to 0.75");
    let edge = Pose { position: [0.3, 0.25, 0.2], ..quarter() };
    assert_eq!(refused(axis(1, 0.5), edge), "eef_pose `y` row 0 is 0.5 m, wanted -0.25 to 0.25");
    assert_eq!(refused(axis(0, 0.5), quarter()), "eef_pose `x` row 0 is 0.55 m, wanted 0.1 to 0.5");
    let far = refused(axis(0, 0.0625), quarter());
    assert!(
        far.starts_with("eef_pose `position` row 0 changes by 0.0312") && far.ends_with(" m, wanted at most 0.03"),
        "{far}"
    );
    let turned = refused(axis(4, 0.5), quarter());
    assert!(
        turned.starts_with("eef_pose `rotation` row 0 changes by 0.2") && turned.ends_with(" rad, wanted at most 0.2"),
        "{turned}"
    );
    // Almost a whole turn ends near where it began, but is no step.
    assert_eq!(
        refused(axis(3, -12.5), quarter()),
        "eef_pose `rotation` row 0 is 6.25 rad, wanted 0 to 3.141592653589793"
    );
    let nowhere = places("rotation6d", "normalized", &["p", "q", "r", "s", "t", "u"]);
    let row = [&quarter().position[..], &[1.0, 0.0, 0.0, 2.0, 0.0, 0.0]].concat();
    assert_eq!(pass(&nowhere, 0.0, &row, [quarter(); 2]).unwrap_err(), "eef_pose `rotation` row 0 is no rotation");
}

#[test]
fn an_end_effector_that_nobody_measures_is_not_moved() {
    let basis = basis(0.0, [joints(&[]), joints(&[])]);
    for reference in ["measured", "last_command", "chunk_start"] {
        let chunk = Chunk::new(STEP.repeat(4), 6).unwrap();
        let refused = changes("base", reference).pass(&chunk, schedule(0.0), 0..3, basis).unwrap_err();
        assert_eq!(refused.to_string(), "eef_pose `position` is not measured");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_pose_that_passes_is_in_the_box_near_the_one_before_and_a_rotation(
        place in prop::array::uniform3(0.0..0.6_f64),
        rows in prop::collection::vec(prop::array::uniform6(prop_oneof![30 => -0.05..0.05_f64, 1 => any::<f64>()]), 4),
        tool in any::<bool>(),
    ) {
        let gate = changes(if tool { "tool" } else { "base" }, "last_command");
        let start = Pose { position: [place[0], place[1] - 0.3, place[2]], ..quarter() };
        let basis = basis(0.0, [at_pose(start), at_pose(start)]);
        let Ok(command) = gate.pass(&Chunk::new(rows.concat(), 6).unwrap(), schedule(0.0), 0..3, basis) else { return Ok(()) };
        let mut before = start;
        for row in command.values.chunks_exact(7) {
            let pose = Pose::new([row[0], row[1], row[2]], [row[3], row[4], row[5], row[6]]).unwrap();
            let length: f64 = row[3..].iter().map(|value| value * value).sum();
            prop_assert!((length - 1.0).abs() < 1e-12);
            for ((value, min), max) in pose.position.iter().zip([0.1, -0.25, 0.02]).zip([0.5, 0.25, 0.75]) {
                prop_assert!(min <= *value && *value <= max);
            }
            let way: f64 = (0..3).map(|axis| (pose.position[axis] - before.position[axis]).powi(2)).sum();
            prop_assert!(way.sqrt() <= 0.03 + 1e-12);
            prop_assert!(pose.rotation.angle_to(before.rotation) <= 0.2 + 1e-12);
            before = pose;
        }
    }
}

//! Velocities on their way through the gate.

use std::f64::consts::FRAC_1_SQRT_2;

use proptest::prelude::*;

use super::*;
use crate::geometry::Pose;

const ROBOT: &str = "
format: 1
robot: servo
inputs:
- {kind: camera, camera: front, transport: raw, max_age_ms: 100}
- {kind: eef_pose, frame: base_link, max_age_ms: 50}
outputs:
- kind: eef_twist
  frame: base_link
  position: [x, y, z]
  rotation: [a, b, c]
  min: [0.1, -0.25, 0.02]
  max: [0.5, 0.25, 0.75]
  max_m_per_s: 0.5
  max_rad_per_s: 2.0
  max_step_m_per_s: 0.25
  max_step_rad_per_s: 1.5
";

/// An action of 1 is 0.05 m or 0.5 rad within a row of 50 ms, so 1 m/s or 10 rad/s.
fn servo(frame: &str, convention: &str) -> Gate {
    let how = format!("frame: {frame}, reference: measured");
    let way =
        |name| format!("- {{name: {name}, unit: controller_input, kind: eef_delta_position, scale: 0.05, {how}}}\n");
    let turn = |name| {
        let kind = format!("kind: eef_delta_rotation, scale: 0.5, {how}, rotation: {convention}");
        format!("- {{name: {name}, unit: controller_input, {kind}}}\n")
    };
    let actions = ["x", "y", "z"].map(way).concat() + &["a", "b", "c"].map(turn).concat();
    gate(&format!("rate_hz: 20\nactions:\n{actions}"), ROBOT)
}

fn quarter(position: [f64; 3]) -> Pose {
    Pose::new(position, [0.0, 0.0, FRAC_1_SQRT_2, FRAC_1_SQRT_2]).unwrap()
}

const MIDDLE: [f64; 3] = [0.3, 0.0, 0.25];

fn pass(gate: &Gate, [ms, now]: [f64; 2], rows: [[f64; 6]; 4], position: [f64; 3]) -> Result<Targets, String> {
    let measured = Measured { joints: &[], eef: Some(quarter(position)) };
    let basis = Basis { start: at(ms), ..basis(now, [measured; 2]) };
    gate.pass(&Chunk::new(rows.concat(), 6).unwrap(), schedule(ms), 0..3, basis).map_err(|e| e.to_string())
}

fn rows(targets: &Targets) -> Vec<&[f64]> {
    targets.values.chunks_exact(6).collect()
}

#[test]
fn changes_per_row_are_velocities() {
    let gate = servo("base", "axis_angle");
    let row = [0.2, -0.1, 0.05, 0.1, 0.0, -0.05];
    let command = pass(&gate, [0.0; 2], [row; 4], MIDDLE).unwrap();
    for row in rows(&command) {
        assert_near(row, &[0.2, -0.1, 0.05, 1.0, 0.0, -0.5]);
    }
}

#[test]
fn changes_along_the_tool_are_turned_into_the_frame_of_the_message() {
    let row = [0.2, -0.1, 0.05, 0.0, 0.0, 0.1];
    let command = pass(&servo("tool", "euler_xyz"), [0.0; 2], [row; 4], MIDDLE).unwrap();
    let rows = rows(&command);
    // The tool's x points along y, its y against x.
    assert_near(rows[0], &[0.1, 0.2, 0.05, 0.0, 0.0, 1.0]);
    // In 50 ms it has turned by 0.05 rad about z.
    let [c, s] = [0.05_f64.cos(), 0.05_f64.sin()];
    assert_near(&rows[1][..3], &[0.1 * c - 0.2 * s, 0.2 * c + 0.1 * s, 0.05]);
}

#[test]
fn speed_and_its_change_have_bounds() {
    let gate = servo("base", "axis_angle");
    let rising = |axis: usize, values: [f64; 4]| {
        values.map(|value| {
            let mut row = [0.0; 6];
            row[axis] = value;
            row
        })
    };
    let refused = |axis, values| pass(&gate, [0.0; 2], rising(axis, values), MIDDLE).unwrap_err();
    assert_eq!(refused(0, [0.25, 0.5, 0.625, 0.0]), "eef_twist `linear` row 2 is 0.625 m_per_s, wanted 0 to 0.5");
    let start = refused(1, [-0.375, 0.0, 0.0, 0.0]);
    assert!(start.starts_with("eef_twist `linear` row 0 changes by 0.375"), "{start}");
    assert!(start.ends_with(" m_per_s, wanted at most 0.25"), "{start}");
    assert_eq!(refused(5, [0.125, 0.25, 0.0, 0.0]), "eef_twist `angular` row 1 is 2.5 rad_per_s, wanted 0 to 2");
    let turn = refused(4, [0.125, -0.125, 0.0, 0.0]);
    assert_eq!(turn, "eef_twist `angular` row 1 changes by 2.5 rad_per_s, wanted at most 1.5");
    // Almost a whole turn in one row is not a small one the other way round.
    let whole = refused(3, [12.5, 0.0, 0.0, 0.0]);
    assert_eq!(whole, "eef_twist `rotation` row 0 is 6.25 rad, wanted 0 to 3.141592653589793");
}

#[test]
fn the_first_change_is_from_what_is_still_being_done() {
    let mut gate = servo("base", "axis_angle");
    let fast = [0.2, 0.0, 0.0, 0.0, 0.0, 0.0];
    let faster = [0.4, 0.0, 0.0, 0.0, 0.0, 0.0];
    let running = pass(&gate, [0.0; 2], [fast; 4], MIDDLE).unwrap();
    sent(&mut gate, 0.0, &running, Some(&[0.0; 6]));
    assert!(pass(&gate, [150.0; 2], [faster; 4], MIDDLE).is_ok());
    // The last row is over at 150 ms; then the robot stands.
    let refused = pass(&gate, [151.0; 2], [faster; 4], MIDDLE).unwrap_err();
    assert!(refused.starts_with("eef_twist `linear` row 0 changes by 0.4"), "{refused}");
}

#[test]
fn a_velocity_that_would_lead_out_of_the_box_is_refused() {
    let mut gate = servo("base", "axis_angle");
    let down = [0.0, 0.0, -0.2, 0.0, 0.0, 0.0];
    // Three rows of 1 cm each.
    assert!(pass(&gate, [0.0; 2], [down; 4], [0.3, 0.0, 0.0501]).is_ok());
    let refused = pass(&gate, [0.0; 2], [down; 4], [0.3, 0.0, 0.0475]).unwrap_err();
    assert!(
        refused.starts_with("eef_twist `z` row 2 is 0.017") && refused.ends_with(" m, wanted 0.02 to 0.75"),
        "{refused}"
    );
    // On the way down already, 25 ms before the first row: half a centimetre more.
    let running = pass(&gate, [0.0; 2], [down; 4], MIDDLE).unwrap();
    sent(&mut gate, 0.0, &running, Some(&[0.0; 6]));
    let refused = pass(&gate, [125.0, 100.0], [down; 4], [0.3, 0.0, 0.0525]).unwrap_err();
    assert!(refused.starts_with("eef_twist `z` row 2 is 0.017"), "{refused}");
}

#[test]
fn an_end_effector_that_nobody_measures_is_not_moved() {
    let basis = basis(0.0, [joints(&[]), joints(&[])]);
    let chunk = Chunk::new(vec![0.0; 24], 6).unwrap();
    let refused = servo("base", "axis_angle").pass(&chunk, schedule(0.0), 0..3, basis).unwrap_err();
    assert_eq!(refused.to_string(), "eef_twist `position` is not measured");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_velocity_that_passes_is_in_its_bounds_and_stays_in_the_box(
        place in prop::array::uniform3(0.0..0.6_f64),
        rows in prop::collection::vec(prop::array::uniform6(prop_oneof![30 => -0.15..0.15_f64, 1 => any::<f64>()]), 4),
        tool in any::<bool>(),
    ) {
        let gate = servo(if tool { "tool" } else { "base" }, "axis_angle");
        let start = [place[0], place[1] - 0.3, place[2]];
        let rows: [[f64; 6]; 4] = rows.try_into().unwrap();
        let Ok(command) = pass(&gate, [0.0; 2], rows, start) else { return Ok(()) };
        let (mut position, mut before) = (start, [0.0; 6]);
        let length = |vector: &[f64]| vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        for row in command.values.chunks_exact(6) {
            let change: Vec<f64> = row.iter().zip(before).map(|(value, before)| value - before).collect();
            prop_assert!(length(&row[..3]) <= 0.5 + 1e-12 && length(&row[3..]) <= 2.0 + 1e-12);
            prop_assert!(length(&change[..3]) <= 0.25 + 1e-12 && length(&change[3..]) <= 1.5 + 1e-12);
            for axis in 0..3 {
                position[axis] += 0.05 * row[axis];
                let [min, max] = [[0.1, 0.5], [-0.25, 0.25], [0.02, 0.75]][axis];
                prop_assert!(min - 1e-12 <= position[axis] && position[axis] <= max + 1e-12);
            }
            before = row.try_into().unwrap();
        }
    }
}

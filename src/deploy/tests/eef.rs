//! Outputs that move the end effector.

use std::path::Path;

use vla_bundle::{EefFrame, Reference};

use super::*;
use crate::profile::{OutputKind, Workspace};

/// The actions of a shipped IO file.
macro_rules! actions {
    ($name:literal) => {
        include_str!(concat!("../../../calibration/io/", $name)).split("state:").next().unwrap()
    };
}

const POSE_ROBOT: &str = "
format: 1
robot: widow
control_rate_hz: 100
inputs:
- {kind: camera, camera: front, transport: raw, max_age_ms: 100}
- {kind: eef_pose, frame: base_link, max_age_ms: 50}
outputs:
- kind: eef_pose
  frame: base_link
  position: [eef_x, eef_y, eef_z]
  rotation: [eef_roll, eef_pitch, eef_yaw]
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
- {kind: gripper_position, message: float64, action: gripper, unit: m, open: 0.037, closed: 0.015, max_step: 0.03}
";

const POSE_LIMITS: &str = "  max_m_per_s: 1
  max_m_per_s2: 5
  max_m_per_s3: 100
  max_rad_per_s: 4
  max_rad_per_s2: 20
  max_rad_per_s3: 400
";

fn twist_robot() -> String {
    POSE_ROBOT
        .replace("kind: eef_pose\n", "kind: eef_twist\n")
        .replace("[eef_roll, eef_pitch, eef_yaw]", "[eef_rx, eef_ry, eef_rz]")
        .replace("max_step_m: 0.03", "max_m_per_s: 0.5\n  max_rad_per_s: 1.5")
        .replace("max_step_rad: 0.2", "max_step_m_per_s: 0.25\n  max_step_rad_per_s: 0.75")
        .replace(POSE_LIMITS, "")
}

fn deployed(io: &str, robot: &str, more: &[(&str, ParamValue)]) -> Deployment {
    Deployment::check(&bundle(io, &["front"]), &profile(robot), parameters(more)).unwrap()
}

#[test]
fn changes_in_metres_and_radians_become_a_target_pose_in_the_frame_that_is_measured() {
    let deployment = deployed(actions!("bridge.yaml"), POSE_ROBOT, &[]);
    let [pose, gripper] = deployment.outputs() else { panic!("not two outputs") };
    assert_eq!((pose.topic.as_str(), &pose.form), ("~/eef_target", &Form::Pose { frame: "base_link".into() }));
    assert_eq!(pose.names.iter().map(|name| &**name).collect::<Vec<_>>(), ["x", "y", "z", "qx", "qy", "qz", "qw"]);
    let Content::Pose(rule) = &pose.content else { panic!("no pose") };
    let aim = Aim::By { reference: Reference::Measured, frame: EefFrame::Base };
    assert_eq!((rule.position_aim, rule.rotation_aim), (aim, aim));
    assert_eq!(rule.position.read(&[0.5, -0.25, 0.125, 9.0, 9.0, 9.0, 9.0]), Some([0.5, -0.25, 0.125]));
    assert_eq!(rule.rotation.convention, RotationConvention::EulerXyz);
    assert_eq!(rule.limits.workspace, Workspace { min: [0.1, -0.25, 0.02], max: [0.5, 0.25, 0.75] });
    assert_eq!((gripper.topic.as_str(), gripper.dims().len()), ("~/gripper", 1));
    let eef = deployment.eef().expect("an output needs it, although no state does");
    assert_eq!((eef.max_age, deployment.joints()), (Span::from_millis(50.0), None));
}

#[test]
fn controller_inputs_become_a_velocity_by_their_scale() {
    let deployment = deployed(actions!("libero.yaml"), &twist_robot(), &[]);
    let twist = &deployment.outputs()[0];
    assert_eq!((twist.topic.as_str(), &twist.form), ("~/eef_twist", &Form::Twist { frame: "base_link".into() }));
    let Content::Twist(rule) = &twist.content else { panic!("no twist") };
    let actions = [0.5, -1.0, 0.25, 0.5, -1.0, 0.25, 0.0];
    assert_eq!(rule.position.read(&actions), Some([0.025, -0.05, 0.0125]));
    assert_eq!(rule.rotation.turn(&actions), Some([0.25, -0.5, 0.125]));
    assert_eq!((rule.position_frame, rule.rotation_frame), (EefFrame::Base, EefFrame::Base));
}

#[test]
fn topics_of_an_end_effector_are_parameters_too() {
    let topics =
        ["eef_target", "eef_twist", "gripper"].map(|name| (name, ParamValue::String(format!("/robot/{name}"))));
    let pose = deployed(actions!("bridge.yaml"), POSE_ROBOT, &topics);
    assert_eq!([0, 1].map(|i| pose.outputs()[i].topic.as_str()), ["/robot/eef_target", "/robot/gripper"]);
    let twist = deployed(actions!("libero.yaml"), &twist_robot(), &topics);
    assert_eq!(twist.outputs()[0].topic, "/robot/eef_twist");
}

#[test]
fn degrees_and_whole_turns_of_other_conventions_are_read() {
    let degrees =
        actions!("bridge.yaml").replace("unit: rad, kind: eef_delta_rotation", "unit: deg, kind: eef_delta_rotation");
    let deployment = deployed(&degrees, POSE_ROBOT, &[]);
    let Content::Pose(rule) = &deployment.outputs()[0].content else { panic!("no pose") };
    let turn = rule.rotation.turn(&[0.0, 0.0, 0.0, 0.0, 0.0, -30.0, 0.0]).unwrap();
    assert!((turn[2] + std::f64::consts::FRAC_PI_6).abs() < 1e-12 && turn[0].abs() < 1e-12, "{turn:?}");
    let names = ["q1", "q2", "q3", "q4"];
    let quaternion = names.map(|name| {
        format!("- {{name: {name}, unit: normalized, kind: eef_rotation, frame: base, rotation: quaternion_xyzw}}\n")
    });
    let place = ["eef_x", "eef_y", "eef_z"]
        .map(|name| format!("- {{name: {name}, unit: m, kind: eef_position, frame: base}}\n"));
    let gripper = "- {name: gripper, unit: m, kind: gripper, open: 0.1, closed: 0}\n";
    let io = format!("rate_hz: 20\nactions:\n{}{}{gripper}", place.concat(), quaternion.concat());
    let robot = POSE_ROBOT.replace("[eef_roll, eef_pitch, eef_yaw]", "[q1, q2, q3, q4]");
    let deployment = deployed(&io, &robot, &[]);
    let Content::Pose(rule) = &deployment.outputs()[0].content else { panic!("no pose") };
    assert_eq!((rule.position_aim, rule.rotation_aim), (Aim::At, Aim::At));
    let read = rule.rotation.read(&[0.0, 0.0, 0.0, 0.0, 0.6, 0.0, 0.8, 0.0]).unwrap();
    assert_eq!(read.xyzw(), [0.0, 0.6, 0.0, 0.8]);
}

#[test]
fn what_a_pose_cannot_carry_is_listed_at_once() {
    let io = "
rate_hz: 20
actions:
- {name: eef_x, unit: rad, kind: eef_delta_position, scale: 1, frame: base, reference: measured}
- {name: eef_y, unit: m, kind: eef_position, frame: tool}
- {name: eef_z, unit: m, kind: joint_position}
- {name: eef_roll, unit: normalized, kind: eef_delta_rotation, scale: 2, frame: base, reference: measured, rotation: rotation6d}
- {name: eef_pitch, unit: m_per_s, kind: eef_delta_rotation, scale: 1, frame: base, reference: measured, rotation: euler_xyz}
- {name: gripper, unit: m, kind: gripper, open: 0.1, closed: 0}
";
    let [position, rotation] = ["output `eef_pose` (position): ", "output `eef_pose` (rotation): "];
    assert_eq!(
        refusal(io, POSE_ROBOT),
        [
            format!("{position}action `eef_x` is in rad, wanted m, controller_input or normalized"),
            format!("{position}action `eef_y` is `eef_position` seen from the tool itself, wanted `frame: base`"),
            format!("{position}action `eef_z` is `joint_position`, it carries eef_position, eef_delta_position"),
            format!("{rotation}action `eef_roll` has `scale` 2, which `rotation6d` cannot have: wanted 1"),
            format!("{rotation}action `eef_pitch` is in m_per_s, wanted rad, deg, controller_input or normalized"),
            format!("{rotation}the bundle has no action `eef_yaw`"),
        ]
    );
}

#[test]
fn parts_of_a_pose_that_do_not_belong_together_are_refused() {
    let [position, rotation] = ["output `eef_pose` (position): ", "output `eef_pose` (rotation): "];
    let other = |name: &str, first: &str| {
        format!("action `{name}` has another kind, frame, reference or convention than `{first}`")
    };
    let mixed = actions!("bridge.yaml")
        .replace(
            "eef_y, unit: m, kind: eef_delta_position, scale: 1.0, frame: base",
            "eef_y, unit: m, kind: eef_delta_position, scale: 1.0, frame: tool",
        )
        .replacen("rotation: euler_xyz", "rotation: axis_angle", 1);
    assert_eq!(
        refusal(&mixed, POSE_ROBOT),
        [
            format!("{position}{}", other("eef_y", "eef_x")),
            format!("{rotation}{}", other("eef_pitch", "eef_roll")),
            format!("{rotation}{}", other("eef_yaw", "eef_roll")),
        ]
    );
    let short = POSE_ROBOT.replace("[eef_roll, eef_pitch, eef_yaw]", "[eef_roll, eef_pitch]");
    assert_eq!(
        refusal(actions!("bridge.yaml"), &short),
        [
            format!("{rotation}`euler_xyz` has 3 numbers, the profile names 2"),
            "action `eef_yaw` (`eef_delta_rotation`): no output of the profile carries it".to_owned(),
        ]
    );
}

#[test]
fn a_place_and_a_change_from_a_chunks_start_are_no_velocity() {
    let io = actions!("libero.yaml").replacen("reference: measured", "reference: chunk_start", 1).replace(
        "eef_y, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured",
        "eef_y, unit: m, kind: eef_position, frame: base",
    );
    let position = "output `eef_twist` (position): ";
    assert_eq!(
        refusal(&io, &twist_robot()),
        [
            format!(
                "{position}action `eef_x` is a change from `chunk_start`, a velocity wants `measured` or `last_command`"
            ),
            format!("{position}action `eef_y` is `eef_position`, it carries eef_delta_position"),
        ]
    );
}

#[test]
fn shipped_robots_carry_the_policies_of_their_data_sets_by_every_kind_of_output() {
    let robots = Path::new(env!("CARGO_MANIFEST_DIR")).join("calibration/robots");
    let kinds = |robot: &str, io: &str, cameras: &[&str]| {
        let robot = Profile::load(&robots.join(robot)).unwrap();
        let deployment = Deployment::check(&bundle(io, cameras), &robot, parameters(&[])).unwrap();
        deployment.outputs().iter().map(|output| output.kind).collect::<Vec<_>>()
    };
    let (bridge, libero) =
        (include_str!("../../../calibration/io/bridge.yaml"), include_str!("../../../calibration/io/libero.yaml"));
    let droid = include_str!("../../../calibration/io/droid.yaml");
    let two = ["front", "wrist"];
    assert_eq!(kinds("widowx_bridge.yaml", bridge, &["front"]), [OutputKind::EefTwist, OutputKind::GripperPosition]);
    assert_eq!(kinds("panda_libero_pose.yaml", libero, &two), [OutputKind::EefPose, OutputKind::GripperPosition]);
    assert_eq!(kinds("panda_libero.yaml", libero, &two), [OutputKind::ControllerInput]);
    let droid = kinds("panda_droid.yaml", droid, &["exterior", "wrist"]);
    assert_eq!(droid, [OutputKind::JointPositions, OutputKind::GripperPosition]);
    let arm6 = include_str!("../../../calibration/io/arm6.yaml");
    assert_eq!(kinds("arm6.yaml", arm6, &["front"]), [OutputKind::JointTrajectory]);
}

//! What fits together, and what is said where it does not.

mod eef;

use super::samples::{ARM_IO, ARM_PROFILE, bundle, measuring_bundle, parameters, profile, unnamed_bundle};
use super::*;

/// A Cartesian policy for a controller that takes inputs in [-1, 1].
const INPUT_IO: &str = "
rate_hz: 20
actions:
- {name: eef_x, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
- {name: gripper, unit: normalized, kind: gripper, open: 1.0, closed: 0.0, threshold: 0.5}
";

const INPUT_PROFILE: &str = "
format: 1
robot: box
inputs:
- {kind: camera, camera: front, transport: compressed, max_age_ms: 100}
outputs:
- kind: controller_input
  dims:
  - {action: eef_x, min: -1.0, max: 1.0, max_step: 0.5}
  - {action: gripper, open: -1.0, closed: 1.0, max_step: 2.0}
";

fn refusal(io: &str, profile_text: &str) -> Vec<String> {
    Deployment::check(&bundle(io, &["front"]), &profile(profile_text), parameters(&[])).unwrap_err().0
}

#[test]
fn an_arm_that_fits_is_deployed_with_its_own_units_signs_and_topics() {
    let deployment = samples::live_arm();
    let joints = deployment.joints().unwrap();
    assert_eq!((joints.topic.as_str(), joints.names.len()), ("joint_states", 3));
    assert_eq!(deployment.cameras()[0].topic, "images/front");
    assert_eq!(deployment.instruction_topic(), "~/instruction");
    assert_eq!(deployment.action_chunk_topic(), "~/action_chunk");
    let output = &deployment.outputs()[0];
    assert_eq!((output.topic.as_str(), &*output.names[2]), ("~/joint_trajectory", "finger"));
    assert_eq!(deployment.action_dt(), Span::from_millis(50.0));
    assert_eq!(deployment.inference_period(), Span::from_millis(200.0));
    assert_eq!((deployment.chunk_size(), deployment.n_action_steps()), (4, 3));
    assert_eq!(deployment.robot(), "arm");
}

#[test]
fn state_and_command_of_a_turned_joint_are_inverse_to_each_other() {
    let deployment = samples::live_arm();
    let state = deployment.state().unwrap();
    // -(1.25 rad - 0.25 rad) in degrees.
    assert!((state[0].line.at(1.25) + 57.295_779_513_082_32).abs() < 1e-12);
    let Rule::Absolute(line) = deployment.outputs()[0].dims()[0].rule else { panic!("not absolute") };
    assert!((line.at(-57.295_779_513_082_32) - 1.25).abs() < 1e-12);
}

#[test]
fn a_share_is_zero_and_one_where_the_profile_says() {
    let state = samples::live_arm().state().unwrap()[2];
    assert_eq!(state.from, Measure::Joint(2));
    for (position, share) in [(0.01, 0.0), (0.05, 1.0), (0.02, 0.25)] {
        assert!((state.line.at(position) - share).abs() < 1e-12);
    }
}

#[test]
fn a_controller_input_is_passed_on_as_it_is() {
    let bundle = bundle(INPUT_IO, &["front"]);
    let deployment = Deployment::check(&bundle, &profile(INPUT_PROFILE), parameters(&[])).unwrap();
    assert_eq!(deployment.cameras()[0].topic, "images/front/compressed");
    assert_eq!((deployment.joints(), deployment.state()), (None, None));
    let output = &deployment.outputs()[0];
    assert_eq!((output.topic.as_str(), &*output.names[0]), ("~/command", "eef_x"));
    assert_eq!(output.dims()[0].rule, Rule::Absolute(Line { gain: 1.0, bias: 0.0 }));
    assert_eq!((output.dims()[0].rest, output.dims()[1].rest), (Rest::Zero, Rest::Unknown));
    assert_eq!(deployment.motion(), Motion::DryRun);
}

#[test]
fn topics_of_parameters_win() {
    let topics =
        [("images.front", "/cam"), ("joint_states", "/js"), ("joint_trajectory", "/jt"), ("instruction", "/i")];
    let topics = topics.map(|(name, topic)| (name, ParamValue::String(topic.to_owned())));
    let bundle = bundle(ARM_IO, &["front"]);
    let deployment = Deployment::check(&bundle, &profile(ARM_PROFILE), parameters(&topics)).unwrap();
    assert_eq!(deployment.cameras()[0].topic, "/cam");
    assert_eq!(deployment.joints().unwrap().topic, "/js");
    assert_eq!(deployment.outputs()[0].topic, "/jt");
    assert_eq!(deployment.instruction_topic(), "/i");
}

#[test]
fn an_output_refuses_a_kind_that_it_cannot_carry() {
    let wrong = ARM_PROFILE.replace("action: shoulder", "action: eef_x").replace("action: elbow", "action: other");
    assert_eq!(
        refusal(INPUT_IO, &wrong),
        [
            "output `joint_trajectory` (joint `j1`): action `eef_x` is `eef_delta_position`, it carries \
             joint_position, joint_delta, gripper",
            "output `joint_trajectory` (joint `j2`): the bundle has no action `other`",
        ]
    );
    assert_eq!(
        refusal(
            "rate_hz: 20\nactions:\n- {name: eef_x, unit: rad, kind: joint_position}\n- {name: gripper, unit: m, kind: \
             eef_delta_position, scale: 1, frame: base, reference: measured}\n",
            INPUT_PROFILE
        ),
        [
            "output `controller_input` (input `eef_x`): action `eef_x` is `joint_position`, it carries \
             eef_delta_position, eef_delta_rotation, gripper",
            "output `controller_input` (input `gripper`): action `gripper` is `eef_delta_position`, it takes no `open` \
             and `closed`",
        ]
    );
}

#[test]
fn metres_are_no_controller_input() {
    let metres = INPUT_IO.replace("unit: controller_input", "unit: m");
    assert_eq!(
        refusal(&metres, INPUT_PROFILE),
        ["output `controller_input` (input `eef_x`): action `eef_x` is in m, the output in controller_input"]
    );
}

#[test]
fn everything_that_does_not_fit_is_listed_at_once() {
    let bundle = bundle(&ARM_IO.replace("elbow, unit: rad, source", "wrist, unit: rad, source"), &["front", "wrist"]);
    let profile_text = ARM_PROFILE
        .replace("action: gripper", "action: shoulder")
        .replace("open: 0.05, closed: 0.01", "sign: 1, offset: 0, min: 0, max: 1");
    let more = [
        ("n_action_steps", ParamValue::Int(5)),
        ("inference_rate_hz", ParamValue::Int(30)),
        ("images.back", ParamValue::String("/back".to_owned())),
    ];
    let error = Deployment::check(&bundle, &profile(&profile_text), parameters(&more)).unwrap_err();
    assert_eq!(
        error.0,
        [
            "parameter `images.back`: the bundle has no camera `back`",
            "camera `wrist`: no input of the profile shows it",
            "parameter `n_action_steps` is 5, the bundle predicts 4 steps",
            "parameter `inference_rate_hz` is 30, the policy acts at 20 Hz",
            "state `wrist`: no input of the profile feeds it",
            "output `joint_trajectory` (joint `finger`): action `shoulder` is in deg, the joint in m",
            "action `shoulder` is carried twice: output `joint_trajectory` (joint `j1`), output `joint_trajectory` \
             (joint `finger`)",
            "action `gripper` (`gripper`): no output of the profile carries it",
        ]
    );
}

#[test]
fn unnamed_dimensions_move_nothing() {
    let error = Deployment::check(&unnamed_bundle(), &profile(ARM_PROFILE), parameters(&[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bundle, profile and parameters do not fit together: the bundle does not say what its action and state \
         dimensions mean (`io` is absent), so nothing can be moved by it: export it with an IO file"
    );
}

#[test]
fn a_state_that_joint_messages_do_not_hold_is_refused_with_both_words() {
    let io = ARM_IO
        .replace("shoulder, unit: deg, source: joint_position", "shoulder, unit: m, source: joint_position")
        .replace("elbow, unit: rad, source: joint_position", "elbow, unit: rad, source: eef_rotation")
        .replace("unit: normalized, source", "unit: m, source");
    assert_eq!(
        refusal(&io, ARM_PROFILE),
        [
            "state `shoulder`: the policy wants m, joint `j1` gives rad",
            "state `elbow`: its source is `eef_rotation`, input `joint_states` carries joint_position, gripper",
            "state `gripper`: the policy wants m, joint `finger` gives normalized",
        ]
    );
}

#[test]
fn a_joint_that_nobody_measures_is_not_moved() {
    let io = ARM_IO.replace("- {name: elbow, unit: rad, source: joint_position}\n", "");
    let unmeasured = ARM_PROFILE.replace("  - {joint: j2, state: elbow, unit: rad, sign: 1, offset: 0.0}\n", "");
    let at = "output `joint_trajectory` (joint `j2`)";
    assert_eq!(refusal(&io, &unmeasured), [format!("{at}: no input of the profile measures this joint")]);
    let degrees =
        ARM_PROFILE.replace("{joint: j2, state: elbow, unit: rad, sign: 1, offset: 0.0}", "{joint: j2, unit: deg}");
    assert_eq!(refusal(&io, &degrees), [format!("{at}: it is commanded in rad, but measured in deg")]);
}

#[test]
fn a_gripper_that_closes_in_one_step_needs_a_limit_that_lets_it() {
    let io = ARM_IO.replace("closed: 0.0}", "closed: 0.0, threshold: 0.5}");
    assert_eq!(
        refusal(&io, &ARM_PROFILE.replace("max_step: 0.04", "max_step: 0.02")),
        ["output `joint_trajectory` (joint `finger`): action `gripper` opens and closes in one step, so `max_step` \
             is at least 0.04, got 0.02"]
    );
}

#[test]
fn a_change_takes_scale_unit_and_sign_but_no_offset() {
    let io = ARM_IO.replace(
        "{name: shoulder, unit: deg, kind: joint_position}",
        "{name: shoulder, unit: controller_input, kind: joint_delta, scale: 0.2, reference: chunk_start}",
    );
    let deployment = Deployment::check(&bundle(&io, &["front"]), &profile(ARM_PROFILE), parameters(&[])).unwrap();
    let want = Rule::Delta { gain: -0.2, reference: vla_bundle::Reference::ChunkStart };
    assert_eq!(deployment.outputs()[0].dims()[0].rule, want);
}

#[test]
fn two_arms_have_a_topic_each_below_their_own_names() {
    let io = "
rate_hz: 20
actions:
- {name: left, unit: rad, kind: joint_position}
- {name: right, unit: rad, kind: joint_position}
- {name: left_hand, unit: normalized, kind: gripper, open: 1.0, closed: 0.0}
- {name: right_hand, unit: normalized, kind: gripper, open: 1.0, closed: 0.0}
";
    let arm = |side: &str| {
        format!(
            "- {{kind: joint_positions, topic: {side}/positions, joints: [{{joint: {side}_j, action: {side}, unit: rad, sign: 1, offset: 0, min: -1, max: 1, max_step: 0.1, max_velocity: 1, max_acceleration: 2, max_jerk: 20}}]}}
- {{kind: gripper_position, topic: {side}/gripper_cmd, message: gripper_command, hysteresis: 0.1, dwell_ms: 100, max_effort: 5, action: {side}_hand, unit: m, open: 0.04, closed: 0, max_step: 1}}
"
        )
    };
    let robot = format!(
        "format: 1
robot: two
control_rate_hz: 100
inputs:
- {{kind: camera, camera: front, transport: raw, max_age_ms: 100}}
- {{kind: joint_states, max_age_ms: 50, joints: [{{joint: left_j, unit: rad}}, {{joint: right_j, unit: rad}}]}}
outputs:
{}{}",
        arm("left"),
        arm("right")
    );
    let deployment = Deployment::check(&bundle(io, &["front"]), &profile(&robot), parameters(&[])).unwrap();
    let topics: Vec<&str> = deployment.outputs().iter().map(|output| output.topic.as_str()).collect();
    assert_eq!(topics, ["left/positions", "left/gripper_cmd", "right/positions", "right/gripper_cmd"]);
    assert!(deployment.outputs().iter().skip(1).step_by(2).all(|output| matches!(output.form, Form::Goal { .. })));
}

#[test]
fn two_outputs_on_one_topic_are_refused() {
    let second = "- kind: joint_trajectory\n  joints:\n  - {joint: finger,";
    assert_eq!(
        refusal(ARM_IO, &ARM_PROFILE.replace("  - {joint: finger, action", &format!("{second} action"))),
        ["two outputs publish on topic `~/joint_trajectory`"]
    );
}

/// A policy that takes its own pose, and a robot that tells it.
const POSE_IO: &str = "
rate_hz: 20
actions:
- {name: eef_x, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
- {name: gripper, unit: normalized, kind: gripper, open: 1.0, closed: 0.0, threshold: 0.5}
state:
- {name: x, unit: m, source: eef_position}
- {name: roll, unit: deg, source: eef_rotation, rotation: euler_xyz}
- {name: pitch, unit: rad, source: eef_rotation, rotation: euler_xyz}
- {name: yaw, unit: rad, source: eef_rotation, rotation: euler_xyz}
";

fn pose_robot(position: &str, rotation: &str) -> String {
    let eef = format!("- {{kind: tf, base: b, tip: t, max_age_ms: 9, position: {position}, rotation: {rotation}}}\n");
    INPUT_PROFILE.replace("outputs:", &format!("{eef}outputs:"))
}

#[test]
fn a_pose_feeds_its_states_in_their_units() {
    let robot = pose_robot("[x, j, z]", "[roll, pitch, yaw]");
    let deployment = Deployment::check(&bundle(POSE_IO, &["front"]), &profile(&robot), parameters(&[])).unwrap();
    let state = deployment.state().unwrap();
    assert_eq!((state[0].from, state[0].line.at(0.25)), (Measure::EefPosition(0), 0.25));
    assert_eq!(state[1].from, Measure::EefRotation(RotationConvention::EulerXyz, 0));
    assert!((state[1].line.at(1.0) - 57.295_779_513_082_32).abs() < 1e-12);
    assert_eq!(deployment.eef().unwrap().max_age, Span::from_millis(9.0));
    assert!(deployment.array().is_none());
    let unfed = Deployment::check(&bundle(INPUT_IO, &["front"]), &profile(&robot), parameters(&[])).unwrap();
    assert_eq!(unfed.eef(), None, "nobody needs it");
}

#[test]
fn a_pose_that_does_not_fit_its_states_is_refused_with_both_sides() {
    assert_eq!(
        refusal(POSE_IO, &pose_robot("[roll, x, z]", "[pitch, yaw]")),
        [
            "state `roll`: its source is `eef_rotation`, the profile feeds it `eef_position`",
            "state `pitch`: `euler_xyz` has 3 numbers, the profile names 2",
            "state `yaw`: `euler_xyz` has 3 numbers, the profile names 2",
        ]
    );
    let turned = POSE_IO
        .replace("x, unit: m", "x, unit: deg")
        .replace("roll, unit: deg, source: eef_rotation, rotation: euler_xyz", "roll, unit: m, source: eef_position");
    assert_eq!(
        refusal(&turned, &pose_robot("[x, j, z]", "[roll, pitch, yaw]")),
        [
            "state `x`: the policy wants deg, the end effector's position is in m",
            "state `roll`: its source is `eef_position`, the profile feeds it `eef_rotation`",
            "state `pitch`: it is `euler_xyz`, `roll` is not",
            "state `yaw`: it is `euler_xyz`, `roll` is not",
        ]
    );
    let silent = POSE_IO
        .replace("yaw, unit: rad, source: eef_rotation, rotation: euler_xyz", "yaw, unit: rad, source: eef_rotation");
    let mixed = silent.replace("unit: deg", "unit: m").replacen("euler_xyz", "axis_angle", 1);
    let missing = "state `yaw`: the bundle does not say in which convention the rotation is: export it with an IO file \
                   that gives `rotation`";
    assert_eq!(
        refusal(&mixed, &pose_robot("[x, j, z]", "[roll, pitch, yaw]")),
        [
            "state `roll`: it is `axis_angle`, `pitch` is not",
            "state `pitch`: it is `euler_xyz`, `roll` is not",
            missing
        ]
    );
    let metres = POSE_IO.replace("unit: deg", "unit: m");
    assert_eq!(
        refusal(&metres, &pose_robot("[x, j, z]", "[roll, pitch, yaw]")),
        ["state `roll`: the policy wants m, `euler_xyz` is in rad"]
    );
}

#[test]
fn a_quaternion_and_an_array_have_the_units_that_they_have() {
    let numbers = ["roll", "pitch", "yaw", "w"]
        .map(|name| format!("- {{name: {name}, unit: rad, source: eef_rotation, rotation: quaternion_xyzw}}\n"));
    let io = format!("{INPUT_IO}state:\n- {{name: speed, unit: m, source: joint_position}}\n{}", numbers.concat());
    let values = "values: [{index: 1, state: speed, unit: rad}]";
    let array = format!("- {{kind: state, max_age_ms: 9, size: 2, {values}}}\noutputs:");
    let robot = pose_robot("[]", "[roll, pitch, yaw, w]").replace("outputs:", &array);
    let wanted = ["roll", "pitch", "yaw", "w"]
        .map(|name| format!("state `{name}`: the policy wants rad, `quaternion_xyzw` is in normalized"));
    let array = "state `speed`: the policy wants m, input `state` gives rad".to_owned();
    assert_eq!(refusal(&io, &robot), [vec![array], wanted.to_vec()].concat());
}

/// The arm behind forward controllers: one for the joints, one for the gripper.
fn forward_arm() -> String {
    let finger = "  - {joint: finger, action: gripper, unit: m, open: 0.05, closed: 0.01, max_step: 0.04, max_velocity: 1.6, max_acceleration: 16, max_jerk: 320}\n";
    let gripper = "- {kind: gripper_position, message: float64, joint: finger, action: gripper, unit: m, open: 0.05, \
                   closed: 0.01, max_step: 0.04}\n";
    ARM_PROFILE.replace("kind: joint_trajectory", "kind: joint_positions").replace(finger, gripper)
}

#[test]
fn joints_and_a_gripper_may_go_to_forward_controllers_of_their_own() {
    let deployment = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(&forward_arm()), parameters(&[])).unwrap();
    let [joints, gripper] = deployment.outputs() else { panic!("not two outputs") };
    assert_eq!((&joints.form, joints.topic.as_str(), joints.names.len()), (&Form::Array, "~/command", 2));
    assert_eq!((&gripper.form, gripper.topic.as_str(), &*gripper.names[0]), (&Form::Number, "~/gripper", "finger"));
    assert_eq!((joints.dims()[1].rest, gripper.dims()[0].rest), (Rest::Measured(1), Rest::Measured(2)));
    let unseen = forward_arm().replace("float64, joint: finger,", "float64_multi_array,");
    let topics = ["command", "gripper"].map(|name| (name, ParamValue::String(format!("/{name}"))));
    let deployment = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(&unseen), parameters(&topics)).unwrap();
    let [joints, gripper] = deployment.outputs() else { panic!("not two outputs") };
    assert_eq!((joints.topic.as_str(), gripper.topic.as_str(), &gripper.form), ("/command", "/gripper", &Form::Array));
    assert_eq!((&*gripper.names[0], gripper.dims()[0].rest), ("gripper", Rest::Unknown));
}

#[test]
fn a_gripper_output_carries_a_gripper_whose_joint_is_measured_where_it_names_one() {
    let at = "output `gripper_position` (gripper `finger`)";
    let other = forward_arm()
        .replace("action: elbow", "action: gripper")
        .replace("joint: finger, action: gripper, unit: m, open", "joint: finger, action: elbow, unit: m, open");
    let [joint, gripper] = &refusal(ARM_IO, &other)[..] else { panic!("not two problems") };
    assert_eq!(
        joint,
        "output `joint_positions` (joint `j2`): action `gripper` is `gripper`, it wants `open` and `closed`"
    );
    assert_eq!(gripper, &format!("{at}: action `elbow` is `joint_position`, it carries gripper"));
    let io = ARM_IO.replace("- {name: gripper, unit: normalized, source: gripper}\n", "");
    let unmeasured =
        forward_arm().replace("  - {joint: finger, state: gripper, unit: m, at_zero: 0.01, at_one: 0.05}\n", "");
    assert_eq!(refusal(&io, &unmeasured), [format!("{at}: no input of the profile measures this joint")]);
}

#[test]
fn a_cameras_info_is_listened_to_where_the_profile_wants_it() {
    let wants = ARM_PROFILE.replace("transport: raw,", "transport: raw, undistort: topic,");
    let topic = |robot: &str, more: &[(&str, ParamValue)]| {
        let deployment = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(robot), parameters(more)).unwrap();
        deployment.cameras()[0].camera_info.clone().map(|info| info.topic)
    };
    assert_eq!(topic(ARM_PROFILE, &[]), None);
    assert_eq!(topic(&wants, &[]).as_deref(), Some("camera_info/front"));
    let named = wants.replace("undistort: topic,", "undistort: topic, camera_info: /eye/info,");
    assert_eq!(topic(&named, &[]).as_deref(), Some("/eye/info"));
    let parameter = [("camera_info.front", ParamValue::String("/other/info".to_owned()))];
    assert_eq!(topic(&named, &parameter).as_deref(), Some("/other/info"));
    let error = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(ARM_PROFILE), parameters(&parameter));
    assert_eq!(error.unwrap_err().0, ["parameter `camera_info.front`: the profile wants no camera info of `front`"]);
}

#[test]
fn a_policy_that_takes_intrinsics_wants_to_know_how_each_camera_sees() {
    let seen = |fields: &str| {
        let robot = ARM_PROFILE.replace("transport: raw,", &format!("transport: raw, {fields}"));
        let bundle = measuring_bundle(ARM_IO, &["front"]);
        let info = |deployment: Deployment| deployment.cameras()[0].camera_info.clone();
        Deployment::check(&bundle, &profile(&robot), parameters(&[])).map(info).map_err(|error| error.0)
    };
    let info = |arrives| Ok(Some(InfoInput { topic: "camera_info/front".to_owned(), arrives }));
    assert_eq!(seen("undistort: topic,"), info(Arrives::Bent));
    assert_eq!(seen("rectified: topic,"), info(Arrives::Rectified));
    let file = "calibration/camera_info/front.yaml";
    assert_eq!(seen(&format!("rectified: {file},")), Ok(None));
    let unknown = "camera `front`: the bundle takes its intrinsics, wanted `undistort` or `rectified` with a camera info \
                   in the profile";
    let mirrored = "camera `front`: the bundle takes its intrinsics, a picture mirrored by `flip` has none";
    assert_eq!(seen("flip: horizontal,"), Err(vec![unknown.to_owned(), mirrored.to_owned()]));
    // A policy that takes none does not wait for those of pictures that are straight.
    let robot = profile(&ARM_PROFILE.replace("transport: raw,", "transport: raw, rectified: topic,"));
    let deployment = Deployment::check(&bundle(ARM_IO, &["front"]), &robot, parameters(&[])).unwrap();
    assert_eq!(deployment.cameras()[0].camera_info, None);
}

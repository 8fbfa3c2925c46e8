//! What is observed, and what is refused.

mod align;
mod property;

use super::*;
use crate::deploy::samples::arm::{at, frame, instruction, joints};
use crate::deploy::samples::{ARM_IO, ARM_PROFILE, bundle, live_arm, parameters, profile};
use crate::deploy::{Deployment, ParamValue};
use crate::geometry::{Pose, PoseError};
use crate::types::{JointSample, Optics, Pinhole, PoseSample, Transform};

/// The arm with a second camera.
fn two_cameras() -> Sync {
    let second = "- {kind: camera, camera: wrist, transport: raw, max_age_ms: 200}\n- kind: joint_states";
    let profile = profile(&ARM_PROFILE.replace("- kind: joint_states", second));
    Sync::new(&Deployment::check(&bundle(ARM_IO, &["front", "wrist"]), &profile, parameters(&task())).unwrap())
}

fn task() -> [(&'static str, ParamValue); 1] {
    [("task", ParamValue::String("open the drawer".to_owned()))]
}

/// A frame and joints of the given times, both accepted as they come.
fn with(mut sync: Sync, samples: impl IntoIterator<Item = Sample>) -> Sync {
    for sample in samples {
        sync.accept(sample.received, sample).unwrap();
    }
    sync
}

fn waiting(sync: &Sync, ms: f64) -> String {
    sync.ready(at(ms)).unwrap_err().to_string()
}

#[test]
fn an_observation_holds_of_everything_what_is_nearest_to_the_picture_in_the_bundles_order() {
    let samples = [frame(1, 8.0), frame(0, 10.0), joints(11.0, [0.5, 0.2, 0.02]), joints(12.0, [1.25, 0.3, 0.04])];
    let observation = with(two_cameras(), samples).observe(at(13.0)).unwrap();
    assert_eq!((observation.stamp, observation.frame_id.as_str()), (at(10.0), "camera_0_optical"));
    assert_eq!(observation.frames[1].frame_id, "camera_1_optical");
    assert_eq!(&*observation.task, "open the drawer");
    // -(0.5 - 0.25) rad in degrees, 0.2 rad, (0.02 - 0.01) / (0.05 - 0.01).
    for (got, want) in observation.state.unwrap().iter().zip([-14.323_944_878_270_58, 0.2, 0.25]) {
        assert!((got - want).abs() < 1e-12, "{got} {want}");
    }
}

#[test]
fn a_stream_that_was_never_seen_is_named() {
    assert_eq!(waiting(&two_cameras(), 0.0), "images.front: nothing usable yet");
    let sync = with(two_cameras(), [frame(0, 0.0)]);
    assert_eq!(waiting(&sync, 0.0), "images.wrist: nothing usable yet");
    let sync = with(sync, [frame(1, 0.0)]);
    assert_eq!(waiting(&sync, 0.0), "joint_states.j1: nothing usable yet");
}

#[test]
fn a_sample_is_used_up_to_its_largest_age() {
    let sync = with(Sync::new(&live_arm()), [frame(0, 0.0), joints(30.0, [0.5, 0.2, 0.02])]);
    assert_eq!(sync.ready(at(80.0)), Ok(()));
    assert_eq!(waiting(&sync, 81.0), "joint_states.j1: 51.000 ms old, at most 50.000 ms");
    let sync = with(sync, [joints(40.0, [0.5, 0.2, 0.02])]);
    assert_eq!(waiting(&sync, 100.5), "images.front: 100.500 ms old, at most 100.000 ms");
}

#[test]
fn a_stream_that_went_silent_is_refused_whatever_its_stamp_says() {
    let mut ahead = joints(30.0, [0.5, 0.2, 0.02]);
    ahead.received = at(0.0);
    let sync = with(Sync::new(&live_arm()), [frame(0, 10.0), ahead]);
    assert_eq!(waiting(&sync, 51.0), "joint_states.j1: silent for 51.000 ms, at most 50.000 ms");
}

#[test]
fn a_stamp_from_the_future_is_refused_beyond_the_skew() {
    let mut sync = Sync::new(&live_arm());
    sync.accept(at(0.0), frame(0, 40.0)).unwrap();
    sync.accept(at(0.0), joints(10.0, [0.5, 0.2, 0.02])).unwrap();
    assert_eq!(sync.ready(at(0.0)), Ok(()));
    assert_eq!(waiting(&sync, -0.5), "images.front: 40.500 ms ahead of the clock, at most 40.000 ms");
}

#[test]
fn a_frame_counts_from_when_its_light_fell_in() {
    let late =
        ARM_PROFILE.replace("transport: raw, max_age_ms: 100", "transport: raw, max_age_ms: 100, latency_ms: 30");
    let deployment = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(&late), parameters(&task())).unwrap();
    let mut sync = with(Sync::new(&deployment), [frame(0, 50.0), joints(50.0, [0.5, 0.2, 0.02])]);
    assert_eq!(sync.observe(at(60.0)).unwrap().stamp, at(20.0));
    let sync = with(sync, [frame(0, 51.0), joints(130.0, [0.5, 0.2, 0.02])]);
    assert_eq!(waiting(&sync, 121.5), "images.front: 100.500 ms old, at most 100.000 ms");
}

#[test]
fn a_frame_of_another_size_than_the_cameras_is_refused_and_counted() {
    let sized = ARM_PROFILE.replace("transport: raw,", "transport: raw, width: 4, height: 3,");
    let deployment = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(&sized), parameters(&task())).unwrap();
    let mut sync = Sync::new(&deployment);
    let of_size = |ms, [width, height]: [u32; 2]| {
        let mut sample = frame(0, ms);
        let Value::Frame { frame, .. } = &mut sample.value else { panic!() };
        *frame = Arc::new(Frame { width, height, ..Frame::clone(frame) });
        sample
    };
    assert_eq!(sync.accept(at(1.0), of_size(1.0, [4, 3])), Ok(()));
    let refused = sync.accept(at(2.0), of_size(2.0, [3, 4])).unwrap_err();
    assert_eq!(refused.to_string(), "images.front: picture of 3 x 4 pixels, the profile says 4 x 3");
    let health = &sync.health(at(2.0))[0];
    assert_eq!((health.accepted, health.dropped.get("picture_size")), (1, Some(&1)));
}

#[test]
fn a_camera_whose_info_is_wanted_waits_for_one_of_its_pictures_size() {
    let robot = ARM_PROFILE.replace("transport: raw,", "transport: raw, undistort: topic,");
    let deployment = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(&robot), parameters(&task())).unwrap();
    let lens = |size| {
        let optics = Arc::new(Optics::Straight(Pinhole { size, focal: [1.0; 2], center: [2.0; 2] }));
        Sample { stamp: at(1.0), received: at(1.0), value: Value::Optics { camera: 0, optics } }
    };
    let mut picture = frame(0, 2.0);
    let Value::Frame { frame: shown, .. } = &mut picture.value else { panic!("no frame") };
    *shown = Arc::new(Frame { width: 64, height: 48, ..(**shown).clone() });
    let sync = with(Sync::new(&deployment), [picture, joints(2.0, [0.5, 0.2, 0.02])]);
    assert_eq!(waiting(&sync, 3.0), "camera_info.front: nothing usable yet");
    let sync = with(sync, [lens([32, 48])]);
    assert_eq!(waiting(&sync, 3.0), "camera_info.front: of pictures of 32 x 48 pixels, they have 64 x 48");
    let mut sync = with(sync, [lens([64, 48])]);
    let optics = sync.observe(at(3.0)).unwrap().optics;
    assert_eq!(optics[0].as_ref().unwrap().size(), [64, 48]);
    let unasked = with(Sync::new(&live_arm()), [lens([64, 48]), frame(0, 2.0), joints(2.0, [0.5, 0.2, 0.02])]);
    assert_eq!({ unasked }.observe(at(3.0)).unwrap().optics, [None]);
}

#[test]
fn streams_of_different_times_are_refused_beyond_the_skew() {
    let near = |wrist| with(two_cameras(), [frame(0, 90.0), frame(1, wrist), joints(90.0, [0.5, 0.2, 0.02])]);
    assert_eq!(near(50.0).ready(at(100.0)), Ok(()));
    assert_eq!(waiting(&near(49.0), 100.0), "images.wrist: -41.000 ms apart from the anchor camera, at most 40.000 ms");
    let sync = with(Sync::new(&live_arm()), [frame(0, 0.0), joints(41.0, [0.5, 0.2, 0.02])]);
    assert_eq!(waiting(&sync, 45.0), "joint_states.j1: 41.000 ms apart from the anchor camera, at most 40.000 ms");
}

#[test]
fn an_anchor_frame_is_observed_once() {
    let mut sync = with(Sync::new(&live_arm()), [frame(0, 0.0), joints(0.0, [0.5, 0.2, 0.02])]);
    assert!(sync.observe(at(1.0)).is_ok());
    assert_eq!(sync.observe(at(2.0)), Err(NotReady::NoNewFrame));
    let mut sync = with(sync, [frame(0, 3.0)]);
    assert_eq!(sync.observe(at(4.0)).unwrap().stamp, at(3.0));
}

#[test]
fn nothing_is_observed_without_an_instruction() {
    let silent = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(ARM_PROFILE), parameters(&[])).unwrap();
    let sync = with(Sync::new(&silent), [frame(0, 0.0), joints(0.0, [0.5, 0.2, 0.02])]);
    assert_eq!(waiting(&sync, 1.0), "no instruction yet");
    let sync = with(sync, [instruction(1.0, " \n")]);
    assert_eq!(waiting(&sync, 1.0), "the instruction is empty");
    let mut sync = with(sync, [instruction(2.0, "stack the cubes")]);
    assert_eq!(&*sync.observe(at(2.0)).unwrap().task, "stack the cubes");
}

#[test]
fn a_latched_instruction_is_shown_and_starts_nothing() {
    let latched = |text: &str| Sample { value: Value::LatchedInstruction(text.into()), ..instruction(0.0, "") };
    let silent = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(ARM_PROFILE), parameters(&[])).unwrap();
    let sync = with(Sync::new(&silent), [frame(0, 0.0), joints(0.0, [0.5, 0.2, 0.02]), latched("open it")]);
    assert_eq!(waiting(&sync, 1.0), "the latched instruction `open it` starts nothing by itself, send it again");
    let mut sync = with(sync, [instruction(1.0, "open it"), latched("close it")]);
    assert_eq!(&*sync.observe(at(1.0)).unwrap().task, "open it");
    let sync = with(Sync::new(&live_arm()), [latched("close it")]);
    assert_eq!(&**sync.task().unwrap(), "pick up the cup");
}

#[test]
fn a_joint_message_with_something_wrong_is_dropped_whole() {
    let refusal = |names: &[&str], positions: &[f64]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let value = Value::Joints(JointSample { names, positions: positions.to_vec() });
        let mut sync = with(Sync::new(&live_arm()), [joints(0.0, [0.5, 0.2, 0.02])]);
        let error = sync.accept(at(5.0), Sample { stamp: at(5.0), received: at(5.0), value }).unwrap_err();
        assert_eq!(sync.measured(at(5.0)).unwrap().joints, [0.5, 0.2, 0.02]);
        assert_eq!(sync.health(at(5.0))[1].dropped, [(error.reason.class(), 1)].into());
        error.to_string()
    };
    assert_eq!(refusal(&["j1", "j2", "finger", "j2"], &[0.1; 4]), "joint_states: joint `j2` is there twice");
    assert_eq!(refusal(&["j1", "j2", "finger"], &[0.1, f64::NAN, 0.2]), "joint_states: joint `j2` is NaN");
    assert_eq!(refusal(&["j1", "j2", "finger"], &[0.1, f64::INFINITY, 0.2]), "joint_states: joint `j2` is inf");
    assert_eq!(refusal(&["j1", "j2", "finger"], &[0.1, 0.2]), "joint_states: 3 names, but 2 positions");
}

/// A message of some joints.
fn some(ms: f64, joints: &[(&str, f64)]) -> Sample {
    let (names, positions) = joints.iter().map(|(name, position)| ((*name).to_owned(), *position)).unzip();
    Sample { stamp: at(ms), received: at(ms), value: Value::Joints(JointSample { names, positions }) }
}

#[test]
fn joints_of_several_messages_are_merged_each_with_its_own_age() {
    let sync = with(Sync::new(&live_arm()), [frame(0, 20.0), some(0.0, &[("finger", 0.02)])]);
    assert_eq!(waiting(&sync, 20.0), "joint_states.j1: nothing usable yet");
    let sync = with(sync, [some(10.0, &[("j2", 0.2), ("j1", 0.5), ("wheel", f64::NAN)])]);
    assert_eq!(sync.measured(at(20.0)).unwrap().joints, [0.5, 0.2, 0.02]);
    assert_eq!(waiting(&sync, 51.0), "joint_states.finger: 51.000 ms old, at most 50.000 ms");
    let health = &sync.health(at(30.0))[1];
    assert_eq!((&*health.name, health.accepted, health.age), ("joint_states", 2, Some(Span::from_millis(30.0))));
    let sync = with(sync, [some(55.0, &[("finger", 0.04)])]);
    assert_eq!(sync.measured(at(55.0)).unwrap().joints, [0.5, 0.2, 0.04]);
}

#[test]
fn joints_have_no_age_before_each_was_seen() {
    let sync = with(Sync::new(&live_arm()), [some(10.0, &[("j2", 0.2), ("j1", 0.5)])]);
    let health = &sync.health(at(20.0))[1];
    assert_eq!((health.accepted, health.age, health.silence), (1, None, None));
}

#[test]
fn one_joint_that_is_far_from_the_anchor_is_named() {
    let sync = with(Sync::new(&live_arm()), [some(8.0, &[("j2", 0.2)]), some(40.0, &[("j1", 0.5), ("finger", 0.02)])]);
    let sync = with(sync, [frame(0, 49.0)]);
    assert_eq!(waiting(&sync, 50.0), "joint_states.j2: -41.000 ms apart from the anchor camera, at most 40.000 ms");
}

#[test]
fn a_message_is_late_only_where_it_brings_nothing_new() {
    let mut sync = with(Sync::new(&live_arm()), [joints(10.0, [0.5, 0.2, 0.02]), some(20.0, &[("j2", 0.3)])]);
    sync.accept(at(21.0), joints(15.0, [0.6, 0.9, 0.03])).unwrap();
    assert_eq!(sync.measured(at(21.0)).unwrap().joints, [0.6, 0.3, 0.03]);
    let late = sync.accept(at(21.0), some(15.0, &[("j2", 0.4), ("j1", 0.7)])).unwrap_err();
    assert_eq!(late.stream.as_ref(), "joint_states");
    assert_eq!(late.reason.class(), "not_newer");
    sync.accept(at(22.0), some(1.0, &[("wheel", 2.0)])).unwrap();
    assert_eq!((sync.health(at(22.0))[1].accepted, sync.health(at(22.0))[1].dropped.len()), (3, 1));
}

#[test]
fn a_frame_without_data_or_camera_is_dropped() {
    let mut sync = Sync::new(&live_arm());
    let mut empty = frame(0, 0.0);
    let Value::Frame { frame: picture, .. } = &mut empty.value else { panic!("not a frame") };
    Arc::make_mut(picture).data = Arc::from([]);
    assert_eq!(sync.accept(at(0.0), empty).unwrap_err().to_string(), "images.front: no data");
    assert_eq!(sync.accept(at(0.0), frame(1, 0.0)).unwrap_err().to_string(), "images: no camera has the index 1");
}

#[test]
fn an_older_sample_never_replaces_a_newer_one() {
    let mut sync = with(Sync::new(&live_arm()), [frame(0, 10.0)]);
    let older = sync.accept(at(12.0), frame(0, 9.0)).unwrap_err();
    assert_eq!(older.to_string(), "images.front: stamp is 1.000 ms before the newest one's");
    assert_eq!(sync.accept(at(12.0), frame(0, 10.0)).unwrap_err().reason, DropReason::NotNewer { by: Span::ZERO });
}

#[test]
fn one_frame_from_the_far_future_does_not_block_its_stream() {
    let mut sync = with(Sync::new(&live_arm()), [joints(0.0, [0.5, 0.2, 0.02])]);
    sync.accept(at(0.0), frame(0, 9000.0)).unwrap();
    sync.accept(at(5.0), frame(0, 5.0)).unwrap();
    assert_eq!(sync.observe(at(6.0)).unwrap().stamp, at(5.0));
}

#[test]
fn what_is_forgotten_is_not_used_and_an_earlier_sample_takes_its_place() {
    let mut sync = with(two_cameras(), [frame(0, 10.0), frame(1, 10.0), joints(10.0, [0.5, 0.2, 0.02])]);
    sync.forget();
    assert_eq!(waiting(&sync, 10.0), "images.front: nothing usable yet");
    let mut sync = with(sync, [frame(0, 4.0), frame(1, 5.0)]);
    assert_eq!(waiting(&sync, 10.0), "joint_states.j1: nothing usable yet");
    sync.accept(at(6.0), joints(6.0, [0.75, 0.25, 0.04])).unwrap();
    assert_eq!(sync.observe(at(10.0)).unwrap().stamp, at(4.0));
    assert_eq!(sync.seen().joints, [0.75, 0.25, 0.04]);
}

#[test]
fn health_tells_ages_by_stamp_and_by_arrival() {
    let mut late = frame(0, 10.0);
    late.received = at(25.0);
    let health = with(Sync::new(&live_arm()), [late]).health(at(30.0));
    assert_eq!((&*health[0].name, health[0].accepted), ("images.front", 1));
    assert_eq!((health[0].age, health[0].silence), (Some(Span::from_millis(20.0)), Some(Span::from_millis(5.0))));
    assert_eq!((&*health[1].name, health[1].age), ("joint_states", None));
}

/// A policy that wants everything but joints: a pose, a velocity.
const EEF_IO: &str = "
rate_hz: 20
actions:
- {name: dx, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
state:
- {name: z, unit: m, source: eef_position}
- {name: rx, unit: rad, source: eef_rotation, rotation: axis_angle}
- {name: ry, unit: rad, source: eef_rotation, rotation: axis_angle}
- {name: rz, unit: rad, source: eef_rotation, rotation: axis_angle}
- {name: speed, unit: rad_per_s, source: joint_velocity}
";

fn eef(input: &str) -> Sync {
    let robot = format!(
        "format: 1\nrobot: r\ninputs:\n- {{kind: camera, camera: front, transport: raw, max_age_ms: 100}}\n{input}\
         - {{kind: state, max_age_ms: 60, size: 3, values: [{{index: 1, state: speed, unit: rad_per_s}}]}}\n\
         outputs:\n- {{kind: controller_input, dims: [{{action: dx, min: -1, max: 1, max_step: 1}}]}}\n"
    );
    let task = [("task", ParamValue::String("go".to_owned()))];
    Sync::new(&Deployment::check(&bundle(EEF_IO, &["front"]), &profile(&robot), parameters(&task)).unwrap())
}

fn pose(ms: f64, frame: &str, xyzw: [f64; 4]) -> Sample {
    let sample = PoseSample { frame_id: frame.to_owned(), pose: Pose::new([0.1, -0.2, 0.3], xyzw).unwrap() };
    Sample { stamp: at(ms), received: at(ms), value: Value::Pose(sample) }
}

fn array(ms: f64, values: &[f64]) -> Sample {
    Sample { stamp: at(ms), received: at(ms), value: Value::Array(values.to_vec()) }
}

const POSE: &str = "- {kind: eef_pose, frame: world, max_age_ms: 50, position: [x, j, z], rotation: [rx, ry, rz]}\n";

#[test]
fn a_pose_and_an_array_become_the_state_in_the_policys_conventions() {
    let sync = with(eef(POSE), [frame(0, 10.0)]);
    assert_eq!(waiting(&sync, 10.0), "eef_pose: nothing usable yet");
    // 0.8 about x with the real part -0.6: 2 acos(-0.6) = 4.4285948711763625 about (0.8, 0, 0) / 0.8.
    let sync = with(sync, [pose(11.0, "world", [0.8, 0.0, 0.0, -0.6])]);
    assert_eq!(waiting(&sync, 11.0), "state: nothing usable yet");
    let mut sync = with(sync, [array(12.0, &[f64::NAN, 7.5, 2.0])]);
    let state = sync.observe(at(12.0)).unwrap().state.unwrap();
    for (got, want) in state.iter().zip([0.3, 4.428_594_871_176_362, 0.0, 0.0, 7.5]) {
        assert!((got - want).abs() < 1e-12, "{state:?}");
    }
    assert_eq!(state.len(), 5);
    assert_eq!(waiting(&sync, 62.0), "eef_pose: 51.000 ms old, at most 50.000 ms");
    let names: Vec<String> = sync.health(at(12.0)).iter().map(|stream| stream.name.to_string()).collect();
    assert_eq!(names, ["images.front", "eef_pose", "state"]);
}

#[test]
fn a_pose_or_an_array_that_is_another_is_dropped() {
    let mut sync = eef(POSE);
    let mut refusal = |sample: Sample| sync.accept(sample.received, sample).unwrap_err().to_string();
    assert_eq!(refusal(pose(0.0, "base", [0.0, 0.0, 0.0, 1.0])), "eef_pose: seen from frame `base`, wanted `world`");
    assert_eq!(refusal(array(0.0, &[1.0, 2.0])), "state: 2 values, wanted 3");
    assert_eq!(refusal(array(0.0, &[1.0, f64::INFINITY, 2.0])), "state: value 1 is inf");
}

#[test]
fn a_pose_that_is_far_from_the_anchor_is_named() {
    let sync = with(eef(POSE), [frame(0, 49.0), pose(5.0, "world", [0.0, 0.0, 0.0, 1.0]), array(49.0, &[0.0; 3])]);
    assert_eq!(waiting(&sync, 50.0), "eef_pose: -44.000 ms apart from the anchor camera, at most 40.000 ms");
}

fn transforms(ms: f64, links: &[(&str, &str, Option<f64>, [f64; 3])]) -> Sample {
    let link = |(parent, child, stamp, position): &(&str, &str, Option<f64>, [f64; 3])| Transform {
        parent: (*parent).to_owned(),
        child: (*child).to_owned(),
        stamp: stamp.map(at),
        pose: Pose::new(*position, [0.0, 0.0, 0.0, 1.0]),
    };
    let value = Value::Transforms(links.iter().map(link).collect());
    Sample { stamp: at(ms), received: at(ms), value }
}

#[test]
fn a_pose_along_frames_is_as_old_as_its_oldest_moving_link() {
    let tf = "- {kind: tf, base: base, tip: hand, max_age_ms: 50, position: [x, j, z], rotation: [rx, ry, rz]}\n";
    let sync = with(eef(tf), [frame(0, 10.0), array(10.0, &[0.0; 3])]);
    let sync = with(sync, [transforms(5.0, &[("base", "arm", Some(4.0), [0.0, 0.0, 0.5])])]);
    assert_eq!(waiting(&sync, 10.0), "tf: nothing usable yet");
    let fixed = transforms(6.0, &[("arm", "hand", None, [0.0, 0.0, 0.25])]);
    let mut sync = with(sync, [fixed]);
    assert_eq!(sync.observe(at(10.0)).unwrap().state.unwrap()[0], 0.75);
    let mut sync = with(sync, [frame(0, 55.0), transforms(54.0, &[("base", "camera", Some(54.0), [9.0; 3])])]);
    assert_eq!(waiting(&sync, 55.0), "tf: 51.000 ms old, at most 50.000 ms");
    let broken = |child: &str| {
        let (parent, child, pose) = ("base".into(), child.into(), Err(PoseError::NotFinite));
        let nan = Transform { parent, child, stamp: Some(at(55.0)), pose };
        Sample { stamp: at(55.0), received: at(55.0), value: Value::Transforms(vec![nan]) }
    };
    sync.accept(at(55.0), broken("camera")).expect("the chain does not lead over the camera");
    let refused = sync.accept(at(55.0), broken("arm")).unwrap_err();
    assert_eq!(refused.to_string(), "tf: frame `arm`: the position or the rotation is not finite");
    let mut sync = with(sync, [transforms(56.0, &[("base", "arm", Some(55.0), [0.0, 0.0, 1.0])])]);
    assert_eq!(
        sync.observe(at(56.0)).unwrap_err().to_string(),
        "state: -45.000 ms apart from the anchor camera, at most 40.000 ms"
    );
    sync.accept(at(56.0), array(56.0, &[0.0; 3])).unwrap();
    assert_eq!(sync.observe(at(56.0)).unwrap().state.unwrap()[0], 1.25);
    sync.forget();
    let mut sync = with(sync, [frame(0, 20.0), array(20.0, &[0.0; 3])]);
    assert_eq!(waiting(&sync, 20.0), "tf: nothing usable yet");
    sync.accept(at(20.0), transforms(20.0, &[("base", "arm", Some(20.0), [0.0, 0.0, 2.0])])).unwrap();
    assert_eq!(sync.observe(at(20.0)).unwrap().state.unwrap()[0], 2.25, "what never moves is still known");
}

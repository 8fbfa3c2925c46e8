//! Which samples belong to a picture, and which pictures are a frozen camera's.

use super::*;

/// The arm whose joints have this `align`.
fn aligned(align: &str) -> Sync {
    let robot = ARM_PROFILE.replace("- kind: joint_states\n", &format!("- kind: joint_states\n  align: {align}\n"));
    Sync::new(&Deployment::check(&bundle(ARM_IO, &["front"]), &profile(&robot), parameters(&task())).unwrap())
}

/// Positions of the first joint at these times, each of them its time in seconds.
fn moving(times: &[f64]) -> impl Iterator<Item = Sample> {
    times.iter().map(|ms| joints(*ms, [ms / 1e3, 0.2, 0.02]))
}

/// When the joints were measured that are observed with a picture of 100 ms.
fn picked(align: &str, times: &[f64]) -> Result<f64, String> {
    let mut sync = with(aligned(align), moving(times));
    let last = times.last().unwrap().max(100.0);
    let picture = Sample { received: at(last), ..frame(0, 100.0) };
    sync.accept(at(last), picture).unwrap();
    let observation = sync.observe(at(last)).map_err(|reason| reason.to_string())?;
    assert_eq!(observation.stamp, at(100.0));
    Ok((sync.seen().joints[0] * 1e3).round())
}

#[test]
fn joints_are_those_nearest_before_or_newest_as_the_profile_says() {
    let times = [60.0, 88.0, 105.0, 130.0];
    assert_eq!(picked("nearest", &times), Ok(105.0));
    assert_eq!(picked("as_of", &times), Ok(88.0));
    assert_eq!(picked("hold", &times), Ok(130.0));
    assert_eq!(picked("as_of", &[88.0, 100.0, 105.0]), Ok(100.0), "of the very time");
    assert_eq!(picked("nearest", &[95.0, 105.0]), Ok(95.0), "of two equally near ones, the past");
}

#[test]
fn what_is_picked_lies_within_the_skew_of_the_picture() {
    let apart = |skew: f64| format!("joint_states.j1: {skew:.3} ms apart from the anchor camera, at most 40.000 ms");
    assert_eq!(picked("as_of", &[60.0, 101.0]), Ok(60.0));
    assert_eq!(picked("as_of", &[59.0, 101.0]), Err(apart(-41.0)));
    assert_eq!(picked("nearest", &[140.0]), Ok(140.0));
    assert_eq!(picked("nearest", &[141.0]), Err(apart(41.0)));
    assert_eq!(picked("hold", &[141.0]), Ok(141.0), "what hardly changes may be of any time");
}

#[test]
fn a_stream_that_began_after_the_picture_cannot_say_what_was_before() {
    let later = "joint_states.j1: its first sample is 5.000 ms after the anchor camera's picture";
    assert_eq!(picked("as_of", &[105.0, 110.0]), Err(later.to_owned()));
}

#[test]
fn whether_a_stream_lives_is_told_by_its_newest_sample() {
    let mut sync = with(aligned("as_of"), moving(&[90.0, 105.0]));
    sync.accept(at(150.0), Sample { received: at(150.0), ..frame(0, 100.0) }).unwrap();
    assert_eq!(sync.ready(at(155.0)), Ok(()), "the one of 90 ms is 65 ms old by now, the newest is 50 ms");
    assert_eq!(waiting(&sync, 156.0), "joint_states.j1: 51.000 ms old, at most 50.000 ms");
}

#[test]
fn as_much_is_kept_as_a_picture_may_look_back() {
    let stream = || Stream::new("state", Span::from_millis(50.0), crate::deploy::Align::AsOf, Span::from_millis(180.0));
    let mut kept = stream();
    for ms in 0..2000 {
        let stamp = at(f64::from(ms));
        kept.put(Held { stamp, received: stamp, value: ms }, stamp).unwrap();
    }
    let skew = Span::from_millis(40.0);
    assert_eq!(kept.at(at(1819.5), skew).unwrap().value, 1819, "what was true at 1819 ms, 180 ms before the newest");
    assert!(matches!(kept.at(at(1818.5), skew), Err(NotReady::Later { .. })));
    let mut flooded = stream();
    for us in 0..100_000 {
        let stamp = at(f64::from(us) / 1e3);
        flooded.put(Held { stamp, received: stamp, value: us }, stamp).unwrap();
    }
    assert!(matches!(flooded.at(at(95.0), skew), Err(NotReady::Later { .. })), "at most 4096 samples");
    assert_eq!(flooded.at(at(96.0), skew).unwrap().value, 96_000);
}

/// A picture that shows the same as all others.
fn still(ms: f64) -> Sample {
    let Value::Frame { frame: shown, .. } = frame(0, 1.0).value else { panic!("no frame") };
    Sample { value: Value::Frame { camera: 0, frame: shown }, ..frame(0, ms) }
}

#[test]
fn a_camera_that_sends_the_same_picture_with_new_stamps_is_frozen() {
    let pictures = |sync, times: &[f64]| {
        let sync = with(sync, times.iter().map(|ms| still(*ms)));
        with(sync, [joints(*times.last().unwrap(), [0.5, 0.2, 0.02])])
    };
    let sync = pictures(Sync::new(&live_arm()), &[0.0, 50.0, 100.0]);
    assert_eq!(sync.ready(at(100.0)), Ok(()));
    let sync = pictures(sync, &[101.0]);
    let frozen = "images.front: the same picture for 101.000 ms, at most 100.000 ms unless it `may_stand_still`";
    assert_eq!(waiting(&sync, 102.0), frozen);
    let sync = with(sync, [frame(0, 110.0), joints(110.0, [0.5, 0.2, 0.02])]);
    assert_eq!(sync.ready(at(110.0)), Ok(()), "another picture");
    assert_eq!(pictures(sync, &[111.0, 211.0]).ready(at(211.0)), Ok(()), "counted anew");

    let calm = ARM_PROFILE.replace("transport: raw,", "transport: raw, may_stand_still: true,");
    let calm = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(&calm), parameters(&task())).unwrap();
    assert_eq!(pictures(Sync::new(&calm), &[0.0, 101.0, 202.0, 303.0]).ready(at(303.0)), Ok(()));
}

#[test]
fn a_still_picture_is_counted_from_now_when_the_clock_went_back() {
    let mut sync = with(Sync::new(&live_arm()), [still(5000.0)]);
    for ms in [0.0, 60.0, 101.0] {
        sync.accept(at(ms), still(ms)).unwrap();
    }
    sync.accept(at(101.0), joints(101.0, [0.5, 0.2, 0.02])).unwrap();
    assert!(waiting(&sync, 101.0).starts_with("images.front: the same picture for 101.000 ms"));
}

#[test]
fn a_stamp_that_was_old_when_it_arrived_is_told_apart_from_a_silent_stream() {
    let behind = Sample { received: at(2000.0), ..frame(0, 0.0) };
    let sync = with(Sync::new(&live_arm()), [behind, joints(2000.0, [0.5, 0.2, 0.02])]);
    assert_eq!(waiting(&sync, 2000.0), "images.front: stamped 2000.000 ms before it arrived, at most 100.000 ms");
}

#[test]
fn ages_of_everything_observed_are_told() {
    let parts = [some(9.0, &[("j1", 0.5)]), some(14.0, &[("j2", 0.2), ("finger", 0.02)])];
    let samples = [frame(1, 8.0), frame(0, 10.0)].into_iter().chain(parts);
    let mut sync = with(two_cameras(), samples);
    assert!(sync.ages().is_empty());
    sync.observe(at(21.0)).unwrap();
    let ages: Vec<_> = sync.ages().iter().map(|input| (&*input.name, input.age.millis())).collect();
    assert_eq!(ages, [("images.front", 11.0), ("images.wrist", 13.0), ("joint_states", 12.0)]);
}

#[test]
fn the_anchor_camera_is_aligned_to_nothing() {
    let robot = ARM_PROFILE.replace("transport: raw,", "transport: raw, align: as_of,");
    let error = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(&robot), parameters(&task())).unwrap_err();
    let wanted = "camera `front`: `align` has no meaning, the others are aligned to its pictures";
    assert!(error.to_string().contains(wanted), "{error}");
}

//! One fault at a time, in full swing.

use super::*;

/// Runs a scene in which `fault` happens in full swing; gives when it did.
fn after(fault: impl FnOnce(&mut Scene)) -> (Scene, u32) {
    let mut scene = Scene::in_motion();
    let since = scene.ms;
    fault(&mut scene);
    scene.run(2500);
    (scene, since)
}

fn tick() -> f64 {
    f64::from(TICK_MS)
}

#[test]
fn an_arm_whose_camera_stops_ends_the_chunk_and_comes_to_rest() {
    for camera in [Camera::Stops, Camera::Repeats] {
        let (scene, since) = after(|scene| scene.camera = camera);
        scene.arm.came_to_rest(since, CHUNK_MS + f64::from(INFERENCE_MS));
    }
}

#[test]
fn an_arm_whose_joints_fall_silent_or_lack_one_brakes_when_they_are_too_old() {
    for joints in [Joints::Stop, Joints::Partial] {
        let (scene, since) = after(|scene| scene.joints = joints);
        scene.arm.came_to_rest(since, JOINTS_MS + tick());
    }
}

#[test]
fn joints_that_jump_for_a_moment_do_not_make_the_arm_jump() {
    for moment in [10, 30, 100] {
        let mut scene = Scene::in_motion();
        scene.joints = Joints::Jump;
        scene.run(moment);
        scene.joints = Joints::Come;
        scene.run(1500);
        scene.arm.stayed_inside_its_limits();
        assert!(scene.arm.moves(), "after {moment} ms it goes on");
    }
}

#[test]
fn nan_from_the_model_moves_nothing_and_the_chunk_before_ends_at_rest() {
    let (scene, since) = after(|scene| scene.model = Model::YieldsNan);
    scene.arm.came_to_rest(since, CHUNK_MS + f64::from(INFERENCE_MS));
}

#[test]
fn a_model_that_stalls_lets_the_arm_come_to_rest_and_its_late_chunk_moves_nothing() {
    let (mut scene, since) = after(|scene| scene.model = Model::Stalls);
    scene.run(500);
    scene.arm.came_to_rest(since, CHUNK_MS + f64::from(INFERENCE_MS));
    // The answer comes three seconds late.
    scene.model = Model::Answers;
    let (late, commands) = (scene.ms, scene.arm.commands);
    scene.run(1);
    assert_eq!((scene.ms, scene.arm.commands), (late + 1, commands), "a chunk from three seconds ago moves the arm");
    scene.run(1000);
    assert!(scene.arm.moves(), "a fresh chunk moves it again");
}

#[test]
fn a_pressed_e_stop_or_a_lost_heartbeat_brakes_until_somebody_resets_and_starts() {
    for (estop, reaction) in [(Some(true), 20.0), (None, SILENCE_MS + 20.0)] {
        let (mut scene, since) = after(|scene| scene.estop = estop);
        scene.arm.came_to_rest(since, reaction + tick());
        scene.estop = Some(false);
        let commands = scene.arm.commands;
        scene.run(1000);
        assert_eq!(scene.arm.commands, commands, "released is not reset");
        scene.interlock(Input::EStopReset);
        scene.run(1000);
        assert_eq!(scene.arm.commands, commands, "reset is not started");
        scene.interlock(Input::Start);
        scene.run(1000);
        assert!(scene.arm.moves());
    }
}

#[test]
fn a_released_deadman_or_a_silent_one_brakes_until_somebody_starts() {
    for (deadman, reaction) in [(Some(false), 20.0), (None, SILENCE_MS + 20.0)] {
        let (mut scene, since) = after(|scene| scene.deadman = deadman);
        scene.arm.came_to_rest(since, reaction + tick());
        scene.deadman = Some(true);
        let commands = scene.arm.commands;
        scene.run(1000);
        assert_eq!(scene.arm.commands, commands, "held again is not started");
        scene.interlock(Input::Start);
        scene.run(1000);
        assert!(scene.arm.moves());
    }
}

#[test]
fn a_clock_that_steps_back_brakes_the_arm_until_it_is_seen_again() {
    let (mut scene, since) = after(|scene| {
        scene.clock_ms -= 5000.0;
        scene.camera = Camera::Stops;
    });
    scene.arm.came_to_rest(since, tick());
    scene.camera = Camera::Comes;
    scene.run(1000);
    assert!(scene.arm.moves());
}

#[test]
fn a_clock_that_steps_ahead_lets_the_arm_come_to_rest_until_somebody_starts_it() {
    let (mut scene, since) = after(|scene| scene.clock_ms += 5000.0);
    scene.arm.came_to_rest(since, CHUNK_MS + f64::from(INFERENCE_MS));
    // Neither switch was heard for five seconds, as far as anybody knows.
    let commands = scene.arm.commands;
    scene.run(500);
    assert_eq!(scene.arm.commands, commands);
    scene.interlock(Input::EStopReset);
    scene.interlock(Input::Start);
    scene.run(1000);
    assert!(scene.arm.moves());
}

#[test]
fn a_node_that_ends_brakes_the_arm_and_one_that_is_killed_leaves_a_command_that_ends_at_rest() {
    // SIGTERM, and a thread that panics: the node's last event.
    let (scene, since) = after(|scene| {
        scene.give(Event::Stop);
        scene.lives = false;
    });
    scene.arm.came_to_rest(since, tick());
    // SIGKILL: nothing more is said.
    let (scene, since) = after(|scene| scene.lives = false);
    let horizon_ms = 300.0;
    scene.arm.came_to_rest(since, horizon_ms);
}

#[test]
fn a_camera_of_another_size_is_looked_through_only_where_the_profile_names_none() {
    let (scene, _) = after(|scene| scene.camera = Camera::Resizes);
    assert!(scene.arm.moves());
}

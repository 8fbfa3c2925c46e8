//! A policy that denoises, live.

use super::arm::Arm;
use super::case::export;
use super::*;

#[test]
fn pictures_and_joints_become_a_chunk_that_was_denoised() {
    let image = json!({"header": {"frame_id": "optical"}, "height": 20, "width": 30, "encoding": "rgb8",
        "is_bigendian": 0, "step": 90, "data": {"pattern": 1800}});
    let arm = Arm { cameras: &["front", "left_wrist"], read: 8, moved: 7 };
    let joints = json!({"header": {}, "name": arm.joints().map(|i| format!("j{i}")).collect::<Vec<_>>(),
        "position": arm.joints().map(|i| 0.01 * i as f64).collect::<Vec<_>>()});
    let robot = Robot::start(&json!({
        "hear": [
            {"topic": "/cell/denoiser/action_chunk", "type": "ActionChunk"},
            {"topic": "/denoise/follow", "type": "JointTrajectory"},
        ],
        "send": [
            {"topic": "/denoise/image_raw", "type": "Image", "rate_hz": 20, "stamp_now": true, "message": image},
            {"topic": "/denoise/joints", "type": "JointState", "rate_hz": 50, "stamp_now": true, "message": joints},
            {"topic": "/denoise/task", "type": "String", "rate_hz": 5, "message": {"data": "open the drawer"}},
        ],
    }));
    let folder = tempfile::tempdir().unwrap();
    let files = arm.write(folder.path());
    let bundle = folder.path().join("bundle");
    export("pi0", bundle.to_str().unwrap(), &["--io", &files.io]);
    let profile = fs::read_to_string(&files.profile).unwrap();
    let mut remaps = remaps("/denoise", "denoiser");
    remaps.extend(["-r".to_owned(), "/images/front:=/denoise/image_raw".to_owned()]);
    let remaps: Vec<&str> = remaps.iter().map(String::as_str).collect();
    let parameters = "    n_action_steps: 10\n    inference_rate_hz: 2.0\n    dry_run: false\n    denoise_steps: 4\n";
    let node = Node::on(folder, &bundle, &profile, (parameters, &remaps));
    let chunk = robot.hear("/cell/denoiser/action_chunk", |chunk| chunk["verdict"] == "sent");
    assert_eq!((&chunk["chunk_size"], &chunk["task"]), (&json!(10), &json!("open the drawer")));
    assert_eq!(chunk["actions"].as_array().unwrap().len(), 10 * 7);
    let trajectory = robot.hear("/denoise/follow", |_| true);
    assert_eq!(trajectory["joint_names"].as_array().unwrap().len(), 7);
    let (code, log) = node.end("-INT");
    assert_eq!(code, Some(0), "{log}");
}

//! A policy that takes intrinsics, from its checkpoint to what the arm is told: K comes from the bag's camera infos.

use vla_runtime::bag::BagWriter;
use vla_runtime::msg::{ActionChunk, CameraInfo, Image, JointState};

use super::arm::{Arm, Files};
use super::case::export;
use super::recorded::recorded;
use super::*;

const ARM: Arm<'static> = Arm { cameras: &["cam0"], read: 8, moved: 7 };
/// Pictures of the bag.
const SIZE: [u32; 2] = [128, 96];

/// A camera of rectified pictures of 128 x 96 pixels.
fn info(focal: f64) -> CameraInfo {
    CameraInfo {
        width: SIZE[0],
        height: SIZE[1],
        k: [focal, 0.0, 60.0, 0.0, focal, 50.0, 0.0, 0.0, 1.0],
        p: [focal, 0.0, 60.0, 0.0, 0.0, focal, 50.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        ..CameraInfo::default()
    }
}

/// The bag at `from` with a camera info before every message; the path of the new one.
fn with_infos(from: &str, info: &CameraInfo, to: String) -> String {
    let mut bag = BagWriter::create(Path::new(&to)).unwrap();
    for message in BagReader::open(Path::new(from)).unwrap().messages().map(Result::unwrap) {
        bag.write("/eye/info", message.log_time, info).unwrap();
        if message.topic == "/images/front" {
            bag.write(message.topic, message.log_time, &message.decode::<Image>().unwrap()).unwrap();
        } else {
            bag.write(message.topic, message.log_time, &message.decode::<JointState>().unwrap()).unwrap();
        }
    }
    bag.finish().unwrap();
    to
}

/// Runs `bag` through `bundle` and gives what it says and every chunk's actions.
fn run(files: &Files, [bundle, bag, out]: [&str; 3]) -> (String, Vec<Vec<f64>>) {
    let what = ["replay", bundle, bag, "--profile", &files.profile, "--params", "launch/params/arm6.yaml"];
    let live = ["--out", out, "--ros-args", "-p", "dry_run:=false", "-p", "task:=open the drawer"];
    let text = stdout(&vla(&[&what[..], &live].concat()));
    let run = BagReader::open(Path::new(out)).unwrap();
    let chunks = run.messages().map(Result::unwrap).filter(|message| message.topic == "/vla_node/action_chunk");
    (text, chunks.map(|chunk| chunk.decode::<ActionChunk>().unwrap().actions).collect())
}

#[test]
fn the_camera_infos_of_a_bag_reach_the_policy_and_another_camera_gives_other_actions() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (files, plain, bundle) = (ARM.write(dir.path()), recorded(&ARM, dir.path()), path("bundle"));
    export("deep_fusion_llama", &bundle, &["--io", &files.io]);
    let profile = std::fs::read_to_string(&files.profile).unwrap();
    let said = vla(&[
        "replay",
        &bundle,
        &plain,
        "--profile",
        &files.profile,
        "--params",
        "launch/params/arm6.yaml",
        "--ros-args",
        "-p",
        "task:=open the drawer",
    ]);
    let unknown =
        "camera `cam0`: the bundle takes its intrinsics, wanted `undistort` or `rectified` with a camera info";
    assert!(refusal(&said).contains(unknown), "{}", refusal(&said));

    let seen = profile.replace("transport: raw,", "transport: raw, rectified: topic, camera_info: /eye/info,");
    std::fs::write(&files.profile, seen).unwrap();
    let bag = |name: &str, info: &CameraInfo| with_infos(&plain, info, path(name));
    let told = |name: &str, focal: f64| {
        let (text, chunks) = run(&files, [&bundle, &bag(&format!("{name}.mcap"), &info(focal)), &path(name)]);
        assert!(text.contains("\nsent              2\n"), "{text}");
        chunks
    };
    let [near, again, far] = [("near", 110.0), ("again", 110.0), ("far", 170.0)].map(|(name, focal)| told(name, focal));
    assert_eq!(near, again);
    let moved = near.concat().iter().zip(far.concat()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(moved > 1e-3, "{moved}");

    let other = CameraInfo { width: 64, ..info(110.0) };
    let (text, chunks) = run(&files, [&bundle, &bag("other.mcap", &other), &path("other")]);
    let wanted = "camera_info.cam0: of pictures of 64 x 96 pixels, they have 128 x 96\n";
    assert!(text.contains(wanted) && chunks.is_empty(), "{text}");
    let (text, chunks) = run(&files, [&bundle, &bag("none.mcap", &info(0.0)), &path("none")]);
    assert!(text.contains("the camera is not calibrated: `k` of its camera info is zero\n"), "{text}");
    assert!(text.contains("camera_info.cam0: nothing usable yet\n") && chunks.is_empty(), "{text}");
}

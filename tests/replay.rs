//! `vla replay` from outside: a checkpoint becomes a bundle, a recorded bag runs through it.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

#[path = "shared/arm.rs"]
mod arm;
#[path = "shared/case.rs"]
mod case;
#[path = "replay/denoising.rs"]
mod denoising;
#[path = "replay/geometry.rs"]
mod geometry;
#[path = "replay/pruning.rs"]
mod pruning;
#[path = "replay/recorded.rs"]
mod recorded;
#[path = "replay/state.rs"]
mod state;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use vla_runtime::bag::BagReader;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The bag was recorded beside a node called `vla`; the arm was told what to do on `/joint_trajectory`.
const NAMES: [&str; 5] = ["--ros-args", "-r", "__node:=vla", "-r", "~/joint_trajectory:=/joint_trajectory"];

fn vla(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vla")).args(arguments).current_dir(ROOT).env("RUST_LOG", "off").output().unwrap()
}

fn export(crop: &str, out: &Path) {
    let out = out.to_str().unwrap();
    let files = ["--checkpoint", "tests/data/checkpoints/arm6", "--io", "calibration/io/arm6.yaml", "--out", out];
    let shape = ["--cameras", "front", "--chunk-size", "8", "--norm", "quantile", "--center-crop", crop];
    let kind = ["--system", "openvla_oft", "--image-pipeline", "openvla_oft"];
    let output = vla(&[&["export"][..], &files, &shape, &kind].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Bundles with and without the centre crop, made once.
fn bundles() -> &'static [PathBuf; 2] {
    static BUNDLES: OnceLock<(tempfile::TempDir, [PathBuf; 2])> = OnceLock::new();
    let made = BUNDLES.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let bundles = ["on", "off"].map(|crop| dir.path().join(crop));
        export("on", &bundles[0]);
        export("off", &bundles[1]);
        (dir, bundles)
    });
    &made.1
}

fn replay(bundle: &Path, bag: &str, more: &[&str]) -> Output {
    let bag = format!("tests/data/bags/{bag}");
    let what = ["replay", bundle.to_str().unwrap(), &bag];
    let how = ["--profile", "calibration/robots/arm6.yaml", "--params", "launch/params/arm6.yaml"];
    vla(&[&what[..], &how, more].concat())
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line of a command that fails.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Log times and bytes of the chunks in a written run.
fn action_stream(run: &Path) -> Vec<(i64, Vec<u8>)> {
    let bag = BagReader::open(run).unwrap();
    let chunks = bag.messages().map(Result::unwrap).filter(|message| message.topic == "/vla/action_chunk");
    chunks.map(|message| (message.log_time.nanos(), message.data().to_vec())).collect()
}

#[test]
fn the_policy_sees_what_the_profile_makes_of_the_cameras_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run.mcap");
    let profile = |name: &str, camera: &str| {
        let text = std::fs::read_to_string(format!("{ROOT}/calibration/robots/arm6.yaml")).unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text.replace("max_age_ms: 200}", &format!("max_age_ms: 200, {camera}}}"))).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let replay = |profile: &str, more: &[&str]| {
        let what = ["replay", bundles()[1].to_str().unwrap(), "tests/data/bags/arm6_reach", "--profile", profile];
        vla(&[&what[..], &["--params", "launch/params/arm6.yaml"], more, &NAMES].concat())
    };
    let info = format!("undistort: {ROOT}/calibration/camera_info/front.yaml");
    let [out, straight] = [run.to_str().unwrap(), &profile("straight.yaml", &info)];
    stdout(&replay("calibration/robots/arm6.yaml", &["--out", out]));
    let text = stdout(&replay(straight, &["--expect", out]));
    assert!(text.ends_with("8 chunks compared; no value differs\n"), "an ideal lens bends nothing: {text}");
    let turned = refusal(&replay(&profile("turned.yaml", "rotate: 180"), &["--expect", out]));
    assert!(turned.contains("differs from"), "{turned}");
    let text = stdout(&replay(&profile("large.yaml", "width: 640, height: 480"), &[]));
    assert!(text.starts_with("decisions         0"), "{text}");
    assert!(text.contains("images.front: picture of 320 x 240 pixels, the profile says 640 x 480"), "{text}");
}

#[test]
fn two_runs_decide_the_same_byte_for_byte_and_the_second_is_what_the_first_expects() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["one.mcap", "two.mcap"].map(|name| dir.path().join(name));
    let bundle = &bundles()[0];
    let [out, expect] = [&one, &two].map(|path| path.to_str().unwrap());
    let text = stdout(&replay(bundle, "arm6_reach", &[&["--out", out][..], &NAMES].concat()));
    // Twice a second over four seconds; the parameters leave `dry_run` on.
    assert!(text.starts_with("decisions         8  in 3.990 s\nsent              0\ndry_run           8\n"), "{text}");
    assert!(text.contains("\njoint_6 [rad]"), "{text}");
    let second = replay(bundle, "arm6_reach", &[&["--out", expect, "--expect", out][..], &NAMES].concat());
    let text = stdout(&second);
    assert!(text.ends_with(&format!("\nas {out}: 8 chunks compared; no value differs\n")), "{text}");
    let stream = action_stream(&one);
    assert_eq!(stream.len(), 8);
    assert!(stream == action_stream(&two), "the action streams differ");
}

#[test]
fn another_bundle_is_not_what_was_expected_unless_the_tolerance_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run.mcap");
    let run = run.to_str().unwrap();
    let [cropped, whole] = bundles();
    stdout(&replay(cropped, "arm6_reach", &[&["--out", run][..], &NAMES].concat()));
    let line = refusal(&replay(whole, "arm6_reach", &[&["--expect", run][..], &NAMES].concat()));
    let start =
        format!("vla: error: the run differs from {run} by more than 0: 8 chunks compared; largest difference ");
    assert!(line.starts_with(&start) && line.contains(": chunk 17636400") && line.contains(" step "), "{line}");
    stdout(&replay(whole, "arm6_reach", &[&["--expect", run, "--tolerance", "0.5"][..], &NAMES].concat()));
}

#[test]
fn a_topic_that_the_bag_lacks_is_named_with_what_it_has() {
    let line = refusal(&replay(&bundles()[0], "arm6_raw", &[]));
    assert_eq!(
        line,
        "vla: error: bag lacks `/vla_node/instruction` (instruction; parameter `task` would do); it has `/images/front` \
         (sensor_msgs/msg/Image), `/joint_states` (sensor_msgs/msg/JointState), `/joint_trajectory` \
         (trajectory_msgs/msg/JointTrajectory), `/vla/instruction` (std_msgs/msg/String); `--ros-args -r name:=topic` \
         gives an input another topic\n"
    );
}

#[test]
fn a_bag_with_raw_pictures_and_a_task_from_the_command_line_is_replayed() {
    let task = ["--ros-args", "-p", "task:=put the red block on the plate"];
    let text = stdout(&replay(&bundles()[0], "arm6_raw", &task));
    assert!(text.starts_with("decisions         2  in 0.980 s\n"), "{text}");
}

#[test]
fn a_recording_that_broke_off_is_replayed_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(Path::new(ROOT).join("tests/data/bags/arm6_raw/arm6_raw.mcap")).unwrap();
    let cut = dir.path().join("cut.mcap");
    std::fs::write(&cut, &whole[..whole.len() - 4]).unwrap();
    let how = ["--profile", "calibration/robots/arm6.yaml", "--params", "launch/params/arm6.yaml"];
    let task = ["--ros-args", "-p", "task:=put the red block on the plate"];
    let arguments = [&["replay", bundles()[0].to_str().unwrap(), cut.to_str().unwrap()][..], &how, &task].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_vla")).args(arguments).current_dir(ROOT).output().unwrap();
    assert!(stdout(&output).starts_with("decisions         2  in 0.980 s\n"));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(" WARN the recorder was interrupted: the file ends without its closing records, "), "{told}");
}

#[test]
fn a_file_that_is_no_bag_is_refused() {
    let line = refusal(&replay(&bundles()[0], "../README.md", &NAMES));
    let want = "vla: error: not a bag: the first bytes are [23, 20, 54, 65, 73, 74, 20, 64, 61, 74, 61, 0a, 0a, 45, 76, 65], \
                wanted those of an MCAP file or an SQLite database: ";
    assert!(line.starts_with(want), "{line}");
}

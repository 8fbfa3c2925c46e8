//! The report sums up what a pruning policy keeps.

use vla_runtime::msg::ActionChunk;

use super::arm::Arm;
use super::recorded::recorded;
use super::*;

const CHECKPOINT: &str = "tests/data/checkpoints/lightvla_l1/checkpoint";
/// Two cameras; this checkpoint sees 70x70 pixels of each, in patches of 14x14.
const PATCHES: u32 = 2 * 5 * 5;

#[test]
fn the_report_sums_up_the_kept_tokens_of_every_chunk_that_it_writes_beside_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    let [bundle, out] = ["bundle", "out.mcap"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let arm = Arm { cameras: &["front", "wrist"], read: 8, moved: 7 };
    let (files, bag) = (arm.write(dir.path()), recorded(&arm, dir.path()));
    let what = ["--checkpoint", CHECKPOINT, "--io", &files.io, "--out", &bundle, "--cameras", "front,wrist"];
    let shape = ["--chunk-size", "8", "--norm", "quantile", "--center-crop", "on"];
    let kind = ["--system", "lightvla", "--image-pipeline", "openvla_oft", "--unnorm-key", "libero_spatial_no_noops"];
    stdout(&vla(&[&["export"][..], &what, &shape, &kind].concat()));
    let params = ["--params", "launch/params/arm6.yaml", "--profile", &files.profile, "--out", &out];
    let live = ["--ros-args", "-p", "dry_run:=false", "-p", "task:=stack the cups"];
    let text = stdout(&vla(&[&["replay", &bundle, &bag][..], &params, &live].concat()));

    let run = BagReader::open(Path::new(&out)).unwrap();
    let chunks = run.messages().map(Result::unwrap).filter(|message| message.topic == "/vla_node/action_chunk");
    let mut kept: Vec<u32> = chunks.map(|chunk| chunk.decode::<ActionChunk>().unwrap().kept_tokens).collect();
    kept.sort_unstable();
    assert!(kept.len() == 2 && kept[0] > 0 && kept[1] < PATCHES, "{kept:?}");
    let want = format!("\nkept tokens  min {}, median {}, max {}\n", kept[0], kept[1], kept[1]);
    assert!(text.contains("\nsent              2\n") && text.contains(&want), "{text}");
    assert!(run.topic("/vla_node/joint_trajectory").unwrap().count >= 2);
}

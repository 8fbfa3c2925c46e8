//! Policies that denoise, from their checkpoint to what the arm is told: everything that runs any bundle runs theirs.

use serde_json::Value;
use vla_runtime::msg::ActionChunk;

use super::arm::{Arm, Files};
use super::case::export;
use super::recorded::recorded;
use super::*;

/// A case, the arm that it is for, and the steps of its chunks and of its denoising.
struct Policy {
    case: &'static str,
    arm: Arm<'static>,
    rows: u32,
    steps: usize,
}

const POLICIES: [Policy; 7] = [
    Policy { case: "pi0", arm: Arm { cameras: &["front", "left_wrist"], read: 8, moved: 7 }, rows: 10, steps: 10 },
    Policy { case: "pi05", arm: Arm { cameras: &["front", "left_wrist"], read: 8, moved: 8 }, rows: 15, steps: 10 },
    Policy { case: "smolvla", arm: Arm { cameras: &["top", "wrist"], read: 6, moved: 6 }, rows: 12, steps: 10 },
    Policy { case: "late_fusion_flow", arm: Arm { cameras: &["cam0"], read: 0, moved: 7 }, rows: 8, steps: 10 },
    Policy { case: "deep_fusion_v2", arm: Arm { cameras: &["cam0"], read: 8, moved: 7 }, rows: 10, steps: 10 },
    Policy { case: "dit_layerwise", arm: Arm { cameras: &["cam0"], read: 8, moved: 7 }, rows: 8, steps: 4 },
    Policy { case: "dit_llava3d", arm: Arm { cameras: &["cam0"], read: 7, moved: 7 }, rows: 16, steps: 4 },
];

/// A bag through a bundle, written to `out`.
fn replay_live(files: &Files, [bundle, bag, out]: [&str; 3], more: &[&str]) -> String {
    let what = ["replay", bundle, bag, "--profile", &files.profile, "--params", "launch/params/arm6.yaml"];
    let live = ["--out", out, "--ros-args", "-p", "dry_run:=false", "-p", "task:=open the drawer"];
    stdout(&vla(&[&what[..], &live, more].concat()))
}

fn chunks(run: &str) -> Vec<ActionChunk> {
    let run = BagReader::open(Path::new(run)).unwrap();
    let chunks = run.messages().map(Result::unwrap).filter(|message| message.topic == "/vla_node/action_chunk");
    chunks.map(|chunk| chunk.decode().unwrap()).collect()
}

#[test]
fn every_policy_that_denoises_is_replayed_and_its_seed_gives_its_chunks_again() {
    for policy in POLICIES {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (files, bag) = (policy.arm.write(dir.path()), recorded(&policy.arm, dir.path()));
        let bundle = path("bundle");
        export(policy.case, &bundle, &["--io", &files.io]);
        let run = |name: &str, more: &[&str]| {
            let text = replay_live(&files, [&bundle, &bag, &path(name)], more);
            assert!(text.contains("\nsent              2\n"), "{}: {text}", policy.case);
            let chunks = chunks(&path(name));
            assert!(
                chunks.iter().all(|chunk| (chunk.chunk_size, chunk.names.len()) == (policy.rows, policy.arm.moved))
            );
            chunks.into_iter().map(|chunk| chunk.actions).collect::<Vec<_>>()
        };
        let first = run("first.mcap", &[]);
        assert_ne!(first[0], first[1], "{}: the second chunk has noise of its own", policy.case);
        assert_eq!(first, run("again.mcap", &[]), "{}", policy.case);
        assert_ne!(first, run("other.mcap", &["-p", "noise_seed:=7"]), "{}", policy.case);
        assert_ne!(first, run("lower.mcap", &["-p", "denoise_steps:=2"]), "{}", policy.case);
    }
}

#[test]
fn what_a_denoising_costs_is_counted_and_measured_per_step() {
    for policy in POLICIES {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("bundle").to_str().unwrap().to_owned();
        export(policy.case, &bundle, &[]);
        let text = stdout(&vla(&["inspect", &bundle]));
        let counted = format!("\nflops        denoise {} times per observation: ", policy.steps);
        assert!(text.contains(&counted) && !text.contains(" nodes of unknown"), "{}: {text}", policy.case);
        let report: Value = serde_json::from_str(&stdout(&vla(&["bench", &bundle, "--runs", "2", "--json"]))).unwrap();
        let stages = report["stages_ms"].as_array().unwrap();
        let runs = |name: &str| stages.iter().find(|stage| stage["name"] == name).map(|stage| stage["runs"].clone());
        assert_eq!(runs("denoise"), Some(2.into()), "{}: {report}", policy.case);
    }
}

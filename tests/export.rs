//! `vla export` from outside: what it refuses, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::path::Path;
use std::process::{Command, Output};

use vla_bundle::{Bundle, GoldenKind, Integrity};

const CHECKPOINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/checkpoints/openvla_oft_l1/checkpoint");

/// Everything that this checkpoint does not say itself.
const FACTS: [&str; 10] = [
    "--chunk-size",
    "8",
    "--norm",
    "quantile",
    "--image-pipeline",
    "openvla_oft",
    "--center-crop",
    "on",
    "--unnorm-key",
    "libero_spatial_no_noops",
];

fn command(out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vla"));
    command.args(["export", "--system", "openvla_oft", "--checkpoint", CHECKPOINT, "--cameras", "front", "--out"]);
    command.arg(out).args(more).env("RUST_LOG", "off");
    command
}

fn refusal(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_fresh_bundle_holds_its_first_run_and_every_digest_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("bundle");
    let output = command(&out, &FACTS).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bundle = Bundle::load(&out, Integrity::Digests).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{} {}\n", bundle.digest(), out.display()));
    let golden = bundle.manifest().golden.as_ref().unwrap();
    assert_eq!(golden.kind, GoldenKind::Regression);
    assert_eq!(golden.task, "pick up the red block and place it in the bowl");
    let bytes = std::fs::read(bundle.path(&golden.file)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("input.images.front").unwrap().shape(), [240, 320, 3]);
    for graph in bundle.manifest().graphs.values() {
        for output in &graph.outputs {
            assert!(tensors.tensor(&output.name).is_ok(), "{} is not in the golden run", output.name);
        }
    }
    assert_eq!(tensors.tensor("output.actions").unwrap().shape(), [8, 7]);
}

#[test]
fn a_bundle_can_be_had_without_a_first_run_and_without_onnx_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("bundle");
    let mut export = command(&out, &[&FACTS[..], &["--golden", "off"]].concat());
    assert!(export.env("ORT_DYLIB_PATH", "/nowhere").output().unwrap().status.success());
    assert_eq!(Bundle::load(&out, Integrity::Digests).unwrap().manifest().golden, None);
}

#[test]
fn what_is_missing_is_said_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("bundle");
    let lacks = |flag| format!("`--{flag}` is missing, and the checkpoint does not say it");
    assert_eq!(
        refusal(command(&out, &["--norm", "quantile", "--center-crop", "on"]).output().unwrap()),
        format!("vla: error: {}; {}\n", lacks("chunk-size"), lacks("image-pipeline"))
    );
    assert_eq!(
        refusal(command(&out, &FACTS).env("ORT_DYLIB_PATH", "/nowhere").output().unwrap()),
        "vla: error: ONNX Runtime was not found; run scripts/setup or set ORT_DYLIB_PATH; looked at /nowhere\n"
    );
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_bundle_that_is_there_is_left_alone() {
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bundles/tiny");
    assert_eq!(
        refusal(command(&out, &FACTS).output().unwrap()),
        format!("vla: error: a bundle is already there, remove it first: {}\n", out.display())
    );
}

//! Damaged checkpoints, bundles and parameters through `vla`: one sentence each, nothing left behind, nothing run.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

#[path = "bad_input/bundle.rs"]
mod bundle;
#[path = "bad_input/checkpoint.rs"]
mod checkpoint;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Everything that the arm's checkpoint does not say itself.
const FACTS: [&str; 16] = [
    "--system",
    "openvla_oft",
    "--cameras",
    "front",
    "--io",
    "calibration/io/arm6.yaml",
    "--chunk-size",
    "8",
    "--norm",
    "quantile",
    "--image-pipeline",
    "openvla_oft",
    "--center-crop",
    "on",
    "--golden",
    "on",
];

fn vla() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vla"));
    command.current_dir(ROOT).env("RUST_LOG", "off");
    command
}

fn export(checkpoint: &Path, out: &Path) -> Command {
    let mut command = vla();
    command.arg("export").args(FACTS).arg("--checkpoint").arg(checkpoint).arg("--out").arg(out);
    command
}

/// The one line of a command that fails, with `DIR` for the folder.
fn refusal(command: &mut Command, dir: &Path) -> String {
    let output = command.output().unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert_eq!(output.stdout, b"", "{line}");
    line.replace(&dir.display().to_string(), "DIR")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut json = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

/// The arm's bundle, exported once.
fn exported() -> &'static Path {
    static BUNDLE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, bundle) = BUNDLE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("bundle");
        let output = export(&Path::new(ROOT).join("tests/data/checkpoints/arm6"), &out).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (dir, out)
    });
    bundle
}

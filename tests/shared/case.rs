//! Checkpoints of the original projects, exported as their run.json says.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Exports a case to `bundle`, with `more` behind its own arguments.
pub fn export(case: &str, bundle: &str, more: &[&str]) {
    export_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoints").join(case), bundle, more);
}

/// Exports the case in the folder `case` to `bundle`, with `more` behind its own arguments.
pub fn export_from(case: &Path, bundle: &str, more: &[&str]) {
    let commands: Value = serde_json::from_slice(&std::fs::read(case.join("run.json")).unwrap()).unwrap();
    let arguments = commands["export"].as_array().unwrap().iter().skip(1).map(|word| match word.as_str().unwrap() {
        "BUNDLE" => bundle,
        word => word,
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_vla"));
    let output = command.current_dir(case).args(arguments).args(more).env("RUST_LOG", "warn").output().unwrap();
    assert!(output.status.success(), "{}: {}", case.display(), String::from_utf8_lossy(&output.stderr));
}

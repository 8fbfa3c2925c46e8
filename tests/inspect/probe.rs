//! `vla inspect --probe`: which inputs a policy ignores.

use std::path::Path;

use serde_json::Value;

use super::case::export_from;
use super::*;

/// What the probe says, one line per input.
fn probed(dir: &Path) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let bundle = scratch.path().join("bundle").display().to_string();
    export_from(dir, &bundle, &[]);
    let said = said(&["inspect", &bundle, "--probe"]);
    said.lines().filter_map(|line| line.strip_prefix("probe")).map(|line| line.trim().to_owned()).collect()
}

fn case(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoints").join(name)
}

/// The inputs of the lines that say that they are ignored.
fn ignored(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.strip_suffix(": ignored, it has no effect on the actions")).collect()
}

/// A copy of the case in which a tensor of the checkpoint is zero.
fn with_zeros(name: &str, tensor: &str) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-r").arg(case(name)).arg(scratch.path().join("case")).status();
    assert!(copied.unwrap().success());
    let path = scratch.path().join("case/checkpoint/model.safetensors");
    let mut file = std::fs::read(&path).unwrap();
    let body = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..body]).unwrap();
    let [from, to] = [0, 1].map(|end| body + header[tensor]["data_offsets"][end].as_u64().unwrap() as usize);
    file[from..to].fill(0);
    std::fs::write(&path, file).unwrap();
    scratch
}

#[test]
fn a_policy_that_uses_all_of_its_inputs_ignores_none() {
    let lines = probed(&case("deep_fusion_llama"));
    let inputs: Vec<&str> = lines.iter().map(|line| line.split([',', ':']).next().unwrap()).collect();
    assert_eq!(inputs, ["camera `cam0`", "intrinsics of camera `cam0`", "state", "instruction"]);
    assert_eq!(ignored(&lines), [""; 0], "{lines:?}");
    assert!(lines.iter().all(|line| line.ends_with(" of their normalised unit")), "{lines:?}");
}

/// As the original's encoder does: the rays are there and nothing reads them.
#[test]
fn a_geometry_branch_that_ignores_the_intrinsics_is_named() {
    let rays = "geometric_model.map_anything_model.ray_dirs_encoder.proj.weight";
    let blind = with_zeros("deep_fusion_llama", rays);
    let lines = probed(&blind.path().join("case"));
    assert_eq!(lines.len(), 4);
    assert_eq!(ignored(&lines), ["intrinsics of camera `cam0`, fx and fy times 1.3"], "{lines:?}");
}

/// The original found the same: `sensitivity` of its case.json has 0 for the state.
#[test]
fn a_head_whose_mode_does_not_read_the_state_is_named() {
    assert_eq!(ignored(&probed(&case("dit_llava3d"))), ["state, every value moved"]);
}

#[test]
fn a_bundle_without_a_stored_run_cannot_be_probed() {
    let scratch = tempfile::tempdir().unwrap();
    let bundle = scratch.path().join("bundle").display().to_string();
    export("late_fusion_flow", &bundle, &["--golden", "off"]);
    let output = Command::new(env!("CARGO_BIN_EXE_vla")).args(["inspect", &bundle, "--probe"]).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let wanted = "vla: error: the bundle has no stored run to change inputs of: export it with --golden on\n";
    assert!(!output.status.success() && log.ends_with(wanted), "{log}");
}

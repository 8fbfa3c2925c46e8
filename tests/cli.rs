//! `vla` from outside, on the bundle whose numbers were worked out by hand (tests/data/recipes/tiny_bundle.py).

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bundles/tiny");

fn vla(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vla")).args(arguments).env("RUST_LOG", "warn").output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = vla(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The one line of a command that fails.
fn refusal(command: &mut Command) -> String {
    let output = command.env("RUST_LOG", "off").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// A 3x2 picture whose channels average 153, 51 and 102.
fn picture(dir: &Path) -> PathBuf {
    let path = dir.join("front.png");
    let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 3, 2);
    encoder.set_color(png::ColorType::Rgb);
    let red = [253, 0, 201, 100, 255, 109];
    let green = [1, 101, 50, 52, 2, 100];
    let blue = [102, 204, 0, 200, 4, 102];
    let pixels: Vec<u8> = (0..6).flat_map(|i| [red[i], green[i], blue[i]]).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    path
}

#[test]
fn infer_answers_one_observation_with_the_numbers_worked_out_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let image = format!("front={}", picture(dir.path()).display());
    let [state, out, stages] = ["state.json", "out.json", "stages.safetensors"].map(|name| dir.path().join(name));
    std::fs::write(&state, r#"{"observation.state": [1.5, -1], "note": "ignored"}"#).unwrap();
    let files = [&state, &out, &stages].map(|path| path.to_str().unwrap());
    let [state, out, stages] = files;
    let more = ["--state", state, "--out", out, "--stages", stages];
    let output = vla(&[&["infer", TINY, "--task", "Pick", "--image", &image][..], &more].concat());
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert!(log.contains("unknown key in the state file is ignored key=\"note\""), "{log}");

    let answer: serde_json::Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    // Channels become 0.2, -1.2, -0.8; state 0.5, -0.5; words 1, 2, 4. The second dimension spans 0 to 4.
    let third = 1.0 / 3.0;
    near(&answer["normalized"], [[2.1 + third, 1.4 + third, 1.6 + third], [1.9 + third, 2.6 + third, 2.4 + third]]);
    near(
        &answer["actions"],
        [[2.1 + third, 4.8 + 2.0 * third, 1.6 + third], [1.9 + third, 7.2 + 2.0 * third, 2.4 + third]],
    );
    assert_eq!(answer["names"], serde_json::json!(["unnamed", "unnamed", "unnamed"]));

    let bytes = std::fs::read(stages).unwrap();
    let stages = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names = stages.names();
    names.sort_unstable();
    let want =
        ["actions", "ids", "input.images.front", "input.state", "kept", "output.actions", "pixels", "state", "word"];
    assert_eq!(names, want);
    assert_eq!(stages.tensor("kept").unwrap().data(), [1, 0, 1, 0, 1, 0]);
    assert_eq!(stages.tensor("input.images.front").unwrap().data()[..6], [253, 1, 102, 0, 101, 204]);
}

fn near(got: &serde_json::Value, want: [[f64; 3]; 2]) {
    for (step, row) in want.iter().enumerate() {
        for (dim, want) in row.iter().enumerate() {
            let got = got[step][dim].as_f64().unwrap();
            assert!((got - want).abs() < 1e-6, "step {step} dimension {dim}: got {got}, wanted {want}");
        }
    }
}

#[test]
fn inspect_explains_a_bundle_on_one_screen() {
    let text = stdout(&["inspect", TINY, "--verify"]);
    let want = [
        "cameras      front",
        "input        ids <- instruction: lower case, prompt \"do {task} now\", ids by tokenizer.json",
        "run          text per instruction, 208 B",
        "               ids int64 [1, tokens] -> word fp32 [1, tokens, 1]",
        "length       tokens 2 to 20, tuned for 3",
        "actions      2 steps of 3 values, un-normalised from minimum and maximum",
        "files        3, every sha256 is right",
        "nodes: text on CPUExecutionProvider: 2 (1 Cast, 1 Unsqueeze)",
    ];
    for line in want {
        assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
    }
    assert!(text.lines().count() < 40);
    assert!(text.contains("onnx runtime 1."), "{text}");
}

#[test]
fn bench_measures_every_stage() {
    let report: serde_json::Value =
        serde_json::from_str(&stdout(&["bench", TINY, "--runs", "7", "--threads", "1", "--json"])).unwrap();
    let stages: Vec<_> = report["stages_ms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| (stage["name"].as_str().unwrap(), stage["runs"].as_u64().unwrap()))
        .collect();
    assert_eq!(stages, [("preprocess", 7), ("text", 3), ("body", 7), ("postprocess", 7)]);
    let total = &report["total_ms"];
    let body = report["stages_ms"][2]["median"].as_f64().unwrap();
    assert!(body > 0.0 && body < total["median"].as_f64().unwrap(), "{report:#}");
    assert!(total["median"].as_f64() <= total["p95"].as_f64() && total["p95"].as_f64() <= total["max"].as_f64());
    assert_eq!(report["placement"][0]["provider"], "CPUExecutionProvider");
    let table = stdout(&["bench", TINY, "--runs", "2"]);
    assert!(table.lines().any(|line| line.starts_with("stage, ms")), "{table}");
}

#[test]
fn a_missing_library_is_one_sentence_with_the_remedy() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vla"));
    command.args(["bench", TINY]).env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so");
    assert_eq!(
        refusal(&mut command),
        "vla: error: ONNX Runtime was not found; run scripts/setup or set ORT_DYLIB_PATH; \
         looked at /nowhere/libonnxruntime.so\n"
    );
}

#[test]
fn what_is_wrong_with_the_arguments_is_one_line() {
    let line = |arguments: &[&str]| refusal(Command::new(env!("CARGO_BIN_EXE_vla")).args(arguments));
    assert_eq!(
        line(&["bench", TINY, "--provider", "gpu"]),
        "vla: error: provider `gpu` is unknown, wanted cpu, cuda or tensorrt\n"
    );
    assert_eq!(
        line(&["infer", TINY, "--task", "pick"]),
        "vla: error: --image is missing for front, the policy wants front\n"
    );
    assert_eq!(
        line(&["infer", TINY, "--task", "pick", "--image", &format!("front={TINY}/manifest.json")]),
        format!("vla: error: image `front` is neither PNG nor JPEG: {TINY}/manifest.json\n")
    );
    let dir = tempfile::tempdir().unwrap();
    let image = format!("front={}", picture(dir.path()).display());
    assert_eq!(
        line(&["infer", TINY, "--task", "pick", "--image", &image]),
        "vla: error: the policy takes a state of 2 values: --state is missing\n"
    );
    assert_eq!(
        line(&["inspect", "/nowhere"]),
        "vla: error: cannot read bundle manifest: No such file or directory (os error 2): /nowhere/manifest.json\n"
    );
}

#[test]
fn without_arguments_there_is_help() {
    let output = vla(&[]);
    let text = String::from_utf8(output.stderr).unwrap();
    for command in ["export", "infer", "bench", "inspect"] {
        assert!(text.contains(&format!("  {command} ")), "{text}");
    }
}

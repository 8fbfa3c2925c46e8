//! Policies whose head or expert reads what a LLaVA-like model makes of pictures and text: exported and run as a user does
//! and compared with the original stage by stage, in every step of the loop. The originals' numbers of the steps come
//! from a joint pass, ours from what the prefix left.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

#[path = "fused/geometry.rs"]
mod geometry;
#[path = "fused/variants.rs"]
mod variants;

use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::SafeTensors;
use serde_json::{Value, json};

/// Name in the original's file, name in the bundle's plan, largest absolute difference.
type Stage = (&'static str, &'static str, f32);

const STAGES: [Stage; 5] = [
    ("pixel_values", "pixel_values", 0.0),
    ("vision.siglip", "vision.siglip", 3e-5),
    ("vision.projected", "vision.projected", 3e-5),
    ("prefix.embeds", "prefix_embeds", 3e-5),
    ("flow.noise", "flow.noise", 0.0),
];

#[test]
fn every_stage_and_step_of_a_layerwise_head_that_alternates_equals_the_original() {
    let case = Case::of("dit_layerwise");
    let run = case.run();
    run.check(&STAGES);
    run.check(&[("state.normalized", "state", 1e-6)]);
    run.check_memory("prefix.kv.block00", "context.block00", ["k", "v"]);
    run.check_memory("prefix.kv.block04", "context.block04", ["k", "v"]);
    // Blocks between two that read hidden states read none.
    assert!(run.tensors().names().iter().all(|name| !name.starts_with("context.block01")));
    run.check_steps(&case.original(), "flow.velocity", 1e-4);
    run.check_actions(4);
    let dropped = case.manifest()["checkpoint"]["dropped"].clone();
    let head = |part: &str| format!("action_model.model.{part}");
    let lm_head = "mapanythingllava3d_vlm_interface.model.language_model.model.lm_head.weight";
    assert_eq!(
        dropped,
        json!([
            head("proj_out_1.bias"),
            head("proj_out_1.weight"),
            head("proj_out_2.bias"),
            head("proj_out_2.weight"),
            lm_head
        ])
    );
}

#[test]
fn every_stage_and_step_of_a_layerwise_head_on_normalised_states_equals_the_original() {
    let case = Case::of("dit_llava3d");
    let run = case.run();
    run.check(&STAGES);
    run.check(&[("state.normalized", "state", 1e-6)]);
    run.check_memory("prefix.kv.block00", "context.block00", ["k", "v"]);
    run.check_memory("prefix.kv.block01", "context.block01", ["k", "v"]);
    run.check_steps(&case.original(), "flow.velocity", 1e-4);
    run.check_actions(4);
}

#[test]
fn every_stage_and_step_of_the_expert_behind_the_model_equals_the_original() {
    let case = Case::of("late_fusion_flow");
    let run = case.run();
    run.check(&STAGES);
    run.check(&[("context.hidden", "context.hidden", 1e-4), ("context.projected", "context.projected", 1e-4)]);
    run.check_memory("prefix.kv.layer00", "memory.00", ["keys", "values"]);
    run.check_memory("prefix.kv.layer03", "memory.03", ["keys", "values"]);
    run.check_steps(&case.original(), "flow.velocity", 1e-4);
    run.check_actions(10);
}

/// The numbers come from recipes/head_modes.py.
#[test]
fn every_mode_of_a_layerwise_head_equals_its_independent_computation() {
    let cases = [
        ("dit_layerwise", "F1"),
        ("dit_layerwise", "F1_sinusoid"),
        ("dit_layerwise", "F3_sinusoid"),
        ("dit_llava3d", "F2"),
        ("dit_llava3d", "F4"),
    ];
    for (name, mode) in cases {
        let case = Case::edited(name, |config| {
            config["head_mode"] = json!(&mode[..2]);
            if mode.ends_with("_sinusoid") {
                // A run that omits the key gets the class's default.
                variants::head(config)["diffusion_model_cfg"].as_object_mut().unwrap().remove("positional_embeddings");
            }
        });
        let wanted = std::fs::read(case.dir.join("modes.safetensors")).unwrap();
        // f32 against f64 through every block; the cases allow velocities 1.06e-3 (F3) and 7.8e-4 (F5). In the last step of
        // F1 with a sinusoid the recipe's own f32 is 1.1e-4 from its f64, seven times as far as in the first two.
        let tolerance = if mode == "F1_sinusoid" { 1.06e-3 } else { 5e-4 };
        case.run().check_steps(&wanted, mode, tolerance);
    }
}

/// The numbers come from recipes/deep_fusion.py, whose computation is that of a joint pass of the original.
#[test]
fn every_step_of_an_expert_beside_the_models_layers_equals_its_independent_computation() {
    for name in ["deep_fusion_v0", "deep_fusion_v1", "deep_fusion_v2"] {
        let case = Case::of(name);
        let run = case.run();
        run.check(&[("state.normalized", "state", 1e-5), ("flow.noise", "flow.noise", 0.0)]);
        run.check_ids();
        run.check_steps(&case.original(), "flow.velocity", 5e-4);
    }
}

#[test]
fn another_prefix_gives_another_velocity() {
    for name in ["dit_layerwise", "dit_llava3d", "late_fusion_flow", "deep_fusion_v2"] {
        let case = Case::of(name);
        let run = case.run();
        let other = case.infer(Some("open the drawer"));
        let [ours, other] = [&run, &other].map(|run| run.floats("flow.velocity.step0"));
        let moved = worst(&ours, &other);
        assert!(moved > 1e-2, "{name}: the instruction moves the velocity by {moved}");
    }
}

#[test]
fn an_instruction_with_a_word_for_pictures_is_refused() {
    let case = Case::of("late_fusion_flow");
    case.export();
    let output = case.command("infer", Some("pick up the <image> please"), &[]);
    assert!(!output.status.success());
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("has token 1025 at 1, ") && log.contains(", the policy wants it once, at 1"), "{log}");
}

/// A checkpoint, its inputs and its commands.
struct Case {
    dir: PathBuf,
    scratch: tempfile::TempDir,
}

impl Case {
    fn of(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoints").join(name);
        Self { dir, scratch: tempfile::tempdir().unwrap() }
    }

    /// A copy in which `config.json` is changed.
    fn edited(name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let Self { dir, scratch } = Self::of(name);
        let copy_dir = scratch.path().join("case");
        copy(&dir, &copy_dir);
        let case = Self { dir: copy_dir, scratch };
        case.edit("checkpoint/config.json", change);
        case
    }

    /// Changes a JSON file of a copy.
    fn edit(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let path = self.dir.join(file);
        let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(path, value.to_string()).unwrap();
    }

    fn original(&self) -> Vec<u8> {
        std::fs::read(self.dir.join("expected.safetensors")).unwrap()
    }

    fn manifest(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.scratch.path().join("bundle/manifest.json")).unwrap()).unwrap()
    }

    fn run(&self) -> Run {
        self.export();
        self.infer(None)
    }

    fn export(&self) {
        quiet(&self.command("export", None, &["--verify", "on"]));
    }

    fn infer(&self, task: Option<&str>) -> Run {
        let stages = self.scratch.path().join("stages.safetensors");
        quiet(&self.command("infer", task, &["--stages", stages.to_str().unwrap()]));
        let commands = self.commands();
        Run {
            original: self.original(),
            stages: std::fs::read(stages).unwrap(),
            answer: serde_json::from_slice(&std::fs::read(self.scratch.path().join("out.json")).unwrap()).unwrap(),
            tolerance: commands["compare"]["atol"].as_f64().unwrap(),
        }
    }

    fn commands(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.dir.join("run.json")).unwrap()).unwrap()
    }

    /// Runs a command of run.json in the case's folder; `@FILE` in it stands for the file's text, or for `task`.
    fn command(&self, name: &str, task: Option<&str>, more: &[&str]) -> std::process::Output {
        let commands = self.commands();
        let place = |name: &str| self.scratch.path().join(name).to_str().unwrap().to_owned();
        let arguments = commands[name].as_array().unwrap().iter().skip(1).map(|argument| {
            match (argument.as_str().unwrap(), task) {
                ("BUNDLE", _) => place("bundle"),
                ("OUT.json", _) => place("out.json"),
                (file, Some(task)) if file.starts_with('@') => task.to_owned(),
                (argument, _) => match argument.strip_prefix('@') {
                    Some(file) => std::fs::read_to_string(self.dir.join(file)).unwrap(),
                    None => argument.to_owned(),
                },
            }
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_vla"));
        command.current_dir(&self.dir).args(arguments).args(more).env("RUST_LOG", "warn").output().unwrap()
    }
}

/// An export or inference of a good checkpoint warns of nothing.
fn quiet(output: &std::process::Output) {
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert_eq!(log, "");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::write(to, std::fs::read(&from).unwrap()).unwrap();
        }
    }
}

/// What came out.
struct Run {
    original: Vec<u8>,
    stages: Vec<u8>,
    answer: Value,
    /// Largest absolute difference of an action.
    tolerance: f64,
}

impl Run {
    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.stages).unwrap()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        floats(&self.stages, name)
    }

    fn check(&self, stages: &[Stage]) {
        for (original, ours, tolerance) in stages {
            near(&floats(&self.original, original), &self.floats(ours), *tolerance, ours);
        }
    }

    /// The original's `[1, heads, tokens, width]` against our `[1, tokens, heads * width]`.
    fn check_memory(&self, original: &str, ours: &str, parts: [&str; 2]) {
        for (part, ours_part) in ["k", "v"].into_iter().zip(parts) {
            let name = format!("{original}.{part}");
            let file = SafeTensors::deserialize(&self.original).unwrap();
            let [_, heads, tokens, width] = file.tensor(&name).unwrap().shape().try_into().unwrap();
            let by_head = floats(&self.original, &name);
            let element = |index: usize| {
                let (token, head, at) = (index / (heads * width), index / width % heads, index % width);
                by_head[(head * tokens + token) * width + at]
            };
            let wanted: Vec<f32> = (0..by_head.len()).map(element).collect();
            near(&wanted, &self.floats(&format!("{ours}.{ours_part}")), 1e-4, &name);
        }
    }

    /// The velocities `[steps, chunk, dim]` under `name` in `file`.
    fn check_steps(&self, file: &[u8], name: &str, tolerance: f32) {
        let steps = SafeTensors::deserialize(file).unwrap().tensor(name).unwrap().shape()[0];
        let wanted = floats(file, name);
        for (step, wanted) in wanted.chunks(wanted.len() / steps).enumerate() {
            let ours = format!("flow.velocity.step{step}");
            near(wanted, &self.floats(&ours), tolerance, &ours);
        }
    }

    fn check_ids(&self) {
        let file = SafeTensors::deserialize(&self.original).unwrap();
        let ids = |file: &SafeTensors| file.tensor("input_ids").unwrap().data().to_vec();
        assert_eq!(ids(&self.tensors()), ids(&file));
    }

    fn check_actions(&self, steps: u64) {
        assert_eq!(self.answer["denoise_steps"], steps);
        self.check_ids();
        let file = SafeTensors::deserialize(&self.original).unwrap();
        let wanted = file.tensor("actions_f64").unwrap();
        let wanted: Vec<f64> = wanted.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        let rows = self.answer["actions"].as_array().unwrap();
        let got: Vec<f64> = rows.iter().flat_map(|row| row.as_array().unwrap()).map(|v| v.as_f64().unwrap()).collect();
        assert_eq!(got.len(), wanted.len());
        for (index, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
            assert!((got - wanted).abs() <= self.tolerance, "action {index} is {got}, the original's {wanted}");
        }
    }
}

fn near(wanted: &[f32], got: &[f32], tolerance: f32, what: &str) {
    assert_eq!(wanted.len(), got.len(), "{what}");
    let worst = worst(wanted, got);
    assert!(worst <= tolerance, "{what} differs from the original by {worst}, more than {tolerance}");
}

fn worst(wanted: &[f32], got: &[f32]) -> f32 {
    wanted.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn floats(file: &[u8], name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(file).unwrap();
    file.tensor(name).unwrap().data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

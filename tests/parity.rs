//! Checkpoints whose every intermediate tensor the original projects computed: exported and run as a user does, with
//! the commands of each case's run.json, and compared stage by stage.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

#[path = "parity/flow.rs"]
mod flow;

use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;

/// Name in the original's file, name in the bundle's plan, largest absolute difference.
type Stage = (&'static str, &'static str, f32);

const STAGES: [Stage; 10] = [
    ("pixel_values", "pixel_values", 0.0),
    ("proprio.normalized", "proprio", 0.0),
    ("vision.dino", "vision.dino", 1e-4),
    ("vision.siglip", "vision.siglip", 1e-4),
    ("projected_patches", "projected_patches", 1e-4),
    ("proprio.token", "proprio_token", 1e-5),
    ("multimodal_embeds", "multimodal_embeds", 1e-4),
    ("llm.final_norm", "hidden_states", 2e-4),
    ("action_hidden_states", "action_hidden_states", 1e-4),
    ("normalized_actions", "normalized_actions", 1e-4),
];

#[test]
fn every_stage_of_the_regression_policy_equals_the_original() {
    let run = Run::of("openvla_oft_l1");
    run.check(&STAGES);
}

#[test]
fn every_stage_of_the_pruning_policy_equals_the_original_and_the_kept_tokens_are_the_same() {
    let run = Run::of("lightvla_l1");
    run.check(&STAGES);
    run.check(&[("prune.pruned_embeds", "pruned_embeds", 1e-4)]);
    let [expected, stages] = run.tensors();
    let kept = stages.tensor("prune.kept_mask").unwrap();
    assert_eq!(kept.data(), expected.tensor("prune.kept_mask").unwrap().data());
    assert_eq!(kept.data().iter().map(|k| usize::from(*k)).sum::<usize>(), 16);
    let positions = ids(&stages.tensor("position_ids").unwrap());
    assert_eq!(positions, ids(&expected.tensor("prune.position_ids").unwrap()));
}

#[test]
fn every_stage_of_the_policy_with_modulated_vision_equals_the_original() {
    let run = Run::of("openvla_oft_film");
    run.check(&STAGES);
    run.check(&[("film.average_language_embedding", "text_embedding", 1e-6)]);
}

#[test]
fn every_stage_of_the_policy_with_action_tokens_equals_the_original_and_the_tokens_are_the_same() {
    let run = Run::of("openvla_oft_discrete");
    let stages: Vec<Stage> = STAGES.into_iter().filter(|(original, ..)| !original.starts_with("proprio")).collect();
    run.check(&stages);
    let [expected, stages] = run.tensors();
    let tokens = ids(&stages.tensor("action_token_ids").unwrap());
    assert_eq!(tokens, ids(&expected.tensor("action_token_ids").unwrap()));
    // The case holds tokens on both sides of the 256 that stand for actions.
    assert!(tokens.iter().any(|id| *id < 768) && tokens.iter().any(|id| *id > 1023), "{tokens:?}");
}

/// The original stores tensors of the language model for the first step, and the head's input for the last one.
const DENOISING_STAGES: [Stage; 10] = [
    ("pixel_values", "pixel_values", 0.0),
    ("proprio.normalized", "proprio", 0.0),
    ("vision.dino", "vision.dino", 1e-4),
    ("vision.siglip", "vision.siglip", 1e-4),
    ("projected_patches", "projected_patches", 1e-4),
    ("diffusion.noise", "diffusion.noise", 0.0),
    ("multimodal_embeds", "multimodal_embeds.step0", 1e-4),
    ("llm.final_norm", "hidden_states.step0", 2e-4),
    ("action_hidden_states", "action_hidden_states.step49", 1e-3),
    ("normalized_actions", "normalized_actions", 3.34e-4),
];

#[test]
fn every_stage_and_step_of_the_denoising_policy_equals_the_original() {
    let run = Run::of("openvla_oft_diffusion");
    run.check(&DENOISING_STAGES);
    let [expected, stages] = run.tensors();
    let predictions = floats(&expected.tensor("diffusion.noise_pred").unwrap());
    for (step, want) in predictions.chunks(8 * 7).enumerate() {
        let got = floats(&stages.tensor(&format!("noise_prediction.step{step}")).unwrap());
        let worst = worst(want, &got);
        assert!(worst <= 3e-4, "step {step} differs from the original by {worst}");
    }
    assert_eq!(run.answer["denoise_steps"], 50);
}

#[test]
fn every_stage_of_the_policy_that_prunes_between_layers_equals_the_original_and_so_do_the_kept_tokens() {
    let run = Run::of("cogvla_nofilm");
    run.check(&STAGES);
    run.check_kept_patches(&[(1, 16), (3, 16), (5, 16), (7, 16)]);
}

#[test]
fn every_stage_of_a_policy_that_is_an_adapter_equals_the_original_merged_in_fp32() {
    let run = Run::of("cogvla");
    run.check(&STAGES);
    run.check(&[("film.average_language_embedding", "text_embedding", 1e-6)]);
    run.check_kept_patches(&[(2, 29), (3, 29), (4, 28), (5, 27), (6, 26), (7, 25)]);
}

#[test]
fn every_stage_of_the_policy_that_writes_tokens_equals_the_original_and_the_tokens_are_the_same() {
    let run = Run::of("openvla_base");
    let absent = ["proprio.normalized", "proprio.token", "action_hidden_states"];
    let stages: Vec<Stage> = STAGES.into_iter().filter(|(original, ..)| !absent.contains(original)).collect();
    run.check(&stages);
    let [expected, stages] = run.tensors();
    let tokens = ids(&stages.tensor("action_token_ids").unwrap());
    assert_eq!(tokens, ids(&expected.tensor("action_token_ids").unwrap()));
    // Step 5 reads the sixth token after 37 + 5 others.
    assert_eq!(stages.tensor("next_key.3.step5").unwrap().shape(), [1, 37 + 6, 24]);
}

/// One case, exported and run.
struct Run {
    expected: Vec<u8>,
    stages: Vec<u8>,
    answer: Value,
    /// Largest absolute difference of an action.
    tolerance: f64,
}

impl Run {
    fn of(case: &str) -> Self {
        Self::told(case, None)
    }

    /// The case, with `task` in place of its own instruction.
    fn told(case: &str, task: Option<&str>) -> Self {
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoints").join(case);
        let scratch = tempfile::tempdir().unwrap();
        let [bundle, out, stages] = ["bundle", "out.json", "stages.safetensors"].map(|name| scratch.path().join(name));
        let mut commands: Value = serde_json::from_slice(&std::fs::read(case.join("run.json")).unwrap()).unwrap();
        if let Some(task) = task {
            let instruction =
                commands["infer"].as_array_mut().unwrap().iter_mut().find(|word| *word == "@input/instruction.txt");
            *instruction.unwrap() = task.into();
        }
        vla(&case, &commands["export"], &[("BUNDLE", &bundle)], &["--verify", "on"]);
        let more = ["--stages", stages.to_str().unwrap()];
        vla(&case, &commands["infer"], &[("BUNDLE", &bundle), ("OUT.json", &out)], &more);
        Self {
            expected: std::fs::read(case.join("expected.safetensors")).unwrap(),
            stages: std::fs::read(stages).unwrap(),
            answer: serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap(),
            tolerance: commands["compare"]["atol"].as_f64().unwrap(),
        }
    }

    fn tensors(&self) -> [SafeTensors<'_>; 2] {
        [&self.expected, &self.stages].map(|bytes| SafeTensors::deserialize(bytes).unwrap())
    }

    /// Which patches each pruning layer kept, by layer and count.
    fn check_kept_patches(&self, layers: &[(u64, usize)]) {
        let [expected, got] = self.tensors();
        let patches = expected.tensor("projected_patches").unwrap().shape()[1] as i64;
        for (layer, count) in layers {
            let rows = ids(&expected.tensor(&format!("lfp.layer{layer:02}.kept_indices")).unwrap());
            // Row 0 is the first token, and the patches follow it.
            let want: Vec<i64> = rows.iter().map(|row| row - 1).filter(|patch| (0..patches).contains(patch)).collect();
            let got = ids(&got.tensor(&format!("lfp.layer{layer:02}.kept_patches")).unwrap());
            assert_eq!((got.len(), &got), (*count, &want), "layer {layer}");
        }
        let pruning = got.names().iter().filter(|name| name.ends_with(".kept_patches")).count();
        assert_eq!(pruning, layers.len());
    }

    fn check(&self, stages: &[Stage]) {
        let [expected, got] = self.tensors();
        for (original, ours, tolerance) in stages {
            let [want, got] = [floats(&expected.tensor(original).unwrap()), floats(&got.tensor(ours).unwrap())];
            assert_eq!(want.len(), got.len(), "{ours}");
            let worst = worst(&want, &got);
            assert!(worst <= *tolerance, "{ours} differs from the original by {worst}, more than {tolerance}");
        }
        let prompt = ids(&expected.tensor("prompt.input_ids").unwrap());
        assert_eq!(ids(&got.tensor("input_ids").unwrap())[..prompt.len()], prompt);
        self.check_actions();
    }

    /// The answer, as f64 where the original computed it so.
    fn check_actions(&self) {
        let [expected, _] = self.tensors();
        let want: Vec<f64> = match expected.tensor("actions_f64") {
            Ok(tensor) => tensor.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Err(_) => floats(&expected.tensor("actions").unwrap()).into_iter().map(f64::from).collect(),
        };
        let rows = self.answer["actions"].as_array().unwrap();
        let got: Vec<f64> = rows.iter().flat_map(|row| row.as_array().unwrap()).map(|v| v.as_f64().unwrap()).collect();
        let steps = self.answer["actions"][0].as_array().map(|row| want.len() / row.len());
        assert_eq!((Some(rows.len()), got.len()), (steps, want.len()));
        for (index, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!((got - want).abs() <= self.tolerance, "action {index} is {got}, the original's {want}");
        }
    }
}

/// Runs a command of run.json in the case's folder; `@FILE` in it stands for the file's text.
fn vla(case: &Path, arguments: &Value, places: &[(&str, &PathBuf)], more: &[&str]) {
    let arguments = arguments.as_array().unwrap().iter().skip(1).map(|argument| {
        let argument = argument.as_str().unwrap();
        match (argument.strip_prefix('@'), places.iter().find(|(word, _)| *word == argument)) {
            (Some(file), _) => std::fs::read_to_string(case.join(file)).unwrap(),
            (None, Some((_, path))) => path.to_str().unwrap().to_owned(),
            (None, None) => argument.to_owned(),
        }
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_vla"));
    let output = command.current_dir(case).args(arguments).args(more).env("RUST_LOG", "warn").output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert_eq!(log, "", "an export or inference of a good checkpoint warns of nothing");
}

fn worst(want: &[f32], got: &[f32]) -> f32 {
    want.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn floats(tensor: &TensorView) -> Vec<f32> {
    tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn ids(tensor: &TensorView) -> Vec<i64> {
    tensor.data().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

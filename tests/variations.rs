//! Checkpoints as no stored case has them: other cameras, no state, another fusion, no pruning; exported, run twice, and
//! held to what must be true of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::SafeTensors;
use serde_json::{Value, json};

/// A copy of the adapter case, in which files may be gone and the configuration another one.
struct Variation {
    root: tempfile::TempDir,
}

impl Variation {
    fn new() -> Self {
        let variation = Self { root: tempfile::tempdir().unwrap() };
        for folder in ["checkpoint", "checkpoint/lora_adapter", "base_checkpoint"] {
            std::fs::create_dir(variation.path(folder)).unwrap();
            for entry in std::fs::read_dir(case().join(folder)).unwrap() {
                let from = entry.unwrap().path();
                if from.is_file() {
                    let to = variation.path(folder).join(from.file_name().unwrap());
                    std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
                }
            }
        }
        variation
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn without(self, component: &str) -> Self {
        std::fs::remove_file(self.path("checkpoint").join(format!("{component}--60000_checkpoint.pt"))).unwrap();
        self
    }

    fn with_config(self, change: impl FnOnce(&mut Value)) -> Self {
        let path = self.path("checkpoint/config.json");
        let mut config = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        std::fs::write(&path, config.to_string()).unwrap();
        self
    }

    /// Exports for these cameras, whose pictures are the case's, and keeps every tensor of one run.
    fn stages(&self, cameras: &[(&str, usize)]) -> Vec<u8> {
        let names: Vec<&str> = cameras.iter().map(|(name, _)| *name).collect();
        let [bundle, stages] = ["bundle", "stages.safetensors"].map(|name| self.path(name).display().to_string());
        let facts = "--chunk-size 8 --norm quantile --image-pipeline openvla_oft --center-crop on \
                     --unnorm-key libero_spatial_no_noops --system cogvla --verify on";
        let mut export: Vec<String> =
            std::iter::once("export").chain(facts.split_whitespace()).map(str::to_owned).collect();
        for (flag, folder) in [("--checkpoint", "checkpoint"), ("--base-checkpoint", "base_checkpoint")] {
            export.extend([flag.to_owned(), self.path(folder).display().to_string()]);
        }
        export.extend(["--out".to_owned(), bundle.clone(), "--cameras".to_owned(), names.join(",")]);
        vla(&export);
        let mut infer =
            ["infer", &bundle, "--task", "Open the top drawer", "--stages", &stages].map(str::to_owned).to_vec();
        for (name, picture) in cameras {
            let picture = case().join(format!("input/image_{picture}.png"));
            infer.extend(["--image".to_owned(), format!("{name}={}", picture.display())]);
        }
        if self.path("checkpoint/proprio_projector--60000_checkpoint.pt").exists() {
            infer.extend(["--state".to_owned(), case().join("input/proprio.json").display().to_string()]);
        }
        vla(&infer);
        std::fs::read(stages).unwrap()
    }
}

fn case() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoints/cogvla")
}

fn vla(arguments: &[String]) {
    let output = Command::new(env!("CARGO_BIN_EXE_vla")).args(arguments).env("RUST_LOG", "warn").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn floats(tensors: &SafeTensors, name: &str) -> Vec<f32> {
    tensors.tensor(name).unwrap().data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn kept(tensors: &SafeTensors) -> Vec<usize> {
    let mut names: Vec<&str> = tensors.names().into_iter().filter(|name| name.ends_with(".kept_patches")).collect();
    names.sort_unstable();
    names.into_iter().map(|name| tensors.tensor(name).unwrap().shape()[0]).collect()
}

#[test]
fn three_cameras_without_state_prune_their_common_tokens() {
    let stages = Variation::new().without("proprio_projector").stages(&[("front", 0), ("wrist", 1), ("side", 0)]);
    let tensors = SafeTensors::deserialize(&stages).unwrap();
    assert_eq!(tensors.tensor("projected_patches").unwrap().shape(), [1, 60, 24]);
    // int(60 * (cos(i pi / 31) / 2 + 0.25)) for i from 2 to 7.
    assert_eq!(kept(&tensors), [44, 43, 42, 41, 39, 37]);
    // Every camera goes through the same towers.
    let tokens = floats(&tensors, "projected_patches");
    let [front, wrist, side] = [0, 1, 2].map(|camera| &tokens[camera * 20 * 24..(camera + 1) * 20 * 24]);
    assert_eq!(front, side);
    assert_ne!(front, wrist);
}

#[test]
fn a_stack_that_never_prunes_takes_no_router_and_keeps_everything() {
    let variation = Variation::new().without("non_lora_trainables").with_config(|config| {
        config["vision_aggregate_type"] = json!("concat");
        config["text_config"]["use_lfp"] = json!(false);
    });
    let stages = variation.stages(&[("front", 0)]);
    let tensors = SafeTensors::deserialize(&stages).unwrap();
    assert_eq!(kept(&tensors), [0; 0]);
    assert!(tensors.tensor("moe.ratios").is_err());
    // The base model's own projector, in f64: features side by side, three layers, GELU between them.
    let base = std::fs::read(case().join("base_checkpoint/model.safetensors")).unwrap();
    let base = SafeTensors::deserialize(&base).unwrap();
    let [first, second] = ["vision.dino", "vision.siglip"].map(|name| floats(&tensors, name));
    let got = floats(&tensors, "projected_patches");
    for token in 0..20 {
        let features = [&first[token * 20..(token + 1) * 20], &second[token * 24..(token + 1) * 24]].concat();
        let mut x: Vec<f64> = features.into_iter().map(f64::from).collect();
        for layer in ["fc1", "fc2", "fc3"] {
            x = linear(&base, &format!("projector.{layer}"), &x);
            if layer != "fc3" {
                x = x.into_iter().map(gelu).collect();
            }
        }
        for (got, want) in got[token * 24..].iter().zip(&x) {
            assert!((f64::from(*got) - want).abs() < 1e-4, "token {token}: {got}, wanted {want}");
        }
    }
}

fn bf16(tensors: &SafeTensors, name: &str) -> Vec<f64> {
    let bytes = tensors.tensor(name).unwrap();
    bytes.data().as_chunks().0.iter().map(|bytes| f64::from(half::bf16::from_le_bytes(*bytes).to_f32())).collect()
}

fn linear(tensors: &SafeTensors, name: &str, x: &[f64]) -> Vec<f64> {
    let (weight, bias) = (bf16(tensors, &format!("{name}.weight")), bf16(tensors, &format!("{name}.bias")));
    weight
        .chunks(x.len())
        .zip(bias)
        .map(|(row, bias)| row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>() + bias)
        .collect()
}

/// `x / 2 * (1 + erf(x / sqrt 2))`, erf by its series.
fn gelu(x: f64) -> f64 {
    let z = x / 2.0_f64.sqrt();
    if z.abs() > 5.0 {
        return x.max(0.0);
    }
    let (mut term, mut sum) = (z, z);
    for n in 1..120 {
        term *= -z * z / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    x / 2.0 * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
}

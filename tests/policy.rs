//! The policy on a bundle whose numbers were worked out by hand (tests/data/recipes/tiny_bundle.py has the formulas).

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::path::{Path, PathBuf};

use vla_bundle::{Bundle, Integrity};
use vla_runtime::noise::Noise;
use vla_runtime::policy::{Observer, Policy, PolicyError, PolicyOptions, Provider, runtime_info};
use vla_runtime::tensor::{Tensor, TensorData};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bundles/tiny")
}

fn load(dir: &Path) -> Result<Policy, PolicyError> {
    Policy::load(&Bundle::load(dir, Integrity::Sizes).unwrap(), &PolicyOptions::default())
}

/// Channel means 1, 2 and -0.5; the word's mean is 2 for ids 1, 2, 3.
fn inputs(ids: &[i64]) -> Vec<(String, Tensor)> {
    let pixels = [1, -2, 3, -4, 5, 3, 1, 3, 2, 2, 0, 4, -3, 0, 1, -1, 2, -2].map(|v| v as f32).to_vec();
    vec![
        ("pixels".into(), Tensor::new(vec![1, 3, 2, 3], TensorData::F32(pixels))),
        ("state".into(), Tensor::new(vec![1, 2], TensorData::F32(vec![0.5, -2.0]))),
        ("ids".into(), Tensor::new(vec![1, ids.len()], TensorData::I64(ids.to_vec()))),
    ]
}

#[derive(Default)]
struct Watch {
    stages: Vec<String>,
    tensors: Vec<(String, Tensor)>,
}

impl Observer for Watch {
    fn stage(&mut self, name: &str) {
        self.stages.push(name.to_owned());
    }
    fn wants_tensors(&self) -> bool {
        true
    }
    fn tensor(&mut self, name: &str, value: &Tensor) {
        self.tensors.push((name.to_owned(), value.clone()));
    }
}

#[test]
fn the_plan_computes_what_was_worked_out_by_hand() {
    let outputs = load(&tiny()).unwrap().run(inputs(&[1, 2, 3]), &Noise::default(), &mut ()).unwrap();
    let actions = vec![2.5, 3.0, 1.75, 0.0, -2.0, 3.0];
    assert_eq!(outputs.actions, Tensor::new(vec![2, 3], TensorData::F32(actions)));
    let kept = vec![true, false, true, false, true, true];
    assert_eq!(outputs.kept_tokens, Some(Tensor::new(vec![1, 6], TensorData::Bool(kept))));
}

#[test]
fn graphs_of_the_instruction_run_again_only_when_it_changes() {
    let mut policy = load(&tiny()).unwrap();
    let mut watch = Watch::default();
    let first = policy.run(inputs(&[1, 2, 3]), &Noise::default(), &mut watch).unwrap();
    let second = policy.run(inputs(&[1, 2, 3]), &Noise::default(), &mut watch).unwrap();
    let third = policy.run(inputs(&[4, 4]), &Noise::default(), &mut watch).unwrap();
    assert_eq!(watch.stages, ["text", "body", "body", "text", "body"]);
    assert_eq!(first, second);
    assert_eq!(third.actions.as_f32().unwrap(), [4.5, 5.0, 3.75, 2.0, 0.0, 5.0]);
}

#[test]
fn an_observer_sees_every_tensor_that_the_plan_makes() {
    let mut watch = Watch::default();
    load(&tiny()).unwrap().run(inputs(&[3, 1]), &Noise::default(), &mut watch).unwrap();
    let names: Vec<_> = watch.tensors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["word", "actions", "kept"]);
    assert_eq!(watch.tensors[0].1, Tensor::new(vec![1, 2, 1], TensorData::F32(vec![3.0, 1.0])));
}

#[test]
fn a_tensor_of_another_shape_is_refused_with_both_shapes() {
    let mut policy = load(&tiny()).unwrap();
    let mut wide = inputs(&[1, 2]);
    wide[0].1 = Tensor::new(vec![1, 3, 2, 4], TensorData::F32(vec![0.5; 24]));
    assert_eq!(
        policy.run(wide, &Noise::default(), &mut ()).unwrap_err().to_string(),
        "graph `body` input `pixels`: got [1, 3, 2, 4], the manifest wants [1, 3, 2, 3]"
    );
    assert_eq!(
        policy.run(inputs(&[3; 21]), &Noise::default(), &mut ()).unwrap_err().to_string(),
        "graph `text` input `ids`: got [1, 21], the manifest wants [1, tokens] with tokens from 2 to 20"
    );
    let mut stateless = inputs(&[1, 2]);
    stateless.remove(1);
    assert_eq!(
        policy.run(stateless, &Noise::default(), &mut ()).unwrap_err().to_string(),
        "graph `body` input `state`: no tensor of this name was given"
    );
    policy.run(inputs(&[1, 2]), &Noise::default(), &mut ()).expect("a refused tensor leaves the policy usable");
}

/// A copy of the tiny bundle whose manifest went through `change`.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(tiny()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = dir.path().join("manifest.json");
    let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(path, manifest.to_string()).unwrap();
    dir
}

#[test]
fn a_graph_that_is_not_what_the_manifest_says_is_refused() {
    let dir = changed(|manifest| manifest["graphs"]["body"]["inputs"][0]["dims"][3] = 4.into());
    assert_eq!(
        load(dir.path()).err().unwrap().to_string(),
        "graph `body` input `pixels`: the file has fp32 [1, 3, 2, 3], the manifest says fp32 [1, 3, 2, 4]"
    );
    let dir = changed(|manifest| manifest["graphs"]["body"]["outputs"][1]["name"] = "mask".into());
    let error = Bundle::load(dir.path(), Integrity::Sizes).unwrap_err().to_string();
    assert!(error.contains("kept-token mask `kept`"), "{error}");
    let dir = changed(|manifest| {
        manifest["graphs"]["body"]["outputs"].as_array_mut().unwrap().pop();
        manifest["actions"]["kept_tokens"] = serde_json::Value::Null;
    });
    assert_eq!(
        load(dir.path()).err().unwrap().to_string(),
        "graph `body` output `kept`: the file has bool [1, 6], the manifest says no such tensor"
    );
}

#[test]
fn a_tensor_that_a_graph_makes_is_held_to_the_manifest_too() {
    let dir = changed(|manifest| {
        manifest["dims"]["words"] = serde_json::json!({"min": 1, "opt": 2, "max": 2});
        manifest["graphs"]["text"]["outputs"][0]["dims"][1] = "words".into();
        manifest["graphs"]["body"]["inputs"][2]["dims"][1] = "words".into();
    });
    assert_eq!(
        load(dir.path()).unwrap().run(inputs(&[1, 2, 3]), &Noise::default(), &mut ()).unwrap_err().to_string(),
        "graph `text` output `word`: got [1, 3, 1], the manifest wants [1, words, 1] with words from 1 to 2"
    );
}

#[test]
fn a_file_that_is_no_graph_is_named() {
    let dir = changed(|manifest| manifest["files"]["text.onnx"]["bytes"] = 3.into());
    std::fs::write(dir.path().join("text.onnx"), "abc").unwrap();
    let message = load(dir.path()).err().unwrap().to_string();
    let path = dir.path().join("text.onnx");
    assert!(message.starts_with("graph `text`: ") && message.ends_with(&path.display().to_string()), "{message}");
}

#[test]
fn a_provider_that_the_library_lacks_is_an_error_and_no_fallback() {
    let bundle = Bundle::load(&tiny(), Integrity::Sizes).unwrap();
    let runtime = runtime_info().unwrap();
    for name in ["cuda", "tensorrt"] {
        let options = PolicyOptions { provider: Provider::from_text(name, &[]).unwrap(), ..PolicyOptions::default() };
        assert_eq!(
            Policy::load(&bundle, &options).err().unwrap().to_string(),
            format!(
                "provider `{name}`: ONNX Runtime {} was built without it; set ORT_DYLIB_PATH to a build that has it: {}",
                runtime.version,
                runtime.path.display()
            )
        );
    }
}

#[test]
fn placement_tells_which_provider_runs_which_operators() {
    let policy = load(&tiny()).unwrap();
    let placement = policy.placement().expect("scripts/setup brings a library that can tell");
    assert!(placement.iter().all(|p| p.provider == "CPUExecutionProvider"), "{placement:?}");
    let body = placement.iter().find(|p| p.graph == "body").unwrap();
    assert_eq!(body.op_types["ReduceMean"], 2);
    assert_eq!(body.nodes, body.op_types.values().sum::<usize>());
    assert!(placement.iter().any(|p| p.graph == "text"));
}

#[test]
fn policies_load_and_run_in_many_threads_at_once() {
    fn movable<T: Send>(value: T) -> T {
        value
    }
    let run = |_| {
        std::thread::spawn(|| {
            let mut policy = movable(load(&tiny()).unwrap());
            (0..20).map(|_| policy.run(inputs(&[1, 2, 3]), &Noise::default(), &mut ()).unwrap()).collect::<Vec<_>>()
        })
    };
    let threads: Vec<_> = (0..8).map(run).collect();
    let results: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(results.len(), 160);
    assert!(results.iter().all(|result| result == &results[0]));
}

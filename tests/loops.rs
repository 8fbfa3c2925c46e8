//! The plan's loops, on bundles whose numbers are worked out by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

#[path = "loops/allocations.rs"]
mod allocations;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use onnx_export::graph::{Graph, fixed, symbol};
use serde_json::{Value, json};
use tempfile::TempDir;
use vla_bundle::{Bundle, Dtype, Integrity, Manifest, Range};
use vla_runtime::noise::Noise;
use vla_runtime::policy::{Observer, Outputs, Policy, PolicyError, PolicyOptions};
use vla_runtime::tensor::{Tensor, TensorData};

/// The tiny bundle, whose `body` makes `actions` [2, 3], with `graphs` and `stages` after its own; `result` is the action.
fn bundle(graphs: Vec<Graph<'_>>, stages: &Value, result: &str) -> (TempDir, Bundle) {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bundles/tiny");
    for entry in std::fs::read_dir(&tiny).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let text = std::fs::read_to_string(tiny.join("manifest.json")).unwrap();
    let mut manifest: Manifest = serde_json::from_str(&text).unwrap();
    for graph in graphs {
        let name = graph.name().to_owned();
        let saved = graph.save(dir.path(), &mut |_| ()).unwrap();
        manifest.files.extend(saved.files);
        manifest.graphs.insert(name, saved.graph);
    }
    manifest.plan.extend(serde_json::from_value::<Vec<vla_bundle::Stage>>(stages.clone()).unwrap());
    for symbol in ["seen_before", "seen", "seen_next"] {
        manifest.dims.insert(symbol.to_owned(), Range { min: 1, opt: 4, max: 40 });
    }
    result.clone_into(&mut manifest.actions.tensor);
    std::fs::write(dir.path().join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    let bundle = Bundle::load(dir.path(), Integrity::Sizes).unwrap();
    (dir, bundle)
}

/// The tiny bundle's `actions` are 2.5, 3, 1.75, 0, -2, 3 for these.
fn inputs() -> Vec<(String, Tensor)> {
    let pixels = [1, -2, 3, -4, 5, 3, 1, 3, 2, 2, 0, 4, -3, 0, 1, -1, 2, -2].map(|v| v as f32).to_vec();
    vec![
        ("pixels".into(), Tensor::new(vec![1, 3, 2, 3], TensorData::F32(pixels))),
        ("state".into(), Tensor::new(vec![1, 2], TensorData::F32(vec![0.5, -2.0]))),
        ("ids".into(), Tensor::new(vec![1, 3], TensorData::I64(vec![1, 2, 3]))),
    ]
}

/// Velocity `x * t + actions`.
fn flow() -> (TempDir, Bundle) {
    flow_from("fp32")
}

/// The same, whose noise is drawn in this precision.
fn flow_from(precision: &str) -> (TempDir, Bundle) {
    let mut graph = Graph::new("velocity");
    let x = graph.input("x", Dtype::Fp32, &[fixed(2), fixed(3)]).unwrap();
    let t = graph.input("t", Dtype::Fp32, &[fixed(1)]).unwrap();
    let actions = graph.input("actions", Dtype::Fp32, &[fixed(2), fixed(3)]).unwrap();
    let mut root = graph.root();
    let scaled = root.mul("scaled", &x, &t).unwrap();
    let v = root.add("sum", &scaled, &actions).unwrap();
    graph.output("v", &v).unwrap();
    let stages = json!([{
        "stage": "denoise", "body": ["velocity"], "noise": {"tensor": "flow.noise", "dtype": precision}, "sample": "x",
        "times": [{"tensor": "t", "encoding": {"kind": "scalar"}}], "prediction": "v", "result": "denoised", "steps": 2,
        "rule": {"kind": "flow", "t_noise": 1, "target": "noise_minus_data", "grid": "uniform_fp64"}
    }]);
    bundle(vec![graph], &stages, "denoised")
}

const NOISE: [f32; 6] = [1.0, -2.0, 0.5, 4.0, -8.0, 0.0];

fn given(numbers: &[f32]) -> Noise {
    Noise::Given(Arc::from(numbers))
}

fn denoise(steps: Option<usize>, noise: &Noise) -> Result<Outputs, PolicyError> {
    let (_dir, bundle) = flow();
    let options = PolicyOptions { denoise_steps: steps.and_then(NonZeroUsize::new), ..PolicyOptions::default() };
    Policy::load(&bundle, &options)?.run(inputs(), noise, &mut ())
}

#[test]
fn a_flow_integrates_from_the_given_noise() {
    // By hand, with noise n and a = actions: t = 1 gives n/2 - a/2, then t = 1/2 gives 0.375 n - 0.875 a.
    let outputs = denoise(None, &given(&NOISE)).unwrap();
    let want = vec![-1.8125, -3.375, -1.34375, 1.5, -1.25, -2.625];
    assert_eq!(outputs.actions, Tensor::new(vec![2, 3], TensorData::F32(want)));
    assert_eq!(outputs.denoise_steps, 2);
}

#[test]
fn a_loop_that_is_watched_makes_what_one_that_is_not_makes_and_shows_each_step() {
    let (_dir, bundle) = flow();
    let mut watch = Watch::default();
    let outputs = Policy::load(&bundle, &PolicyOptions::default()).unwrap().run(inputs(), &given(&NOISE), &mut watch);
    assert_eq!(outputs.unwrap(), denoise(None, &given(&NOISE)).unwrap());
    // n + a in the first step, a quarter of n and three quarters of a in the second one.
    assert_eq!(watch.velocities, [[3.5, 1.0, 2.25, 4.0, -10.0, 3.0], [2.125, 1.75, 1.4375, 1.0, -3.5, 2.25]]);
}

#[test]
fn fewer_steps_may_be_asked_for_and_the_result_says_how_many_ran() {
    // One step: n - (n + a) = -a.
    let outputs = denoise(Some(1), &given(&NOISE)).unwrap();
    assert_eq!(outputs.actions.as_f32().unwrap(), [-2.5, -3.0, -1.75, 0.0, 2.0, -3.0]);
    assert_eq!(outputs.denoise_steps, 1);
    let refused = denoise(Some(1001), &given(&NOISE)).unwrap_err().to_string();
    assert_eq!(refused, "denoise steps: got 1001, the policy takes 1 to 1000");
}

#[test]
fn a_seed_gives_the_same_actions_again_and_another_inference_others() {
    let seeded = |seed, stream| denoise(None, &Noise::Seeded { seed, stream }).unwrap().actions;
    assert_eq!(seeded(3, 1), seeded(3, 1));
    assert_ne!(seeded(3, 1), seeded(3, 2));
}

#[test]
fn drawn_noise_has_the_precision_of_the_original_and_given_noise_its_own() {
    // 1.001 lies between the neighbours 1 and 1.0078125 of bf16.
    let (_dir, bundle) = flow_from("bf16");
    let mut policy = Policy::load(&bundle, &PolicyOptions::default()).unwrap();
    let mut watch = Watch::default();
    policy.run(inputs(), &Noise::Seeded { seed: 3, stream: 1 }, &mut watch).unwrap();
    policy.run(inputs(), &given(&[1.001; 6]), &mut watch).unwrap();
    let noise: Vec<&[f32]> = watch.noise.iter().map(Vec::as_slice).collect();
    assert!(noise[0].iter().all(|x| x.to_bits().trailing_zeros() >= 16), "{noise:?}");
    assert_eq!(noise[1], [1.001; 6]);
}

#[test]
fn noise_of_another_length_or_without_a_value_is_refused() {
    let message = |numbers: &[f32]| denoise(None, &given(numbers)).unwrap_err().to_string();
    assert_eq!(message(&NOISE[1..]), "noise: got 5 numbers, the policy denoises [2, 3]");
    let mut broken = NOISE;
    broken[4] = f32::NAN;
    assert_eq!(message(&broken), "tensor `flow.noise`, step 0 of the loop: value 4 is NaN");
}

#[test]
fn a_velocity_that_is_not_finite_ends_the_inference() {
    let (_dir, bundle) = flow();
    let mut policy = Policy::load(&bundle, &PolicyOptions::default()).unwrap();
    let mut bright = inputs();
    bright[1].1 = Tensor::new(vec![1, 2], TensorData::F32(vec![-f32::MAX, -2.0]));
    let refused = policy.run(bright, &given(&NOISE), &mut ()).unwrap_err().to_string();
    assert_eq!(refused, "tensor `v`, step 0 of the loop: value 1 is -inf");
}

#[test]
fn steps_for_a_policy_that_does_not_denoise_are_refused() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bundles/tiny");
    let bundle = Bundle::load(&tiny, Integrity::Sizes).unwrap();
    let options = PolicyOptions { denoise_steps: NonZeroUsize::new(4), ..PolicyOptions::default() };
    let refused = Policy::load(&bundle, &options).err().unwrap().to_string();
    assert_eq!(refused, "denoise steps: got 4, the policy does not denoise");
}

#[derive(Default)]
struct Watch {
    stages: Vec<String>,
    tensors: Vec<String>,
    noise: Vec<Vec<f32>>,
    velocities: Vec<Vec<f32>>,
}

impl Observer for Watch {
    fn stage(&mut self, name: &str) {
        self.stages.push(name.to_owned());
    }
    fn wants_tensors(&self) -> bool {
        true
    }
    fn tensor(&mut self, name: &str, value: &Tensor) {
        if name == "flow.noise" {
            self.noise.extend(value.as_f32().map(<[f32]>::to_vec));
        }
        if name.starts_with("v.step") {
            self.velocities.extend(value.as_f32().map(<[f32]>::to_vec));
        }
        self.tensors.push(name.to_owned());
    }
}

#[test]
fn an_observer_sees_the_noise_every_step_and_the_result() {
    let (_dir, bundle) = flow();
    let mut watch = Watch::default();
    Policy::load(&bundle, &PolicyOptions::default()).unwrap().run(inputs(), &given(&NOISE), &mut watch).unwrap();
    assert_eq!(watch.stages, ["text", "body", "velocity", "velocity"]);
    assert_eq!(watch.tensors, ["word", "actions", "kept", "flow.noise", "v.step0", "v.step1", "denoised"]);
}

/// Each token is the one before it plus the number of tokens seen: 3, 6, 10, 15, 21, 28 after three ids.
fn triangular(end: Option<i64>) -> Result<Outputs, PolicyError> {
    let mut start = Graph::new("start");
    let word = start.input("word", Dtype::Fp32, &[fixed(1), symbol("tokens"), fixed(1)]).unwrap();
    let mut root = start.root();
    let first = root.lengths("length", &word, 1..2).unwrap();
    let seen = root.count_up("positions", &first, symbol("seen_before")).unwrap();
    start.output("first", &first).unwrap();
    start.output("seen_first", &seen).unwrap();

    let mut next = Graph::new("next");
    let token = next.input("token", Dtype::Int64, &[fixed(1)]).unwrap();
    let seen = next.input("seen", Dtype::Int64, &[symbol("seen")]).unwrap();
    let mut root = next.root();
    let length = root.lengths("length", &seen, 0..1).unwrap();
    let sum = root.add("sum", &token, &length).unwrap();
    let more = root.concat("more", 0, &[&seen, &token], &symbol("seen_next")).unwrap();
    next.output("token_next", &sum).unwrap();
    next.output("seen_more", &more).unwrap();

    let mut last = Graph::new("last");
    let tokens = last.input("tokens_all", Dtype::Int64, &[fixed(6)]).unwrap();
    let mut root = last.root();
    let numbers = root.cast("numbers", &tokens, Dtype::Fp32).unwrap();
    let rows = root.reshape("rows", &numbers, &[fixed(2), fixed(3)]).unwrap();
    last.output("answer", &rows).unwrap();

    let stages = json!([
        {"stage": "run", "graph": "start", "every": "observation"},
        {
            "stage": "autoregress", "body": ["next"], "first_token": "first", "token": "token_next", "count": 6,
            "carry": [
                {"tensor": "token", "first": "first", "next": "token_next"},
                {"tensor": "seen", "first": "seen_first", "next": "seen_more"}
            ],
            "end": end, "result": "tokens_all"
        },
        {"stage": "run", "graph": "last", "every": "observation"}
    ]);
    let (_dir, bundle) = bundle(vec![start, next, last], &stages, "answer");
    Policy::load(&bundle, &PolicyOptions::default())?.run(inputs(), &Noise::default(), &mut ())
}

#[test]
fn each_step_of_an_answer_gets_what_the_one_before_it_made() {
    for end in [None, Some(7), Some(28)] {
        assert_eq!(triangular(end).unwrap().actions.as_f32().unwrap(), [3.0, 6.0, 10.0, 15.0, 21.0, 28.0]);
    }
}

#[test]
fn an_answer_that_ends_early_is_no_answer() {
    let message = |end| triangular(Some(end)).unwrap_err().to_string();
    assert_eq!(message(15), "the policy ended its answer after 3 of 6 tokens");
    assert_eq!(message(3), "the policy ended its answer after 0 of 6 tokens");
}

//! What pruning from layer to layer gains, in one run: `cargo bench --bench layer_pruning`.
//!
//! A language stack of 32 layers with random weights, of which the last 24 prune 192 of 256 tokens by the published
//! schedule of CogVLA (routers with FiLM, top-k, gather and scatter included), against the same stack without pruning;
//! time beside the FLOPs that are executed.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use onnx_export::blocks::{Condition, LlamaConfig, Routing, routed_llama};
use onnx_export::checkpoint::Weights;
use onnx_export::cost::{Choice, cost};
use onnx_export::graph::{Graph, fixed, symbol};
use ort::value::{DynValue, Tensor};
use vla_bundle::Dtype;

#[path = "shared/random_weights.rs"]
mod random_weights;
#[path = "shared/timed.rs"]
mod timed;

use timed::{Error, THREADS, Timed, interleaved, random, session, signed};

const RUNS: usize = 9;
const TOKENS: u64 = 256;
const PATCHES: u64 = 192;
/// Eight steps of seven values, and the stop token.
const TAIL: u64 = 57;
const CONFIG: LlamaConfig = LlamaConfig {
    hidden: 1024,
    intermediate: 2816,
    layers: 32,
    heads: 16,
    vocabulary: 1,
    norm_eps: 1e-6,
    rope_theta: 10000.0,
};
/// Kept of 192 patches in layers 8 to 31: `trunc(192 * max(cos(layer * pi / 31) / 2 + 0.5, 0.15))`.
const KEPT: [u64; 24] =
    [162, 154, 146, 138, 129, 120, 110, 100, 91, 81, 71, 62, 53, 45, 37, 29, 28, 28, 28, 28, 28, 28, 28, 28];

fn main() -> Result<(), Error> {
    // `cargo test --benches` must not write gigabytes.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("usage: cargo bench --bench layer_pruning");
        return Ok(());
    }
    let library = std::env::var("ORT_DYLIB_PATH")?;
    let runtime = ort::init_from(&library)?.with_telemetry(false).build()?;
    let scratch = tempfile::tempdir()?;
    let kept: BTreeMap<u64, u64> = (8..32).zip(KEPT).collect();
    random_weights::write(scratch.path(), &tensors())?;
    let weights = Weights::open_safetensors(scratch.path())?;
    let pruned = stack(&weights, scratch.path(), ("pruned", kept))?;
    let plain = stack(&weights, scratch.path(), ("plain", BTreeMap::new()))?;
    let [flops_plain, flops_pruned] = [flops(&plain)?, flops(&pruned)?];
    let mut plain = Timed::new(session(&runtime, &plain)?, inputs()?);
    let mut pruned = Timed::new(session(&runtime, &pruned)?, inputs()?);
    interleaved(&mut [&mut plain, &mut pruned], RUNS, &mut || Ok(()))?;

    println!("{THREADS} threads, fp32, {TOKENS} tokens of which {PATCHES} are prunable, median of {RUNS} runs");
    for (name, timed, flops) in [("without pruning", &plain, flops_plain), ("with pruning", &pruned, flops_pruned)] {
        let (seconds, gflop) = (timed.median(), flops as f64 / 1e9);
        println!("{name}: {:.1} ms, {gflop:.1} GFLOP, {:.0} GFLOP/s", seconds * 1e3, gflop / seconds);
    }
    let (gain, promise) = (plain.median() / pruned.median(), flops_plain as f64 / flops_pruned as f64);
    println!("pruning gains {gain:.3}x, FLOPs promise {promise:.3}x: {:.1} %", 100.0 * gain / promise);
    if gain < 1.0 {
        println!("pruning makes this machine slower: its weights, routers included, are read at any length");
    }
    Ok(())
}

/// The stack as an ONNX file; `kept` says which layers prune.
fn stack(weights: &Weights, dir: &Path, (name, kept): (&str, BTreeMap<u64, u64>)) -> Result<PathBuf, Error> {
    let mut graph = Graph::new(name);
    let tokens = symbol("tokens");
    let embeds = graph.input("embeds", Dtype::Fp32, &[fixed(1), tokens.clone(), fixed(CONFIG.hidden)])?;
    let positions = graph.input("positions", Dtype::Int64, &[fixed(1), tokens])?;
    let routing = Routing { patches: PATCHES, kept, condition: Condition::Text, tail: TAIL };
    let routed = routed_llama(&mut graph.root(), &weights.at(""), [&embeds, &positions], (&CONFIG, &routing))?;
    graph.output("hidden", &routed.hidden)?;
    Ok(dir.join(graph.save(dir, &mut |_| {})?.graph.file))
}

fn flops(onnx: &Path) -> Result<u64, Error> {
    let inputs = [("embeds", vec![1, TOKENS, CONFIG.hidden]), ("positions", vec![1, TOKENS])]
        .map(|(name, lengths)| (name.to_owned(), lengths.into_iter().map(Some).collect()));
    let cost = cost(&std::fs::read(onnx)?, &inputs.into(), Choice::AsExported)?;
    assert_eq!(cost.uncounted, [""; 0]);
    Ok(cost.flops)
}

fn inputs() -> Result<Vec<(&'static str, DynValue)>, Error> {
    let positions = Tensor::from_array((signed(&[1, TOKENS]), (0..TOKENS as i64).collect::<Vec<_>>()))?.into_dyn();
    Ok(vec![("embeds", random(&[1, TOKENS, CONFIG.hidden], 5)?), ("positions", positions)])
}

/// Every tensor that the stack reads, as bf16.
fn tensors() -> Vec<(String, Vec<u64>)> {
    let (hidden, inner) = (CONFIG.hidden, CONFIG.intermediate);
    let mut all = vec![("norm.weight".to_owned(), vec![hidden])];
    for layer in 0..CONFIG.layers {
        let mut add = |name: &str, shape: &[u64]| all.push((format!("layers.{layer}.{name}"), shape.to_vec()));
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}.weight"), &[hidden, hidden]);
        }
        add("mlp.gate_proj.weight", &[inner, hidden]);
        add("mlp.up_proj.weight", &[inner, hidden]);
        add("mlp.down_proj.weight", &[hidden, inner]);
        add("input_layernorm.weight", &[hidden]);
        add("post_attention_layernorm.weight", &[hidden]);
        for name in ["scale", "shift"] {
            for (index, shape) in [("0", [hidden / 2, hidden]), ("2", [hidden, hidden / 2])] {
                add(&format!("router.{name}.{index}.weight"), &shape);
                add(&format!("router.{name}.{index}.bias"), &shape[..1]);
            }
        }
        add("router.router.weight", &[2, hidden]);
        add("router.router.bias", &[2]);
    }
    all
}

//! How much of the machine the language stack gets, and what pruning gains, in one run.
//!
//!     benches/language_stack            makes the bundle from random weights, then runs this
//!
//! Throughput of the exported language graph at 593 and 231 tokens against chained 2048 x 2048 matrix products through
//! the same library and threads; time and FLOPs of 593 tokens against pruner plus 231 tokens.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::path::Path;

use onnx_export::checkpoint::Weights;
use onnx_export::graph::{Graph, Layout, fixed};
use ort::environment::Environment;
use ort::value::Tensor;
use vla_bundle::{Bundle, Dim, Dtype, Integrity};

#[path = "shared/timed.rs"]
mod timed;

use timed::{Error, THREADS, Timed, interleaved, noise, random, session, signed};

const RUNS: usize = 15;
const HIDDEN: u64 = 1024;
const MLP: u64 = 2816;
const LAYERS: u64 = 4;
const PATCHES: u64 = 512;
/// Tokens after the patches: state, prompt, action placeholders and stop; one more stands before them.
const TASK: u64 = 80;
const SIDE: u64 = 2048;
const CHAIN: u64 = 4;
const LENGTHS: [u64; 2] = [593, 231];

fn main() -> Result<(), Error> {
    // `cargo bench` and `cargo test --benches` add flags of their own.
    let Some(folder) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        println!("usage: benches/language_stack (or: cargo bench --bench language_stack -- BUNDLE)");
        return Ok(());
    };
    let library = std::env::var("ORT_DYLIB_PATH")?;
    let runtime = ort::init_from(&library)?.with_telemetry(false).build()?;
    let bundle = Bundle::load(Path::new(&folder), Integrity::Sizes)?;

    let scratch = tempfile::tempdir()?;
    let mut gemm =
        Timed::new(session(&runtime, &sgemm_chain(scratch.path())?)?, vec![("x", random(&[SIDE, SIDE], 3)?)]);
    let mut stacks = Vec::new();
    for tokens in LENGTHS {
        stacks.push(load(&runtime, &bundle, "language", &[("kept", tokens)])?);
    }
    let mut pruner = load(&runtime, &bundle, "prune", &[("patches", PATCHES), ("tail", TASK - 1)])?;

    let mut all: Vec<_> = std::iter::once(&mut gemm).chain(&mut stacks).chain([&mut pruner]).collect();
    interleaved(&mut all, RUNS, &mut || Ok(()))?;
    let roof = gflop(CHAIN * 2 * SIDE * SIDE * SIDE) / gemm.median();
    println!("{THREADS} threads, fp32, median of {RUNS} runs");
    println!("sgemm {SIDE}, chain of {CHAIN}: {:.1} ms, {roof:.0} GFLOP/s", gemm.median() * 1e3);
    for (tokens, stack) in LENGTHS.iter().zip(&stacks) {
        let rate = gflop(stack_flops(*tokens)) / stack.median();
        let (share, ms) = (100.0 * rate / roof, stack.median() * 1e3);
        println!("language, {tokens} tokens: {ms:.1} ms, {rate:.0} GFLOP/s, {share:.1} % of sgemm");
    }
    let pruned = stacks[1].median() + pruner.median();
    let gain = stacks[0].median() / pruned;
    let promise = stack_flops(LENGTHS[0]) as f64 / (stack_flops(LENGTHS[1]) + pruner_flops()) as f64;
    println!("pruner: {:.2} ms", pruner.median() * 1e3);
    println!("pruning gains {gain:.3}x, FLOPs promise {promise:.3}x: {:.1} %", 100.0 * gain / promise);
    Ok(())
}

/// A graph of the bundle with random inputs; `lengths` fixes the dynamic dimensions.
fn load(runtime: &Environment, bundle: &Bundle, graph: &str, lengths: &[(&str, u64)]) -> Result<Timed, Error> {
    let lengths: BTreeMap<_, _> = lengths.iter().copied().collect();
    let spec = &bundle.manifest().graphs[graph];
    let mut inputs = Vec::new();
    for (seed, input) in spec.inputs.iter().enumerate() {
        let shape: Vec<u64> = input
            .dims
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(length) => *length,
                Dim::Symbol(name) => lengths[name.as_str()],
            })
            .collect();
        let value = match input.dtype {
            Dtype::Int64 => {
                Tensor::from_array((signed(&shape), (0..shape.iter().product::<u64>() as i64).collect::<Vec<_>>()))?
                    .into_dyn()
            }
            _ => random(&shape, seed as u64)?,
        };
        inputs.push((input.name.as_str(), value));
    }
    Ok(Timed::new(session(runtime, &bundle.path(&spec.file))?, inputs))
}

/// `x W0 W1 W2 W3` with constant matrices, as the layers of a network are.
fn sgemm_chain(dir: &Path) -> Result<std::path::PathBuf, Error> {
    let numbers =
        noise((SIDE * SIDE) as usize, 11).iter().flat_map(|v| (v / SIDE as f32).to_le_bytes()).collect::<Vec<_>>();
    let side = SIDE as usize;
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![side, side], &numbers)?;
    let names: Vec<_> = (0..CHAIN).map(|i| format!("w{i}")).collect();
    safetensors::serialize_to_file(names.iter().map(|name| (name, &view)), None, &dir.join("model.safetensors"))?;
    let weights = Weights::open_safetensors(dir)?;
    let mut graph = Graph::new("sgemm");
    let mut x = graph.input("x", Dtype::Fp32, &[fixed(SIDE), fixed(SIDE)])?;
    for name in &names {
        let mut root = graph.root();
        let w = root.weight(weights.read(name, &[SIDE, SIDE])?, Layout::AsStored)?;
        x = root.matmul(&format!("{name}_product"), &x, &w)?;
    }
    graph.output("y", &x)?;
    let saved = graph.save(dir, &mut |_| {})?;
    Ok(dir.join(saved.graph.file))
}

/// Multiply and add count two: four square projections and three of the MLP per token, scores and mixture per pair.
fn stack_flops(tokens: u64) -> u64 {
    LAYERS * (2 * tokens * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * MLP) + 4 * tokens * tokens * HIDDEN)
}

/// As executed: every patch against every task token, then mixtures of those against every patch.
fn pruner_flops() -> u64 {
    2 * PATCHES * TASK * (HIDDEN + PATCHES)
}

fn gflop(flops: u64) -> f64 {
    flops as f64 / 1e9
}

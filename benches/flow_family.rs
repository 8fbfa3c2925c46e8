//! What an expert that denoises beside a kept prefix costs: `cargo bench --bench flow_family [-- FOLDER]`.
//!
//! A policy of pi0's shape with random weights (two pictures of 256 patches and 48 words before 51 tokens of the expert),
//! exported as a user's checkpoint is: ten steps from the prefix's keys and values against prefill and step alone, against
//! ten passes of both stacks together, and a step of which nothing is left but what is around the model. With a folder the
//! checkpoint, its inputs and the answer stay there for `benches/torch_flow.py`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use onnx_export::checkpoint::Weights;
use onnx_export::cost::{Choice, cost};
use ort::environment::Environment;
use ort::value::DynValue;
use vla_bundle::{Bundle, Dim, Graph};

#[path = "flow_family/graphs.rs"]
mod graphs;
#[path = "flow_family/policy.rs"]
mod policy;
#[path = "shared/random_weights.rs"]
mod random_weights;
#[path = "shared/timed.rs"]
mod timed;
#[path = "flow_family/whole.rs"]
mod whole;

use policy::{LAYERS, Lengths, STEPS};
use timed::{Error, THREADS, Timed, interleaved, random, session};
use whole::Whole;

const RUNS: usize = 7;
/// The bundle's folder.
const BUNDLE: &str = "bundle";

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(folder) = arguments.iter().position(|argument| argument == whole::FLAG) {
        return whole::serve(Path::new(&arguments[folder + 1]));
    }
    // `cargo test --benches` must not write gigabytes.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("usage: cargo bench --bench flow_family [-- FOLDER]");
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let kept = arguments.iter().find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let dir = kept.as_deref().unwrap_or(scratch.path());
    let checkpoint = dir.join("checkpoint");
    policy::write_checkpoint(&checkpoint)?;
    let bundle = policy::export(&checkpoint, &dir.join(BUNDLE))?;
    let weights = Weights::open_safetensors(&checkpoint)?;
    let joint = graphs::joint(&weights, dir)?;
    let library = std::env::var("ORT_DYLIB_PATH")?;
    let runtime = ort::init_from(&library)?.with_telemetry(false).build()?;
    compare(&runtime, (&bundle, &joint), dir)?;
    around_the_model(&bundle)
}

/// Ten steps from the cache, their parts alone, and ten joint passes.
fn compare(runtime: &Environment, (bundle, joint): (&Bundle, &Path), dir: &Path) -> Result<(), Error> {
    let graph = |name: &str| &bundle.manifest().graphs[name];
    let alone = |name: &str| -> Result<Timed, Error> {
        Ok(Timed::new(session(runtime, &bundle.path(&graph(name).file))?, inputs(graph(name))?))
    };
    let (mut prefill, mut step) = (alone("prefill")?, alone("denoise")?);
    let mut together = Timed::new(session(runtime, joint)?, graphs::joint_inputs()?);
    let mut whole = Whole::start(&dir.join(BUNDLE))?;
    interleaved(&mut [&mut prefill, &mut step, &mut together], RUNS, &mut || whole.run())?;
    let flops = |name: &str| -> Result<u64, Error> { counted(&bundle.path(&graph(name).file), graph(name)) };
    let (once, each) = (flops("prefill")?, flops("denoise")?);
    let pass = graphs::joint_flops(joint)?;
    println!("{THREADS} threads, fp32, {LAYERS} layers, medians of {RUNS} interleaved runs");
    for (name, seconds, flops) in [
        ("prefill", prefill.median(), once),
        ("step alone", step.median(), each),
        ("joint pass", together.median(), pass),
    ] {
        let gflop = flops as f64 / 1e9;
        println!("{name}: {:.1} ms, {gflop:.1} GFLOP, {:.0} GFLOP/s", seconds * 1e3, gflop / seconds);
    }
    let [all, measured, _] = whole.medians();
    let parts = prefill.median() + STEPS as f64 * step.median();
    println!("prefill and {STEPS} steps: {:.1} ms, {:.3} times the sum of the parts", measured * 1e3, measured / parts);
    let gain = STEPS as f64 * together.median() / measured;
    let promise = (STEPS * pass) as f64 / (once + STEPS * each) as f64;
    println!(
        "{STEPS} joint passes take {gain:.2} times as long, FLOPs promise {promise:.2}: {:.1} %",
        100.0 * gain / promise
    );
    println!("pictures to actions: {:.1} ms", all * 1e3);
    Ok(())
}

/// A step whose graph does next to nothing, with the keys and values of pi0's eighteen layers.
fn around_the_model(bundle: &Bundle) -> Result<(), Error> {
    let dir = tempfile::tempdir()?;
    let mut whole = Whole::start(&graphs::hollow(bundle, dir.path())?)?;
    for _ in 0..20 {
        whole.run()?;
    }
    let [_, _, step] = whole.medians();
    println!("a step without a model: {:.1} us, {} inputs", step * 1e6, 2 + 2 * graphs::HOLLOW_LAYERS);
    Ok(())
}

/// Inputs of a graph at the lengths of the benchmark, random.
fn inputs(graph: &Graph) -> Result<Vec<(&str, DynValue)>, Error> {
    let input = |(seed, spec): (u64, &'_ vla_bundle::TensorSpec)| random(&lengths(&spec.dims), seed);
    (1..).zip(&graph.inputs).map(|(seed, spec)| Ok((spec.name.as_str(), input((seed, spec))?))).collect()
}

fn lengths(dims: &[Dim]) -> Vec<u64> {
    let length = |dim: &Dim| match dim {
        Dim::Fixed(length) => *length,
        Dim::Symbol(name) => Lengths::of(name),
    };
    dims.iter().map(length).collect()
}

fn counted(onnx: &Path, graph: &Graph) -> Result<u64, Error> {
    let inputs: BTreeMap<_, _> = graph
        .inputs
        .iter()
        .map(|spec| (spec.name.clone(), lengths(&spec.dims).into_iter().map(Some).collect()))
        .collect();
    let cost = cost(&std::fs::read(onnx)?, &inputs, Choice::AsExported)?;
    assert_eq!(cost.uncounted, [""; 0]);
    Ok(cost.flops)
}

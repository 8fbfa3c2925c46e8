//! What the policy is compared with: both stacks in one pass, and a step without a model.

use std::path::{Path, PathBuf};

use onnx_export::blocks::{Decoder, DecoderNorm, Sees};
use onnx_export::checkpoint::Weights;
use onnx_export::cost::{Choice, cost};
use onnx_export::graph::{Graph, fixed, symbol};
use ort::value::{DynValue, Tensor};
use vla_bundle::{Bundle, Dtype, MANIFEST_FILE, Range};

use super::policy::{CHUNK, LAYERS, Lengths, NETWORK, expert, prefix};
use super::timed::{Error, random, signed};

/// State and actions.
const SUFFIX: u64 = CHUNK as u64 + 1;
/// Layers of pi0.
pub const HOLLOW_LAYERS: usize = 18;

const LANGUAGE: &str = "paligemma_with_expert.paligemma.model.language_model";
const EXPERT: &str = "paligemma_with_expert.gemma_expert.model";

/// A pass of both stacks in which nothing is kept. Of the prefix's last layer it computes no more than the prefill does,
/// and its tokens of the expert, which all see each other, cost what the original's masked ones do.
pub fn joint(weights: &Weights, dir: &Path) -> Result<PathBuf, Error> {
    let (prefix, expert) = (prefix(), expert());
    let mut graph = Graph::new("joint");
    let mut x = graph.input("embeds", Dtype::Fp32, &[fixed(1), symbol("prefix"), fixed(prefix.width)])?;
    let positions = graph.input("positions", Dtype::Int64, &[fixed(1), symbol("prefix")])?;
    let mut y = graph.input("suffix", Dtype::Fp32, &[1, SUFFIX, expert.width].map(fixed))?;
    let suffix_positions = graph.input("suffix_positions", Dtype::Int64, &[1, SUFFIX].map(fixed))?;
    let mut root = graph.root();
    let before = Decoder::new(&mut root.at("prefix"), &positions, (prefix, DecoderNorm::OnePlusWeight))?;
    let behind = Decoder::new(&mut root.at("expert"), &suffix_positions, (expert, DecoderNorm::OnePlusWeight))?;
    for layer in 0..LAYERS {
        let name = format!("layers.{layer}");
        let w = weights.at(LANGUAGE).at(&name);
        let mut place = root.at("prefix");
        let memory = if layer + 1 == LAYERS {
            before.layer_memory(&mut place.at(&name), &w, &x)?
        } else {
            let made = before.layer(&mut place.at(&name), &w, &x, Sees::Own)?;
            x = made.tokens;
            made.memory.ok_or("a layer that sees its own tokens has their keys and values")?
        };
        let sees = Sees::Memory([&memory[0], &memory[1]]);
        y = behind.layer(&mut root.at("expert").at(&name), &weights.at(EXPERT).at(&name), &y, sees)?.tokens;
    }
    let (y, _) = behind.normalize(&mut root.at("expert").at("norm"), &weights.at(EXPERT).at("norm"), &y)?;
    graph.output("tokens", &y)?;
    Ok(dir.join(graph.save(dir, &mut |_| {})?.graph.file))
}

fn shapes() -> [(&'static str, Vec<u64>); 4] {
    [
        ("embeds", vec![1, Lengths::PREFIX, prefix().width]),
        ("positions", vec![1, Lengths::PREFIX]),
        ("suffix", vec![1, SUFFIX, expert().width]),
        ("suffix_positions", vec![1, SUFFIX]),
    ]
}

pub fn joint_inputs() -> Result<Vec<(&'static str, DynValue)>, Error> {
    let input = |(name, shape): (&'static str, Vec<u64>)| {
        let first = if name == "suffix_positions" { Lengths::PREFIX } else { 0 };
        let value = if shape.len() == 2 {
            let count = (first..first + shape[1]).map(|position| position as i64).collect::<Vec<_>>();
            Tensor::from_array((signed(&shape), count))?.into_dyn()
        } else {
            random(&shape, first + 3)?
        };
        Ok((name, value))
    };
    shapes().into_iter().map(input).collect()
}

pub fn joint_flops(onnx: &Path) -> Result<u64, Error> {
    let inputs = shapes().map(|(name, shape)| (name.to_owned(), shape.into_iter().map(Some).collect()));
    let cost = cost(&std::fs::read(onnx)?, &inputs.into(), Choice::AsExported)?;
    assert_eq!(cost.uncounted, [""; 0]);
    Ok(cost.flops)
}

/// A copy of the bundle whose prefill passes on zeros and whose step copies the sample, for as many layers as pi0 has.
pub fn hollow(bundle: &Bundle, dir: &Path) -> Result<PathBuf, Error> {
    let mut manifest = bundle.manifest().clone();
    let names: Vec<String> = (0..HOLLOW_LAYERS)
        .flat_map(|layer| ["keys", "values"].map(|part| format!("memory.{layer:02}.{part}")))
        .collect();
    let length = [1, Lengths::PREFIX + 1, expert().memory_width()];
    let mut prefill = Graph::new("prefill");
    let state = prefill.input("state", Dtype::Fp32, &[1, NETWORK as u64].map(fixed))?;
    let memory = prefill.root().zeros("zeros", &length)?;
    for name in &names {
        prefill.output(name, &memory)?;
    }
    prefill.output("state_again", &state)?;
    let mut step = Graph::new("denoise");
    let x = step.input("flow.x", Dtype::Fp32, &[CHUNK as u64, NETWORK as u64].map(fixed))?;
    step.input("flow.time", Dtype::Fp32, &[1, expert().width].map(fixed))?;
    for name in &names {
        step.input(name, Dtype::Fp32, &length.map(fixed))?;
    }
    step.output("flow.velocity", &x)?;
    for graph in [prefill, step] {
        let saved = graph.save(dir, &mut |_| {})?;
        manifest.graphs.insert(saved.graph.file.trim_end_matches(".onnx").to_owned(), saved.graph);
        manifest.files.extend(saved.files);
    }
    for name in manifest.files.keys().filter(|name| !dir.join(name).exists()) {
        std::fs::copy(bundle.path(name), dir.join(name))?;
    }
    manifest.dims.insert("memory".to_owned(), Range { min: 1, opt: length[1], max: length[1] });
    std::fs::write(dir.join(MANIFEST_FILE), serde_json::to_vec(&manifest)?)?;
    Ok(dir.to_owned())
}

//! LightVLA (Jiang et al. 2025): OpenVLA-OFT with picture tokens pruned, without parameters, before the first layer.

use vla_bundle::Range;

use crate::ExportError;
use crate::bundle_writer::Draft;
use crate::graph::{Builder, Graph, Truth, Value, fixed, symbol};

use super::prismatic::{Decoding, Prismatic, graphs, head};

/// The released code reads the last positions: placeholders from the second on, and the stop token.
pub const DECODING: Decoding = Decoding::Parallel { hidden_offset: 1 };

/// Epsilon of the pruner's norms.
const PRUNER_EPS: f32 = 1e-6;
/// Share of the patches that the paper reports as kept, in per cent: the length to tune for.
const KEPT_PERCENT: u64 = 15;

/// The bundle: as in OpenVLA-OFT, with a pruner where that has the plain sequence.
pub fn draft(policy: &Prismatic) -> Result<Draft<'_>, ExportError> {
    let language = graphs::language(policy, "pruned_embeds", "kept")?;
    let body = vec![prune(policy)?, language, head::graph(policy, "kept")?];
    let mut draft = policy.draft("lightvla", policy.plan(body)?)?;
    draft.dims.insert("kept".to_owned(), kept_range(policy));
    // Where the actions come out of noise, every step keeps its own patches, and none of them outlives its step.
    draft.actions.kept_tokens = (!policy.head.denoises()).then(|| "prune.kept_mask".to_owned());
    Ok(draft)
}

/// The sequence without the patches that no patch's query picks: `pruned_embeds [1, kept, hidden]` with the original
/// `position_ids`, and which patches stayed, `prune.kept_mask [1, patches]`.
fn prune(policy: &Prismatic) -> Result<Graph<'_>, ExportError> {
    let mut graph = Graph::new("prune");
    let pieces = graphs::Pieces::of(&mut graph, policy)?;
    let mut root = graph.root();
    let mut g = root.at("prune");
    let task = g.concat("task", 1, &pieces.after_patches(), &symbol("task"))?;
    let kept_mask = kept_mask(&mut g, [&pieces.patches, &task], policy.config.llama.hidden)?;
    let embeds = g.concat("embeds", 1, &[&pieces.bos, &pieces.patches, &task], &symbol("tokens"))?;

    let bos = mask(&mut g.at("bos"), &pieces.bos)?;
    let rest = mask(&mut g.at("rest"), &task)?;
    let tokens = g.concat("kept_tokens", 1, &[&bos, &kept_mask, &rest], &symbol("tokens"))?;
    let tokens = g.reshape("kept_row", &tokens, &[symbol("tokens")])?;
    let positions = g.true_indices("positions", &tokens, symbol("kept"))?;
    let pruned = g.gather("pruned", &embeds, 1, &positions)?;
    let positions = g.reshape("position_row", &positions, &[fixed(1), symbol("kept")])?;
    graph.output("multimodal_embeds", &embeds)?;
    graph.output("prune.kept_mask", &kept_mask)?;
    graph.output("pruned_embeds", &pruned)?;
    graph.output("position_ids", &positions)?;
    Ok(graph)
}

/// Every patch asks with the mixture of task tokens that it resembles; the patch most similar to a question stays.
///
/// With normalised patches `P` and task tokens `T` of width `d` the original compares the normalised rows of
/// `softmax(P T' / sqrt(d)) T` with `P`. No scale of a row changes which of its scores is largest, and `T P'` is
/// `(P T')'`: one product over the width serves both, where the original's order takes three.
fn kept_mask(g: &mut Builder<'_, '_>, [patches, task]: [&Value; 2], width: u64) -> Result<Value, ExportError> {
    let ones = &g.floats("ones", &vec![1.0; width as usize])?;
    let patches = g.rms_norm("patches", patches, ones, PRUNER_EPS)?;
    let task = g.rms_norm("task_normalized", task, ones, PRUNER_EPS)?;
    let keys = g.transpose("keys", &task, &[0, 2, 1])?;
    let likeness = g.matmul("likeness", &patches, &keys)?;
    let scale = g.floats("scale", &[(width as f32).sqrt().recip()])?;
    let mixture = g.mul("scaled", &likeness, &scale)?;
    let mixture = g.softmax_last("mixture", &mixture)?;
    let likeness = g.transpose("likeness_of_task", &likeness, &[0, 2, 1])?;
    let scores = g.matmul("scores", &mixture, &likeness)?;
    let chosen = g.argmax_last("chosen", &scores)?;
    let shape = g.lengths("shape", &chosen, 0..2)?;
    let nothing = g.filled("nothing", &shape, chosen.dims(), Truth::False)?;
    let marks = g.filled("marks", &shape, chosen.dims(), Truth::True)?;
    Ok(g.scatter_last("kept", &nothing, &chosen, &marks)?)
}

/// True for every token of `embeds [1, n, hidden]`: `[1, n]`.
fn mask(g: &mut Builder<'_, '_>, embeds: &Value) -> Result<Value, ExportError> {
    let shape = g.lengths("shape", embeds, 0..2)?;
    Ok(g.filled("mask", &shape, &embeds.dims()[..2], Truth::True)?)
}

fn kept_range(policy: &Prismatic) -> Range {
    let tokens = policy.token_range();
    let patches = policy.patches();
    let without = |tokens: u64| tokens - patches;
    Range {
        min: without(tokens.min) + 1,
        opt: without(tokens.opt) + (patches * KEPT_PERCENT / 100).max(1),
        max: tokens.max,
    }
}

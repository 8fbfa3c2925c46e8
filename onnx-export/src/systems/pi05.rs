//! pi0.5 (Physical Intelligence 2025): the state is part of the prompt, the time scales and shifts the expert's norms.

use crate::ExportError;
use crate::blocks::{DecoderNorm, linear};
use crate::bundle_writer::Draft;
use crate::graph::{Builder, Graph, Value};

use super::flow;
use super::openpi::Openpi;

/// The bundle.
pub fn draft(policy: &Openpi) -> Result<Draft<'_>, ExportError> {
    policy.draft("pi05", graphs(policy)?, policy.dims())
}

/// What runs once per observation, and what runs in every step.
pub fn graphs(policy: &Openpi) -> Result<[Graph<'_>; 2], ExportError> {
    Ok([prefill(policy)?, denoise(policy)?])
}

/// Keys and values of pictures and text, `[1, prefix, ..]`.
fn prefill(policy: &Openpi) -> Result<Graph<'_>, ExportError> {
    let mut graph = Graph::new("prefill");
    let embeds = policy.prefix(&mut graph)?;
    let mut root = graph.root();
    let positions = flow::count_tokens(&mut root.at("positions"), &embeds)?;
    let memory = policy.prefix_memory(&mut root.at("prefix"), [&embeds, &positions])?;
    for (index, [keys, values]) in memory.iter().enumerate() {
        flow::memory_outputs(&mut graph, index as u64, [keys, values])?;
    }
    Ok(graph)
}

/// One step: the noisy actions and the time become the velocity.
fn denoise(policy: &Openpi) -> Result<Graph<'_>, ExportError> {
    let mut graph = Graph::new("denoise");
    let [x, time] = policy.flow().inputs(&mut graph)?;
    let expert = policy.config.expert;
    let memory = flow::memory_inputs(&mut graph, expert.depth, ("prefix", expert.memory_width()))?;
    let mut root = graph.root();
    let condition = condition(policy, &mut root.at("time"), &time)?;
    let w = policy.weights.at("action_in_proj");
    let widths = [policy.config.network_dim, expert.width];
    let tokens = linear(&mut root.at("action_in_proj"), &w, &x, widths)?;
    graph.output("condition", &condition)?;
    policy.expert(&mut graph, (&tokens, &memory), DecoderNorm::Adaptive(&condition))?;
    Ok(graph)
}

/// What every norm of the expert is told of the time, `[1, width]`.
fn condition<'w>(policy: &'w Openpi, g: &mut Builder<'_, 'w>, time: &Value) -> Result<Value, ExportError> {
    let square = [policy.config.expert.width; 2];
    let y = linear(&mut g.at("time_mlp_in"), &policy.weights.at("time_mlp_in"), time, square)?;
    let y = g.silu("silu_in", &y)?;
    let y = linear(&mut g.at("time_mlp_out"), &policy.weights.at("time_mlp_out"), &y, square)?;
    Ok(g.silu("silu_out", &y)?)
}

//! pi0 (Black et al. 2024): the expert reads a state token and action tokens into which the time is mixed.

use vla_bundle::{Dtype, Range};

use crate::ExportError;
use crate::blocks::{Decoder, DecoderNorm, Sees, linear};
use crate::bundle_writer::Draft;
use crate::graph::{Graph, Value, fixed, symbol};

use super::flow;
use super::openpi::{EXPERT, Openpi};

/// The bundle.
pub fn draft(policy: &Openpi) -> Result<Draft<'_>, ExportError> {
    let mut dims = policy.dims();
    let Range { min, opt, max } = dims["prefix"];
    dims.insert("memory".to_owned(), Range { min: min + 1, opt: opt + 1, max: max + 1 });
    policy.draft("pi0", graphs(policy)?, dims)
}

/// What runs once per observation, and what runs in every step.
pub fn graphs(policy: &Openpi) -> Result<[Graph<'_>; 2], ExportError> {
    Ok([prefill(policy)?, denoise(policy)?])
}

/// Keys and values of pictures, text and state. The state token sees those before it and itself and knows no time, so
/// what it makes is the same in every step and stands behind the prefix's, `[1, memory, ..]`.
fn prefill(policy: &Openpi) -> Result<Graph<'_>, ExportError> {
    let mut graph = Graph::new("prefill");
    let embeds = policy.prefix(&mut graph)?;
    let state = graph.input("state", Dtype::Fp32, &[1, policy.config.network_dim].map(fixed))?;
    let mut root = graph.root();
    let positions = flow::count_tokens(&mut root.at("positions"), &embeds)?;
    let prefix = policy.prefix_memory(&mut root.at("prefix"), [&embeds, &positions])?;
    let memory = with_state(policy, &mut graph, [&embeds, &state], &prefix)?;
    for (index, [keys, values]) in memory.iter().enumerate() {
        flow::memory_outputs(&mut graph, index as u64, [keys, values])?;
    }
    Ok(graph)
}

/// The prefix's keys and values, the state token's behind them.
fn with_state<'w>(
    policy: &'w Openpi,
    graph: &mut Graph<'w>,
    [embeds, state]: [&Value; 2],
    prefix: &[[Value; 2]],
) -> Result<Vec<[Value; 2]>, ExportError> {
    let expert = policy.config.expert;
    let mut root = graph.root();
    let mut g = root.at("state");
    let state = g.reshape("row", state, &[1, 1, policy.config.network_dim].map(fixed))?;
    let widths = [policy.config.network_dim, expert.width];
    let mut x = linear(&mut g.at("state_proj"), &policy.weights.at("state_proj"), &state, widths)?;
    let count = g.lengths("count", embeds, 1..2)?;
    let position = g.reshape("position", &count, &[1, 1].map(fixed))?;
    let decoder = Decoder::new(&mut g, &position, (expert, DecoderNorm::OnePlusWeight))?;
    let mut memory = Vec::new();
    for (index, [keys, values]) in prefix.iter().enumerate() {
        let name = format!("layers.{index}");
        let (mut g, w) = (g.at(&name), policy.weights.at(EXPERT).at(&name));
        let [own_keys, own_values] = if index + 1 == prefix.len() {
            decoder.layer_memory(&mut g, &w, &x)?
        } else {
            let made = decoder.layer(&mut g, &w, &x, Sees::Memory([keys, values]))?;
            x = made.tokens;
            made.memory.expect("a layer that sees its own tokens has their keys and values")
        };
        let keys = g.concat("memory_keys", 1, &[keys, &own_keys], &symbol("memory"))?;
        let values = g.concat("memory_values", 1, &[values, &own_values], &symbol("memory"))?;
        memory.push([keys, values]);
    }
    Ok(memory)
}

/// One step: the noisy actions and the time become the velocity.
fn denoise(policy: &Openpi) -> Result<Graph<'_>, ExportError> {
    let mut graph = Graph::new("denoise");
    let inputs = policy.flow().inputs(&mut graph)?;
    let expert = policy.config.expert;
    let memory = flow::memory_inputs(&mut graph, expert.depth, ("memory", expert.memory_width()))?;
    let mut root = graph.root();
    let tokens = policy.flow().action_time_tokens(&mut root.at("suffix"), (&policy.weights, ""), inputs.each_ref())?;
    policy.expert(&mut graph, (&tokens, &memory), DecoderNorm::OnePlusWeight)?;
    Ok(graph)
}

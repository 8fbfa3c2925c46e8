//! OpenVLA (Kim et al. 2024): a language model that writes one step of actions, token by token.

use vla_bundle::{Autoregress, Cadence, Carry, Dtype, Range, Stage};

use crate::ExportError;
use crate::blocks::{Read, llama_read, llama_read_on};
use crate::bundle_writer::Draft;
use crate::graph::{Graph, Value, fixed, symbol};

use super::prismatic::{Prismatic, graphs, head};

/// What a layer remembers of a token.
const REMEMBERED: [&str; 2] = ["key", "value"];

/// The bundle: the sequence is read once; then every token is read with the keys and values of those before it.
pub fn draft(policy: &Prismatic) -> Result<Draft<'_>, ExportError> {
    let language = language(policy)?;
    let mut step = step(policy)?;
    step.share_weights(&language)?;
    let (mut graphs, mut plan) = policy.plan(vec![language])?;
    let mut embed = embed(policy)?;
    if let Some(text) = graphs.iter().find(|graph| graph.name() == "text") {
        embed.share_weights(text)?;
    }
    let actions = actions(policy)?;
    plan.push(Stage::Autoregress(Autoregress {
        body: [&embed, &step].map(|graph| graph.name().to_owned()).into(),
        carry: carry(policy),
        first_token: "first_token".to_owned(),
        token: "next_token".to_owned(),
        count: policy.action_tokens(),
        end: Some(graphs::STOP_ID),
        result: "action_token_ids".to_owned(),
    }));
    plan.push(Stage::Run { graph: actions.name().to_owned(), every: Cadence::Observation });
    graphs.extend([embed, step, actions]);
    let mut draft = policy.draft("openvla", (graphs, plan))?;
    let Range { min, opt, max } = policy.token_range();
    let more = policy.action_tokens();
    draft.dims.insert("past".to_owned(), Range { min, opt, max: max + more });
    draft.dims.insert("seen".to_owned(), Range { min: min + 1, opt: opt + 1, max: max + more + 1 });
    Ok(draft)
}

/// The last token and every layer's keys and values go from step to step.
fn carry(policy: &Prismatic) -> Vec<Carry> {
    let hand_on = |tensor: String, first: String, next: String| Carry { tensor, first, next };
    let mut carry = vec![hand_on("last_token".to_owned(), "first_token".to_owned(), "next_token".to_owned())];
    for layer in 0..policy.config.llama.layers {
        for what in REMEMBERED {
            carry.push(hand_on(
                format!("past_{what}.{layer}"),
                format!("{what}.{layer}"),
                format!("next_{what}.{layer}"),
            ));
        }
    }
    carry
}

/// `[BOS | patches | prompt]` to `first_token [1, 1]` and, per layer, `key.<layer>` and `value.<layer> [1, tokens, hidden]`.
fn language(policy: &Prismatic) -> Result<Graph<'_>, ExportError> {
    let config = &policy.config.llama;
    let mut graph = Graph::new("language");
    let pieces = graphs::Pieces::of(&mut graph, policy)?;
    let [embeds, positions] = graphs::joined(&mut graph.root().at("sequence"), &pieces)?;
    graph.output("multimodal_embeds", &embeds)?;
    let weights = policy.model.at("language_model.model");
    let read = llama_read(&mut graph.root(), &weights, [&embeds, &positions], config)?;
    graph.output("hidden_states", &read.hidden)?;
    let last = graph.root().at("last").last("state", &read.hidden, (1, 1))?;
    outputs(&mut graph, policy, (read, &last), ["first", ""])?;
    Ok(graph)
}

/// `last_token [1, 1]` to its embedding `token_embeds [1, 1, hidden]`.
fn embed(policy: &Prismatic) -> Result<Graph<'_>, ExportError> {
    let mut graph = Graph::new("embed");
    let token = graph.input("last_token", Dtype::Int64, &[1, 1].map(fixed))?;
    let mut root = graph.root();
    let table = graphs::embedding_table(&mut root, policy)?;
    let embeds = root.gather("token", &table, 0, &token)?;
    graph.output("token_embeds", &embeds)?;
    Ok(graph)
}

/// `token_embeds [1, 1, hidden]` after `past_key.<layer>` and `past_value.<layer> [1, past, hidden]` to `next_token [1, 1]`
/// and what the next step needs, `next_key.<layer>` and `next_value.<layer> [1, seen, hidden]`.
fn step(policy: &Prismatic) -> Result<Graph<'_>, ExportError> {
    let config = &policy.config.llama;
    let width = fixed(config.hidden);
    let mut graph = Graph::new("language_step");
    let embeds = graph.input("token_embeds", Dtype::Fp32, &[fixed(1), fixed(1), width.clone()])?;
    let mut cache = Vec::new();
    for layer in 0..config.layers {
        let mut past = |what| {
            let dims = [fixed(1), symbol("past"), width.clone()];
            graph.input(&format!("past_{what}.{layer}"), Dtype::Fp32, &dims)
        };
        let [key, value] = REMEMBERED;
        cache.push([past(key)?, past(value)?]);
    }
    let mut root = graph.root();
    let mut g = root.at("position");
    // A cache of some layer; all are as long as what was read.
    let seen = cache.first().map_or(&embeds, |[keys, _]| keys);
    let position = g.lengths("count", seen, 1..2)?;
    let position = g.reshape("row", &position, &[1, 1].map(fixed))?;
    let weights = policy.model.at("language_model.model");
    let read = llama_read_on(&mut graph.root(), &weights, [&embeds, &position], (config, &cache))?;
    let state = read.hidden.clone();
    outputs(&mut graph, policy, (read, &state), ["next", "next_"])?;
    Ok(graph)
}

/// The token after `state [1, 1, hidden]` as `<words[0]>_token`, and the cache with the prefix `words[1]`.
fn outputs<'w>(
    graph: &mut Graph<'w>,
    policy: &'w Prismatic,
    (read, state): (Read, &Value),
    [token, cache]: [&str; 2],
) -> Result<(), ExportError> {
    let next = head::next_tokens(&mut graph.root().at("lm_head"), policy, state)?;
    graph.output(&format!("{token}_token"), &next)?;
    for (layer, remembered) in read.cache.iter().enumerate() {
        for (what, value) in REMEMBERED.iter().zip(remembered) {
            graph.output(&format!("{cache}{what}.{layer}"), value)?;
        }
    }
    Ok(())
}

/// `action_token_ids [dim]` to `normalized_actions [1, dim]`.
fn actions(policy: &Prismatic) -> Result<Graph<'_>, ExportError> {
    let mut graph = Graph::new("actions");
    let ids = graph.input("action_token_ids", Dtype::Int64, &[fixed(policy.action_tokens())])?;
    let values = head::bin_centres(&mut graph.root().at("bins"), &ids, policy.config.action_tokens)?;
    let actions = graph.root().reshape("actions", &values, &[policy.chunk_size, policy.action_dim].map(fixed))?;
    graph.output("normalized_actions", &actions)?;
    Ok(graph)
}

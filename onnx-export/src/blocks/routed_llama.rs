//! A Llama stack in which some layers look at a part of the picture tokens only (layer-wise pruning, CogVLA 2025).
//!
//! The stream of tokens keeps its full length: such a layer takes the tokens that it wants, runs on them alone, and
//! puts them back; the others pass it unchanged.

use std::collections::BTreeMap;

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Cut, RotaryTables, Value, fixed, symbol};

use super::llama::{LlamaConfig, Sight, attention, gated_mlp, layer, rotary_tables};
use super::{linear, rms_norm, sequential_mlp};

/// Which layers prune, and what they prune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// Picture tokens of the sequence; they follow its first token.
    pub patches: u64,
    /// How many of them a layer keeps, by layer; layers that are not here take every token.
    pub kept: BTreeMap<u64, u64>,
    /// What the router knows beside the token itself.
    pub condition: Condition,
    /// Tokens at the end that see each other and everything before them; all others see only what is before them.
    pub tail: u64,
}

/// What a router knows beside the token that it judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Nothing,
    /// The mean of the tokens between pictures and tail scales and shifts the picture tokens.
    Text,
}

/// A stack's output, and the patches that each pruning layer kept.
pub struct Routed {
    /// Hidden states after the final norm, `[1, tokens, hidden]`.
    pub hidden: Value,
    /// Patches that a layer kept, ascending, i64 `[kept]`, by layer.
    pub kept: BTreeMap<u64, Value>,
}

/// What all layers share.
struct Stack<'a> {
    config: &'a LlamaConfig,
    routing: &'a Routing,
    tables: RotaryTables,
    /// Rows of the tokens after the patches, i64.
    rest: Value,
}

/// Runs the stack on embeddings `[1, tokens, hidden]` at `positions [1, tokens]` = 0, 1, ..
///
/// # Errors
/// Weights that are absent or of another shape, embeddings of another width, or a layer that keeps more patches than
/// there are.
pub fn routed_llama<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    [embeds, positions]: [&Value; 2],
    (config, routing): (&LlamaConfig, &Routing),
) -> Result<Routed, ExportError> {
    let tables = rotary_tables(g, positions, config)?;
    let row = g.reshape("position_row", positions, &positions.dims()[1..])?;
    let rest = Cut { axis: 0, start: 1 + routing.patches, length: symbol("rest") };
    let stack = Stack { config, routing, tables, rest: g.slice("rest", &row, &rest)? };
    let mut x = embeds.clone();
    let mut kept = BTreeMap::new();
    for index in 0..config.layers {
        let name = format!("layers.{index}");
        let (mut g, w) = (g.at(&name), w.at(&name));
        if let Some(count) = routing.kept.get(&index) {
            let (stream, patches) = routed_layer(&mut g, &w, &x, (&stack, *count))?;
            x = stream;
            kept.insert(index, patches);
        } else {
            x = layer(&mut g, &w, (&x, &stack.tables, stack.sight()), config)?;
        }
    }
    let hidden = rms_norm(&mut g.at("norm"), &w.at("norm"), &x, (config.hidden, config.norm_eps))?;
    Ok(Routed { hidden, kept })
}

/// One pruning layer: the whole stream, and the patches that were kept.
fn routed_layer<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    (stack, count): (&Stack, u64),
) -> Result<(Value, Value), ExportError> {
    let Stack { config, routing, tables, .. } = stack;
    let norm = (config.hidden, config.norm_eps);
    let normed = rms_norm(&mut g.at("input_layernorm"), &w.at("input_layernorm"), x, norm)?;
    let weights = keep_probabilities(&mut g.at("router"), &w.at("router"), &normed, stack)?;
    let (rows, patches) = choose(&mut g.at("kept"), &weights, (stack, count))?;
    let kept = g.gather("kept.stream", x, 1, &rows)?;
    let y = g.gather("kept.normed", &normed, 1, &rows)?;
    let weights = g.gather("kept.weights", &weights, 1, &rows)?;

    // Positions are counted anew: a layer that drops tokens has fewer of them, not gaps.
    let dropped = routing.patches - count;
    let fewer = if dropped == 0 {
        None
    } else {
        Some(g.earlier_positions("rope", tables, (kept.dims()[1].clone(), dropped))?)
    };
    let tables = fewer.as_ref().unwrap_or(tables);
    let y = attention(&mut g.at("self_attn"), &w.at("self_attn"), (&y, tables, stack.sight()), config)?;
    let z = g.add("residual_attn", &kept, &y)?;
    let y = rms_norm(&mut g.at("post_attention_layernorm"), &w.at("post_attention_layernorm"), &z, norm)?;
    let y = gated_mlp(&mut g.at("mlp"), &w.at("mlp"), &y, config)?;
    let y = g.mul("weighted_mlp", &y, &weights)?;
    let z = g.add("residual_mlp", &z, &y)?;
    Ok((g.scatter_rows("stream", x, &rows, &z)?, patches))
}

/// What the router gives each token, `[1, tokens, 1]`, f32: the second of two softmax outputs.
fn keep_probabilities<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    normed: &Value,
    stack: &Stack,
) -> Result<Value, ExportError> {
    let judged = match stack.routing.condition {
        Condition::Nothing => normed.clone(),
        Condition::Text => conditioned(&mut g.at("film"), w, normed, stack)?,
    };
    let logits = linear(&mut g.at("router"), &w.at("router"), &judged, [stack.config.hidden, 2])?;
    let both = g.softmax_last("both", &logits)?;
    Ok(g.slice("keep", &both, &Cut { axis: 2, start: 1, length: fixed(1) })?)
}

/// The tokens with the patches scaled and shifted by what the text says.
fn conditioned<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    normed: &Value,
    stack: &Stack,
) -> Result<Value, ExportError> {
    let Routing { patches, tail, .. } = *stack.routing;
    let width = stack.config.hidden;
    let first = g.slice("first", normed, &Cut { axis: 1, start: 0, length: fixed(1) })?;
    let pictures = g.slice("patches", normed, &Cut { axis: 1, start: 1, length: fixed(patches) })?;
    let rest = g.slice("rest", normed, &Cut { axis: 1, start: 1 + patches, length: symbol("rest") })?;
    let text = g.without_last("text", &rest, (1, tail), symbol("text"))?;
    let text = g.mean("text_mean", &text, 1)?;
    let widths = [width, width / 2, width];
    let scale = sequential_mlp(&mut g.at("scale"), &w.at("scale"), &text, &widths)?;
    let shift = sequential_mlp(&mut g.at("shift"), &w.at("shift"), &text, &widths)?;
    let one = g.floats("one", &[1.0])?;
    let scale = g.add("one_plus_scale", &scale, &one)?;
    let scaled = g.mul("scaled", &pictures, &scale)?;
    let shifted = g.add("shifted", &scaled, &shift)?;
    Ok(g.concat("tokens", 1, &[&first, &shifted, &rest], &normed.dims()[1])?)
}

/// Rows of the tokens that stay (the `count` most probable patches, of equal ones the first, and every other token),
/// ascending, and those patches, i64.
fn choose(
    g: &mut Builder<'_, '_>,
    weights: &Value,
    (stack, count): (&Stack, u64),
) -> Result<(Value, Value), ExportError> {
    let patches = stack.routing.patches;
    let column = g.slice("column", weights, &Cut { axis: 1, start: 1, length: fixed(patches) })?;
    let scores = g.reshape("scores", &column, &[fixed(patches)])?;
    let chosen = g.largest("patches", &scores, count)?;
    let one = g.ints("one", &[1], &[1])?;
    let pictures = g.add("picture_rows", &chosen, &one)?;
    let first = g.ints("first", &[0], &[1])?;
    let length = match patches - count {
        0 => weights.dims()[1].clone(),
        dropped => symbol(&format!("tokens_without_{dropped}")),
    };
    let rows = g.concat("rows", 0, &[&first, &pictures, &stack.rest], &length)?;
    Ok((rows, chosen))
}

impl Stack<'_> {
    fn sight(&self) -> Sight {
        Sight::Past { open_tail: self.routing.tail }
    }
}

//! A Llama stack, from embeddings to normalised hidden states.

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, RotaryTables, Value, symbol};

use super::{linear_unbiased, rms_norm};

/// Sizes of a Llama stack.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// Width of a token.
    pub hidden: u64,
    /// Width inside a layer's MLP.
    pub intermediate: u64,
    /// Layers.
    pub layers: u64,
    /// Attention heads, for queries, keys and values alike.
    pub heads: u64,
    /// Rows of the embedding table.
    pub vocabulary: u64,
    /// Epsilon of the norms.
    pub norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
}

/// Which tokens a token sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Every one.
    All,
    /// Itself and those before it; the last `open_tail` also see each other.
    Past {
        /// At least 1.
        open_tail: u64,
    },
}

/// Hidden states `[1, n, hidden]` after the final norm of embeddings `[1, n, hidden]` at `positions [1, n]`, i64;
/// all tokens see each other.
///
/// # Errors
/// Weights that are absent or of another shape, or embeddings of another width.
pub fn llama<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    [embeds, positions]: [&Value; 2],
    config: &LlamaConfig,
) -> Result<Value, ExportError> {
    let tables = rotary_tables(g, positions, config)?;
    let mut x = embeds.clone();
    for index in 0..config.layers {
        let name = format!("layers.{index}");
        x = layer(&mut g.at(&name), &w.at(&name), (&x, &tables, Sight::All), config)?;
    }
    rms_norm(&mut g.at("norm"), &w.at("norm"), &x, (config.hidden, config.norm_eps))
}

/// Angles of the heads at `positions [1, n]`, i64.
pub(super) fn rotary_tables(
    g: &mut Builder<'_, '_>,
    positions: &Value,
    config: &LlamaConfig,
) -> Result<RotaryTables, ExportError> {
    let frequencies = inverse_frequencies(config.hidden / config.heads, config.rope_theta);
    Ok(g.rotary_tables("rope", positions, &frequencies)?)
}

/// What the queries of a layer find: given queries and keys at their positions, and values, all `[1, n, hidden]`.
pub(super) type Attend<'a> = dyn FnMut(&mut Builder<'_, '_>, [&Value; 3]) -> Result<Value, ExportError> + 'a;

/// One layer on tokens `[1, n, hidden]`.
pub(super) fn layer<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    (x, tables, sight): (&Value, &RotaryTables, Sight),
    config: &LlamaConfig,
) -> Result<Value, ExportError> {
    layer_with(g, w, (x, tables), config, &mut |g, parts| seen(g, parts, (config.heads, sight)))
}

/// [`layer`] with an attention of its own.
pub(super) fn layer_with<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    (x, tables): (&Value, &RotaryTables),
    config: &LlamaConfig,
    attend: &mut Attend<'_>,
) -> Result<Value, ExportError> {
    let norm = (config.hidden, config.norm_eps);
    let y = rms_norm(&mut g.at("input_layernorm"), &w.at("input_layernorm"), x, norm)?;
    let y = attention_with(&mut g.at("self_attn"), &w.at("self_attn"), (&y, tables), config, attend)?;
    let x = g.add("residual_attn", x, &y)?;
    let y = rms_norm(&mut g.at("post_attention_layernorm"), &w.at("post_attention_layernorm"), &x, norm)?;
    let y = gated_mlp(&mut g.at("mlp"), &w.at("mlp"), &y, config)?;
    Ok(g.add("residual_mlp", &x, &y)?)
}

/// Self-attention of normalised tokens `[1, n, hidden]`, output projection included.
pub(super) fn attention<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    (x, tables, sight): (&Value, &RotaryTables, Sight),
    config: &LlamaConfig,
) -> Result<Value, ExportError> {
    attention_with(g, w, (x, tables), config, &mut |g, parts| seen(g, parts, (config.heads, sight)))
}

fn attention_with<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    (x, tables): (&Value, &RotaryTables),
    config: &LlamaConfig,
    attend: &mut Attend<'_>,
) -> Result<Value, ExportError> {
    let square = [config.hidden; 2];
    let q = linear_unbiased(&mut g.at("q_proj"), &w.at("q_proj"), x, square)?;
    let k = linear_unbiased(&mut g.at("k_proj"), &w.at("k_proj"), x, square)?;
    let v = linear_unbiased(&mut g.at("v_proj"), &w.at("v_proj"), x, square)?;
    let q = g.rotate("q_rotated", &q, tables, config.heads)?;
    let k = g.rotate("k_rotated", &k, tables, config.heads)?;
    let y = attend(g, [&q, &k, &v])?;
    linear_unbiased(&mut g.at("o_proj"), &w.at("o_proj"), &y, square)
}

fn seen(g: &mut Builder<'_, '_>, parts: [&Value; 3], (heads, sight): (u64, Sight)) -> Result<Value, ExportError> {
    match sight {
        Sight::All => Ok(g.attention("attention", parts, heads)?),
        Sight::Past { open_tail } => open_tailed(g, parts, (heads, open_tail)),
    }
}

/// Two calls without a mask, because a mask switches the fast kernels off: the tail sees all keys, the tokens before it
/// see none of the tail's.
fn open_tailed(
    g: &mut Builder<'_, '_>,
    [q, k, v]: [&Value; 3],
    (heads, tail): (u64, u64),
) -> Result<Value, ExportError> {
    let length = symbol(&format!("{}_before_tail", q.dims()[1]));
    let mut before = |name: &str, x: &Value| g.at("past").without_last(name, x, (1, tail), length.clone());
    let past = [before("q", q)?, before("k", k)?, before("v", v)?];
    let past = g.causal_attention("past", past.each_ref(), heads)?;
    let open = g.at("tail").last("q", q, (1, tail))?;
    let open = g.attention("tail", [&open, k, v], heads)?;
    Ok(g.concat("attention", 1, &[&past, &open], &q.dims()[1])?)
}

/// `down(silu(gate(x)) * up(x))`.
pub(super) fn gated_mlp<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    config: &LlamaConfig,
) -> Result<Value, ExportError> {
    let (hidden, inner) = (config.hidden, config.intermediate);
    let gate = linear_unbiased(&mut g.at("gate_proj"), &w.at("gate_proj"), x, [hidden, inner])?;
    let up = linear_unbiased(&mut g.at("up_proj"), &w.at("up_proj"), x, [hidden, inner])?;
    let gate = g.silu("silu", &gate)?;
    let y = g.mul("gated", &gate, &up)?;
    linear_unbiased(&mut g.at("down_proj"), &w.at("down_proj"), &y, [inner, hidden])
}

/// `theta^(-2i / width)` for each pair of a head, with the original's order of f32 roundings.
pub(super) fn inverse_frequencies(head_width: u64, theta: f32) -> Vec<f32> {
    (0..head_width / 2).map(|i| 1.0 / theta.powf((2 * i) as f32 / head_width as f32)).collect()
}

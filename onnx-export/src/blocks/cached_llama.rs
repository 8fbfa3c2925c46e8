//! A Llama stack that reads a sequence and then goes on from it, token by token, with the keys and values of what it has
//! read: no token is computed twice.

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Value, symbol};

use super::llama::{Attend, LlamaConfig, layer_with, rotary_tables};
use super::rms_norm;

/// A stack's output and what the next token needs of it.
pub struct Read {
    /// Hidden states after the final norm, `[1, n, hidden]`.
    pub hidden: Value,
    /// Per layer the keys, at their positions, and the values of all tokens so far, `[1, seen, hidden]`.
    pub cache: Vec<[Value; 2]>,
}

/// Reads embeddings `[1, n, hidden]` at `positions [1, n]`, i64; a token sees itself and those before it.
///
/// # Errors
/// Weights that are absent or of another shape, or embeddings of another width.
pub fn llama_read<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    input: [&Value; 2],
    config: &LlamaConfig,
) -> Result<Read, ExportError> {
    let mut cache = Vec::new();
    let hidden = stack(g, w, input, config, &mut |g, [q, k, v]| {
        cache.push([k, v].map(Value::clone));
        Ok(g.causal_attention("attention", [q, k, v], config.heads)?)
    })?;
    Ok(Read { hidden, cache })
}

/// Reads one more token `[1, 1, hidden]` at its position `[1, 1]`, i64, after those of `cache`, whose keys and values are
/// `[1, past, hidden]`; those that come out are `[1, seen, hidden]`.
///
/// # Errors
/// As [`llama_read`]; a cache of other layers.
pub fn llama_read_on<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    input: [&Value; 2],
    (config, cache): (&LlamaConfig, &[[Value; 2]]),
) -> Result<Read, ExportError> {
    let mut grown = Vec::new();
    let hidden = stack(g, w, input, config, &mut |g, [q, k, v]| {
        let [keys, values] = &cache[grown.len()];
        let keys = g.concat("keys", 1, &[keys, k], &symbol("seen"))?;
        let values = g.concat("values", 1, &[values, v], &symbol("seen"))?;
        let found = g.attention("attention", [q, &keys, &values], config.heads)?;
        grown.push([keys, values]);
        Ok(found)
    })?;
    Ok(Read { hidden, cache: grown })
}

/// `attend` is called once per layer, in order.
fn stack<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    [embeds, positions]: [&Value; 2],
    config: &LlamaConfig,
    attend: &mut Attend<'_>,
) -> Result<Value, ExportError> {
    let tables = rotary_tables(g, positions, config)?;
    let mut x = embeds.clone();
    for index in 0..config.layers {
        let name = format!("layers.{index}");
        x = layer_with(&mut g.at(&name), &w.at(&name), (&x, &tables), config, attend)?;
    }
    rms_norm(&mut g.at("norm"), &w.at("norm"), &x, (config.hidden, config.norm_eps))
}

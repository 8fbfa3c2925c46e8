//! Layers of a language model that may attend to the keys and values of another one: a prefix whose keys and values
//! are kept, and an expert that reads them.

use vla_bundle::Dim;

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Cut, HeadGroups, Layout, RotaryTables, Value, fixed};

use super::llama::inverse_frequencies;
use super::{linear, linear_unbiased, rms_norm};

/// Sizes of a stack. Stacks that attend to each other agree in `heads`, `groups` and `head_width`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Width of a token.
    pub width: u64,
    /// Width inside a layer's MLP.
    pub inner: u64,
    /// Layers.
    pub depth: u64,
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub groups: u64,
    /// Width of a head.
    pub head_width: u64,
    /// Epsilon of the norms.
    pub norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// What opens the gate of a layer's MLP.
    pub activation: GateActivation,
}

/// What opens the gate of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum GateActivation {
    Silu,
    GeluTanh,
}

/// How a stack's root-mean-square norms scale.
#[derive(Clone, Copy, Debug)]
pub enum DecoderNorm<'v> {
    /// By `weight`.
    Weight,
    /// By `1 + weight`.
    OnePlusWeight,
    /// By `1 + scale`, and `shift` added; a third part of `dense(condition)` gates the branch. The condition is
    /// `[1, width]`.
    Adaptive(&'v Value),
}

/// What all layers of a stack share in one graph.
pub struct Decoder<'v> {
    /// Sizes.
    pub config: DecoderConfig,
    /// Norms.
    pub norm: DecoderNorm<'v>,
    tables: RotaryTables,
}

/// Which keys and values a token attends to, beside those of the other stack's memory: `[1, n, groups * head_width]`.
#[derive(Clone, Copy, Debug)]
pub enum Sees<'v> {
    /// Those of all tokens of the layer.
    Own,
    /// Its own, and those of the tokens before it.
    Past,
    /// The same, but the first token alone sees its own; it sees the others' too.
    OwnFirstApart,
    /// The memory's and those of all tokens of the layer.
    Memory([&'v Value; 2]),
    /// The memory's, its own, and those of the tokens before it.
    MemoryAndPast([&'v Value; 2]),
    /// The memory's, and those of the tokens of its own block and of the blocks before; lengths of the blocks in order.
    MemoryAndBlocks([&'v Value; 2], &'v [u64]),
    /// The memory's alone.
    MemoryOnly([&'v Value; 2]),
}

/// What a layer makes.
pub struct LayerOutput {
    /// Tokens, `[1, n, width]`.
    pub tokens: Value,
    /// Their keys, turned by their positions, and values, `[1, n, groups * head_width]`; none where the layer sees
    /// nothing but the memory.
    pub memory: Option<[Value; 2]>,
}

impl DecoderConfig {
    fn heads_width(&self) -> u64 {
        self.heads * self.head_width
    }

    /// Width of keys and values.
    pub fn memory_width(&self) -> u64 {
        self.groups * self.head_width
    }
}

impl<'v> Decoder<'v> {
    /// For tokens at `positions [1, n]`, i64.
    ///
    /// # Errors
    /// Positions of another rank or type.
    pub fn new(
        g: &mut Builder<'_, '_>,
        positions: &Value,
        (config, norm): (DecoderConfig, DecoderNorm<'v>),
    ) -> Result<Self, ExportError> {
        let frequencies = inverse_frequencies(config.head_width, config.rope_theta);
        Ok(Self { config, norm, tables: g.rotary_tables("rope", positions, &frequencies)? })
    }

    /// One layer of Hugging Face's layout on tokens `x [1, n, width]`.
    ///
    /// # Errors
    /// Weights that are absent or of another shape, or tokens or a memory of another width.
    pub fn layer<'w>(
        &self,
        g: &mut Builder<'_, 'w>,
        w: &Scope<'w>,
        x: &Value,
        sees: Sees,
    ) -> Result<LayerOutput, ExportError> {
        let (y, gate) = self.normalize(&mut g.at("input_layernorm"), &w.at("input_layernorm"), x)?;
        let (y, memory) = self.attention(&mut g.at("self_attn"), &w.at("self_attn"), &y, sees)?;
        let x = residual(&mut g.at("residual_attn"), [x, &y], gate.as_ref())?;
        let (y, gate) = self.normalize(&mut g.at("post_attention_layernorm"), &w.at("post_attention_layernorm"), &x)?;
        let y = self.gated_mlp(&mut g.at("mlp"), &w.at("mlp"), &y)?;
        let tokens = residual(&mut g.at("residual_mlp"), [&x, &y], gate.as_ref())?;
        Ok(LayerOutput { tokens, memory })
    }

    /// The keys and values of a layer whose tokens nobody reads.
    ///
    /// # Errors
    /// As [`Decoder::layer`].
    pub fn layer_memory<'w>(
        &self,
        g: &mut Builder<'_, 'w>,
        w: &Scope<'w>,
        x: &Value,
    ) -> Result<[Value; 2], ExportError> {
        let (y, _) = self.normalize(&mut g.at("input_layernorm"), &w.at("input_layernorm"), x)?;
        self.keys_values(&mut g.at("self_attn"), &w.at("self_attn"), &y)
    }

    /// Tokens after a norm of the stack, and the gate of the branch that follows, where norms make one.
    ///
    /// # Errors
    /// As [`Decoder::layer`].
    pub fn normalize<'w>(
        &self,
        g: &mut Builder<'_, 'w>,
        w: &Scope<'w>,
        x: &Value,
    ) -> Result<(Value, Option<Value>), ExportError> {
        let DecoderConfig { width, norm_eps, .. } = self.config;
        match self.norm {
            DecoderNorm::Weight => Ok((rms_norm(g, w, x, (width, norm_eps))?, None)),
            DecoderNorm::OnePlusWeight => {
                let weight = g.weight(w.read("weight", &[width])?, Layout::AsStored)?;
                let one = g.floats("one", &[1.0])?;
                let scale = g.add("scale", &weight, &one)?;
                Ok((g.rms_norm("normalized", x, &scale, norm_eps)?, None))
            }
            DecoderNorm::Adaptive(condition) => {
                let modulation = linear(&mut g.at("dense"), &w.at("dense"), condition, [width, 3 * width])?;
                let [scale, shift, gate] = g.split("modulation", &modulation, 1, [width; 3])?;
                let one = g.floats("one", &[1.0])?;
                let ones = g.floats("ones", &vec![1.0; width as usize])?;
                let scale = g.add("scale", &scale, &one)?;
                let y = g.rms_norm("unit", x, &ones, norm_eps)?;
                let y = g.mul("scaled", &y, &scale)?;
                Ok((g.add("normalized", &y, &shift)?, Some(gate)))
            }
        }
    }

    fn keys_values<'w>(&self, g: &mut Builder<'_, 'w>, w: &Scope<'w>, y: &Value) -> Result<[Value; 2], ExportError> {
        let widths = [self.config.width, self.config.memory_width()];
        let k = linear_unbiased(&mut g.at("k_proj"), &w.at("k_proj"), y, widths)?;
        let v = linear_unbiased(&mut g.at("v_proj"), &w.at("v_proj"), y, widths)?;
        Ok([g.rotate("k_rotated", &k, &self.tables, self.config.groups)?, v])
    }

    fn attention<'w>(
        &self,
        g: &mut Builder<'_, 'w>,
        w: &Scope<'w>,
        y: &Value,
        sees: Sees,
    ) -> Result<(Value, Option<[Value; 2]>), ExportError> {
        let config = &self.config;
        let q = linear_unbiased(&mut g.at("q_proj"), &w.at("q_proj"), y, [config.width, config.heads_width()])?;
        let q = g.rotate("q_rotated", &q, &self.tables, config.heads)?;
        let heads = HeadGroups { heads: config.heads, groups: config.groups };
        let (y, own) = if let Sees::MemoryOnly([k, v]) = sees {
            (g.grouped_attention("attention", [&q, k, v], heads)?, None)
        } else {
            let [k, v] = self.keys_values(g, w, y)?;
            (attend(g, [&q, &k, &v], (sees, heads))?, Some([k, v]))
        };
        let y = linear_unbiased(&mut g.at("o_proj"), &w.at("o_proj"), &y, [config.heads_width(), config.width])?;
        Ok((y, own))
    }

    /// `down(activation(gate(x)) * up(x))`.
    fn gated_mlp<'w>(&self, g: &mut Builder<'_, 'w>, w: &Scope<'w>, x: &Value) -> Result<Value, ExportError> {
        let DecoderConfig { width, inner, activation, .. } = self.config;
        let gate = linear_unbiased(&mut g.at("gate_proj"), &w.at("gate_proj"), x, [width, inner])?;
        let up = linear_unbiased(&mut g.at("up_proj"), &w.at("up_proj"), x, [width, inner])?;
        let gate = match activation {
            GateActivation::Silu => g.silu("silu", &gate)?,
            GateActivation::GeluTanh => g.gelu_tanh("gelu", &gate)?,
        };
        let y = g.mul("gated", &gate, &up)?;
        linear_unbiased(&mut g.at("down_proj"), &w.at("down_proj"), &y, [inner, width])
    }
}

/// Attention of tokens that have keys and values of their own.
fn attend(
    g: &mut Builder<'_, '_>,
    [q, k, v]: [&Value; 3],
    (sees, heads): (Sees, HeadGroups),
) -> Result<Value, ExportError> {
    Ok(match sees {
        Sees::Own | Sees::MemoryOnly(_) => g.grouped_attention("attention", [q, k, v], heads)?,
        Sees::Past => g.grouped_causal_attention("attention", [q, k, v], heads)?,
        Sees::Memory(memory) => {
            let length = joined(&memory[0].dims()[1], &k.dims()[1]);
            let k = g.concat("keys", 1, &[memory[0], k], &length)?;
            let v = g.concat("values", 1, &[memory[1], v], &length)?;
            g.grouped_attention("attention", [q, &k, &v], heads)?
        }
        Sees::MemoryAndBlocks(memory, blocks) => in_blocks(g, [q, k, v], memory, (blocks, heads))?,
        Sees::MemoryAndPast(memory) => g.attention_after("attention", [q, k, v], memory, heads)?,
        Sees::OwnFirstApart => {
            let first = Cut { axis: 1, start: 0, length: fixed(1) };
            let others = Cut { axis: 1, start: 1, length: Dim::Symbol(format!("{}_but_first", q.dims()[1])) };
            let q_first = g.slice("q_first", q, &first)?;
            let [q_others, k_others, v_others] =
                [g.slice("q_others", q, &others)?, g.slice("k_others", k, &others)?, g.slice("v_others", v, &others)?];
            let first = g.grouped_attention("first", [&q_first, k, v], heads)?;
            let others = g.grouped_attention("others", [&q_others, &k_others, &v_others], heads)?;
            g.concat("attention", 1, &[&first, &others], &q.dims()[1])?
        }
    })
}

/// Attention of tokens whose blocks see the memory, themselves, and the blocks before them.
fn in_blocks(
    g: &mut Builder<'_, '_>,
    [q, k, v]: [&Value; 3],
    memory: [&Value; 2],
    (blocks, heads): (&[u64], HeadGroups),
) -> Result<Value, ExportError> {
    let (mut found, mut start) = (Vec::with_capacity(blocks.len()), 0);
    for (index, length) in blocks.iter().enumerate() {
        let mut g = g.at(&format!("block{index}"));
        let end = fixed(start + length);
        let seen = Cut { axis: 1, start: 0, length: end.clone() };
        let total = joined(&memory[0].dims()[1], &end);
        let mut keys_or_values = |name: &str, own: &Value, before: &Value| -> Result<Value, ExportError> {
            let own = g.slice(&format!("own_{name}"), own, &seen)?;
            Ok(g.concat(name, 1, &[before, &own], &total)?)
        };
        let k = keys_or_values("keys", k, memory[0])?;
        let v = keys_or_values("values", v, memory[1])?;
        let q = g.slice("queries", q, &Cut { axis: 1, start, length: fixed(*length) })?;
        found.push(g.grouped_attention("attention", [&q, &k, &v], heads)?);
        start += length;
    }
    Ok(g.concat("attention", 1, &found.iter().collect::<Vec<_>>(), &q.dims()[1])?)
}

/// Length of two pieces one after the other.
fn joined(a: &Dim, b: &Dim) -> Dim {
    match (a, b) {
        (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a + b),
        _ => Dim::Symbol(format!("{a}_and_{b}")),
    }
}

fn residual(g: &mut Builder<'_, '_>, [x, branch]: [&Value; 2], gate: Option<&Value>) -> Result<Value, ExportError> {
    let gated = gate.map(|gate| g.mul("gated", branch, gate)).transpose()?;
    Ok(g.add("sum", x, gated.as_ref().unwrap_or(branch))?)
}

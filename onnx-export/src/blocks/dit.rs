//! A diffusion transformer whose norms are modulated by the time, as diffusers' `BasicTransformerBlock` with `ada_norm`.

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Value};

use super::linear;

/// `torch.nn.LayerNorm`'s default, in the blocks.
const BLOCK_EPS: f32 = 1e-5;
/// In the output stage.
const OUTPUT_EPS: f32 = 1e-6;
/// Width inside a block's MLP, in widths of a token.
const MLP_FACTOR: u64 = 4;

/// Sizes of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DitConfig {
    /// Width of a token.
    pub width: u64,
    /// Width of a token of the context.
    pub context: u64,
    /// Attention heads.
    pub heads: u64,
}

/// What all blocks of one graph share.
pub struct DitBlock {
    config: DitConfig,
    time: Value,
    unit: [Value; 2],
    position: Option<Value>,
}

/// What a block's tokens attend to, and the keys and values that are made outside it, `[1, n, width]`.
#[derive(Clone, Copy, Debug)]
pub enum DitContext<'v> {
    /// Each other, after the norm.
    Own,
    /// The context alone.
    Memory([&'v Value; 2]),
    /// The context, and each other before the norm.
    MemoryAndOwn([&'v Value; 2]),
}

/// Keys and values `[1, n, width]` that a block's tokens see of tokens `[1, n, context]`.
///
/// # Errors
/// Weights that are absent or of another shape, or tokens of another width.
pub fn dit_memory<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    context: &Value,
    config: &DitConfig,
) -> Result<[Value; 2], ExportError> {
    let widths = [config.context, config.width];
    let w = w.at("attn1");
    let k = linear(&mut g.at("to_k"), &w.at("to_k"), context, widths)?;
    let v = linear(&mut g.at("to_v"), &w.at("to_v"), context, widths)?;
    Ok([k, v])
}

impl DitBlock {
    /// For a time embedding `[1, width]`; `position`, `[1, n, width]`, is added to every block's normalised tokens.
    ///
    /// # Errors
    /// A time of another width.
    pub fn new(
        g: &mut Builder<'_, '_>,
        time: &Value,
        config: DitConfig,
        position: Option<Value>,
    ) -> Result<Self, ExportError> {
        let ones = g.floats("ones", &vec![1.0; config.width as usize])?;
        let zeros = g.floats("zeros", &vec![0.0; config.width as usize])?;
        Ok(Self { config, time: g.silu("time_silu", time)?, unit: [ones, zeros], position })
    }

    /// One block on tokens `x [1, n, width]`.
    ///
    /// # Errors
    /// Weights that are absent or of another shape, or tokens or a context of another width.
    pub fn apply<'w>(
        &self,
        g: &mut Builder<'_, 'w>,
        w: &Scope<'w>,
        x: &Value,
        context: DitContext<'_>,
    ) -> Result<Value, ExportError> {
        let width = self.config.width;
        let modulation = linear(&mut g.at("norm1.linear"), &w.at("norm1.linear"), &self.time, [width, 2 * width])?;
        let [scale, shift] = g.split("modulation", &modulation, 1, [width; 2])?;
        let y = self.modulate(&mut g.at("norm1"), x, [&scale, &shift], BLOCK_EPS)?;
        let y = match &self.position {
            Some(position) => g.add("positioned", &y, position)?,
            None => y,
        };
        let y = self.attention(g, w, [x, &y], context)?;
        let x = g.add("residual_attn", x, &y)?;
        let y = g.layer_norm("norm3", &x, (&self.unit[0], &self.unit[1]), BLOCK_EPS)?;
        let y = linear(&mut g.at("ff.proj"), &w.at("ff.net.0.proj"), &y, [width, MLP_FACTOR * width])?;
        let y = g.gelu_tanh("gelu", &y)?;
        let y = linear(&mut g.at("ff.out"), &w.at("ff.net.2"), &y, [MLP_FACTOR * width, width])?;
        Ok(g.add("residual_ff", &x, &y)?)
    }

    /// `x` before and `y` after the norm.
    fn attention<'w>(
        &self,
        g: &mut Builder<'_, 'w>,
        w: &Scope<'w>,
        [x, y]: [&Value; 2],
        context: DitContext<'_>,
    ) -> Result<Value, ExportError> {
        let square = [self.config.width; 2];
        let q = linear(&mut g.at("to_q"), &w.at("attn1.to_q"), y, square)?;
        let [k, v] = match context {
            DitContext::Own => dit_memory(g, w, y, &self.config)?,
            DitContext::Memory([k, v]) => [k.clone(), v.clone()],
            DitContext::MemoryAndOwn([k, v]) => {
                let [own_k, own_v] = dit_memory(g, w, x, &self.config)?;
                let length = crate::graph::symbol(&format!("{}_and_{}", k.dims()[1], own_k.dims()[1]));
                [g.concat("keys", 1, &[k, &own_k], &length)?, g.concat("values", 1, &[v, &own_v], &length)?]
            }
        };
        let y = g.attention("attention", [&q, &k, &v], self.config.heads)?;
        linear(&mut g.at("to_out"), &w.at("attn1.to_out.0"), &y, square)
    }

    /// `norm(x) * (1 + scale) + shift`.
    fn modulate(
        &self,
        g: &mut Builder<'_, '_>,
        x: &Value,
        [scale, shift]: [&Value; 2],
        eps: f32,
    ) -> Result<Value, ExportError> {
        let one = g.floats("one", &[1.0])?;
        let factor = g.add("factor", scale, &one)?;
        let y = g.layer_norm("unit", x, (&self.unit[0], &self.unit[1]), eps)?;
        let y = g.mul("scaled", &y, &factor)?;
        Ok(g.add("shifted", &y, shift)?)
    }

    /// The output stage `norm_out`, `proj_out_1`, `proj_out_2`: tokens `[1, n, output]`. Its shift comes before its scale.
    ///
    /// # Errors
    /// As [`DitBlock::apply`].
    pub fn output<'w>(
        &self,
        g: &mut Builder<'_, 'w>,
        w: &Scope<'w>,
        x: &Value,
        output: u64,
    ) -> Result<Value, ExportError> {
        let width = self.config.width;
        let modulation = linear(&mut g.at("proj_out_1"), &w.at("proj_out_1"), &self.time, [width, 2 * width])?;
        let [shift, scale] = g.split("modulation", &modulation, 1, [width; 2])?;
        let y = self.modulate(&mut g.at("norm_out"), x, [&scale, &shift], OUTPUT_EPS)?;
        linear(&mut g.at("proj_out_2"), &w.at("proj_out_2"), &y, [width, output])
    }
}

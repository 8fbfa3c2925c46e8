//! A vision transformer as Hugging Face lays out SigLIP, read out after its last norm.

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Layout, Value, fixed};

use super::{layer_norm, linear};

/// Sizes of the transformer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SiglipConfig {
    /// Side of the square picture in pixels.
    pub image_size: u64,
    /// Side of a patch in pixels.
    pub patch_size: u64,
    /// Width of a token.
    pub width: u64,
    /// Transformer blocks.
    pub depth: u64,
    /// Attention heads.
    pub heads: u64,
    /// Width inside a block's MLP.
    pub mlp_width: u64,
    /// Epsilon of the layer norms.
    pub norm_eps: f32,
}

impl SiglipConfig {
    /// Patches along a side of a picture.
    pub fn side(&self) -> u64 {
        self.image_size / self.patch_size
    }

    /// Patches of one picture.
    pub fn patches(&self) -> u64 {
        self.side().pow(2)
    }
}

/// Patch tokens `[n, patches, width]`, row-major over each picture, of pictures `[n, 3, size, size]`; no pooling head.
///
/// # Errors
/// Weights that are absent or of another shape, or pictures of another size.
pub fn siglip<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    pictures: &Value,
    config: &SiglipConfig,
) -> Result<Value, ExportError> {
    let mut x = embed(&mut g.at("embeddings"), &w.at("embeddings"), pictures, config)?;
    for index in 0..config.depth {
        x = block(&mut g.at(&format!("layers.{index}")), &w.at(&format!("encoder.layers.{index}")), &x, config)?;
    }
    layer_norm(&mut g.at("post_layernorm"), &w.at("post_layernorm"), &x, (config.width, config.norm_eps))
}

fn embed<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    pictures: &Value,
    config: &SiglipConfig,
) -> Result<Value, ExportError> {
    let (width, side, patches) = (config.width, config.patch_size, config.patches());
    let kernel = g.weight(w.read("patch_embedding.weight", &[width, 3, side, side])?, Layout::AsStored)?;
    let bias = g.weight(w.read("patch_embedding.bias", &[width])?, Layout::AsStored)?;
    let position = g.weight(w.read("position_embedding.weight", &[patches, width])?, Layout::AsStored)?;
    let grid = g.patchify("grid", pictures, &kernel, &bias)?;
    let pictures = grid.dims()[0].clone();
    let columns = g.reshape("columns", &grid, &[pictures, fixed(width), fixed(patches)])?;
    let rows = g.transpose("rows", &columns, &[0, 2, 1])?;
    Ok(g.add("position", &rows, &position)?)
}

fn block<'w>(g: &mut Builder<'_, 'w>, w: &Scope<'w>, x: &Value, config: &SiglipConfig) -> Result<Value, ExportError> {
    let SiglipConfig { width, mlp_width, norm_eps, .. } = *config;
    let y = layer_norm(&mut g.at("layer_norm1"), &w.at("layer_norm1"), x, (width, norm_eps))?;
    let y = attention(&mut g.at("self_attn"), &w.at("self_attn"), &y, config)?;
    let x = g.add("residual_attn", x, &y)?;
    let y = layer_norm(&mut g.at("layer_norm2"), &w.at("layer_norm2"), &x, (width, norm_eps))?;
    let y = linear(&mut g.at("fc1"), &w.at("mlp.fc1"), &y, [width, mlp_width])?;
    let y = g.gelu_tanh("gelu", &y)?;
    let y = linear(&mut g.at("fc2"), &w.at("mlp.fc2"), &y, [mlp_width, width])?;
    Ok(g.add("residual_mlp", &x, &y)?)
}

fn attention<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    config: &SiglipConfig,
) -> Result<Value, ExportError> {
    let square = [config.width; 2];
    let q = linear(&mut g.at("q_proj"), &w.at("q_proj"), x, square)?;
    let k = linear(&mut g.at("k_proj"), &w.at("k_proj"), x, square)?;
    let v = linear(&mut g.at("v_proj"), &w.at("v_proj"), x, square)?;
    let y = g.attention("attention", [&q, &k, &v], config.heads)?;
    linear(&mut g.at("out_proj"), &w.at("out_proj"), &y, square)
}

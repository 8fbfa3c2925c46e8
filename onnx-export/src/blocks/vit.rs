//! A vision transformer as timm builds it, read out before its last block; optionally modulated by the instruction.

use vla_bundle::Dim;

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Cut, Layout, Value, fixed};

use super::{gelu_mlp, layer_norm, linear};

/// Sizes of a vision transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct VitConfig {
    /// Side of the square picture in pixels.
    pub image_size: u64,
    /// Side of a patch in pixels.
    pub patch_size: u64,
    /// Width of a token.
    pub width: u64,
    /// Transformer blocks in the checkpoint; the last one is not run.
    pub depth: u64,
    /// Attention heads.
    pub heads: u64,
    /// Width inside a block's MLP.
    pub mlp_width: u64,
    /// Names and counts of the learned tokens before the patches, in order.
    pub prefix: Vec<(&'static str, u64)>,
    /// Whether each branch of a block is scaled per channel (`ls1`, `ls2`).
    pub layer_scale: bool,
    /// Epsilon of the layer norms.
    pub norm_eps: f32,
}

impl VitConfig {
    /// Patches of one picture.
    pub fn patches(&self) -> u64 {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Blocks that run.
    pub fn blocks(&self) -> u64 {
        self.depth.saturating_sub(1)
    }
}

/// What a vision transformer looks at.
#[derive(Clone, Copy)]
pub struct VitInput<'a> {
    /// Pictures `[n, 3, size, size]`.
    pub pictures: &'a Value,
    /// FiLM (Perez et al. 2018): `[blocks that run, 2, width]`, per block the factor and the offset of every token between
    /// its two branches. Such blocks stand under `blocks.<index>.block`.
    pub film: Option<&'a Value>,
    /// Learned tokens `[1, count, width]` behind the patches that stand for the whole picture: they alone come out.
    pub summary: Option<&'a Value>,
}

/// Patch tokens `[n, patches, width]`, row-major over each picture: output of the second-to-last block, no final norm,
/// learned tokens dropped (timm's `get_intermediate_layers`). With a summary its tokens come instead of the patches.
///
/// # Errors
/// Weights that are absent or of another shape, pictures of another size, or FiLM for other blocks.
pub fn vit<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    input: VitInput<'_>,
    config: &VitConfig,
) -> Result<Value, ExportError> {
    let patches = embed_patches(g, w, input.pictures, config)?;
    let prefix: u64 = config.prefix.iter().map(|(_, count)| count).sum();
    let mut x = if prefix == 0 { patches } else { with_prefix(g, w, &patches, (config, prefix))? };
    if let Some(summary) = input.summary {
        x = with_summary(&mut g.at("summary"), [&x, summary])?;
    }
    for index in 0..config.blocks() {
        let name = format!("blocks.{index}");
        let (mut g, w) = (g.at(&name), w.at(&name));
        x = match input.film {
            None => block(&mut g, &w, (&x, None), config)?,
            Some(film) => {
                let film = block_film(&mut g.at("film"), film, index)?;
                block(&mut g, &w.at("block"), (&x, Some(&film)), config)?
            }
        };
    }
    if let Some([_, Dim::Fixed(count), _]) = input.summary.map(Value::dims) {
        return Ok(g.last("summary.features", &x, (1, *count))?);
    }
    if prefix == 0 {
        return Ok(x);
    }
    Ok(g.slice("patches", &x, &Cut { axis: 1, start: prefix, length: fixed(config.patches()) })?)
}

/// Patches with their position embedding, `[n, patches, width]`.
fn embed_patches<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    pictures: &Value,
    config: &VitConfig,
) -> Result<Value, ExportError> {
    let (width, side) = (config.width, config.patch_size);
    let kernel = g.weight(w.read("patch_embed.proj.weight", &[width, 3, side, side])?, Layout::AsStored)?;
    let bias = g.weight(w.read("patch_embed.proj.bias", &[width])?, Layout::AsStored)?;
    let position = g.weight(w.read("pos_embed", &[1, config.patches(), width])?, Layout::AsStored)?;
    let mut g = g.at("patch_embed");
    let grid = g.patchify("grid", pictures, &kernel, &bias)?;
    let n: Dim = grid.dims()[0].clone();
    let columns = g.reshape("columns", &grid, &[n, fixed(width), fixed(config.patches())])?;
    let rows = g.transpose("rows", &columns, &[0, 2, 1])?;
    Ok(g.add("position", &rows, &position)?)
}

/// The `count` learned tokens before every picture's patches: `[n, count + patches, width]`.
fn with_prefix<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    patches: &Value,
    (config, count): (&VitConfig, u64),
) -> Result<Value, ExportError> {
    let mut g = g.at("prefix");
    let mut learned = Vec::new();
    for (name, count) in &config.prefix {
        learned.push(g.weight(w.read(name, &[1, *count, config.width])?, Layout::AsStored)?);
    }
    let learned = g.concat("learned", 1, &learned.iter().collect::<Vec<_>>(), &fixed(count))?;
    let learned = g.repeat_like("per_picture", &learned, patches)?;
    Ok(g.concat("tokens", 1, &[&learned, patches], &fixed(count + config.patches()))?)
}

/// The learned tokens behind every picture's own.
fn with_summary(g: &mut Builder<'_, '_>, [tokens, summary]: [&Value; 2]) -> Result<Value, ExportError> {
    let summary = g.repeat_like("per_picture", summary, tokens)?;
    let length = match (&tokens.dims()[1], &summary.dims()[1]) {
        (Dim::Fixed(tokens), Dim::Fixed(more)) => fixed(tokens + more),
        (tokens, _) => tokens.clone(),
    };
    Ok(g.concat("tokens", 1, &[tokens, &summary], &length)?)
}

/// Factor and offset `[1, 1, width]` of one block.
fn block_film(g: &mut Builder<'_, '_>, film: &Value, index: u64) -> Result<[Value; 2], ExportError> {
    let pair = g.slice("pair", film, &Cut { axis: 0, start: index, length: fixed(1) })?;
    Ok(g.split("parts", &pair, 1, [1, 1])?)
}

/// One block, `[n, tokens, width]` to the same; FiLM as in [`VitInput`], of this block.
pub(super) fn block<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    (x, film): (&Value, Option<&[Value; 2]>),
    config: &VitConfig,
) -> Result<Value, ExportError> {
    let (width, eps) = (config.width, config.norm_eps);
    let y = layer_norm(&mut g.at("norm1"), &w.at("norm1"), x, (width, eps))?;
    let y = attention(&mut g.at("attn"), &w.at("attn"), &y, config)?;
    let mut x = add_branch(g, w, [x, &y], ("ls1", config))?;
    if let Some([factor, offset]) = film {
        let scaled = g.mul("film_scaled", &x, factor)?;
        x = g.add("film_shifted", &scaled, offset)?;
    }
    let y = layer_norm(&mut g.at("norm2"), &w.at("norm2"), &x, (width, eps))?;
    let y = gelu_mlp(&mut g.at("mlp"), &w.at("mlp"), &y, &[width, config.mlp_width, width])?;
    add_branch(g, w, [&x, &y], ("ls2", config))
}

fn attention<'w>(g: &mut Builder<'_, 'w>, w: &Scope<'w>, x: &Value, config: &VitConfig) -> Result<Value, ExportError> {
    let width = config.width;
    let qkv = linear(&mut g.at("qkv"), &w.at("qkv"), x, [width, 3 * width])?;
    let [q, k, v] = g.split("heads", &qkv, 2, [width; 3])?;
    let y = g.attention("attention", [&q, &k, &v], config.heads)?;
    linear(&mut g.at("proj"), &w.at("proj"), &y, [width, width])
}

fn add_branch<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    [x, branch]: [&Value; 2],
    (scale, config): (&str, &VitConfig),
) -> Result<Value, ExportError> {
    let mut g = g.at(scale);
    if !config.layer_scale {
        return Ok(g.add("residual", x, branch)?);
    }
    let factor = g.weight(w.at(scale).read("scale_factor", &[config.width])?, Layout::AsStored)?;
    let scaled = g.mul("scaled", branch, &factor)?;
    Ok(g.add("residual", x, &scaled)?)
}

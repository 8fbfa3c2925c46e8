//! A vision transformer whose patches know along which rays they were seen.

use vla_bundle::Dim;

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Layout, Value, fixed};

use super::vit::block;
use super::{VitConfig, layer_norm, linear};

/// Sizes of the transformer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RayVitConfig {
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

impl RayVitConfig {
    /// Patches along a side of a picture.
    pub fn side(&self) -> u64 {
        self.image_size / self.patch_size
    }

    /// Patches of one picture.
    pub fn patches(&self) -> u64 {
        self.side().pow(2)
    }
}

/// Directions `[n, 3, size, size]`, of length 1, in which the pixels of pictures with the matrices K `[n, 3, 3]` look:
/// `((u - cx) / fx, (v - cy) / fy, 1)` of the pixel in column u and row v, x to the right, y down.
///
/// # Errors
/// A K of another shape.
pub fn rays(g: &mut Builder<'_, '_>, intrinsics: &Value, size: u64) -> Result<Value, ExportError> {
    let n = intrinsics.dims()[0].clone();
    let rows = g.reshape("rows", intrinsics, &[n.clone(), fixed(9)])?;
    let [fx, _, cx, _, fy, cy, _, _, _] = g.split("numbers", &rows, 1, [1; 9])?;
    let pixels: Vec<f32> = (0..size).map(|pixel| pixel as f32).collect();
    let pixels = g.floats("pixels", &pixels)?;
    let mut slope = |name: &str, center: &Value, focal: &Value, dims: [u64; 2]| {
        let offset = g.sub(&format!("{name}.offset"), &pixels, center)?;
        let slope = g.div(&format!("{name}.slope"), &offset, focal)?;
        g.reshape(name, &slope, &[n.clone(), fixed(1), fixed(dims[0]), fixed(dims[1])])
    };
    let [x, y] = [slope("x", &cx, &fx, [1, size])?, slope("y", &cy, &fy, [size, 1])?];
    let one = g.floats("one", &[1.0])?;
    let [xx, yy] = [g.mul("xx", &x, &x)?, g.mul("yy", &y, &y)?];
    let flat = g.add("flat", &xx, &yy)?;
    let square = g.add("square", &flat, &one)?;
    let length = g.sqrt("length", &square)?;
    let axes = [g.div("dx", &x, &length)?, g.div("dy", &y, &length)?, g.div("dz", &one, &length)?];
    Ok(g.concat("directions", 1, &axes.iter().collect::<Vec<_>>(), &fixed(3))?)
}

/// Tokens `[n, patches, width]`, row-major over each picture, of pictures `[n, 3, size, size]` and their [`rays`]; both
/// are added and normalised before the first block, and the last one is followed by a norm.
///
/// # Errors
/// Weights that are absent or of another shape, or pictures or rays of another size.
pub fn ray_vit<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    [pictures, rays]: [&Value; 2],
    config: &RayVitConfig,
) -> Result<Value, ExportError> {
    let norm = (config.width, config.norm_eps);
    let patches = embed_patches(&mut g.at("encoder"), &w.at("encoder"), pictures, config)?;
    let rays = embed_rays(&mut g.at("ray_dirs_encoder"), &w.at("ray_dirs_encoder"), rays, config)?;
    let both = g.add("patches_and_rays", &patches, &rays)?;
    let mut x = layer_norm(&mut g.at("fusion_norm_layer"), &w.at("fusion_norm_layer"), &both, norm)?;
    let (mut g, w) = (g.at("info_sharing"), w.at("info_sharing"));
    let blocks = VitConfig {
        image_size: config.image_size,
        patch_size: config.patch_size,
        width: config.width,
        depth: config.depth,
        heads: config.heads,
        mlp_width: config.mlp_width,
        prefix: vec![],
        layer_scale: false,
        norm_eps: config.norm_eps,
    };
    for index in 0..config.depth {
        let name = format!("blocks.{index}");
        x = block(&mut g.at(&name), &w.at(&name), (&x, None), &blocks)?;
    }
    layer_norm(&mut g.at("norm"), &w.at("norm"), &x, norm)
}

/// Patches with their position embedding, `[n, patches, width]`.
fn embed_patches<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    pictures: &Value,
    config: &RayVitConfig,
) -> Result<Value, ExportError> {
    let (width, side, patches) = (config.width, config.patch_size, config.patches());
    let kernel = g.weight(w.read("patch_embed.weight", &[width, 3, side, side])?, Layout::AsStored)?;
    let bias = g.weight(w.read("patch_embed.bias", &[width])?, Layout::AsStored)?;
    let position = g.weight(w.read("pos_embed", &[patches, width])?, Layout::AsStored)?;
    let grid = g.patchify("grid", pictures, &kernel, &bias)?;
    let columns = g.reshape("columns", &grid, &[grid.dims()[0].clone(), fixed(width), fixed(patches)])?;
    let rows = g.transpose("rows", &columns, &[0, 2, 1])?;
    Ok(g.add("position", &rows, &position)?)
}

/// The rays of each patch as one token; channels in the order axis, row, column (`torch.nn.PixelUnshuffle`).
fn embed_rays<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    rays: &Value,
    config: &RayVitConfig,
) -> Result<Value, ExportError> {
    let (side, patch) = (config.side(), config.patch_size);
    let n: Dim = rays.dims()[0].clone();
    let lengths = [3, side, patch, side, patch].map(fixed);
    let cells = g.reshape("cells", rays, &[std::slice::from_ref(&n), &lengths].concat())?;
    let by_patch = g.transpose("by_patch", &cells, &[0, 2, 4, 1, 3, 5])?;
    let channels = 3 * patch * patch;
    let tokens = g.reshape("tokens", &by_patch, &[n, fixed(config.patches()), fixed(channels)])?;
    let y = linear(&mut g.at("proj"), &w.at("proj"), &tokens, [channels, config.width])?;
    layer_norm(&mut g.at("norm"), &w.at("norm"), &y, (config.width, config.norm_eps))
}

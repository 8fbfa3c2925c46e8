//! The geometry branch: what a second encoder makes of pictures and of how the cameras saw them, as one vector per
//! camera that joins every row of its picture.

use std::path::Path;

use serde::Deserialize;
use vla_bundle::Dtype;

use crate::ExportError;
use crate::blocks::{RayVitConfig, linear, ray_vit, rays};
use crate::checkpoint::{Scope, Weights};
use crate::graph::{Builder, Graph, Value, fixed};

use super::{INTRINSICS, Llava, PIXELS, check};

/// What joins the rows of a camera's picture, `[cameras, hidden]`.
const SUMMARY: &str = "geometry.projected_mean";
/// Epsilon of every norm.
const NORM_EPS: f32 = 1e-6;

/// Sizes of the encoder as `config.json` has them.
#[derive(Deserialize)]
pub struct RawGeometry {
    dim: u64,
    depth: u64,
    num_heads: u64,
    mlp_dim: u64,
    patch_size: u64,
    image_size: u64,
}

impl RawGeometry {
    /// The encoder of pictures of `image_size`, which both towers take.
    pub fn encoder(&self, image_size: u64, path: &Path) -> Result<RayVitConfig, ExportError> {
        let Self { dim: width, depth, num_heads: heads, mlp_dim: mlp_width, patch_size, .. } = *self;
        check("mapanything_config: image_size", self.image_size, image_size, path)?;
        for (what, divisor, of) in [("patch_size", patch_size, image_size), ("num_heads", heads, width)] {
            let rest = of.checked_rem(divisor).unwrap_or(of);
            check(&format!("mapanything_config: what {what} {divisor} leaves of {of}"), rest, 0, path)?;
        }
        Ok(RayVitConfig { image_size, patch_size, width, depth, heads, mlp_width, norm_eps: NORM_EPS })
    }
}

/// `pixel_values [cameras, 3, size, size]` and `intrinsics [cameras, 3, 3]` to `geometry.projected_mean [cameras, hidden]`;
/// it takes nothing from the vision tower.
pub fn graph<'w>(model: &Llava, config: &RayVitConfig, weights: &'w Weights) -> Result<Graph<'w>, ExportError> {
    let w = model.weights(weights);
    let mut graph = Graph::new("geometry");
    let (cameras, size) = (model.cameras.len() as u64, config.image_size);
    let pixels = graph.input(PIXELS, Dtype::Fp32, &[cameras, 3, size, size].map(fixed))?;
    let intrinsics = graph.input(INTRINSICS, Dtype::Fp32, &[cameras, 3, 3].map(fixed))?;
    let mut root = graph.root();
    let shown = unit_pixels(&mut root.at("pixels"), &pixels)?;
    let rays = rays(&mut root.at("rays"), &intrinsics, size)?;
    let encoder = w.at("geometric_model.map_anything_model");
    let tokens = ray_vit(&mut root.at("encoder"), &encoder, [&shown, &rays], config)?;
    // The mean of what a linear layer makes is what it makes of the mean.
    let mean = root.mean("mean", &tokens, 1)?;
    let widths = [config.width, model.language.width];
    let summary = linear(&mut root.at("projector"), &w.at("geometric_projector"), &mean, widths)?;
    graph.output("geometry.rays", &rays)?;
    graph.output("geometry.tokens", &tokens)?;
    graph.output(SUMMARY, &summary)?;
    Ok(graph)
}

/// The tower's pixels in [-1, 1] as the encoder takes them, in [0, 1].
fn unit_pixels(g: &mut Builder<'_, '_>, pixels: &Value) -> Result<Value, ExportError> {
    let half = g.floats("half", &[0.5])?;
    let scaled = g.mul("scaled", pixels, &half)?;
    let shifted = g.add("shifted", &scaled, &half)?;
    Ok(g.clip("clipped", &shifted, [0.0, 1.0])?)
}

/// The rows of all pictures, `[1, patches, hidden]`, joined with their camera's summary, which becomes an input.
pub fn fuse<'w>(graph: &mut Graph<'w>, model: &Llava, w: &Scope<'w>, rows: &Value) -> Result<Value, ExportError> {
    let (cameras, hidden) = (model.cameras.len() as u64, model.language.width);
    let patches = model.tower.patches();
    let summary = graph.input(SUMMARY, Dtype::Fp32, &[cameras, hidden].map(fixed))?;
    let mut root = graph.root();
    let mut g = root.at("fusion");
    let rows = g.reshape("by_camera", rows, &[cameras, patches, hidden].map(fixed))?;
    let summary = g.reshape("of_camera", &summary, &[cameras, 1, hidden].map(fixed))?;
    let zeros = g.zeros("zeros", &[cameras, patches, hidden])?;
    let summaries = g.add("of_rows", &zeros, &summary)?;
    let both = g.concat("vision_and_geometry", 2, &[&rows, &summaries], &fixed(2 * hidden))?;
    let fused = linear(&mut g, &w.at("fusion_projector"), &both, [2 * hidden, hidden])?;
    let fused = g.reshape("rows", &fused, &[1, cameras * patches, hidden].map(fixed))?;
    graph.output("vision.fused", &fused)?;
    Ok(fused)
}

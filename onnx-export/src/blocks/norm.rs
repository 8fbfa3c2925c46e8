//! Normalisation over the last axis with a checkpoint's weights.

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Layout, Value};

/// Layer normalisation; the checkpoint holds `weight` and `bias`, `[width]`.
///
/// # Errors
/// Weights that are absent or of another shape, or an `x` of another width.
pub fn layer_norm<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    (width, eps): (u64, f32),
) -> Result<Value, ExportError> {
    let scale = g.weight(w.read("weight", &[width])?, Layout::AsStored)?;
    let bias = g.weight(w.read("bias", &[width])?, Layout::AsStored)?;
    Ok(g.layer_norm("normalized", x, (&scale, &bias), eps)?)
}

/// Root-mean-square normalisation; the checkpoint holds `weight [width]`.
///
/// # Errors
/// As [`layer_norm`].
pub fn rms_norm<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    (width, eps): (u64, f32),
) -> Result<Value, ExportError> {
    let scale = g.weight(w.read("weight", &[width])?, Layout::AsStored)?;
    Ok(g.rms_norm("normalized", x, &scale, eps)?)
}

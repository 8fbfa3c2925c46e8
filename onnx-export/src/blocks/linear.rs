//! Matrix products with a checkpoint's weights.

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Layout, Value};

/// `x * weight^T + bias` over the last axis; the checkpoint holds `weight [output, input]` and `bias [output]`.
///
/// # Errors
/// Weights that are absent or of another shape, or an `x` of another width.
pub fn linear<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    [input, output]: [u64; 2],
) -> Result<Value, ExportError> {
    let product = linear_unbiased(g, w, x, [input, output])?;
    let bias = g.weight(w.read("bias", &[output])?, Layout::AsStored)?;
    Ok(g.add("biased", &product, &bias)?)
}

/// [`linear`] without a bias.
///
/// # Errors
/// As [`linear`].
pub fn linear_unbiased<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    [input, output]: [u64; 2],
) -> Result<Value, ExportError> {
    let weight = g.weight(w.read("weight", &[output, input])?, Layout::Transposed)?;
    Ok(g.matmul("matmul", x, &weight)?)
}

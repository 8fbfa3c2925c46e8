//! Linear layers with a GELU between neighbours.

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Value};

use super::linear;

/// `fc1`, GELU, `fc2`, ..: one layer from each of `widths` to the next, exact GELU between layers, none after the last.
///
/// # Errors
/// Weights that are absent or of another shape, or an `x` of another width.
pub fn gelu_mlp<'w>(g: &mut Builder<'_, 'w>, w: &Scope<'w>, x: &Value, widths: &[u64]) -> Result<Value, ExportError> {
    named_mlp(g, w, x, (widths, &|index| format!("fc{}", index + 1)))
}

/// [`gelu_mlp`] whose layers are called as in `torch.nn.Sequential`, which counts the activations too: `0`, `2`, ..
///
/// # Errors
/// As [`gelu_mlp`].
pub fn sequential_mlp<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    widths: &[u64],
) -> Result<Value, ExportError> {
    named_mlp(g, w, x, (widths, &|index| (2 * index).to_string()))
}

fn named_mlp<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    (widths, name): (&[u64], &dyn Fn(usize) -> String),
) -> Result<Value, ExportError> {
    let mut x = x.clone();
    for (index, pair) in widths.windows(2).enumerate() {
        let name = name(index);
        x = linear(&mut g.at(&name), &w.at(&name), &x, [pair[0], pair[1]])?;
        if index + 2 < widths.len() {
            x = g.gelu(&format!("gelu{}", index + 1), &x)?;
        }
    }
    Ok(x)
}

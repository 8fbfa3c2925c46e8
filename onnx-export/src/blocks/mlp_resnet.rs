//! A multi-layer perceptron with residual blocks, as action heads use it.

use crate::ExportError;
use crate::checkpoint::Scope;
use crate::graph::{Builder, Value};

use super::{layer_norm, linear};

/// Default of `torch.nn.LayerNorm`.
const NORM_EPS: f32 = 1e-5;

/// Sizes of [`mlp_resnet`].
#[derive(Clone, Copy, Debug)]
pub struct MlpResnetConfig {
    /// Width of the input.
    pub input: u64,
    /// Width inside.
    pub hidden: u64,
    /// Width of the output.
    pub output: u64,
    /// Residual blocks.
    pub blocks: u64,
}

/// `layer_norm1`, `fc1`, ReLU, `blocks` times `x + relu(linear(norm(x)))`, `layer_norm2`, `fc2`.
///
/// # Errors
/// Weights that are absent or of another shape, or an `x` of another width.
pub fn mlp_resnet<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    config: MlpResnetConfig,
) -> Result<Value, ExportError> {
    let MlpResnetConfig { input, hidden, output, blocks } = config;
    let x = layer_norm(&mut g.at("layer_norm1"), &w.at("layer_norm1"), x, (input, NORM_EPS))?;
    let x = linear(&mut g.at("fc1"), &w.at("fc1"), &x, [input, hidden])?;
    let mut x = g.relu("relu", &x)?;
    for index in 0..blocks {
        let (mut g, w) = (g.at(&format!("block{index}")), w.at(&format!("mlp_resnet_blocks.{index}.ffn")));
        let y = layer_norm(&mut g.at("norm"), &w.at("0"), &x, (hidden, NORM_EPS))?;
        let y = linear(&mut g.at("fc"), &w.at("1"), &y, [hidden, hidden])?;
        let y = g.relu("relu", &y)?;
        x = g.add("residual", &x, &y)?;
    }
    let x = layer_norm(&mut g.at("layer_norm2"), &w.at("layer_norm2"), &x, (hidden, NORM_EPS))?;
    linear(&mut g.at("fc2"), &w.at("fc2"), &x, [hidden, output])
}

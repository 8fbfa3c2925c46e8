//! From the features of the towers to tokens of the language model.

use vla_bundle::Dtype;

use crate::ExportError;
use crate::blocks::{gelu_mlp, sequential_mlp};
use crate::graph::{Builder, Cut, Graph, Value, fixed, symbol};

use super::{Prismatic, film};

/// How the features of the towers become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fusion {
    /// Side by side, through one projector.
    Concatenated,
    /// Each through a projector of its own; their sum is weighted by shares that depend on the instruction.
    Mixed,
}

/// Where the projectors of a mixture stand in the checkpoint, in the order of the towers and of the shares.
const PROJECTORS: [&str; 2] = ["featurizer_proj", "fused_featurizer_proj"];

/// Shares of the towers in a mixture, `[1, 2]`.
const RATIOS: &str = "moe.ratios";

/// `text_embedding [1, hidden]` to `moe.ratios [1, 2]`; none where nothing is mixed.
pub fn ratios(policy: &Prismatic) -> Result<Option<Graph<'_>>, ExportError> {
    if policy.fusion != Fusion::Mixed {
        return Ok(None);
    }
    let hidden = policy.config.llama.hidden;
    let mut graph = Graph::new("mixture");
    let text = graph.input(film::TEXT_EMBEDDING, Dtype::Fp32, &[fixed(1), fixed(hidden)])?;
    let mut root = graph.root();
    let mut g = root.at("router");
    let router = policy.model.at("aggregation_router.router");
    let logits = sequential_mlp(&mut g, &router, &text, &[hidden, hidden, 2])?;
    let ratios = g.softmax_last("ratios", &logits)?;
    graph.output(RATIOS, &ratios)?;
    Ok(Some(graph))
}

/// The features of all pictures as tokens `[1, patches, hidden]`, camera after camera.
pub fn tokens<'w>(graph: &mut Graph<'w>, policy: &'w Prismatic, features: &[Value]) -> Result<Value, ExportError> {
    match policy.fusion {
        Fusion::Concatenated => concatenated(&mut graph.root().at("projector"), policy, features),
        Fusion::Mixed => {
            let ratios = graph.input(RATIOS, Dtype::Fp32, &[fixed(1), fixed(2)])?;
            mixed(&mut graph.root().at("mixture"), policy, features, &ratios)
        }
    }
}

fn concatenated<'w>(g: &mut Builder<'_, 'w>, policy: &'w Prismatic, features: &[Value]) -> Result<Value, ExportError> {
    let width: u64 = policy.config.towers.iter().map(|tower| tower.vit.width).sum();
    let hidden = policy.config.llama.hidden;
    let stacked = g.concat("features", 2, &features.iter().collect::<Vec<_>>(), &fixed(width))?;
    let flat = g.reshape("tokens", &stacked, &[fixed(1), symbol("patches"), fixed(width)])?;
    let widths = match features.len() {
        1 => vec![width, hidden, hidden],
        _ => vec![width, 4 * width, hidden, hidden],
    };
    gelu_mlp(g, &policy.model.at("projector"), &flat, &widths)
}

fn mixed<'w>(
    g: &mut Builder<'_, 'w>,
    policy: &'w Prismatic,
    features: &[Value],
    ratios: &Value,
) -> Result<Value, ExportError> {
    let hidden = policy.config.llama.hidden;
    let mut parts = Vec::new();
    for (index, (name, tower)) in PROJECTORS.iter().zip(&policy.config.towers).enumerate() {
        let mut g = g.at(name);
        let width = tower.vit.width;
        let flat = g.reshape("tokens", &features[index], &[fixed(1), symbol("patches"), fixed(width)])?;
        let projected = gelu_mlp(&mut g, &policy.model.at(name), &flat, &[width, hidden, hidden])?;
        let share = g.slice("share", ratios, &Cut { axis: 1, start: index as u64, length: fixed(1) })?;
        parts.push(g.mul("weighted", &projected, &share)?);
    }
    let [first, second] = [0, 1].map(|index| &parts[index]);
    Ok(g.add("mixed", first, second)?)
}

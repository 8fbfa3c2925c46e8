//! Vision towers whose blocks are modulated by the instruction (FiLM), in a file of their own beside the model.

use std::path::Path;

use vla_bundle::Dtype;

use crate::ExportError;
use crate::blocks::linear;
use crate::checkpoint::{Weights, component};
use crate::graph::{Builder, Graph, Layout, Value, fixed};

use super::Prismatic;
use super::config::{Config, Tower, check};

/// Mean embedding of the instruction's tokens, `[1, hidden]`.
pub const TEXT_EMBEDDING: &str = "text_embedding";

/// The whole vision backbone with FiLM from the checkpoint in `dir`, its adapters merged; none where there is no such file.
pub fn open(dir: &Path, config: &Config) -> Result<Option<Weights>, ExportError> {
    let Some(path) = component(dir, "vision_backbone")? else { return Ok(None) };
    let mut weights = Weights::open_torch(&path)?;
    weights.merge_lora(dir)?;
    for tower in &config.towers {
        let blocks = weights.count(|index| format!("{}.blocks.{index}.scale.weight", tower.prefix));
        check(&format!("blocks of `{}` with FiLM", tower.prefix), blocks, tower.vit.depth, &path)?;
    }
    Ok(Some(weights))
}

/// `text_embedding [1, hidden]` to `film.<tower> [blocks, 2, width]`: for every block that runs, one more than its scale,
/// and its shift. None where the towers have no FiLM.
pub fn graph(policy: &Prismatic) -> Result<Option<Graph<'_>>, ExportError> {
    let Some(weights) = &policy.film else { return Ok(None) };
    let hidden = policy.config.llama.hidden;
    let mut graph = Graph::new("film");
    let text = graph.input(TEXT_EMBEDDING, Dtype::Fp32, &[fixed(1), fixed(hidden)])?;
    for tower in &policy.config.towers {
        let (blocks, width) = (tower.vit.blocks(), tower.vit.width);
        let mut root = graph.root();
        let mut g = root.at(tower.name);
        let one = g.floats("one", &[1.0])?;
        let mut rows = Vec::new();
        for index in 0..blocks {
            let name = format!("blocks.{index}");
            let (mut g, w) = (g.at(&name), weights.at(tower.prefix).at(&name));
            let scale = linear(&mut g.at("scale"), &w.at("scale"), &text, [hidden, width])?;
            rows.push(g.add("factor", &scale, &one)?);
            rows.push(linear(&mut g.at("shift"), &w.at("shift"), &text, [hidden, width])?);
        }
        let rows = g.concat("rows", 0, &rows.iter().collect::<Vec<_>>(), &fixed(2 * blocks))?;
        let film = g.reshape("blocks", &rows, &[fixed(blocks), fixed(2), fixed(width)])?;
        graph.output(&name(tower.name), &film)?;
    }
    Ok(Some(graph))
}

/// The tensors of [`graph`] as inputs of another one, in the order of the towers; none of them without FiLM.
pub fn inputs(graph: &mut Graph<'_>, policy: &Prismatic) -> Result<Vec<Value>, ExportError> {
    let mut inputs = Vec::new();
    for tower in policy.film.iter().flat_map(|_| &policy.config.towers) {
        let dims = [tower.vit.blocks(), 2, tower.vit.width].map(fixed);
        inputs.push(graph.input(&name(tower.name), Dtype::Fp32, &dims)?);
    }
    Ok(inputs)
}

/// The learned tokens of a tower that stand for the patches of a picture, `[1, count, width]`; none where patches are taken.
pub fn summary<'w>(
    g: &mut Builder<'_, 'w>,
    policy: &'w Prismatic,
    tower: &Tower,
) -> Result<Option<Value>, ExportError> {
    let Some(count) = policy.summary else { return Ok(None) };
    let name = tower.prefix.replace("vision_backbone.", "vision_aggr_");
    let weight = policy.towers().read(&name, &[1, count, tower.vit.width])?;
    Ok(Some(g.weight(weight, Layout::AsStored)?))
}

fn name(tower: &str) -> String {
    format!("film.{tower}")
}

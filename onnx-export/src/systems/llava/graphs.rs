//! The graphs from pictures and text to the prefix, cut where the cadence changes.

use vla_bundle::Dtype;

use crate::ExportError;
use crate::blocks::{linear, siglip};
use crate::checkpoint::{Scope, Weights};
use crate::graph::{Builder, Cut, Graph, Layout, Value, fixed, symbol};

use super::{IDS, Llava, PIXELS, geometry};

/// Rows that take the places of the patches' tokens, `[1, patches, hidden]`.
const PATCHES: &str = "vision.projected";
/// Embedding of the first token, and of those behind the patches' ones.
const PIECES: [&str; 2] = ["bos", "text_tail"];

const SUFFIX_POSITIONS: &str = "suffix_positions";

/// `input_ids [1, prompt]` to `bos [1, 1, hidden]` and `text_tail [1, prompt_tail, hidden]`: embeddings of all tokens but
/// those that stand for patches.
pub fn text<'w>(model: &Llava, weights: &'w Weights) -> Result<Graph<'w>, ExportError> {
    let mut graph = Graph::new("text");
    let ids = graph.input(IDS, Dtype::Int64, &[fixed(1), symbol("prompt")])?;
    let mut root = graph.root();
    let shape = [model.vocabulary, model.language.width];
    let table = root.weight(model.language_weights(weights).read("embed_tokens.weight", &shape)?, Layout::AsStored)?;
    let mut g = root.at("embed");
    let first = g.slice("first_id", &ids, &Cut { axis: 1, start: 0, length: fixed(1) })?;
    let behind = Cut { axis: 1, start: 1 + model.patches(), length: symbol("prompt_tail") };
    let rest = g.slice("prompt_ids", &ids, &behind)?;
    let [bos, tail] = [g.gather("bos", &table, 0, &first)?, g.gather("prompt", &table, 0, &rest)?];
    graph.output(PIECES[0], &bos)?;
    graph.output(PIECES[1], &tail)?;
    Ok(graph)
}

/// `pixel_values [cameras, 3, size, size]` to `vision.siglip [cameras, patches per picture, width]` and
/// `vision.projected [1, patches, hidden]`, camera after camera.
pub fn vision<'w>(model: &Llava, weights: &'w Weights) -> Result<Graph<'w>, ExportError> {
    let (tower, w) = (&model.tower, model.weights(weights));
    let mut graph = Graph::new("vision");
    let cameras = model.cameras.len() as u64;
    let pixels = [cameras, 3, tower.image_size, tower.image_size].map(fixed);
    let pixels = graph.input(PIXELS, Dtype::Fp32, &pixels)?;
    let features = siglip(&mut graph.root().at("siglip"), &w.at("vision_tower.vision_model"), &pixels, tower)?;
    graph.output("vision.siglip", &features)?;
    let mut root = graph.root();
    let hidden = model.language.width;
    // The original has no projector between models of the same width.
    let rows = if tower.width == hidden {
        features
    } else {
        linear(&mut root.at("projector"), &w.at("vision_projector"), &features, [tower.width, hidden])?
    };
    let rows = root.reshape("rows", &rows, &[1, model.patches(), hidden].map(fixed))?;
    graph.output(PATCHES, &rows)?;
    Ok(graph)
}

/// The prefix as a graph takes it.
pub struct Prefix {
    /// `[1, tokens, hidden]`.
    pub embeds: Value,
    /// `[1, tokens]`: 0, 1, ..
    pub positions: Value,
}

impl Prefix {
    /// Declares the pieces as inputs, joins them, and gives them out as `prefix_embeds`.
    pub fn of<'w>(graph: &mut Graph<'w>, model: &Llava, weights: &'w Weights) -> Result<Self, ExportError> {
        let hidden = fixed(model.language.width);
        let mut piece = |name, length| graph.input(name, Dtype::Fp32, &[fixed(1), length, hidden.clone()]);
        let bos = piece(PIECES[0], fixed(1))?;
        let patches = piece(PATCHES, fixed(model.patches()))?;
        let tail = piece(PIECES[1], symbol("prompt_tail"))?;
        let patches = match model.geometry {
            Some(_) => geometry::fuse(graph, model, &model.weights(weights), &patches)?,
            None => patches,
        };
        let mut root = graph.root();
        let mut g = root.at("prefix");
        let tokens = symbol("tokens");
        let embeds = g.concat("embeds", 1, &[&bos, &patches, &tail], &tokens)?;
        let count = g.lengths("count", &embeds, 1..2)?;
        let positions = g.count_up("positions", &count, tokens.clone())?;
        let positions = g.reshape("position_row", &positions, &[fixed(1), tokens])?;
        graph.output("prefix_embeds", &embeds)?;
        Ok(Self { embeds, positions })
    }
}

/// Positions of `count` tokens behind the prefix, `[1, count]`, as `suffix_positions`.
pub fn suffix_positions(graph: &mut Graph<'_>, prefix: &Prefix, count: u64) -> Result<(), ExportError> {
    let mut root = graph.root();
    let mut g = root.at("suffix");
    let before = g.lengths("before", &prefix.embeds, 1..2)?;
    let steps: Vec<i64> = (0..count as i64).collect();
    let steps = g.ints("steps", &steps, &[1, count])?;
    let positions = g.add("positions", &steps, &before)?;
    Ok(graph.output(SUFFIX_POSITIONS, &positions)?)
}

/// The tensor of [`suffix_positions`] as an input.
pub fn suffix_positions_input(graph: &mut Graph<'_>, count: u64) -> Result<Value, ExportError> {
    Ok(graph.input(SUFFIX_POSITIONS, Dtype::Int64, &[1, count].map(fixed))?)
}

/// The token of the time, `out(silu(in(time)))`: `[1, 1, width]`.
pub fn time_token<'w>(g: &mut Builder<'_, 'w>, w: &Scope<'w>, time: &Value, width: u64) -> Result<Value, ExportError> {
    let y = linear(&mut g.at("time_mlp_in"), &w.at("time_mlp_in"), time, [width; 2])?;
    let y = g.silu("time_silu", &y)?;
    let y = linear(&mut g.at("time_mlp_out"), &w.at("time_mlp_out"), &y, [width; 2])?;
    Ok(g.reshape("time_token", &y, &[1, 1, width].map(fixed))?)
}

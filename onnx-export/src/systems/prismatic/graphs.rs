//! The graphs that the family shares, cut where a length becomes dynamic or where the cadence changes.

use vla_bundle::{Cadence, Dtype};

use crate::ExportError;
use crate::blocks::{VitInput, gelu_mlp, llama, vit};
use crate::graph::{Builder, Cut, Graph, Layout, Value, fixed, symbol};

use super::config::CHANNELS;
use super::fusion::Fusion;
use super::{Prismatic, Proprio, film, fusion};

/// Token that ends the sequence; its embedding is kept, those of the action placeholders before it are zero.
pub const STOP_ID: i64 = 2;

/// The graphs that make the pieces of the sequence, in order.
pub fn pieces(policy: &Prismatic) -> Result<Vec<(Graph<'_>, Cadence)>, ExportError> {
    let of_instruction = [Some(text(policy)?), film::graph(policy)?, fusion::ratios(policy)?];
    let of_observation = [Some(vision(policy)?), state(policy)?];
    let of_instruction = of_instruction.into_iter().flatten().map(|graph| (graph, Cadence::Instruction));
    let of_observation = of_observation.into_iter().flatten().map(|graph| (graph, Cadence::Observation));
    Ok(of_instruction.chain(of_observation).collect())
}

/// `pixel_values [cameras, 3 per tower, size, size]` to `projected_patches [1, patches, hidden]`, camera after camera,
/// and each tower's features as `vision.<tower> [cameras, patches per picture, width]`. With FiLM the towers take
/// `film.<tower>`, and a mixture takes `moe.ratios`.
fn vision(policy: &Prismatic) -> Result<Graph<'_>, ExportError> {
    let towers = &policy.config.towers;
    let mut graph = Graph::new("vision");
    let features = features(&mut graph, policy)?;
    for (tower, feature) in towers.iter().zip(&features) {
        graph.output(&format!("vision.{}", tower.name), feature)?;
    }
    let projected = fusion::tokens(&mut graph, policy, &features)?;
    graph.output("projected_patches", &projected)?;
    Ok(graph)
}

/// Each tower's features, `[cameras, patches per picture, width]`.
fn features<'w>(graph: &mut Graph<'w>, policy: &'w Prismatic) -> Result<Vec<Value>, ExportError> {
    let towers = &policy.config.towers;
    let size = fixed(policy.config.image_size());
    let channels = fixed(CHANNELS * towers.len() as u64);
    let pixels = graph.input("pixel_values", Dtype::Fp32, &[symbol("cameras"), channels, size.clone(), size])?;
    let film = film::inputs(graph, policy)?;
    let mut features = Vec::new();
    for (index, tower) in towers.iter().enumerate() {
        let cut = Cut { axis: 1, start: CHANNELS * index as u64, length: fixed(CHANNELS) };
        let mut root = graph.root();
        let mut g = root.at(tower.name);
        let pictures = g.slice("pictures", &pixels, &cut)?;
        let summary = film::summary(&mut g, policy, tower)?;
        let input = VitInput { pictures: &pictures, film: film.get(index), summary: summary.as_ref() };
        features.push(vit(&mut g, &policy.towers().at(tower.prefix), input, &tower.vit)?);
    }
    Ok(features)
}

/// `proprio [1, dim]` to `proprio_token [1, 1, hidden]`; none where the policy takes no state.
fn state(policy: &Prismatic) -> Result<Option<Graph<'_>>, ExportError> {
    let Some(Proprio { weights, dim, .. }) = &policy.proprio else { return Ok(None) };
    let hidden = policy.config.llama.hidden;
    let mut graph = Graph::new("state");
    let proprio = graph.input("proprio", Dtype::Fp32, &[fixed(1), fixed(*dim)])?;
    let mut root = graph.root();
    let mut g = root.at("projector");
    let row = gelu_mlp(&mut g, &weights.at(""), &proprio, &[*dim, hidden, hidden])?;
    let token = g.reshape("token", &row, &[fixed(1), fixed(1), fixed(hidden)])?;
    graph.output("proprio_token", &token)?;
    Ok(Some(graph))
}

/// `input_ids [1, prompt]` to the embeddings before the patches, `bos [1, 1, hidden]`, and after them,
/// `text_tail [1, tail, hidden]`: the rest of the prompt, zeros where the actions will be read, and the stop token.
/// Where the actions come out of noise, what stands in for the zeros is not known here, and `prompt_tail` and `stop` come
/// apart; where they are written one by one, only `prompt_tail` comes. Where FiLM or a mixture asks for it also the mean of
/// all of them but the zeros, `text_embedding [1, hidden]`.
fn text(policy: &Prismatic) -> Result<Graph<'_>, ExportError> {
    let mut graph = Graph::new("text");
    let ids = graph.input("input_ids", Dtype::Int64, &[fixed(1), symbol("prompt")])?;
    let mut root = graph.root();
    let table = embedding_table(&mut root, policy)?;
    let mut g = root.at("embed");
    let first = g.slice("first_id", &ids, &Cut { axis: 1, start: 0, length: fixed(1) })?;
    let rest = g.slice("prompt_ids", &ids, &Cut { axis: 1, start: 1, length: symbol("prompt_tail") })?;
    let stop = g.ints("stop_id", &[STOP_ID], &[1, 1])?;
    let bos = g.gather("bos", &table, 0, &first)?;
    let rest = g.gather("prompt", &table, 0, &rest)?;
    let stop = g.gather("stop", &table, 0, &stop)?;
    graph.output("bos", &bos)?;
    if policy.writes_tokens() {
        graph.output("prompt_tail", &rest)?;
    } else if policy.head.denoises() {
        graph.output("prompt_tail", &rest)?;
        graph.output("stop", &stop)?;
    } else {
        let mut root = graph.root();
        let mut g = root.at("tail");
        let actions = g.zeros("actions", &[1, policy.action_tokens(), policy.config.llama.hidden])?;
        let tail = g.concat("tokens", 1, &[&rest, &actions, &stop], &symbol("tail"))?;
        graph.output("text_tail", &tail)?;
    }
    if policy.film.is_some() || policy.fusion == Fusion::Mixed {
        let mut root = graph.root();
        let mut g = root.at("mean");
        let words = g.concat("words", 1, &[&bos, &rest, &stop], &symbol("words"))?;
        let mean = g.mean("embedding", &words, 1)?;
        graph.output(film::TEXT_EMBEDDING, &mean)?;
    }
    Ok(graph)
}

/// The token embeddings `[vocabulary, hidden]`.
pub fn embedding_table<'w>(g: &mut Builder<'_, 'w>, policy: &'w Prismatic) -> Result<Value, ExportError> {
    let shape = [policy.config.llama.vocabulary, policy.config.llama.hidden];
    let table = policy.model.read("language_model.model.embed_tokens.weight", &shape)?;
    Ok(g.weight(table, Layout::AsStored)?)
}

/// The pieces one after the other, `[1, tokens, hidden]`, and their positions `[1, tokens]`, i64.
pub fn joined(g: &mut Builder<'_, '_>, pieces: &Pieces) -> Result<[Value; 2], ExportError> {
    let tokens = symbol("tokens");
    let embeds = g.concat("embeds", 1, &pieces.in_order(), &tokens)?;
    let count = g.lengths("count", &embeds, 1..2)?;
    let positions = g.count_up("positions", &count, tokens.clone())?;
    let positions = g.reshape("position_row", &positions, &[fixed(1), tokens])?;
    Ok([embeds, positions])
}

/// The pieces of the sequence, as inputs of a graph.
pub struct Pieces {
    /// `bos [1, 1, hidden]`.
    pub bos: Value,
    /// `projected_patches [1, patches, hidden]`.
    pub patches: Value,
    /// `proprio_token [1, 1, hidden]`.
    pub proprio: Option<Value>,
    /// `time_token [1, 1, hidden]` of a head that denoises.
    pub time: Option<Value>,
    /// `text_tail [1, tail, hidden]`, or `prompt_tail` where nothing follows the prompt.
    pub tail: Value,
}

impl Pieces {
    /// Declares the inputs.
    pub fn of(graph: &mut Graph<'_>, policy: &Prismatic) -> Result<Self, ExportError> {
        let hidden = fixed(policy.config.llama.hidden);
        let [tail, tail_length] = if policy.writes_tokens() { ["prompt_tail"; 2] } else { ["text_tail", "tail"] };
        let mut piece = |name, length| graph.input(name, Dtype::Fp32, &[fixed(1), length, hidden.clone()]);
        Ok(Self {
            bos: piece("bos", fixed(1))?,
            patches: piece("projected_patches", symbol("patches"))?,
            proprio: policy.proprio.as_ref().map(|_| piece("proprio_token", fixed(1))).transpose()?,
            time: policy.head.denoises().then(|| piece("time_token", fixed(1))).transpose()?,
            tail: piece(tail, symbol(tail_length))?,
        })
    }

    /// In the order of the sequence.
    pub fn in_order(&self) -> Vec<&Value> {
        [&self.bos, &self.patches].into_iter().chain(self.after_patches()).collect()
    }

    /// What follows the patches.
    pub fn after_patches(&self) -> Vec<&Value> {
        self.proprio.iter().chain(&self.time).chain([&self.tail]).collect()
    }
}

/// `[BOS | patches | proprio | time | prompt | actions | stop]`, those that there are, as
/// `multimodal_embeds [1, tokens, hidden]`, and its positions.
pub fn sequence(policy: &Prismatic) -> Result<Graph<'_>, ExportError> {
    let mut graph = Graph::new("sequence");
    let pieces = Pieces::of(&mut graph, policy)?;
    let [embeds, positions] = joined(&mut graph.root().at("sequence"), &pieces)?;
    graph.output("multimodal_embeds", &embeds)?;
    graph.output("position_ids", &positions)?;
    Ok(graph)
}

/// The language model: `embeds [1, length, hidden]` at `position_ids [1, length]` to `hidden_states`, final norm included.
pub fn language<'w>(policy: &'w Prismatic, embeds: &str, length: &str) -> Result<Graph<'w>, ExportError> {
    let config = &policy.config.llama;
    let mut graph = Graph::new("language");
    let embeds = graph.input(embeds, Dtype::Fp32, &[fixed(1), symbol(length), fixed(config.hidden)])?;
    let positions = graph.input("position_ids", Dtype::Int64, &[fixed(1), symbol(length)])?;
    let weights = policy.model.at("language_model.model");
    let hidden = llama(&mut graph.root(), &weights, [&embeds, &positions], config)?;
    graph.output("hidden_states", &hidden)?;
    Ok(graph)
}

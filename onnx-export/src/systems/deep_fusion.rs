//! Deep fusion: a flow expert whose layers see, beside their own, the keys and values of a LLaVA-like model's layers.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use vla_bundle::{Actions, Cadence, Dtype, Input, Source, Stage, StateStep, StateStream, Streams, Unnormalize};

use crate::ExportError;
use crate::blocks::{Decoder, DecoderConfig, DecoderNorm, Sees, linear};
use crate::bundle_writer::Draft;
use crate::checkpoint::{Scope, Weights, identity};
use crate::graph::{Cut, Graph, Value, fixed};
use crate::request::Request;

use super::flow::{self, Loop};
use super::llava::flow::{RawFlow, mismatch};
use super::llava::graphs::{self, Prefix};
use super::llava::{Llava, Place, check, config_path, read_config};
use super::openpi::statistics::{Columns, Statistics};

const PARTS: &str = "action_expert";
const EXPERT: &str = "language_model_with_expert";
const STATE: &str = "state";
const STATE_TOKEN: &str = "state_token";
/// The original's guard against dimensions that never changed.
const STD_EPS: f64 = 1e-6;

/// A checkpoint, its files cross-checked with each other and with the request.
pub struct DeepFusion {
    model: Llava,
    weights: Weights,
    expert: DecoderConfig,
    /// Whether the expert has no layers of its own.
    shares_layers: bool,
    /// Values of the state; none where the expert takes none.
    state_dim: Option<u64>,
    /// Whether tokens of the prefix see only those before them.
    is_causal: bool,
    /// Lengths of the suffix's blocks, whose tokens see each other and the blocks before.
    blocks: Vec<u64>,
    steps: u64,
    flow: Loop,
    statistics: Statistics,
    dir: PathBuf,
}

/// The fields of `config.json` beside the vision-language model's.
#[derive(Deserialize)]
struct Raw {
    action_dim: u64,
    action_horizon: u64,
    expert_hidden_size: Option<u64>,
    state_dim: Option<u64>,
    #[serde(default)]
    use_state: bool,
    flow: RawDeepFlow,
    #[serde(default)]
    expert_share_base_layers: bool,
    text_config: RawShare,
}

#[derive(Deserialize)]
struct RawShare {
    #[serde(default)]
    expert_share_base_layers: bool,
}

#[derive(Deserialize)]
struct RawDeepFlow {
    #[serde(flatten)]
    flow: RawFlow,
    suffix_ar: Vec<u64>,
    velocity_read_start: u64,
    prefix_attention: String,
    position_rule: String,
    max_token_len: Option<u64>,
    normalization: String,
}

impl RawDeepFlow {
    /// Lengths of the blocks that the pattern, which begins with 1, cuts the suffix into.
    fn blocks(&self) -> Vec<u64> {
        let mut blocks: Vec<u64> = Vec::new();
        for entry in &self.suffix_ar {
            match blocks.last_mut() {
                Some(length) if *entry == 0 => *length += 1,
                _ => blocks.push(1),
            }
        }
        blocks
    }
}

impl Raw {
    /// Refuses what the layout, the pattern and the state say against each other.
    fn check(&self, path: &Path) -> Result<(), ExportError> {
        let flow = &self.flow;
        let state = u64::from(self.use_state);
        let layout = if self.use_state { "state_actions_time" } else { "actions_time" };
        if flow.flow.suffix_layout != layout {
            let got = format!("`{}`", flow.flow.suffix_layout);
            let wanted = format!("`{layout}`, for `use_state` is {}", self.use_state);
            return Err(mismatch("`suffix_layout`", got, &wanted, path));
        }
        if self.use_state && self.state_dim.is_none_or(|dim| dim == 0) {
            return Err(mismatch("`state_dim`", "none".to_owned(), "the width of the state in the suffix", path));
        }
        check("`velocity_read_start`", flow.velocity_read_start, state, path)?;
        check("entries of `suffix_ar`", flow.suffix_ar.len() as u64, self.action_horizon + 1 + state, path)?;
        match flow.suffix_ar.as_slice() {
            [0, ..] => {
                let wanted = "1: a prefix that sees the suffix changes with every step and cannot be kept";
                return Err(mismatch("first entry of `suffix_ar`", "0".to_owned(), wanted, path));
            }
            pattern => {
                if let Some(other) = pattern.iter().find(|entry| **entry > 1) {
                    let wanted = "0 and 1: 1 begins a block of tokens that see each other";
                    return Err(mismatch("entries of `suffix_ar`", other.to_string(), wanted, path));
                }
            }
        }
        for (what, got, wanted) in [
            ("`position_rule`", &flow.position_rule, "cumsum(pad)-1"),
            ("`normalization`", &flow.normalization, "zscore"),
        ] {
            if got != wanted {
                return Err(mismatch(what, format!("`{got}`"), &format!("`{wanted}`"), path));
            }
        }
        Ok(())
    }

    fn is_causal(&self, path: &Path) -> Result<bool, ExportError> {
        match self.flow.prefix_attention.as_str() {
            "bidirectional" => Ok(false),
            "causal" => Ok(true),
            other => Err(mismatch("`prefix_attention`", format!("`{other}`"), "`bidirectional` or `causal`", path)),
        }
    }
}

impl DeepFusion {
    /// Opens the request's checkpoint.
    pub fn open(request: &Request) -> Result<Self, ExportError> {
        let dir = request.checkpoint.clone();
        let path = config_path(&dir);
        let raw: Raw = read_config(&dir)?;
        raw.check(&path)?;
        if let Some(asked) = request.chunk_size {
            check("--chunk-size", asked as u64, raw.action_horizon, &path)?;
        }
        let max_tokens = raw.flow.max_token_len;
        let place = Place {
            dir: dir.clone(),
            prefix: "",
            prompt: "{task}",
            state_text: None,
            max_tokens,
            picture_size: None,
            geometric: None,
        };
        let model = Llava::open(place, request)?;
        let mut weights = Weights::open_safetensors(&dir)?;
        let shares_layers = raw.expert_share_base_layers || raw.text_config.expert_share_base_layers;
        let expert = if shares_layers { model.language } else { expert(&mut weights, &raw, (&model, &path))? };
        let statistics = Statistics::read(&dir, request.unnorm_key.as_deref())?;
        let state_dim = raw.state_dim.filter(|_| raw.use_state);
        let widths = [(&statistics.actions, Some(raw.action_dim)), (&statistics.state, state_dim)];
        for ((columns, wanted), what) in widths.into_iter().zip(["values of an action", "values of the state"]) {
            let Some(wanted) = wanted else { continue };
            check(&format!("{what} in the statistics"), columns.mean.len() as u64, wanted, &statistics.path)?;
        }
        Ok(Self {
            steps: request.denoise_steps.unwrap_or(raw.flow.flow.num_inference_steps),
            flow: raw.flow.flow.stage([raw.action_horizon, raw.action_dim], expert.width, &path)?,
            is_causal: raw.is_causal(&path)?,
            blocks: raw.flow.blocks(),
            model,
            weights,
            expert,
            shares_layers,
            state_dim,
            statistics,
            dir,
        })
    }

    /// The bundle: text once per instruction, pictures, prefix and state once per observation, the expert in a loop.
    pub fn draft(&self) -> Result<Draft<'_>, ExportError> {
        let mut once = self.model.pieces(&self.weights)?;
        once.push((self.prefix()?, Cadence::Observation));
        once.extend(self.state()?.map(|state| (state, Cadence::Observation)));
        let (mut graphs, mut plan) = (vec![], vec![]);
        for (graph, every) in once {
            plan.push(Stage::Run { graph: graph.name().to_owned(), every });
            graphs.push(graph);
        }
        graphs.push(self.denoise()?);
        plan.push(self.flow.stage(self.steps));
        self.weights.drop_where(|name| self.is_dead(name));
        let dropped = self.weights.finish()?;
        let mut sources: Vec<PathBuf> = self.model.sources().chain(self.weights.sources().iter().cloned()).collect();
        sources.push(self.statistics.path.clone());
        let Columns { mean, std, .. } = &self.statistics.actions;
        Ok(Draft {
            system: "deep_fusion",
            checkpoint: identity(&self.dir, &sources, Some(self.statistics.key.clone()), dropped)?,
            streams: Streams {
                cameras: self.model.cameras.clone(),
                state: self.state_dim.map(|dim| StateStream { dim: dim as usize, pieces: vec![] }),
                intrinsics: self.model.intrinsics(),
            },
            inputs: self.inputs(),
            graphs,
            plan,
            dims: self.model.dims().collect(),
            actions: Actions {
                tensor: flow::ACTIONS.to_owned(),
                chunk_size: self.flow.chunk_size as usize,
                action_dim: self.flow.network_dim as usize,
                network_dim: None,
                before: vec![],
                unnormalize: Unnormalize::MeanStd { mean: mean.clone(), std: std.clone(), eps: STD_EPS },
                steps: vec![],
                kept_tokens: None,
            },
            copies: self.model.copies(),
            warnings: vec![],
        })
    }

    fn inputs(&self) -> Vec<Input> {
        let mut inputs = self.model.inputs();
        if self.state_dim.is_some() {
            let Columns { mean, std, .. } = &self.statistics.state;
            let step = StateStep::Standardize { mean: mean.clone(), std: std.clone(), eps: STD_EPS };
            inputs.push(Input { tensor: STATE.to_owned(), source: Source::State { steps: vec![step] } });
        }
        inputs
    }

    /// State, actions and time.
    fn suffix(&self) -> u64 {
        u64::from(self.state_dim.is_some()) + self.flow.chunk_size + 1
    }

    /// The expert's layers, and its norm.
    fn expert_weights(&self) -> [Scope<'_>; 2] {
        let own = self.weights.at(EXPERT);
        let layers =
            if self.shares_layers { self.model.language_weights(&self.weights) } else { own.at("expert_model") };
        [layers, own.at("expert_norm")]
    }

    /// Tensors that have no effect on the actions: what writes text, and what the last layer of the prefix makes of its
    /// own keys and values.
    fn is_dead(&self, name: &str) -> bool {
        let language = "language_model.model.model.";
        let last = format!("{language}layers.{}.", self.model.language.depth - 1);
        let unread = name.starts_with(&last) || name == format!("{language}norm.weight");
        unread || self.model.is_dead(name, self.model.language.depth)
    }

    /// The pieces of the prefix to the keys and values of every layer.
    fn prefix(&self) -> Result<Graph<'_>, ExportError> {
        let (language, w) = (self.model.language, self.model.language_weights(&self.weights));
        let mut graph = Graph::new("prefix");
        let prefix = Prefix::of(&mut graph, &self.model, &self.weights)?;
        graphs::suffix_positions(&mut graph, &prefix, self.suffix())?;
        let mut root = graph.root();
        let mut g = root.at("language");
        let decoder = Decoder::new(&mut g, &prefix.positions, (language, DecoderNorm::Weight))?;
        let mut memories = Vec::new();
        let mut x = prefix.embeds.clone();
        for index in 0..language.depth {
            let name = format!("layers.{index}");
            let (mut g, w) = (g.at(&name), w.at(&name));
            // Nobody reads the last layer's tokens.
            if index + 1 == language.depth {
                memories.push(decoder.layer_memory(&mut g, &w, &x)?);
            } else {
                let sees = if self.is_causal { Sees::Past } else { Sees::Own };
                let output = decoder.layer(&mut g, &w, &x, sees)?;
                memories.extend(output.memory);
                x = output.tokens;
            }
        }
        for (layer, [keys, values]) in (0..).zip(&memories) {
            flow::memory_outputs(&mut graph, layer, [keys, values])?;
        }
        Ok(graph)
    }

    /// `state [1, dim]` to `state_token [1, 1, width]`; none where the expert takes no state.
    fn state(&self) -> Result<Option<Graph<'_>>, ExportError> {
        let Some(dim) = self.state_dim else { return Ok(None) };
        let width = self.expert.width;
        let mut graph = Graph::new("state");
        let state = graph.input(STATE, Dtype::Fp32, &[1, dim].map(fixed))?;
        let mut root = graph.root();
        let w = self.weights.at(PARTS).at("state_proj");
        let row = linear(&mut root.at("state_proj"), &w, &state, [dim, width])?;
        let token = root.reshape("token", &row, &[1, 1, width].map(fixed))?;
        graph.output(STATE_TOKEN, &token)?;
        Ok(Some(graph))
    }

    /// What a token of the suffix sees.
    fn sees<'v>(&'v self, memory: [&'v Value; 2]) -> Sees<'v> {
        match self.blocks.as_slice() {
            [_] => Sees::Memory(memory),
            blocks if blocks.iter().all(|length| *length == 1) => Sees::MemoryAndPast(memory),
            blocks => Sees::MemoryAndBlocks(memory, blocks),
        }
    }

    /// One step of the loop.
    fn denoise(&self) -> Result<Graph<'_>, ExportError> {
        let (width, w, chunk) = (self.expert.width, self.weights.at(PARTS), self.flow.chunk_size);
        let mut graph = Graph::new("denoise");
        let [actions, time] = self.flow.inputs(&mut graph)?;
        let state = match self.state_dim {
            Some(_) => Some(graph.input(STATE_TOKEN, Dtype::Fp32, &[1, 1, width].map(fixed))?),
            None => None,
        };
        let memories = flow::memory_inputs(&mut graph, self.expert.depth, ("tokens", self.expert.memory_width()))?;
        let positions = graphs::suffix_positions_input(&mut graph, self.suffix())?;
        let mut root = graph.root();
        let mut g = root.at("suffix");
        let widths = [self.flow.network_dim, width];
        let actions = linear(&mut g.at("action_in_proj"), &w.at("action_in_proj"), &actions, widths)?;
        let time = graphs::time_token(&mut g, &w, &time, width)?;
        let pieces: Vec<_> = state.iter().chain([&actions, &time]).collect();
        let mut x = g.concat("tokens", 1, &pieces, &fixed(self.suffix()))?;
        let [layers, norm] = self.expert_weights();
        let mut g = root.at("expert");
        let expert = Decoder::new(&mut g, &positions, (self.expert, DecoderNorm::Weight))?;
        for (index, [keys, values]) in memories.iter().enumerate() {
            let name = format!("layers.{index}");
            x = expert.layer(&mut g.at(&name), &layers.at(&name), &x, self.sees([keys, values]))?.tokens;
        }
        let x = expert.normalize(&mut g.at("norm"), &norm, &x)?.0;
        let start = u64::from(self.state_dim.is_some());
        let rows = g.slice("action_rows", &x, &Cut { axis: 1, start, length: fixed(chunk) })?;
        self.flow.velocity(&mut graph, (&self.weights, PARTS), &rows)?;
        Ok(graph)
    }
}

/// An expert with layers of its own, in the head space of the prefix's; its projections into that space get the names
/// that they have in a layer.
fn expert(weights: &mut Weights, raw: &Raw, (model, path): (&Llava, &Path)) -> Result<DecoderConfig, ExportError> {
    let language = model.language;
    let layer = |index: u64| format!("{EXPERT}.expert_model.layers.{index}");
    let depth = weights.count(|index| format!("{}.input_layernorm.weight", layer(index)));
    if depth != language.depth {
        let wanted = format!("the {} of the language model: no map of layers is known", language.depth);
        return Err(mismatch("layers of the expert", depth.to_string(), &wanted, path));
    }
    for index in 0..depth {
        for part in ["q", "k", "v", "o"] {
            let from = format!("{EXPERT}.expert_{part}_projs.{index}.weight");
            weights.rename(&from, &format!("{}.self_attn.{part}_proj.weight", layer(index)))?;
        }
    }
    let inner = weights.shape(&format!("{}.mlp.gate_proj.weight", layer(0))).and_then(|shape| shape.first().copied());
    let width = raw.expert_hidden_size.unwrap_or(language.width);
    Ok(DecoderConfig { width, inner: inner.unwrap_or(0), ..language })
}

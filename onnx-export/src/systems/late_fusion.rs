//! Late fusion: a Gemma flow expert whose sequence begins with the last hidden states of a LLaVA-like model. The expert
//! is causal, so what it makes of them is the same in every step.

use std::path::PathBuf;

use serde::Deserialize;
use vla_bundle::{Actions, Cadence, Stage, Streams, Unnormalize};

use crate::ExportError;
use crate::blocks::{Decoder, DecoderConfig, DecoderNorm, GateActivation, Sees, linear};
use crate::bundle_writer::Draft;
use crate::checkpoint::{Bounds, Norm, Scope, Statistics, StatisticsSource, Weights, identity};
use crate::graph::{Cut, Graph, fixed};
use crate::request::Request;

use super::flow::{self, Loop};
use super::llava::flow::{RawFlow, mismatch};
use super::llava::graphs::{self, Prefix};
use super::llava::{Llava, Place, check, config_path, read_config};

const EXPERT: &str = "action_expert";

/// A checkpoint, its files cross-checked with each other and with the request.
pub struct LateFusion {
    model: Llava,
    weights: Weights,
    expert: DecoderConfig,
    steps: u64,
    flow: Loop,
    statistics: Statistics,
    action_bounds: Bounds,
    dir: PathBuf,
}

/// The fields of `config.json` beside the vision-language model's.
#[derive(Deserialize)]
struct Raw {
    action_expert_config: RawExpert,
    action_dim: u64,
    action_horizon: u64,
    flow: RawFlow,
    unnorm_key: Option<String>,
}

/// The part of a `GemmaConfig` that is read.
#[derive(Deserialize)]
struct RawExpert {
    hidden_size: u64,
    num_attention_heads: u64,
    num_key_value_heads: u64,
    head_dim: u64,
    num_hidden_layers: u64,
    intermediate_size: u64,
    #[serde(default = "default_eps")]
    rms_norm_eps: f32,
    #[serde(default = "default_theta")]
    rope_theta: f32,
    hidden_activation: Option<String>,
    #[serde(default)]
    attention_bias: bool,
}

fn default_eps() -> f32 {
    1e-6
}

fn default_theta() -> f32 {
    10000.0
}

impl LateFusion {
    /// Opens the request's checkpoint.
    pub fn open(request: &Request) -> Result<Self, ExportError> {
        let dir = request.checkpoint.clone();
        let path = config_path(&dir);
        let raw: Raw = read_config(&dir)?;
        if raw.flow.suffix_layout != "time_actions" {
            return Err(mismatch("`suffix_layout`", format!("`{}`", raw.flow.suffix_layout), "`time_actions`", &path));
        }
        if let Some(asked) = request.chunk_size {
            check("--chunk-size", asked as u64, raw.action_horizon, &path)?;
        }
        let place = Place {
            dir: dir.clone(),
            prefix: "",
            prompt: "{task}",
            state_text: None,
            max_tokens: None,
            picture_size: None,
            geometric: None,
        };
        let key = request.unnorm_key.as_deref().or(raw.unnorm_key.as_deref());
        let statistics = Statistics::read(&dir, StatisticsSource::Processor, key)?;
        let expert = raw.action_expert_config.decoder(&path)?;
        Ok(Self {
            model: Llava::open(place, request)?,
            weights: Weights::open_safetensors(&dir)?,
            steps: request.denoise_steps.unwrap_or(raw.flow.num_inference_steps),
            flow: raw.flow.stage([raw.action_horizon, raw.action_dim], expert.width, &path)?,
            action_bounds: statistics.action(Norm::Quantile, raw.action_dim as usize)?,
            statistics,
            expert,
            dir,
        })
    }

    /// The bundle: text once per instruction, pictures and prefix once per observation, the expert in a loop.
    pub fn draft(&self) -> Result<Draft<'_>, ExportError> {
        let mut once = self.model.pieces(&self.weights)?;
        once.push((self.prefix()?, Cadence::Observation));
        let run = |(graph, every): &(Graph<'_>, Cadence)| Stage::Run { graph: graph.name().to_owned(), every: *every };
        let mut plan: Vec<Stage> = once.iter().map(run).collect();
        plan.push(self.flow.stage(self.steps));
        let mut graphs: Vec<Graph<'_>> = once.into_iter().map(|(graph, _)| graph).collect();
        graphs.push(self.denoise()?);
        let depth = self.model.language.depth;
        let embeddings = format!("{EXPERT}.model.embed_tokens.weight");
        self.weights.drop_where(|name| name == embeddings || self.model.is_dead(name, depth));
        let dropped = self.weights.finish()?;
        let mut sources: Vec<PathBuf> = self.model.sources().chain(self.weights.sources().iter().cloned()).collect();
        sources.push(self.statistics.path().to_owned());
        let Bounds { low, high, mask, warnings } = self.action_bounds.clone();
        Ok(Draft {
            system: "late_fusion",
            checkpoint: identity(&self.dir, &sources, Some(self.statistics.key().to_owned()), dropped)?,
            streams: Streams { cameras: self.model.cameras.clone(), state: None, intrinsics: self.model.intrinsics() },
            inputs: self.model.inputs(),
            graphs,
            plan,
            dims: self.model.dims().collect(),
            actions: Actions {
                tensor: flow::ACTIONS.to_owned(),
                chunk_size: self.flow.chunk_size as usize,
                action_dim: self.flow.network_dim as usize,
                network_dim: None,
                before: vec![],
                unnormalize: Unnormalize::Quantile { low, high, eps: 0.0, mask },
                steps: vec![],
                kept_tokens: None,
            },
            copies: self.model.copies(),
            warnings,
        })
    }

    fn expert_weights(&self) -> Scope<'_> {
        self.weights.at(EXPERT)
    }

    /// Time and actions.
    fn suffix(&self) -> u64 {
        1 + self.flow.chunk_size
    }

    /// The pieces of the prefix to the expert's keys and values of it.
    fn prefix(&self) -> Result<Graph<'_>, ExportError> {
        let (language, w) = (self.model.language, self.model.language_weights(&self.weights));
        let mut graph = Graph::new("prefix");
        let prefix = Prefix::of(&mut graph, &self.model, &self.weights)?;
        graphs::suffix_positions(&mut graph, &prefix, self.suffix())?;
        let mut root = graph.root();
        let mut g = root.at("language");
        let decoder = Decoder::new(&mut g, &prefix.positions, (language, DecoderNorm::Weight))?;
        let mut x = prefix.embeds.clone();
        for index in 0..language.depth {
            let name = format!("layers.{index}");
            x = decoder.layer(&mut g.at(&name), &w.at(&name), &x, Sees::Past)?.tokens;
        }
        let context = decoder.normalize(&mut g.at("norm"), &w.at("norm"), &x)?.0;

        let w = self.expert_weights();
        let mut g = root.at("expert");
        let widths = [language.width, self.expert.width];
        let projected = linear(&mut g.at("projector"), &w.at("context_projector"), &context, widths)?;
        let mut x = flow::scaled(&mut g.at("projector"), &projected, self.expert.width)?;
        let expert = Decoder::new(&mut g, &prefix.positions, (self.expert, DecoderNorm::OnePlusWeight))?;
        let mut memories = Vec::new();
        for index in 0..self.expert.depth {
            let name = format!("layers.{index}");
            let (mut g, w) = (g.at(&name), w.at("model").at(&name));
            // Nobody reads the last layer's tokens.
            if index + 1 == self.expert.depth {
                memories.push(expert.layer_memory(&mut g, &w, &x)?);
            } else {
                let output = expert.layer(&mut g, &w, &x, Sees::Past)?;
                memories.extend(output.memory);
                x = output.tokens;
            }
        }
        graph.output("context.hidden", &context)?;
        graph.output("context.projected", &projected)?;
        for (layer, [keys, values]) in (0..).zip(&memories) {
            flow::memory_outputs(&mut graph, layer, [keys, values])?;
        }
        Ok(graph)
    }

    /// One step of the loop.
    fn denoise(&self) -> Result<Graph<'_>, ExportError> {
        let (width, w, chunk) = (self.expert.width, self.expert_weights(), self.flow.chunk_size);
        let mut graph = Graph::new("denoise");
        let [actions, time] = self.flow.inputs(&mut graph)?;
        let memories = flow::memory_inputs(&mut graph, self.expert.depth, ("tokens", self.expert.memory_width()))?;
        let positions = graphs::suffix_positions_input(&mut graph, self.suffix())?;
        let mut root = graph.root();
        let mut g = root.at("suffix");
        let time = graphs::time_token(&mut g, &w, &time, width)?;
        let widths = [self.flow.network_dim, width];
        let actions = linear(&mut g.at("action_in_proj"), &w.at("action_in_proj"), &actions, widths)?;
        let x = g.concat("tokens", 1, &[&time, &actions], &fixed(self.suffix()))?;
        let mut x = flow::scaled(&mut g, &x, width)?;
        let mut g = root.at("expert");
        let expert = Decoder::new(&mut g, &positions, (self.expert, DecoderNorm::OnePlusWeight))?;
        for (index, [keys, values]) in memories.iter().enumerate() {
            let name = format!("layers.{index}");
            let sees = Sees::MemoryAndPast([keys, values]);
            x = expert.layer(&mut g.at(&name), &w.at("model").at(&name), &x, sees)?.tokens;
        }
        let x = expert.normalize(&mut g.at("norm"), &w.at("model.norm"), &x)?.0;
        let rows = g.slice("action_rows", &x, &Cut { axis: 1, start: 1, length: fixed(chunk) })?;
        self.flow.velocity(&mut graph, (&self.weights, EXPERT), &rows)?;
        Ok(graph)
    }
}

impl RawExpert {
    fn decoder(&self, path: &std::path::Path) -> Result<DecoderConfig, ExportError> {
        let activation = self.hidden_activation.as_deref().unwrap_or("gelu_pytorch_tanh");
        if activation != "gelu_pytorch_tanh" || self.attention_bias {
            let what = format!("an expert with `{activation}` and attention_bias {}", self.attention_bias);
            return Err(ExportError::Unsupported { what, path: path.to_owned() });
        }
        let (heads, groups) = (self.num_attention_heads, self.num_key_value_heads.max(1));
        check("action_expert_config: query heads modulo key heads", heads % groups, 0, path)?;
        check("action_expert_config: head_dim modulo 2", self.head_dim % 2, 0, path)?;
        Ok(DecoderConfig {
            width: self.hidden_size,
            inner: self.intermediate_size,
            depth: self.num_hidden_layers,
            heads,
            groups,
            head_width: self.head_dim,
            norm_eps: self.rms_norm_eps,
            rope_theta: self.rope_theta,
            activation: GateActivation::GeluTanh,
        })
    }
}

//! What the two generations of openpi's policies share: SigLIP and Gemma read pictures and text, a smaller Gemma that
//! sees their keys and values turns noise into actions (Black et al. 2024, 2025).

pub mod config;
#[cfg(test)]
mod full_size;
mod robot;
pub mod statistics;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use vla_bundle::{
    ActionStep, Actions, Border, Cadence, CameraStream, Dtype, ImageStep, Input, Range, ResizeKernel, Source, Stage,
    StateBins, StateStep, StateStream, Streams, TimeGrid, Unnormalize,
};

use crate::ExportError;
use crate::blocks::{Decoder, DecoderNorm, Sees, linear, siglip};
use crate::bundle_writer::Draft;
use crate::checkpoint::{Weights, identity};
use crate::graph::{Builder, Graph, Value, fixed, symbol};
use crate::request::{Lacks, Request};

use super::flow::{self, Loop};
use config::{Config, Generation, StateInText};
use robot::Robot;
use statistics::Statistics;

/// Camera slots in the order in which the original stacks pictures.
const SLOTS: [&str; 3] = ["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"];
/// Guard of the original's normalisations.
const EPS: f64 = 1e-6;
/// Shortest and longest period of the time's sinusoid.
const PERIODS: [f64; 2] = [4e-3, 4.0];

const MODEL: &str = "paligemma_with_expert.paligemma.model";
/// The prefix's language model.
pub const LANGUAGE: &str = "paligemma_with_expert.paligemma.model.language_model";
/// The action expert.
pub const EXPERT: &str = "paligemma_with_expert.gemma_expert.model";
/// The same numbers stand under one of these names, or under both.
const TABLES: [&str; 2] = [
    "paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight",
    "paligemma_with_expert.paligemma.lm_head.weight",
];

/// A checkpoint, its files cross-checked with each other and with the request.
pub struct Openpi {
    /// Sizes.
    pub config: Config,
    /// All weights.
    pub weights: Weights,
    generation: Generation,
    cameras: Vec<CameraStream>,
    robot: Robot,
    /// Dimensions that are predicted as differences to the state.
    deltas: Vec<bool>,
    statistics: Statistics,
    text: text::Prompt,
    steps: u64,
    dir: PathBuf,
}

impl Openpi {
    /// Opens the request's checkpoint.
    pub fn open(request: &Request, generation: Generation) -> Result<Self, ExportError> {
        let mut lacks = Lacks::default();
        let adapter = lacks.want("--adapter", request.adapter);
        let steps = lacks.want("--denoise-steps", request.denoise_steps);
        let (Some(adapter), Some(steps)) = (adapter, steps) else { return Err(lacks.into_error()) };
        let dir = request.checkpoint.as_path();
        let config = Config::read(dir, generation)?;
        let robot = Robot::new(adapter);
        let statistics = Statistics::read(dir, request.unnorm_key.as_deref())?;
        let policy = Self {
            weights: Weights::open_safetensors(dir)?,
            generation,
            cameras: flow::cameras(request, &SLOTS)?,
            deltas: request.delta_actions.clone().unwrap_or_default(),
            text: text::Prompt::read(dir, &config)?,
            dir: dir.to_owned(),
            config,
            robot,
            statistics,
            steps,
        };
        policy.check()?;
        Ok(policy)
    }

    fn check(&self) -> Result<(), ExportError> {
        let mismatch = |what: &str, got: usize, wanted: String, path: PathBuf| {
            Err(ExportError::Mismatch { what: what.to_owned(), got: got.to_string(), wanted, path })
        };
        let network = self.config.network_dim as usize;
        let path = || self.statistics.path.clone();
        let (state, actions) = (self.statistics.state.mean.len(), self.statistics.actions.mean.len());
        if state < self.state_dim() {
            return mismatch("statistics of the state", state, format!("at least {}", self.state_dim()), path());
        }
        if !(self.action_dim()..=network).contains(&actions) {
            let wanted = format!("{} to {network}", self.action_dim());
            return mismatch("statistics of the actions", actions, wanted, path());
        }
        if self.state_dim() > network {
            let wanted = format!("at most `action_dim` {network}");
            return mismatch("values of the state", self.state_dim(), wanted, self.dir.join(config::FILE));
        }
        let most = self.state_dim().min(self.action_dim());
        if self.deltas.len() > most {
            let got = self.deltas.len();
            return Err(ExportError::Request(vec![format!(
                "`--delta-actions` speaks of {got} dimensions, action and state have {most} in common"
            )]));
        }
        Ok(())
    }

    fn state_dim(&self) -> usize {
        let stated: usize = self.robot.state.iter().map(|piece| piece.dim).sum();
        if stated == 0 { self.statistics.state.mean.len() } else { stated }
    }

    fn action_dim(&self) -> usize {
        self.robot.action_dim.unwrap_or(self.statistics.actions.mean.len())
    }

    /// What the denoising loop changes.
    pub fn flow(&self) -> Loop {
        Loop {
            chunk_size: self.config.chunk_size,
            network_dim: self.config.network_dim,
            width: self.config.expert.width,
            t_noise: 1,
            periods: PERIODS,
            grid: TimeGrid::AccumulatedFp32,
        }
    }

    /// Pictures `[cameras, 3, size, size]` as tokens of the prefix.
    fn vision(&self) -> Result<Graph<'_>, ExportError> {
        let Config { vision, prefix, .. } = &self.config;
        let size = vision.image_size;
        let mut graph = Graph::new("vision");
        let pixels = [self.cameras.len() as u64, 3, size, size].map(fixed);
        let pixels = graph.input("pixel_values", Dtype::Fp32, &pixels)?;
        let w = self.weights.at(MODEL);
        let tower = siglip(&mut graph.root().at("vision_tower"), &w.at("vision_tower.vision_model"), &pixels, vision)?;
        graph.output("vision.tower", &tower)?;
        let w = w.at("multi_modal_projector.linear");
        let projected = linear(&mut graph.root().at("projector"), &w, &tower, [vision.width, prefix.width])?;
        graph.output(flow::PATCHES, &projected)?;
        Ok(graph)
    }

    /// Pictures and text as one sequence, `[1, prefix, width]`, and the keys and values of every layer.
    pub fn prefix(&self, graph: &mut Graph<'_>) -> Result<Value, ExportError> {
        let Config { vision, prefix, .. } = &self.config;
        let cameras = self.cameras.len() as u64;
        let patches = [cameras, vision.patches(), prefix.width].map(fixed);
        let patches = graph.input(flow::PATCHES, Dtype::Fp32, &patches)?;
        let text = graph.input(flow::TEXT, Dtype::Fp32, &[fixed(1), symbol("text"), fixed(prefix.width)])?;
        let mut root = graph.root();
        let mut g = root.at("sequence");
        let patches = g.reshape("patches", &patches, &[1, cameras * vision.patches(), prefix.width].map(fixed))?;
        let embeds = g.concat("embeds", 1, &[&patches, &text], &symbol("prefix"))?;
        graph.output("prefix_embeds", &embeds)?;
        Ok(embeds)
    }

    /// Keys and values that each layer of the prefix makes of `embeds`. Of the last layer nothing else is needed.
    pub fn prefix_memory<'w>(
        &'w self,
        g: &mut Builder<'_, 'w>,
        [embeds, positions]: [&Value; 2],
    ) -> Result<Vec<[Value; 2]>, ExportError> {
        let decoder = Decoder::new(g, positions, (self.config.prefix, DecoderNorm::OnePlusWeight))?;
        let depth = self.config.prefix.depth;
        let mut x = embeds.clone();
        let mut memory = Vec::new();
        for index in 0..depth {
            let name = format!("layers.{index}");
            let (mut g, w) = (g.at(&name), self.weights.at(LANGUAGE).at(&name));
            if index + 1 == depth {
                memory.push(decoder.layer_memory(&mut g, &w, &x)?);
            } else {
                let made = decoder.layer(&mut g, &w, &x, Sees::Own)?;
                memory.extend(made.memory);
                x = made.tokens;
            }
        }
        Ok(memory)
    }

    /// The rest of a step's graph: the expert's `tokens`, which see `memory`, become the velocity.
    pub fn expert<'w>(
        &'w self,
        graph: &mut Graph<'w>,
        (tokens, memory): (&Value, &[[Value; 2]]),
        norm: DecoderNorm,
    ) -> Result<(), ExportError> {
        graph.output("suffix_embeds", tokens)?;
        let mut root = graph.root();
        let mut g = root.at("expert");
        let positions = self.flow().positions(&mut g, &memory[0][0])?;
        let decoder = Decoder::new(&mut g, &positions, (self.config.expert, norm))?;
        let mut x = tokens.clone();
        for (index, [keys, values]) in memory.iter().enumerate() {
            let name = format!("layers.{index}");
            let w = self.weights.at(EXPERT).at(&name);
            x = decoder.layer(&mut g.at(&name), &w, &x, Sees::Memory([keys, values]))?.tokens;
        }
        let (normed, _) = decoder.normalize(&mut g.at("norm"), &self.weights.at(EXPERT).at("norm"), &x)?;
        graph.output("suffix_final_norm", &normed)?;
        self.flow().velocity(graph, (&self.weights, ""), &normed)
    }

    /// The bundle that runs `prefill` once per observation and `denoise` in every step. Every tensor that no graph read
    /// must be one of the known dead ones.
    pub fn draft<'w>(
        &'w self,
        system: &'static str,
        [prefill, denoise]: [Graph<'w>; 2],
        dims: BTreeMap<String, Range>,
    ) -> Result<Draft<'w>, ExportError> {
        let every = match self.config.state_in_text {
            StateInText::Yes => Cadence::Observation,
            StateInText::No => Cadence::Instruction,
        };
        let run = |graph: &str, every| Stage::Run { graph: graph.to_owned(), every };
        let plan = vec![
            run("text", every),
            run("vision", Cadence::Observation),
            run("prefill", Cadence::Observation),
            self.flow().stage(self.steps),
        ];
        let graphs = vec![self.text_graph()?, self.vision()?, prefill, denoise];
        let dropped = self.dropped()?;
        let mut sources = self.weights.sources().to_vec();
        sources.extend([self.dir.join(config::FILE), self.statistics.path.clone(), self.dir.join(text::TOKENIZER)]);
        let checkpoint = identity(&self.dir, &sources, Some(self.statistics.key.clone()), dropped)?;
        let state = StateStream { dim: self.state_dim(), pieces: self.robot.state.clone() };
        Ok(Draft {
            system,
            checkpoint,
            streams: Streams {
                cameras: self.cameras.clone(),
                state: self.takes_state().then_some(state),
                intrinsics: None,
            },
            inputs: self.inputs()?,
            graphs,
            plan,
            dims,
            actions: self.actions()?,
            copies: vec![(text::TOKENIZER.to_owned(), self.dir.join(text::TOKENIZER))],
            warnings: vec![],
        })
    }

    fn text_graph(&self) -> Result<Graph<'_>, ExportError> {
        let table = TABLES.into_iter().find(|name| self.weights.shape(name).is_some()).unwrap_or(TABLES[0]);
        flow::text(&self.weights, table, [self.config.vocabulary, self.config.prefix.width])
    }

    /// Names of the dead tensors; what is left must have been read.
    fn dropped(&self) -> Result<Vec<String>, ExportError> {
        self.weights.drop_where(|name| self.is_dead(name));
        Ok(self.weights.finish()?)
    }

    /// Ranges of the prompt's and the prefix's lengths.
    pub fn dims(&self) -> BTreeMap<String, Range> {
        let patches = self.cameras.len() as u64 * self.config.vision.patches();
        let max = self.config.max_tokens;
        // The first token is always there.
        let text = Range { min: 1, opt: max.div_ceil(2), max };
        let prefix = Range { min: patches + text.min, opt: patches + text.opt, max: patches + text.max };
        BTreeMap::from([("text".to_owned(), text), ("prefix".to_owned(), prefix)])
    }

    /// Tensors that the original holds and never uses for actions.
    fn is_dead(&self, name: &str) -> bool {
        let heads = [
            "paligemma_with_expert.gemma_expert.lm_head.weight",
            "paligemma_with_expert.gemma_expert.model.embed_tokens.weight",
            TABLES[1],
        ];
        let last = format!("layers.{}.", self.config.prefix.depth.saturating_sub(1));
        let language = name.strip_prefix(LANGUAGE).and_then(|name| name.strip_prefix('.'));
        let in_language = language.is_some_and(|name| {
            let after_keys = ["self_attn.q_proj.", "self_attn.o_proj.", "post_attention_layernorm.", "mlp."];
            let in_last = name.strip_prefix(&last);
            name.starts_with("norm.") || in_last.is_some_and(|name| after_keys.iter().any(|key| name.starts_with(key)))
        });
        let pooling = format!("{MODEL}.vision_tower.vision_model.head.");
        heads.contains(&name) || in_language || name.starts_with(&pooling)
    }

    fn takes_state(&self) -> bool {
        let in_network = self.generation == Generation::Pi0 || self.config.state_in_text == StateInText::Yes;
        in_network || self.deltas.contains(&true)
    }

    fn inputs(&self) -> Result<Vec<Input>, ExportError> {
        let size = self.config.vision.image_size as u32;
        let frame = ImageStep::ResizeWithPad {
            height: size,
            width: size,
            kernel: ResizeKernel::BilinearPil,
            border: Border::Around,
            fill: [0; 3],
        };
        let steps = vec![frame, ImageStep::Normalize { mean: [0.5; 3], std: [0.5; 3] }];
        let input = |tensor: &str, source| Input { tensor: tensor.to_owned(), source };
        let text = self.text.steps();
        let text = match self.config.state_in_text {
            StateInText::No => Source::Task { steps: text },
            StateInText::Yes => {
                let state = StateBins { steps: self.normalized_state()?, low: -1.0, high: 1.0, count: 256 };
                Source::TaskWithState { state, steps: text }
            }
        };
        let mut inputs = vec![input("pixel_values", Source::Cameras { steps }), input(flow::IDS, text)];
        if self.generation == Generation::Pi0 {
            let mut steps = self.normalized_state()?;
            steps.push(StateStep::Pad { width: self.config.network_dim as usize });
            inputs.push(input("state", Source::State { steps }));
        }
        Ok(inputs)
    }

    /// The robot's state as the network's, not padded. Statistics beyond its length are not used.
    fn normalized_state(&self) -> Result<Vec<StateStep>, ExportError> {
        let Statistics { state, path, .. } = &self.statistics;
        let mut steps = self.robot.state_steps.clone();
        let first = |column: &[f64]| column[..self.state_dim()].to_vec();
        steps.push(match self.generation {
            Generation::Pi0 => StateStep::Standardize { mean: first(&state.mean), std: first(&state.std), eps: EPS },
            Generation::Pi05 => {
                let [low, high] = state.quantiles("state", path)?;
                StateStep::NormalizeRange { low: first(low), high: first(high), eps: EPS }
            }
        });
        Ok(steps)
    }

    fn actions(&self) -> Result<Actions, ExportError> {
        let network_dim = self.config.network_dim as usize;
        let Statistics { actions, path, .. } = &self.statistics;
        // Dimensions without statistics: as the original's padding of the statistics leaves them.
        let padded = |column: &[f64], rest: f64| {
            let mut column = column.to_vec();
            column.resize(network_dim, rest);
            column
        };
        let unnormalize = match self.generation {
            Generation::Pi0 => {
                Unnormalize::MeanStd { mean: padded(&actions.mean, 0.0), std: padded(&actions.std, 1.0), eps: EPS }
            }
            Generation::Pi05 => {
                let [low, high] = actions.quantiles("actions", path)?;
                let mask = (0..network_dim).map(|dim| dim < low.len()).collect();
                Unnormalize::Quantile { low: padded(low, 0.0), high: padded(high, 0.0), eps: EPS, mask }
            }
        };
        let mut steps = Vec::new();
        if self.deltas.contains(&true) {
            steps.push(ActionStep::AddState { state: self.robot.state_steps.clone(), mask: self.deltas.clone() });
        }
        steps.push(ActionStep::KeepFirst { dims: self.action_dim() });
        steps.extend(self.robot.action_steps.iter().cloned());
        Ok(Actions {
            tensor: flow::ACTIONS.to_owned(),
            chunk_size: self.config.chunk_size as usize,
            action_dim: self.action_dim(),
            network_dim: Some(network_dim),
            before: vec![],
            unnormalize,
            steps,
            kept_tokens: None,
        })
    }
}

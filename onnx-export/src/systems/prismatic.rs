//! What the OpenVLA family shares: a Prismatic VLM (two vision towers, a projector, Llama) with parts beside it.

mod adapter;
mod config;
mod decoding;
pub mod denoise;
pub mod film;
#[cfg(test)]
pub mod full_size;
pub mod fusion;
pub mod graphs;
pub mod head;
mod image;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vla_bundle::{
    Actions, Cadence, CameraStream, ImageStep, Input, Orientation, Range, Source, Stage, StateStep, StateStream,
    Streams, TextStep, Unnormalize,
};

use crate::ExportError;
use crate::bundle_writer::Draft;
use crate::checkpoint::{Adapted, Bounds, Norm, Statistics, Weights, component, identity};
use crate::graph::Graph;
use crate::request::{Camera, CenterCrop, ImagePipeline, Lacks, Request};

use config::Config;
pub use decoding::Decoding;
use fusion::Fusion;
use head::ActionHead;

/// Tokens of an instruction to tune for, and the most that are allowed (about 200 words).
const PROMPT_OPT: u64 = 35;
const PROMPT_MAX: u64 = 256;

/// The plan's result.
const ACTIONS: &str = "normalized_actions";

/// The originals' guard against dimensions without a range; where tokens are written one by one there is none.
const RANGE_EPS: f64 = 1e-8;

/// A checkpoint of the family, its files cross-checked with each other and with the request.
pub struct Prismatic {
    /// Sizes.
    pub config: Config,
    /// Vision towers, projector and language model.
    pub model: Weights,
    /// Vision towers with FiLM, which stand in for the model's own.
    pub film: Option<Weights>,
    /// How the features of the towers become tokens of the language model.
    pub fusion: Fusion,
    /// Learned tokens per picture that stand for its patches; none where the patches themselves are taken.
    pub summary: Option<u64>,
    /// The action head.
    pub head: ActionHead,
    /// What the state goes through; none where the policy takes no state.
    pub proprio: Option<Proprio>,
    /// Steps per chunk.
    pub chunk_size: u64,
    /// Values per step.
    pub action_dim: u64,
    /// Tensors of an adapter that the merge left out.
    ignored: Vec<String>,
    base: Option<PathBuf>,
    cameras: Vec<CameraStream>,
    decoding: Decoding,
    norm: Norm,
    statistics: Statistics,
    action_bounds: Bounds,
    image_steps: Vec<ImageStep>,
    text_steps: Vec<TextStep>,
    dir: PathBuf,
}

/// The projector of the state.
pub struct Proprio {
    /// Its weights.
    pub weights: Weights,
    /// Values of the state.
    pub dim: u64,
    bounds: Bounds,
}

/// The facts of a request that this family cannot do without.
struct Asked {
    chunk_size: usize,
    norm: Norm,
    pipeline: ImagePipeline,
    crop: CenterCrop,
    decoding: Decoding,
}

impl Prismatic {
    /// Opens the request's checkpoint.
    pub fn open(request: &Request, decoding: Decoding) -> Result<Self, ExportError> {
        let asked = Asked::of(request, decoding)?;
        let dir = request.checkpoint.as_path();
        let head = ActionHead::open(dir, request)?;
        let source = decoding.check_head(&head, dir)?;
        let config = Config::read(dir)?;
        let film = film::open(dir, &config)?;
        let Adapted { weights: model, ignored } = adapter::open_model(request, film.as_ref())?;
        let statistics = Statistics::read(dir, source, request.unnorm_key.as_deref())?;
        let action_dim = head.action_dim().unwrap_or_else(|| statistics.action_dim(asked.norm) as u64);
        let action_bounds = statistics.action(asked.norm, action_dim as usize)?;
        let proprio = open_proprio(dir, &statistics, asked.norm)?;
        Ok(Self {
            film,
            fusion: Fusion::Concatenated,
            summary: None,
            image_steps: image::steps(dir, asked.pipeline, asked.crop, &config)?,
            text_steps: text::steps(dir, config.llama.vocabulary)?,
            cameras: request.cameras.iter().map(|c| camera(&c.name)).collect(),
            chunk_size: asked.chunk_size as u64,
            decoding: asked.decoding,
            norm: asked.norm,
            dir: dir.to_owned(),
            base: request.base_checkpoint.clone(),
            ignored,
            config,
            model,
            head,
            proprio,
            action_dim,
            statistics,
            action_bounds,
        })
    }

    /// Where the vision towers are.
    pub fn towers(&self) -> &Weights {
        self.film.as_ref().unwrap_or(&self.model)
    }

    /// Tokens that stand for the actions.
    pub fn action_tokens(&self) -> u64 {
        self.chunk_size * self.action_dim
    }

    /// Picture tokens of all cameras.
    pub fn patches(&self) -> u64 {
        self.summary.unwrap_or(self.config.patches()) * self.cameras.len() as u64
    }

    /// Lengths of the sequence before anything is pruned.
    pub fn token_range(&self) -> Range {
        self.prompt_range(self.around())
    }

    /// Whether actions are written token by token.
    pub fn writes_tokens(&self) -> bool {
        self.decoding == Decoding::Autoregressive
    }

    /// Tokens of the sequence that are not the prompt's.
    fn around(&self) -> u64 {
        let observed = self.patches() + u64::from(self.proprio.is_some());
        match self.decoding {
            Decoding::Parallel { .. } => observed + u64::from(self.head.denoises()) + self.action_tokens() + 1,
            Decoding::Autoregressive => observed,
        }
    }

    /// The prompt's lengths, BOS included, with `more` tokens added.
    fn prompt_range(&self, more: u64) -> Range {
        let written = if self.writes_tokens() { self.action_tokens() } else { 0 };
        let max = self.config.max_tokens.saturating_sub(self.around() + written).min(PROMPT_MAX);
        // BOS and the closing space are always there.
        Range { min: 2 + more, opt: PROMPT_OPT.min(max) + more, max: max + more }
    }

    fn check_length(&self) -> Result<(), ExportError> {
        if self.prompt_range(0).max >= PROMPT_OPT {
            return Ok(());
        }
        Err(ExportError::Mismatch {
            what: format!("tokens of {} patches and {} action values", self.patches(), self.action_tokens()),
            got: format!("{} left for the instruction", self.prompt_range(0).max),
            wanted: format!("{PROMPT_OPT} of `llm_max_length` {}", self.config.max_tokens),
            path: self.dir.join(config::FILE),
        })
    }

    /// The graphs, those of the sequence's pieces before `body`, and their order: a head that denoises runs the body once
    /// per step.
    pub fn plan<'w>(&'w self, body: Vec<Graph<'w>>) -> Result<(Vec<Graph<'w>>, Vec<Stage>), ExportError> {
        let mut graphs = Vec::new();
        let mut plan = Vec::new();
        for (graph, every) in graphs::pieces(self)? {
            plan.push(Stage::Run { graph: graph.name().to_owned(), every });
            graphs.push(graph);
        }
        let body: Vec<Graph> = denoise::noisy(self)?.into_iter().chain(body).collect();
        let names = body.iter().map(|graph| graph.name().to_owned());
        match &self.head {
            ActionHead::Diffusion { steps, .. } => plan.push(denoise::stage(self, names.collect(), *steps)),
            ActionHead::L1(_) | ActionHead::Discrete => {
                plan.extend(names.map(|graph| Stage::Run { graph, every: Cadence::Observation }));
            }
        }
        graphs.extend(body);
        Ok((graphs, plan))
    }

    /// The bundle that runs `graphs` in the order of `plan`. Every tensor that no graph read must be one of the known dead
    /// ones.
    pub fn draft<'w>(
        &'w self,
        system: &'static str,
        (graphs, plan): (Vec<Graph<'w>>, Vec<Stage>),
    ) -> Result<Draft<'w>, ExportError> {
        self.check_length()?;
        let dropped = self.dropped()?;
        let key = Some(self.statistics.key().to_owned());
        let mut checkpoint = identity(&self.dir, &self.sources(), key, dropped)?;
        checkpoint.merged = adapter::merged(self);
        let state_warnings = self.proprio.iter().flat_map(|proprio| &proprio.bounds.warnings);
        Ok(Draft {
            system,
            checkpoint,
            streams: Streams {
                cameras: self.cameras.clone(),
                state: self.proprio.as_ref().map(|proprio| StateStream { dim: proprio.dim as usize, pieces: vec![] }),
                intrinsics: None,
            },
            inputs: self.inputs(),
            graphs,
            plan,
            dims: self.dims(),
            actions: Actions {
                tensor: ACTIONS.to_owned(),
                chunk_size: self.chunk_size as usize,
                action_dim: self.action_dim as usize,
                network_dim: None,
                before: vec![],
                unnormalize: self.unnormalize(),
                steps: vec![],
                kept_tokens: None,
            },
            copies: vec![(text::TOKENIZER.to_owned(), self.dir.join(text::TOKENIZER))],
            warnings: self.action_bounds.warnings.iter().chain(state_warnings).cloned().collect(),
        })
    }

    pub fn dropped(&self) -> Result<Vec<String>, ExportError> {
        self.model.drop_where(|name| self.is_dead(name));
        let mut dropped = self.model.finish()?;
        dropped.extend_from_slice(&self.ignored);
        for weights in self.components() {
            weights.finish()?;
        }
        if let Some(film) = &self.film {
            film.drop_where(|name| self.is_dead_in_towers(name));
            dropped.extend(film.finish()?);
            dropped.sort();
            dropped.dedup();
        }
        Ok(dropped)
    }

    /// Tensors that the originals hold and never use for actions.
    fn is_dead(&self, name: &str) -> bool {
        let replaced = self.film.is_some() && name.starts_with("vision_backbone.");
        let dead = name == "language_model.lm_head.weight" || name.ends_with(".rotary_emb.inv_freq");
        let mixed = self.fusion == Fusion::Mixed && name.starts_with("projector.");
        replaced || dead || mixed || self.is_dead_in_towers(name)
    }

    /// Each tower's last block, and what comes after it.
    fn is_dead_in_towers(&self, name: &str) -> bool {
        self.config.towers.iter().any(|tower| {
            let last = format!("blocks.{}.", tower.vit.depth - 1);
            name.strip_prefix(tower.prefix)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|rest| [last.as_str(), "norm.", "attn_pool."].iter().any(|dead| rest.starts_with(dead)))
        })
    }

    /// The parts beside the model, of which every tensor is used.
    fn components(&self) -> impl Iterator<Item = &Weights> {
        self.head.weights().chain(self.proprio.as_ref().map(|proprio| &proprio.weights))
    }

    fn sources(&self) -> Vec<PathBuf> {
        let parts = [&self.model].into_iter().chain(&self.film).chain(self.components());
        let mut sources: Vec<PathBuf> = parts.flat_map(|weights| weights.sources().to_vec()).collect();
        sources.extend([config::FILE, image::FILE, text::TOKENIZER].map(|name| self.dir.join(name)));
        sources.push(self.statistics.path().to_owned());
        sources
    }

    fn inputs(&self) -> Vec<Input> {
        let input = |tensor: &str, source| Input { tensor: tensor.to_owned(), source };
        let mut inputs = vec![
            input("pixel_values", Source::Cameras { steps: self.image_steps.clone() }),
            input("input_ids", Source::Task { steps: self.text_steps.clone() }),
        ];
        if let Decoding::Parallel { hidden_offset } = self.decoding {
            inputs.push(input("hidden_offset", Source::Constant { values: vec![hidden_offset] }));
        }
        if let Some(Proprio { bounds: Bounds { low, high, .. }, .. }) = &self.proprio {
            let steps = vec![
                StateStep::NormalizeRange { low: low.clone(), high: high.clone(), eps: RANGE_EPS },
                StateStep::Clip { low: -1.0, high: 1.0 },
            ];
            inputs.push(input("proprio", Source::State { steps }));
        }
        inputs
    }

    fn unnormalize(&self) -> Unnormalize {
        let Bounds { low, high, mask, .. } = self.action_bounds.clone();
        let eps = if self.writes_tokens() { 0.0 } else { RANGE_EPS };
        match self.norm {
            Norm::Quantile => Unnormalize::Quantile { low, high, eps, mask },
            Norm::MinMax => Unnormalize::MinMax { low, high, eps, mask },
        }
    }

    /// The prompt without BOS.
    fn prompt_tail_range(&self) -> Range {
        let Range { min, opt, max } = self.prompt_range(0);
        Range { min: min - 1, opt: opt - 1, max: max - 1 }
    }

    fn dims(&self) -> BTreeMap<String, Range> {
        let exact = |n: u64| Range { min: n, opt: n, max: n };
        [
            ("cameras", exact(self.cameras.len() as u64)),
            ("patches", exact(self.patches())),
            ("prompt", self.prompt_range(0)),
            ("prompt_tail", self.prompt_tail_range()),
            // Without BOS, with the stop token.
            ("tail", self.prompt_range(self.action_tokens())),
            ("tokens", self.token_range()),
        ]
        .map(|(name, range)| (name.to_owned(), range))
        .into()
    }
}

impl Asked {
    fn of(request: &Request, decoding: Decoding) -> Result<Self, ExportError> {
        let mut lacks = Lacks::default();
        let chunk_size = lacks.want("--chunk-size", request.chunk_size);
        let norm = lacks.want("--norm", request.norm);
        let pipeline = lacks.want("--image-pipeline", request.image_pipeline);
        let crop = lacks.want("--center-crop", request.center_crop);
        let decoding = decoding.asked(request, &mut lacks);
        if pipeline == Some(ImagePipeline::Processor) && crop == Some(CenterCrop::On) {
            lacks.note("`--center-crop on` belongs to `--image-pipeline openvla_oft`".to_owned());
        }
        for camera in request.cameras.iter().filter(|camera| camera.slot != camera.name) {
            let Camera { slot, name } = camera;
            lacks.note(format!("camera `{slot}={name}`: this system has no camera slots, only names in order"));
        }
        match (chunk_size, norm, pipeline, crop) {
            (Some(chunk_size), Some(norm), Some(pipeline), Some(crop)) => {
                lacks.finish().map(|()| Self { chunk_size, norm, pipeline, crop, decoding })
            }
            _ => Err(lacks.into_error()),
        }
    }
}

fn open_proprio(dir: &Path, statistics: &Statistics, norm: Norm) -> Result<Option<Proprio>, ExportError> {
    let Some(path) = component(dir, "proprio_projector")? else { return Ok(None) };
    let weights = Weights::open_torch(&path)?;
    let dim = weights.shape("fc1.weight").and_then(|shape| shape.get(1).copied()).unwrap_or_default();
    let bounds = statistics.proprio(norm, dim as usize)?;
    Ok(Some(Proprio { weights, dim, bounds }))
}

fn camera(name: &str) -> CameraStream {
    CameraStream { name: name.to_owned(), orientation: Orientation::AsTrained }
}

//! SmolVLA (Shukor et al. 2025) as lerobot runs it: an expert whose layers see, in turn, their own tokens beside the
//! prefix's and the prefix's alone.

mod config;
mod statistics;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use vla_bundle::{
    ActionStep, Actions, Border, Cadence, CameraStream, Dtype, ImageStep, Input, Range, Source, Stage, StatePiece,
    StateStep, StateStream, Streams, TimeGrid, Unnormalize,
};

use crate::ExportError;
use crate::blocks::{Decoder, DecoderNorm, Sees, linear, linear_unbiased, siglip};
use crate::bundle_writer::Draft;
use crate::checkpoint::{Scope, Weights, identity};
use crate::graph::{Builder, Graph, Layout, Value, fixed, symbol};
use crate::request::Request;

use super::flow::{self, Loop};
use config::{Config, ImageTokens};
use statistics::MeanStd;

const VLM: &str = "model.vlm_with_expert.vlm.model";
const LANGUAGE: &str = "model.vlm_with_expert.vlm.model.text_model";
const TABLE: &str = "model.vlm_with_expert.vlm.model.text_model.embed_tokens.weight";
const EXPERT: &str = "model.vlm_with_expert.lm_expert";
const HEADS: &str = "model";
const STATE: &str = "observation.state";

/// A checkpoint, its files cross-checked with each other and with the request.
pub struct Smolvla {
    config: Config,
    weights: Weights,
    cameras: Vec<CameraStream>,
    state: MeanStd,
    action: MeanStd,
    /// Learned tokens before and after each picture, where there are any.
    around: Option<[Vec<i64>; 2]>,
    /// Absent cameras that still leave their learned tokens.
    empty: u64,
    steps: u64,
    dir: PathBuf,
}

impl Smolvla {
    /// Opens the request's checkpoint.
    pub fn open(request: &Request) -> Result<Self, ExportError> {
        let dir = request.checkpoint.as_path();
        let config = Config::read(dir)?;
        let slots: Vec<&str> = config.cameras.iter().map(String::as_str).collect();
        let cameras = flow::cameras(request, &slots)?;
        let absent = (config.cameras.len() - cameras.len()) as u64;
        if absent > config.empty_cameras {
            let missing =
                config.cameras.iter().filter(|slot| request.cameras.iter().all(|camera| camera.slot != **slot));
            return Err(ExportError::Request(vec![format!(
                "`--cameras` lacks {}, the policy was trained with {} absent cameras at most",
                missing.map(|slot| format!("`{slot}`")).collect::<Vec<_>>().join(", "),
                config.empty_cameras
            )]));
        }
        let around = match config.image_tokens {
            ImageTokens::Around => Some(text::image_tokens(&config.vlm, config.vocabulary)?),
            ImageTokens::None => None,
        };
        Ok(Self {
            weights: Weights::open_safetensors(dir)?,
            state: statistics::state(dir, config.state[0])?,
            action: statistics::action(dir, config.action[0])?,
            empty: if around.is_some() { absent } else { 0 },
            steps: request.denoise_steps.unwrap_or(config.steps),
            dir: dir.to_owned(),
            config,
            cameras,
            around,
        })
    }

    fn flow(&self) -> Loop {
        Loop {
            chunk_size: self.config.chunk_size,
            network_dim: self.config.action[1],
            width: self.config.expert.width,
            t_noise: 1,
            periods: self.config.periods,
            grid: TimeGrid::UniformFp64,
        }
    }

    /// The bundle.
    pub fn draft(&self) -> Result<Draft<'_>, ExportError> {
        let Config { prefix, vocabulary, action, .. } = &self.config;
        let graphs = vec![
            flow::text(&self.weights, TABLE, [*vocabulary, prefix.width])?,
            self.vision()?,
            self.prefill()?,
            self.denoise()?,
        ];
        let run = |graph: &str, every| Stage::Run { graph: graph.to_owned(), every };
        let plan = vec![
            run("text", Cadence::Instruction),
            run("vision", Cadence::Observation),
            run("prefill", Cadence::Observation),
            self.flow().stage(self.steps),
        ];
        self.weights.drop_where(|name| self.is_dead(name));
        let dropped = self.weights.finish()?;
        let tokenizer = self.config.vlm.join(text::TOKENIZER);
        let mut sources = self.weights.sources().to_vec();
        sources.extend([self.dir.join(config::FILE), self.config.vlm.join(config::FILE), tokenizer.clone()]);
        sources.extend(self.state.sources.iter().chain(&self.action.sources).cloned());
        let dim = self.config.state[0] as usize;
        let state = StateStream { dim, pieces: vec![StatePiece { name: STATE.to_owned(), dim }] };
        Ok(Draft {
            system: "smolvla",
            checkpoint: identity(&self.dir, &sources, None, dropped)?,
            streams: Streams { cameras: self.cameras.clone(), state: Some(state), intrinsics: None },
            inputs: self.inputs(),
            graphs,
            plan,
            dims: self.dims(),
            actions: Actions {
                tensor: flow::ACTIONS.to_owned(),
                chunk_size: self.config.chunk_size as usize,
                action_dim: action[0] as usize,
                network_dim: Some(action[1] as usize),
                before: vec![],
                unnormalize: self.unnormalize(),
                steps: vec![ActionStep::KeepFirst { dims: action[0] as usize }],
                kept_tokens: None,
            },
            copies: vec![(text::TOKENIZER.to_owned(), tokenizer)],
            warnings: vec![],
        })
    }

    /// Pictures `[cameras, 3, size, size]` as tokens of the prefix, times the square root of their width.
    fn vision(&self) -> Result<Graph<'_>, ExportError> {
        let Config { vision, prefix, shuffle, .. } = &self.config;
        let (cameras, size) = (self.cameras.len() as u64, vision.image_size);
        let mut graph = Graph::new("vision");
        let pixels = graph.input("pixel_values", Dtype::Fp32, &[cameras, 3, size, size].map(fixed))?;
        let w = self.weights.at(VLM);
        let tower = siglip(&mut graph.root().at("vision_model"), &w.at("vision_model"), &pixels, vision)?;
        graph.output("vision.tower", &tower)?;
        let mut root = graph.root();
        let mut g = root.at("connector");
        // Cells of neighbouring patches side by side, raster order within a cell and of the cells.
        let (cells, width) = (vision.side() / shuffle, vision.width);
        let grid = g.reshape("grid", &tower, &[cameras * cells, *shuffle, cells, shuffle * width].map(fixed))?;
        let grid = g.transpose("cells", &grid, &[0, 2, 1, 3])?;
        let rows = g.reshape("rows", &grid, &[cameras, cells * cells, shuffle * shuffle * width].map(fixed))?;
        let w = w.at("connector.modality_projection.proj");
        let projected = linear_unbiased(&mut g.at("proj"), &w, &rows, [shuffle * shuffle * width, prefix.width])?;
        let scaled = flow::scaled(&mut g, &projected, prefix.width)?;
        graph.output("vision.projected", &projected)?;
        graph.output(flow::PATCHES, &scaled)?;
        Ok(graph)
    }

    /// Keys and values of the prefix, `[1, prefix, ..]`: of the layers that see the prefix alone as the expert projects
    /// them, because they are the same in every step.
    ///
    /// The state, which is last in the original, stands first: the others do not see it, and no token's place matters
    /// beside its position.
    fn prefill(&self) -> Result<Graph<'_>, ExportError> {
        let mut graph = Graph::new("prefill");
        let (embeds, positions) = self.sequence(&mut graph)?;
        let prefix = self.config.prefix;
        let mut root = graph.root();
        let mut g = root.at("prefix");
        let decoder = Decoder::new(&mut g, &positions, (prefix, DecoderNorm::Weight))?;
        let mut x = embeds;
        let mut memory = Vec::new();
        for index in 0..prefix.depth {
            let name = format!("layers.{index}");
            let (mut g, w) = (g.at(&name), self.weights.at(LANGUAGE).at(&name));
            let own = if index + 1 == prefix.depth {
                decoder.layer_memory(&mut g, &w, &x)?
            } else {
                let made = decoder.layer(&mut g, &w, &x, Sees::OwnFirstApart)?;
                x = made.tokens;
                made.memory.expect("a layer that sees its own tokens has their keys and values")
            };
            memory.push(if self.config.sees_itself(index) { own } else { self.projected(&mut g, index, &own)? });
        }
        for (index, [keys, values]) in memory.iter().enumerate() {
            flow::memory_outputs(&mut graph, index as u64, [keys, values])?;
        }
        Ok(graph)
    }

    fn projected<'w>(
        &'w self,
        g: &mut Builder<'_, 'w>,
        layer: u64,
        [keys, values]: &[Value; 2],
    ) -> Result<[Value; 2], ExportError> {
        let w = self.attention_of_expert(layer);
        let square = [self.config.prefix.memory_width(); 2];
        let mut g = g.at("expert");
        let keys = linear_unbiased(&mut g.at("k_proj"), &w.at("k_proj"), keys, square)?;
        Ok([keys, linear_unbiased(&mut g.at("v_proj"), &w.at("v_proj"), values, square)?])
    }

    fn attention_of_expert(&self, layer: u64) -> Scope<'_> {
        self.weights.at(EXPERT).at(&format!("layers.{layer}.self_attn"))
    }

    /// `[state, pictures, text]` as `[1, prefix, width]`, and the positions that the original gives them.
    fn sequence<'w>(&'w self, graph: &mut Graph<'w>) -> Result<(Value, Value), ExportError> {
        let Config { prefix, state, .. } = &self.config;
        let (cameras, tokens) = (self.cameras.len() as u64, self.config.picture_tokens());
        let width = prefix.width;
        let patches = graph.input(flow::PATCHES, Dtype::Fp32, &[cameras, tokens, width].map(fixed))?;
        let text = graph.input(flow::TEXT, Dtype::Fp32, &[fixed(1), symbol("text"), fixed(width)])?;
        let row = graph.input("state", Dtype::Fp32, &[1, state[1]].map(fixed))?;
        let mut root = graph.root();
        let mut g = root.at("sequence");
        let row = g.reshape("state", &row, &[1, 1, state[1]].map(fixed))?;
        let w = self.weights.at(HEADS).at("state_proj");
        let row = linear(&mut g.at("state_proj"), &w, &row, [state[1], width])?;
        let pictures = self.pictures(&mut g, &patches)?;
        let others = g.concat("others", 1, &[&pictures, &text], &symbol("others"))?;
        let counted = flow::count_tokens(&mut g, &others)?;
        let last = g.lengths("last", &others, 1..2)?;
        let last = g.reshape("state_position", &last, &[1, 1].map(fixed))?;
        let positions = g.concat("all_positions", 1, &[&last, &counted], &symbol("prefix"))?;
        let embeds = g.concat("embeds", 1, &[&row, &others], &symbol("prefix"))?;
        graph.output("prefix_embeds", &embeds)?;
        Ok((embeds, positions))
    }

    /// All pictures one after the other, `[1, n, width]`, each between its learned tokens where there are any.
    fn pictures<'w>(&'w self, g: &mut Builder<'_, 'w>, patches: &Value) -> Result<Value, ExportError> {
        let (cameras, tokens) = (self.cameras.len() as u64, self.config.picture_tokens());
        let width = self.config.prefix.width;
        let Some([before, after]) = &self.around else {
            return Ok(g.reshape("pictures", patches, &[1, cameras * tokens, width].map(fixed))?);
        };
        let table = g.weight(self.weights.read(TABLE, &[self.config.vocabulary, width])?, Layout::AsStored)?;
        let mut learned = |name: &str, ids: &[i64]| {
            let ids = g.ints(&format!("{name}.ids"), ids, &[1, ids.len() as u64])?;
            g.gather(name, &table, 0, &ids)
        };
        let [start, end] = [learned("before", before)?, learned("after", after)?];
        let cut = |camera| crate::graph::Cut { axis: 0, start: camera, length: fixed(1) };
        let pictures = (0..cameras)
            .map(|camera| g.slice(&format!("picture{camera}"), patches, &cut(camera)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut pieces: Vec<&Value> = pictures.iter().flat_map(|picture| [&start, picture, &end]).collect();
        // An absent camera's picture is masked, its learned tokens are not.
        (0..self.empty).for_each(|_| pieces.extend([&start, &end]));
        Ok(g.concat("pictures", 1, &pieces, &fixed(self.picture_length()))?)
    }

    fn picture_length(&self) -> u64 {
        let around = self.around.as_ref().map_or(0, |[before, after]| (before.len() + after.len()) as u64);
        let cameras = self.cameras.len() as u64;
        cameras * self.config.picture_tokens() + (cameras + self.empty) * around
    }

    /// One step: the noisy actions and the time become the velocity. An action sees those before it.
    fn denoise(&self) -> Result<Graph<'_>, ExportError> {
        let mut graph = Graph::new("denoise");
        let inputs = self.flow().inputs(&mut graph)?;
        let expert = self.config.expert;
        let memory = flow::memory_inputs(&mut graph, expert.depth, ("prefix", expert.memory_width()))?;
        let mut root = graph.root();
        let mut x =
            self.flow().action_time_tokens(&mut root.at("suffix"), (&self.weights, HEADS), inputs.each_ref())?;
        graph.output("suffix_embeds", &x)?;
        let mut root = graph.root();
        let mut g = root.at("expert");
        let positions = self.flow().positions(&mut g, &memory[0][0])?;
        let after_prefix = Decoder::new(&mut g, &positions, (expert, DecoderNorm::Weight))?;
        let positions = self.flow().counted(&mut g.at("across"))?;
        let across = Decoder::new(&mut g.at("across"), &positions, (expert, DecoderNorm::Weight))?;
        for (index, [keys, values]) in memory.iter().enumerate() {
            let (decoder, sees) = if self.config.sees_itself(index as u64) {
                (&after_prefix, Sees::MemoryAndPast([keys, values]))
            } else {
                (&across, Sees::MemoryOnly([keys, values]))
            };
            let name = format!("layers.{index}");
            x = decoder.layer(&mut g.at(&name), &self.weights.at(EXPERT).at(&name), &x, sees)?.tokens;
        }
        let (normed, _) = across.normalize(&mut g.at("norm"), &self.weights.at(EXPERT).at("norm"), &x)?;
        graph.output("suffix_final_norm", &normed)?;
        self.flow().velocity(&mut graph, (&self.weights, HEADS), &normed)?;
        Ok(graph)
    }

    /// Tensors that the original holds and never uses for actions.
    fn is_dead(&self, name: &str) -> bool {
        let language = name.strip_prefix(LANGUAGE).and_then(|name| name.strip_prefix('.'));
        let last = format!("layers.{}.", self.config.prefix.depth.saturating_sub(1));
        let in_language = language.is_some_and(|name| {
            let after_keys = ["self_attn.q_proj.", "self_attn.o_proj.", "post_attention_layernorm.", "mlp."];
            let in_last = name.strip_prefix(&last);
            name.starts_with("norm.") || in_last.is_some_and(|name| after_keys.iter().any(|key| name.starts_with(key)))
        });
        let heads = ["model.vlm_with_expert.vlm.lm_head.weight", "model.vlm_with_expert.lm_expert.lm_head.weight"];
        in_language || heads.contains(&name)
    }

    fn dims(&self) -> BTreeMap<String, Range> {
        let max = self.config.max_tokens;
        let text = Range { min: 1, opt: max.div_ceil(4), max };
        let around = self.picture_length() + 1;
        let prefix = Range { min: around + text.min, opt: around + text.opt, max: around + text.max };
        BTreeMap::from([("text".to_owned(), text), ("prefix".to_owned(), prefix)])
    }

    fn inputs(&self) -> Vec<Input> {
        let size = self.config.vision.image_size as u32;
        let picture = ImageStep::InterpolateWithPad {
            height: size,
            width: size,
            border: Border::LeftTop,
            fill: 0.0,
            mean: [0.5; 3],
            std: [0.5; 3],
        };
        let MeanStd { mean, std, eps, .. } = &self.state;
        let state = vec![
            StateStep::Standardize { mean: mean.clone(), std: std.clone(), eps: *eps },
            StateStep::Pad { width: self.config.state[1] as usize },
        ];
        let input = |tensor: &str, source| Input { tensor: tensor.to_owned(), source };
        vec![
            input("pixel_values", Source::Cameras { steps: vec![picture] }),
            input("state", Source::State { steps: state }),
            input(flow::IDS, Source::Task { steps: text::steps(&self.config) }),
        ]
    }

    /// Padding is not un-normalised, and cut off afterwards. The original adds no epsilon on the way back.
    fn unnormalize(&self) -> Unnormalize {
        let (mut mean, mut std) = (self.action.mean.clone(), self.action.std.clone());
        mean.resize(self.config.action[1] as usize, 0.0);
        std.resize(self.config.action[1] as usize, 1.0);
        Unnormalize::MeanStd { mean, std, eps: 0.0 }
    }
}

//! What LLaVA-like policies share: a SigLIP tower, a projector, and a language model into whose prompt the pictures go.

mod config;
pub mod flow;
mod geometry;
pub mod graphs;
mod image;
mod text;

use std::path::{Path, PathBuf};

use vla_bundle::{Cadence, CameraModel, CameraStream, ImageStep, Orientation, Range, Source, StateBins, TextStep};

use crate::ExportError;
use crate::blocks::{DecoderConfig, RayVitConfig, SiglipConfig};
use crate::checkpoint::{Scope, Weights};
use crate::graph::Graph;
use crate::request::{Camera, Lacks, Request};

pub use config::check;

/// Words of an instruction to tune for, in tokens, and the most that are allowed (about 200 words).
const PROMPT_OPT: u64 = 35;
const PROMPT_MAX: u64 = 256;

/// Pictures as the tower takes them, `[cameras, 3, size, size]`.
pub const PIXELS: &str = "pixel_values";
/// How the cameras saw them, `[cameras, 3, 3]`.
pub const INTRINSICS: &str = "intrinsics";
/// Token ids, `[1, prompt]`.
pub const IDS: &str = "input_ids";

/// A vision-language model and what is made for it.
pub struct Llava {
    /// The vision tower.
    pub tower: SiglipConfig,
    /// The language model.
    pub language: DecoderConfig,
    /// Rows of its embedding table.
    pub vocabulary: u64,
    /// The encoder of the geometry branch; none where the model has no such branch.
    pub geometry: Option<RayVitConfig>,
    /// Cameras in order.
    pub cameras: Vec<CameraStream>,
    /// Most tokens of a prefix.
    max_tokens: u64,
    image_steps: Vec<ImageStep>,
    text_steps: Vec<TextStep>,
    /// How a state becomes text; none where the text is the instruction's alone.
    state_text: Option<StateBins>,
    /// Where its tensors stand in the checkpoint.
    prefix: &'static str,
    /// Its configuration, tokenizer and image processor.
    dir: PathBuf,
}

/// What differs between the checkpoints that hold such a model.
pub struct Place<'a> {
    /// Folder of its configuration, tokenizer and image processor.
    pub dir: PathBuf,
    /// Where its tensors stand in the checkpoint.
    pub prefix: &'static str,
    /// What is around the instruction; holds `{task}`, and `{state}` where the state is text.
    pub prompt: &'a str,
    /// How a state becomes text; none where the text is the instruction's alone.
    pub state_text: Option<StateBins>,
    /// Most tokens of a prefix, where the checkpoint says it.
    pub max_tokens: Option<u64>,
    /// Side in pixels to which pictures are brought before the model's own processor.
    pub picture_size: Option<u32>,
    /// Whether the geometry branch runs, where something beside the model's own configuration says it.
    pub geometric: Option<bool>,
}

impl Llava {
    /// Reads the model's files.
    pub fn open(place: Place<'_>, request: &Request) -> Result<Self, ExportError> {
        let mut lacks = Lacks::default();
        for camera in request.cameras.iter().filter(|camera| camera.slot != camera.name) {
            lacks.note(format!("camera slot `{}`: this system has no slots", camera.slot));
        }
        lacks.finish()?;
        let config = config::Config::read(&place.dir, place.geometric)?;
        let patches = config.tower.patches() * request.cameras.len() as u64;
        let max_tokens = place.max_tokens.unwrap_or(config.max_tokens).min(config.max_tokens);
        let model = Self {
            image_steps: image::steps(&place.dir, place.picture_size, &config)?,
            text_steps: text::steps(&place.dir, place.prompt, (patches, &config))?,
            cameras: request.cameras.iter().map(camera).collect(),
            tower: config.tower,
            language: config.language,
            vocabulary: config.vocabulary,
            geometry: config.geometry,
            max_tokens,
            state_text: place.state_text,
            prefix: place.prefix,
            dir: place.dir,
        };
        let range = model.token_range();
        if range.max < range.min {
            return Err(ExportError::Mismatch {
                what: format!("tokens of {patches} patches and a prompt"),
                got: format!("at least {}", range.min),
                wanted: format!("at most {}", range.max),
                path: model.dir.join(config::FILE),
            });
        }
        Ok(model)
    }

    /// The model's tensors in the checkpoint's.
    pub fn weights<'w>(&self, weights: &'w Weights) -> Scope<'w> {
        weights.at(self.prefix)
    }

    /// The language model's tensors in the checkpoint's.
    pub fn language_weights<'w>(&self, weights: &'w Weights) -> Scope<'w> {
        self.weights(weights).at("language_model.model.model")
    }

    /// Patches of all cameras.
    pub fn patches(&self) -> u64 {
        self.tower.patches() * self.cameras.len() as u64
    }

    /// Lengths of the prefix.
    pub fn token_range(&self) -> Range {
        // BOS and at least one token of an instruction.
        let min = self.patches() + 2;
        let max = self.max_tokens.min(self.patches() + 1 + PROMPT_MAX);
        Range { min, opt: (self.patches() + 1 + PROMPT_OPT).min(max), max }
    }

    /// Ranges of the symbolic dimensions of [`graphs`].
    pub fn dims(&self) -> impl Iterator<Item = (String, Range)> {
        let Range { min, opt, max } = self.token_range();
        let before_tail = self.patches() + 1;
        let tail = Range { min: min - before_tail, opt: opt - before_tail, max: max - before_tail };
        let prompt = Range { min, opt, max };
        [("prompt", prompt), ("prompt_tail", tail), ("tokens", prompt)]
            .into_iter()
            .map(|(name, range)| (name.to_owned(), range))
    }

    /// Inputs made from pictures, what is known about their cameras, and instruction.
    pub fn inputs(&self) -> Vec<vla_bundle::Input> {
        let input = |tensor: &str, source| vla_bundle::Input { tensor: tensor.to_owned(), source };
        let intrinsics = self.geometry.map(|_| input(INTRINSICS, Source::Intrinsics { of: PIXELS.to_owned() }));
        let pixels = input(PIXELS, Source::Cameras { steps: self.image_steps.clone() });
        let steps = self.text_steps.clone();
        let text = match self.state_text.clone() {
            None => Source::Task { steps },
            Some(state) => Source::TaskWithState { state, steps },
        };
        let text = input(IDS, text);
        std::iter::once(pixels).chain(intrinsics).chain([text]).collect()
    }

    /// What must be known about how the cameras see.
    pub fn intrinsics(&self) -> Option<CameraModel> {
        self.geometry.map(|_| CameraModel::Pinhole)
    }

    /// The graphs from text and pictures to the pieces of the prefix; none of them waits for another.
    pub fn pieces<'w>(&self, weights: &'w Weights) -> Result<Vec<(Graph<'w>, Cadence)>, ExportError> {
        let text = if self.state_text.is_some() { Cadence::Observation } else { Cadence::Instruction };
        let mut pieces =
            vec![(graphs::text(self, weights)?, text), (graphs::vision(self, weights)?, Cadence::Observation)];
        if let Some(config) = &self.geometry {
            pieces.push((geometry::graph(self, config, weights)?, Cadence::Observation));
        }
        Ok(pieces)
    }

    /// The tokenizer, under the bundle's name for it.
    pub fn copies(&self) -> Vec<(String, PathBuf)> {
        vec![(text::TOKENIZER.to_owned(), self.dir.join(text::TOKENIZER))]
    }

    /// The files that were read.
    pub fn sources(&self) -> impl Iterator<Item = PathBuf> {
        [config::FILE, image::FILE, text::TOKENIZER].into_iter().map(|name| self.dir.join(name))
    }

    /// Tensors that no policy needs: the head that writes text, a pooling head of the tower, and the language model's
    /// layers from `layers` on, after the last of which comes its norm.
    pub fn is_dead(&self, name: &str, layers: u64) -> bool {
        let Some(name) = name.strip_prefix(self.prefix).map(|rest| rest.trim_start_matches('.')) else { return false };
        if name.starts_with("language_model.model.lm_head.") || name.ends_with(".rotary_emb.inv_freq") {
            return true;
        }
        if name.starts_with("vision_tower.vision_model.head.") {
            return true;
        }
        let Some(name) = name.strip_prefix("language_model.model.model.") else { return false };
        let layer = name.strip_prefix("layers.").and_then(|rest| rest.split('.').next()?.parse::<u64>().ok());
        layer.is_some_and(|layer| layer >= layers) || (name == "norm.weight" && layers < self.language.depth)
    }
}

fn camera(camera: &Camera) -> CameraStream {
    CameraStream { name: camera.name.clone(), orientation: Orientation::AsTrained }
}

/// A file of the checkpoint in `dir` that must be read as `T`.
pub fn read_config<T: serde::de::DeserializeOwned>(dir: &Path) -> Result<T, ExportError> {
    Ok(crate::checkpoint::read_json(dir, config::FILE)?)
}

/// Path of the configuration in `dir`, for messages.
pub fn config_path(dir: &Path) -> PathBuf {
    dir.join(config::FILE)
}

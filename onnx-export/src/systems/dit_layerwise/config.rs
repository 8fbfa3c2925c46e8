//! `config.json` of a run: sizes of the head, and which of its forward modes it was trained with.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ExportError;
use crate::blocks::{DecoderConfig, DitConfig};
use crate::checkpoint::Weights;
use crate::systems::llava::{check, config_path, read_config};

use super::{HEAD, PROJECTORS};

/// Width of the encoder of the state and of the decoder's hidden layer, hard-coded in the originals.
pub const INNER: u64 = 1024;
/// The originals' default.
const HEAD_WIDTH: u64 = 64;
const BUCKETS: u64 = 1000;
/// The kind of run whose state is text and whose head may have projectors.
const STATE_IN_TEXT: &str = "QwenPI_v3";
/// Rows of the table that a head adds to its tokens where the configuration does not say that it has none.
const SINUSOID_ROWS: u64 = 512;

/// The forward modes, which share one set of tensor shapes: nothing but the run's configuration tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Mode {
    /// Every block reads its layer's hidden states.
    F1,
    /// Odd blocks read their layer's hidden states, even ones their own tokens; output stage.
    F2,
    /// Even blocks read their layer's hidden states, odd ones their own tokens.
    F3,
    /// Every block reads both at once; output stage.
    F4,
    /// As F1, with the output stage.
    F5,
}

impl Mode {
    /// Whether block `index` reads hidden states.
    pub fn reads_context(self, index: u64) -> bool {
        match self {
            Mode::F1 | Mode::F4 | Mode::F5 => true,
            Mode::F2 => index % 2 == 1,
            Mode::F3 => index.is_multiple_of(2),
        }
    }

    /// Whether a block that reads hidden states reads its own tokens beside them.
    pub fn reads_both(self) -> bool {
        self == Mode::F4
    }

    /// Whether an action sees any other row of the head, be it the state, a learned one or another action.
    pub fn mixes_rows(self) -> bool {
        !matches!(self, Mode::F1 | Mode::F5)
    }

    /// Whether a modulated norm and two projections follow the last block.
    pub fn has_output(self) -> bool {
        matches!(self, Mode::F2 | Mode::F4 | Mode::F5)
    }
}

/// Sizes of a head.
pub struct Config {
    /// Forward mode.
    pub mode: Mode,
    /// Sizes of a block.
    pub dit: DitConfig,
    /// Blocks.
    pub blocks: u64,
    /// Index into the hidden states, embeddings first, that each block reads or would read.
    pub hidden: Vec<u64>,
    /// Layers of the language model; its norm comes after the last one.
    depth: u64,
    /// Whether hidden states are normalised on their way to the head.
    pub normalize_hidden: bool,
    /// Values per step.
    pub action_dim: u64,
    /// Where the state goes; none where the policy takes none.
    pub state: Option<State>,
    /// Whether hidden states are normalised and projected to the head's width, block by block.
    pub projects: bool,
    /// Steps per chunk.
    pub horizon: u64,
    /// Denoising steps.
    pub steps: u64,
    /// Numbers that stand for the time in [0, 1].
    pub buckets: u64,
    /// Learned rows between state and actions.
    pub future_tokens: u64,
    /// Rows of the table of action positions; none where there is none.
    pub position_rows: Option<u64>,
    /// Whether every block adds a sinusoid of the position to its tokens.
    pub sinusoid: bool,
    /// Width of the output stage; of a token where there is none.
    pub output: u64,
}

/// Where the state goes, and its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A token of the head.
    Token(u64),
    /// Numbers in the instruction.
    Text(u64),
}

impl State {
    /// Values of the state.
    pub fn dim(self) -> u64 {
        let (State::Token(dim) | State::Text(dim)) = self;
        dim
    }
}

impl Config {
    /// Values of the state where it is a token.
    pub fn token_dim(&self) -> Option<u64> {
        if let Some(State::Token(dim)) = self.state { Some(dim) } else { None }
    }

    /// Tokens before the actions' that no action sees, so that nobody computes them.
    pub fn unseen(&self) -> u64 {
        if self.mode.mixes_rows() { 0 } else { self.tokens() - self.horizon }
    }

    /// Blocks that read hidden states.
    pub fn cross_blocks(&self) -> impl Iterator<Item = u64> {
        (0..self.blocks).filter(|index| self.mode.reads_context(*index))
    }

    /// Layers of the language model that anything is read from.
    pub fn layers_run(&self) -> u64 {
        self.cross_blocks().map(|block| self.hidden[block as usize]).max().unwrap_or(0)
    }

    /// Whether hidden states number `index` are those after the language model's norm.
    pub fn is_final(&self, index: u64) -> bool {
        index == self.depth
    }

    /// Tokens of the head.
    pub fn tokens(&self) -> u64 {
        u64::from(self.token_dim().is_some()) + self.future_tokens + self.horizon
    }
}

/// The fields that the originals read.
#[derive(Deserialize)]
pub struct Raw {
    framework: RawFramework,
    datasets: Option<RawDatasets>,
    head_mode: Option<String>,
    #[serde(skip)]
    path: PathBuf,
}

#[derive(Deserialize)]
struct RawFramework {
    name: Option<String>,
    mapanything_llava3d: Option<RawModel>,
    action_model: RawHead,
}

#[derive(Default, Deserialize)]
struct RawModel {
    use_geometric_branch: Option<bool>,
    normalize_vl_hidden: Option<bool>,
}

#[derive(Deserialize)]
struct RawHead {
    action_dim: u64,
    state_dim: Option<u64>,
    action_horizon: Option<u64>,
    future_action_window_size: Option<u64>,
    num_inference_timesteps: Option<u64>,
    #[serde(default = "yes")]
    add_pos_embed: bool,
    num_timestep_buckets: Option<u64>,
    normalize_vl_hidden: Option<bool>,
    vl_layer_selection: Option<String>,
    diffusion_model_cfg: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct RawDatasets {
    vla_data: Option<RawData>,
}

#[derive(Deserialize)]
struct RawData {
    image_size: Option<[u32; 2]>,
    #[serde(rename = "CoT_prompt")]
    prompt: Option<String>,
}

fn yes() -> bool {
    true
}

fn has_projectors(weights: &Weights) -> bool {
    weights.shape(&format!("{PROJECTORS}.0.1.weight")).is_some()
}

impl Raw {
    /// Reads the configuration of the checkpoint in `dir`.
    pub fn read(dir: &Path) -> Result<Self, ExportError> {
        let raw: Self = read_config(dir)?;
        Ok(Self { path: config_path(dir), ..raw })
    }

    /// Whether the model's geometry branch runs, where the run says it.
    pub fn geometric(&self) -> Option<bool> {
        self.framework.mapanything_llava3d.as_ref()?.use_geometric_branch
    }

    fn data(&self) -> Option<&RawData> {
        self.datasets.as_ref()?.vla_data.as_ref()
    }

    /// What is around the instruction.
    pub fn prompt(&self) -> String {
        let prompt = self.data().and_then(|data| data.prompt.as_deref()).unwrap_or("{instruction}");
        prompt.replace("{instruction}", "{task}")
    }

    /// Side of the pictures that the training took, where the run says it.
    pub fn picture_size(&self) -> Result<Option<u32>, ExportError> {
        match self.data().and_then(|data| data.image_size) {
            Some([width, height]) if width != height => {
                Err(self.unsupported(format!("`image_size` {width} by {height}")))
            }
            size => Ok(size.map(|[side, _]| side)),
        }
    }

    fn mode(&self) -> Result<Mode, ExportError> {
        let modes = [("F1", Mode::F1), ("F2", Mode::F2), ("F3", Mode::F3), ("F4", Mode::F4), ("F5", Mode::F5)];
        let given = self.head_mode.as_deref();
        modes.into_iter().find(|(name, _)| Some(*name) == given).map(|(_, mode)| mode).ok_or_else(|| {
            let got = given.map_or("none".to_owned(), |mode| format!("`{mode}`"));
            self.mismatch("`head_mode`", got, "F1, F2, F3, F4 or F5: the tensors of all of them look the same")
        })
    }

    fn size(&self, name: &str) -> Option<u64> {
        self.framework.action_model.diffusion_model_cfg.get(name)?.as_u64()
    }

    /// The head's sizes; `chunk_size` may repeat the number of steps that the checkpoint says.
    pub fn config(
        &self,
        language: &DecoderConfig,
        weights: &Weights,
        chunk_size: Option<usize>,
    ) -> Result<Config, ExportError> {
        let head = &self.framework.action_model;
        let mode = self.mode()?;
        let width = self.size("input_embedding_dim").or(self.size("action_dit_hidden_dim")).unwrap_or(language.width);
        let head_width = self.size("attention_head_dim").unwrap_or(HEAD_WIDTH).max(1);
        let heads = self.size("num_attention_heads").unwrap_or(width / head_width);
        check("heads times their width", heads * head_width, width, &self.path)?;
        if !width.is_multiple_of(2) || width < 4 {
            return Err(self.mismatch("`input_embedding_dim`", width.to_string(), "an even number, at least 4"));
        }
        let projects = has_projectors(weights);
        let context = if projects { width } else { language.width };
        check("`cross_attention_dim`", self.size("cross_attention_dim").unwrap_or(context), context, &self.path)?;
        let blocks = weights.count(|l| format!("{HEAD}.model.transformer_blocks.{l}.norm1.linear.weight"));
        if let Some(said) = self.size("num_layers") {
            check("blocks in the checkpoint", blocks, said, &self.path)?;
        }
        let rows = |name: &str| weights.shape(&format!("{HEAD}.{name}")).and_then(|shape| shape.first().copied());
        let horizon = match head.action_horizon.or(head.future_action_window_size.map(|n| n + 1)) {
            Some(n) if n > 0 => n,
            _ => return Err(self.mismatch("`action_horizon`", "none".to_owned(), "at least 1")),
        };
        if let Some(asked) = chunk_size {
            check("--chunk-size", asked as u64, horizon, &self.path)?;
        }
        let position_rows = rows("position_embedding.weight").filter(|_| head.add_pos_embed);
        if let Some(rows) = position_rows.filter(|rows| *rows < horizon) {
            return Err(self.mismatch("rows of `position_embedding`", rows.to_string(), "one per action of a chunk"));
        }
        let config = Config {
            mode,
            dit: DitConfig { width, context, heads },
            blocks,
            hidden: self.hidden(blocks, language.depth)?,
            depth: language.depth,
            normalize_hidden: self.normalizes(),
            action_dim: head.action_dim,
            state: self.state(weights)?,
            projects,
            horizon,
            steps: head.num_inference_timesteps.unwrap_or(4),
            buckets: head.num_timestep_buckets.unwrap_or(BUCKETS),
            future_tokens: rows("future_tokens.weight").unwrap_or(0),
            position_rows,
            sinusoid: self.sinusoid()?,
            output: if mode.has_output() { rows("model.proj_out_2.weight").unwrap_or(0) } else { width },
        };
        if config.sinusoid && config.tokens() > SINUSOID_ROWS {
            let wanted = format!("at most the {SINUSOID_ROWS} of the table of positions");
            return Err(self.mismatch("tokens of the head", config.tokens().to_string(), &wanted));
        }
        Ok(config)
    }

    /// A head with an encoder for the state takes one, unless the run's kind writes it into the instruction.
    pub fn state(&self, weights: &Weights) -> Result<Option<State>, ExportError> {
        let dim = self.framework.action_model.state_dim.filter(|dim| *dim > 0);
        let encoder = weights.shape(&format!("{HEAD}.state_encoder.layer1.weight"));
        if has_projectors(weights) || self.framework.name.as_deref() == Some(STATE_IN_TEXT) {
            return Ok(dim.map(State::Text));
        }
        match (encoder, dim) {
            (None, None) => Ok(None),
            (None, Some(dim)) => Err(self.unsupported(format!("a state of {dim} values without `state_encoder`"))),
            (Some(_), Some(dim)) => Ok(Some(State::Token(dim))),
            (Some(_), None) => {
                Err(self.mismatch("`state_dim`", "none".to_owned(), "the width that `state_encoder` takes"))
            }
        }
    }

    fn normalizes(&self) -> bool {
        let model = self.framework.mapanything_llava3d.as_ref().and_then(|model| model.normalize_vl_hidden);
        model.or(self.framework.action_model.normalize_vl_hidden).unwrap_or(false)
    }

    /// The class adds a sinusoid unless it is told not to, and a run that omits the key gets it.
    fn sinusoid(&self) -> Result<bool, ExportError> {
        match self.framework.action_model.diffusion_model_cfg.get("positional_embeddings") {
            None => Ok(true),
            Some(serde_json::Value::Null) => Ok(false),
            Some(value) if value == "sinusoidal" => Ok(true),
            Some(other) => Err(self.unsupported(format!("`positional_embeddings` {other}"))),
        }
    }

    fn hidden(&self, blocks: u64, layers: u64) -> Result<Vec<u64>, ExportError> {
        if blocks == 0 || blocks > layers {
            return Err(self.mismatch(
                "blocks of the head",
                blocks.to_string(),
                &format!("1 to the {layers} layers of the language model"),
            ));
        }
        match self.framework.action_model.vl_layer_selection.as_deref() {
            None | Some("last") => Ok((layers + 1 - blocks..=layers).collect()),
            Some("first") => Ok((1..=blocks).collect()),
            Some(other) => Err(self.mismatch("`vl_layer_selection`", format!("`{other}`"), "`first` or `last`")),
        }
    }

    fn mismatch(&self, what: &str, got: String, wanted: &str) -> ExportError {
        let (what, wanted, path) = (what.to_owned(), wanted.to_owned(), self.path.clone());
        ExportError::Mismatch { what, got, wanted, path }
    }

    fn unsupported(&self, what: String) -> ExportError {
        ExportError::Unsupported { what, path: self.path.clone() }
    }
}

//! `config.json`: the fields that openpi's converter writes, and the sizes behind its names.

use std::path::Path;

use serde::Deserialize;

use crate::ExportError;
use crate::blocks::{DecoderConfig, GateActivation, SiglipConfig};
use crate::checkpoint::read_json;

/// The file's name.
pub const FILE: &str = "config.json";

/// Constants of the original's Gemma.
const NORM_EPS: f32 = 1e-6;
const ROPE_THETA: f32 = 10000.0;
/// The original's vocabulary.
const VOCABULARY: u64 = 257_152;

/// Sizes of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Vision tower.
    pub vision: SiglipConfig,
    /// The language model that reads pictures and text.
    pub prefix: DecoderConfig,
    /// The stack that reads actions.
    pub expert: DecoderConfig,
    /// Rows of the embedding table.
    pub vocabulary: u64,
    /// Values per step of the network.
    pub network_dim: u64,
    /// Steps of a chunk.
    pub chunk_size: u64,
    /// Most tokens of a prompt.
    pub max_tokens: u64,
    /// Whether the state is part of the prompt.
    pub state_in_text: StateInText,
}

/// Whether the state is part of the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateInText {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Which of the two generations a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The state is a token of the expert, the time is mixed into the actions.
    Pi0,
    /// The state is text, the time scales and shifts every norm of the expert.
    Pi05,
}

#[derive(Deserialize)]
struct Raw {
    action_dim: u64,
    action_horizon: u64,
    paligemma_variant: String,
    action_expert_variant: String,
    pi05: Option<bool>,
    max_token_len: Option<u64>,
    discrete_state_input: Option<bool>,
    paligemma_config: Option<RawGemma>,
    action_expert_config: Option<RawGemma>,
    vision_config: Option<RawVision>,
    vocab_size: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
struct RawGemma {
    width: u64,
    depth: u64,
    mlp_dim: u64,
    num_heads: u64,
    num_kv_heads: u64,
    head_dim: u64,
}

#[derive(Clone, Deserialize)]
struct RawVision {
    hidden_size: u64,
    intermediate_size: u64,
    num_hidden_layers: u64,
    num_attention_heads: u64,
    patch_size: u64,
    image_size: u64,
    layer_norm_eps: f32,
}

impl Config {
    /// Reads the file of a checkpoint of this generation.
    pub fn read(dir: &Path, generation: Generation) -> Result<Self, ExportError> {
        let raw: Raw = read_json(dir, FILE)?;
        let path = dir.join(FILE);
        let check = |what: &str, got: String, wanted: String| {
            if got == wanted {
                return Ok(());
            }
            Err(ExportError::Mismatch { what: what.to_owned(), got, wanted, path: path.clone() })
        };
        let is_pi05 = generation == Generation::Pi05;
        check("`pi05`", raw.pi05.unwrap_or(is_pi05).to_string(), is_pi05.to_string())?;
        let prefix = raw.paligemma_config.map_or_else(|| variant(&raw.paligemma_variant, &path), Ok)?;
        let expert = raw.action_expert_config.map_or_else(|| variant(&raw.action_expert_variant, &path), Ok)?;
        check("`depth` of the action expert", expert.depth.to_string(), prefix.depth.to_string())?;
        check("`num_heads` of the action expert", expert.num_heads.to_string(), prefix.num_heads.to_string())?;
        let [got, wanted] = [expert, prefix].map(|stack| stack.num_kv_heads.to_string());
        check("`num_kv_heads` of the action expert", got, wanted)?;
        check("`head_dim` of the action expert", expert.head_dim.to_string(), prefix.head_dim.to_string())?;
        let vision = raw.vision_config.map_or_else(so400m, RawVision::siglip);
        let rest = vision.image_size % vision.patch_size.max(1);
        check("rest of `image_size` over `patch_size`", rest.to_string(), "0".to_owned())?;
        let state_in_text = raw.discrete_state_input.unwrap_or(is_pi05);
        Ok(Self {
            vision,
            prefix: prefix.decoder(),
            expert: expert.decoder(),
            vocabulary: raw.vocab_size.unwrap_or(VOCABULARY),
            network_dim: raw.action_dim,
            chunk_size: raw.action_horizon,
            max_tokens: raw.max_token_len.unwrap_or(if is_pi05 { 200 } else { 48 }),
            state_in_text: if is_pi05 && state_in_text { StateInText::Yes } else { StateInText::No },
        })
    }
}

/// Sizes behind the original's names; adapters of the `_lora` ones are merged by its converter.
fn variant(name: &str, path: &Path) -> Result<RawGemma, ExportError> {
    let of = |width, mlp_dim| RawGemma { width, depth: 18, mlp_dim, num_heads: 8, num_kv_heads: 1, head_dim: 256 };
    match name.trim_end_matches("_lora") {
        "gemma_2b" => Ok(of(2048, 16384)),
        "gemma_300m" => Ok(of(1024, 4096)),
        _ => Err(ExportError::Mismatch {
            what: "variant of a language stack".to_owned(),
            got: format!("`{name}`"),
            wanted: "gemma_2b or gemma_300m, or its sizes beside it".to_owned(),
            path: path.to_owned(),
        }),
    }
}

impl RawGemma {
    fn decoder(self) -> DecoderConfig {
        DecoderConfig {
            width: self.width,
            inner: self.mlp_dim,
            depth: self.depth,
            heads: self.num_heads,
            groups: self.num_kv_heads,
            head_width: self.head_dim,
            norm_eps: NORM_EPS,
            rope_theta: ROPE_THETA,
            activation: GateActivation::GeluTanh,
        }
    }
}

impl RawVision {
    fn siglip(self) -> SiglipConfig {
        SiglipConfig {
            image_size: self.image_size,
            patch_size: self.patch_size,
            width: self.hidden_size,
            depth: self.num_hidden_layers,
            heads: self.num_attention_heads,
            mlp_width: self.intermediate_size,
            norm_eps: self.layer_norm_eps,
        }
    }
}

fn so400m() -> SiglipConfig {
    SiglipConfig { image_size: 224, patch_size: 14, width: 1152, depth: 27, heads: 16, mlp_width: 4304, norm_eps: 1e-6 }
}

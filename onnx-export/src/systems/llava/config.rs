//! `config.json` of a LLaVA-like model: sizes of the vision tower and of the language model.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ExportError;
use crate::blocks::{DecoderConfig, GateActivation, RayVitConfig, SiglipConfig};
use crate::checkpoint::read_json;

use super::geometry::RawGeometry;

/// The file's name.
pub const FILE: &str = "config.json";

/// Sizes of a model.
pub struct Config {
    /// The vision tower.
    pub tower: SiglipConfig,
    /// The language model.
    pub language: DecoderConfig,
    /// Rows of its embedding table.
    pub vocabulary: u64,
    /// Token that stands for a patch.
    pub image_token: u32,
    /// Tokens of the longest sequence.
    pub max_tokens: u64,
    /// The encoder of the geometry branch; none where it does not run.
    pub geometry: Option<RayVitConfig>,
}

impl Config {
    /// Reads the configuration of the model in `dir`; `geometric` overrules what it says about its geometry branch.
    pub fn read(dir: &Path, geometric: Option<bool>) -> Result<Self, ExportError> {
        let raw: RawConfig = read_json(dir, FILE)?;
        let path = dir.join(FILE);
        if raw.use_spatial_token {
            return Err(unsupported("a model with `use_spatial_token`".to_owned(), &path));
        }
        let tower = raw.vision_config.siglip(&path)?;
        if let Some(length) = raw.image_seq_length {
            check("`image_seq_length`", length, tower.patches(), &path)?;
        }
        let vocabulary = raw.text_config.vocab_size;
        let image_token = u32::try_from(raw.image_token_index).ok().filter(|id| u64::from(*id) < vocabulary);
        let Some(image_token) = image_token else {
            return Err(ExportError::Mismatch {
                what: "`image_token_index`".to_owned(),
                got: raw.image_token_index.to_string(),
                wanted: format!("a token of the vocabulary, 0 to {}", vocabulary.saturating_sub(1)),
                path,
            });
        };
        let max_tokens = raw.text_config.max_position_embeddings;
        let geometry = match (geometric.unwrap_or(raw.use_geometric_branch), &raw.mapanything_config) {
            (false, _) => None,
            (true, Some(geometry)) => Some(geometry.encoder(tower.image_size, &path)?),
            (true, None) => {
                let wanted = "the sizes of the encoder that `use_geometric_branch` wants".to_owned();
                let (what, got) = ("`mapanything_config`".to_owned(), "none".to_owned());
                return Err(ExportError::Mismatch { what, got, wanted, path });
            }
        };
        Ok(Self { geometry, tower, language: raw.text_config.decoder(&path)?, vocabulary, image_token, max_tokens })
    }
}

#[derive(Deserialize)]
struct RawConfig {
    vision_config: RawVision,
    text_config: RawText,
    image_token_index: i64,
    image_seq_length: Option<u64>,
    #[serde(default)]
    use_spatial_token: bool,
    #[serde(default)]
    use_geometric_branch: bool,
    mapanything_config: Option<RawGeometry>,
}

/// The part of a `SiglipVisionConfig` that differs from the defaults of transformers.
#[derive(Deserialize)]
#[serde(default)]
struct RawVision {
    hidden_size: u64,
    intermediate_size: u64,
    num_hidden_layers: u64,
    num_attention_heads: u64,
    patch_size: u64,
    image_size: u64,
    layer_norm_eps: f32,
    hidden_act: String,
}

impl Default for RawVision {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            patch_size: 16,
            image_size: 224,
            layer_norm_eps: 1e-6,
            hidden_act: "gelu_pytorch_tanh".to_owned(),
        }
    }
}

/// The part of a `LlamaConfig` that differs from the defaults of transformers.
#[derive(Deserialize)]
#[serde(default)]
struct RawText {
    hidden_size: u64,
    intermediate_size: u64,
    num_hidden_layers: u64,
    num_attention_heads: u64,
    num_key_value_heads: Option<u64>,
    head_dim: Option<u64>,
    rms_norm_eps: f32,
    rope_theta: f32,
    rope_scaling: Option<serde_json::Value>,
    hidden_act: String,
    attention_bias: bool,
    mlp_bias: bool,
    vocab_size: u64,
    max_position_embeddings: u64,
}

impl Default for RawText {
    fn default() -> Self {
        Self {
            hidden_size: 4096,
            intermediate_size: 11008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            rms_norm_eps: 1e-6,
            rope_theta: 10000.0,
            rope_scaling: None,
            hidden_act: "silu".to_owned(),
            attention_bias: false,
            mlp_bias: false,
            vocab_size: 32000,
            max_position_embeddings: 2048,
        }
    }
}

impl RawVision {
    fn siglip(&self, path: &Path) -> Result<SiglipConfig, ExportError> {
        if self.hidden_act != "gelu_pytorch_tanh" {
            return Err(unsupported(format!("a vision tower with hidden_act `{}`", self.hidden_act), path));
        }
        positive("vision_config: patch_size", self.patch_size, path)?;
        positive("vision_config: num_attention_heads", self.num_attention_heads, path)?;
        check("vision_config: image_size modulo patch_size", self.image_size % self.patch_size, 0, path)?;
        check("vision_config: hidden_size modulo heads", self.hidden_size % self.num_attention_heads, 0, path)?;
        Ok(SiglipConfig {
            image_size: self.image_size,
            patch_size: self.patch_size,
            width: self.hidden_size,
            depth: self.num_hidden_layers,
            heads: self.num_attention_heads,
            mlp_width: self.intermediate_size,
            norm_eps: self.layer_norm_eps,
        })
    }
}

impl RawText {
    fn decoder(&self, path: &Path) -> Result<DecoderConfig, ExportError> {
        if self.hidden_act != "silu" || self.attention_bias || self.mlp_bias || self.rope_scaling.is_some() {
            let what = format!(
                "a language model with hidden_act `{}`, attention_bias {}, mlp_bias {}, rope_scaling {}",
                self.hidden_act,
                self.attention_bias,
                self.mlp_bias,
                self.rope_scaling.clone().unwrap_or_default()
            );
            return Err(unsupported(what, path));
        }
        let heads = self.num_attention_heads;
        let groups = self.num_key_value_heads.unwrap_or(heads);
        positive("text_config: num_attention_heads", heads, path)?;
        positive("text_config: num_key_value_heads", groups, path)?;
        check("text_config: query heads modulo key heads", heads % groups, 0, path)?;
        if self.head_dim.is_none() {
            check("text_config: hidden_size modulo heads", self.hidden_size % heads, 0, path)?;
        }
        let head_width = self.head_dim.unwrap_or(self.hidden_size / heads);
        check("text_config: width of a head modulo 2", head_width % 2, 0, path)?;
        Ok(DecoderConfig {
            width: self.hidden_size,
            inner: self.intermediate_size,
            depth: self.num_hidden_layers,
            heads,
            groups,
            head_width,
            norm_eps: self.rms_norm_eps,
            rope_theta: self.rope_theta,
            activation: GateActivation::Silu,
        })
    }
}

fn unsupported(what: String, path: &Path) -> ExportError {
    ExportError::Unsupported { what, path: path.to_owned() }
}

fn positive(what: &str, got: u64, path: &Path) -> Result<(), ExportError> {
    if got > 0 { Ok(()) } else { Err(mismatch(what, 0, "at least 1", path)) }
}

/// Fails where two numbers that must agree do not.
pub fn check(what: &str, got: u64, wanted: u64, path: &Path) -> Result<(), ExportError> {
    if got == wanted { Ok(()) } else { Err(mismatch(what, got, &wanted.to_string(), path)) }
}

fn mismatch(what: &str, got: u64, wanted: &str, path: &Path) -> ExportError {
    let (what, wanted, path) = (what.to_owned(), wanted.to_owned(), PathBuf::from(path));
    ExportError::Mismatch { what, got: got.to_string(), wanted, path }
}

//! `config.json` as lerobot writes it, and that of the vision-language model beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ExportError;
use crate::blocks::{DecoderConfig, GateActivation, SiglipConfig};
use crate::checkpoint::read_json;

/// The policy's file.
pub const FILE: &str = "config.json";
/// lerobot turns keys and queries with this base, whatever the language model's own file says.
const ROPE_THETA: f32 = 10000.0;
/// The expert's norms: the language model's configuration, copied.
const VISION_NORM_EPS: f32 = 1e-6;

/// Sizes of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Vision tower.
    pub vision: SiglipConfig,
    /// Patches along a side of the cell that becomes one token.
    pub shuffle: u64,
    /// The language model's layers that are kept.
    pub prefix: DecoderConfig,
    /// The stack that reads actions.
    pub expert: DecoderConfig,
    /// Every layer whose index is a multiple of it sees its own tokens, others the prefix's alone.
    pub self_every: u64,
    /// Rows of the embedding table.
    pub vocabulary: u64,
    /// Values of the state before and after padding.
    pub state: [u64; 2],
    /// Values per step of the actions and of the network.
    pub action: [u64; 2],
    /// Steps of a chunk.
    pub chunk_size: u64,
    /// Denoising steps.
    pub steps: u64,
    /// Shortest and longest period of the time's sinusoid.
    pub periods: [f64; 2],
    /// Most tokens of a prompt.
    pub max_tokens: u64,
    /// Cameras in the order of the original.
    pub cameras: Vec<String>,
    /// Cameras that may be absent, at the end.
    pub empty_cameras: u64,
    /// Whether learned tokens stand around each picture.
    pub image_tokens: ImageTokens,
    /// Folder of the vision-language model's files.
    pub vlm: PathBuf,
}

/// Whether learned tokens stand around each picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageTokens {
    /// They do.
    Around,
    /// They do not.
    None,
}

#[derive(Deserialize)]
struct Raw {
    input_features: Features,
    output_features: Features,
    chunk_size: u64,
    normalization_mapping: BTreeMap<String, String>,
    max_state_dim: u64,
    max_action_dim: u64,
    resize_imgs_with_padding: Option<[u64; 2]>,
    empty_cameras: u64,
    #[serde(default)]
    adapt_to_pi_aloha: bool,
    #[serde(default)]
    use_delta_joint_actions_aloha: bool,
    tokenizer_max_length: u64,
    num_steps: u64,
    vlm_model_name: String,
    add_image_special_tokens: bool,
    attention_mode: String,
    num_expert_layers: i64,
    num_vlm_layers: i64,
    self_attn_every_n_layers: i64,
    expert_width_multiplier: f64,
    min_period: f64,
    max_period: f64,
}

#[derive(Deserialize)]
struct Feature {
    #[serde(rename = "type")]
    kind: String,
    shape: Vec<u64>,
}

/// Features by name, in the order of the file: it is the order in which pictures are stacked.
struct Features(Vec<(String, Feature)>);

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Features;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("features by name")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Features, A::Error> {
                let mut features = Vec::new();
                while let Some(feature) = map.next_entry()? {
                    features.push(feature);
                }
                Ok(Features(features))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[derive(Deserialize)]
struct RawVlm {
    scale_factor: u64,
    vision_config: RawVision,
    text_config: RawText,
}

#[derive(Deserialize)]
struct RawVision {
    hidden_size: u64,
    intermediate_size: u64,
    num_hidden_layers: u64,
    num_attention_heads: u64,
    patch_size: u64,
    image_size: u64,
    layer_norm_eps: Option<f32>,
}

#[derive(Deserialize)]
struct RawText {
    vocab_size: u64,
    rms_norm_eps: f32,
    hidden_size: u64,
    num_attention_heads: u64,
    num_key_value_heads: u64,
    head_dim: Option<u64>,
    num_hidden_layers: u64,
    intermediate_size: u64,
}

impl Config {
    /// Reads both files.
    pub fn read(dir: &Path) -> Result<Self, ExportError> {
        let raw: Raw = read_json(dir, FILE)?;
        let vlm = folder(dir, &raw.vlm_model_name);
        let model: RawVlm = read_json(&vlm, FILE)?;
        raw.supported(&dir.join(FILE))?;
        let path = dir.join(FILE);
        let vision = model.vision_config.siglip();
        let size = raw.resize_imgs_with_padding.unwrap_or_default();
        if size != [vision.image_size; 2] {
            let wanted = format!("the vision tower's [{0}, {0}]", vision.image_size);
            return Err(mismatch("`resize_imgs_with_padding`", format!("{size:?}"), wanted, path));
        }
        let (cells, rest) = (vision.side() / model.scale_factor.max(1), vision.side() % model.scale_factor.max(1));
        if rest != 0 || cells == 0 {
            let wanted = format!("a divisor of {} patches", vision.side());
            return Err(mismatch("`scale_factor`", model.scale_factor.to_string(), wanted, vlm.join(FILE)));
        }
        let prefix = raw.prefix(&model.text_config, &path)?;
        let state = only(&raw.input_features, "STATE", &path)?;
        let action = only(&raw.output_features, "ACTION", &path)?;
        for (what, [own, most]) in [
            ("values of the state", [state, raw.max_state_dim]),
            ("values of the action", [action, raw.max_action_dim]),
        ] {
            if own > most {
                return Err(mismatch(what, own.to_string(), format!("at most {most}"), path));
            }
        }
        let every = u64::try_from(raw.self_attn_every_n_layers).unwrap_or(0);
        Ok(Self {
            vision,
            shuffle: model.scale_factor,
            prefix,
            expert: expert(&prefix, raw.expert_width_multiplier),
            self_every: if every == 0 { prefix.depth } else { every },
            vocabulary: model.text_config.vocab_size,
            state: [state, raw.max_state_dim],
            action: [action, raw.max_action_dim],
            chunk_size: raw.chunk_size,
            steps: raw.num_steps,
            periods: [raw.min_period, raw.max_period],
            max_tokens: raw.tokenizer_max_length,
            cameras: pictures(&raw.input_features),
            empty_cameras: raw.empty_cameras,
            image_tokens: if raw.add_image_special_tokens { ImageTokens::Around } else { ImageTokens::None },
            vlm,
        })
    }

    /// Tokens of one picture, learned ones around it not counted.
    pub fn picture_tokens(&self) -> u64 {
        (self.vision.side() / self.shuffle).pow(2)
    }

    /// Whether a layer sees its own tokens.
    pub fn sees_itself(&self, layer: u64) -> bool {
        layer.is_multiple_of(self.self_every)
    }
}

impl Raw {
    /// Refuses options of lerobot that no released checkpoint was trained with.
    fn supported(&self, path: &Path) -> Result<(), ExportError> {
        let unsupported = [
            (self.attention_mode != "cross_attn", format!("`attention_mode` {}", self.attention_mode)),
            (self.adapt_to_pi_aloha, "`adapt_to_pi_aloha`".to_owned()),
            (self.use_delta_joint_actions_aloha, "`use_delta_joint_actions_aloha`".to_owned()),
        ];
        if let Some((_, what)) = unsupported.into_iter().find(|(is_set, _)| *is_set) {
            return Err(ExportError::Unsupported { what, path: path.to_owned() });
        }
        for (group, wanted) in [("STATE", "MEAN_STD"), ("ACTION", "MEAN_STD"), ("VISUAL", "IDENTITY")] {
            let got = self.normalization_mapping.get(group).map_or("none", String::as_str);
            if got != wanted {
                let what = format!("`normalization_mapping` of {group}");
                return Err(mismatch(&what, got.to_owned(), wanted.to_owned(), path.to_owned()));
            }
        }
        Ok(())
    }

    fn prefix(&self, text: &RawText, path: &Path) -> Result<DecoderConfig, ExportError> {
        let depth = u64::try_from(self.num_vlm_layers).ok().filter(|kept| *kept > 0).unwrap_or(text.num_hidden_layers);
        if depth > text.num_hidden_layers {
            let wanted = format!("at most the {} layers of the language model", text.num_hidden_layers);
            return Err(mismatch("`num_vlm_layers`", depth.to_string(), wanted, path.to_owned()));
        }
        if self.num_expert_layers > 0 && self.num_expert_layers.unsigned_abs() != depth {
            let got = self.num_expert_layers.to_string();
            return Err(mismatch(
                "`num_expert_layers`",
                got,
                format!("{depth}, one per layer of the prefix"),
                path.into(),
            ));
        }
        Ok(DecoderConfig {
            width: text.hidden_size,
            inner: text.intermediate_size,
            depth,
            heads: text.num_attention_heads,
            groups: text.num_key_value_heads,
            head_width: text.head_dim.unwrap_or(text.hidden_size / text.num_attention_heads.max(1)),
            norm_eps: text.rms_norm_eps,
            rope_theta: ROPE_THETA,
            activation: GateActivation::Silu,
        })
    }
}

/// lerobot's sizes of a narrower stack with the same heads.
fn expert(prefix: &DecoderConfig, multiplier: f64) -> DecoderConfig {
    let width = (prefix.width as f64 * multiplier) as u64;
    let inner = (4 * (2 * width / 3)).next_multiple_of(256);
    DecoderConfig { width, inner, ..*prefix }
}

impl RawVision {
    fn siglip(&self) -> SiglipConfig {
        SiglipConfig {
            image_size: self.image_size,
            patch_size: self.patch_size,
            width: self.hidden_size,
            depth: self.num_hidden_layers,
            heads: self.num_attention_heads,
            mlp_width: self.intermediate_size,
            norm_eps: self.layer_norm_eps.unwrap_or(VISION_NORM_EPS),
        }
    }
}

/// Where the files of the vision-language model are: the path that the configuration says, or `vlm` beside it.
fn folder(dir: &Path, name: &str) -> PathBuf {
    let named = dir.join(name.trim_start_matches("./"));
    if named.join(FILE).is_file() { named } else { dir.join("vlm") }
}

fn only(features: &Features, kind: &str, path: &Path) -> Result<u64, ExportError> {
    let found: Vec<_> = features.0.iter().map(|(_, feature)| feature).filter(|feature| feature.kind == kind).collect();
    match found.as_slice() {
        [feature] if feature.shape.len() == 1 => Ok(feature.shape[0]),
        _ => {
            let got = format!("{} features", found.len());
            Err(mismatch(&format!("features of type {kind}"), got, "one vector".to_owned(), path.to_owned()))
        }
    }
}

fn pictures(features: &Features) -> Vec<String> {
    features.0.iter().filter(|(_, feature)| feature.kind == "VISUAL").map(|(name, _)| name.clone()).collect()
}

fn mismatch(what: &str, got: String, wanted: String, path: PathBuf) -> ExportError {
    ExportError::Mismatch { what: what.to_owned(), got, wanted, path }
}

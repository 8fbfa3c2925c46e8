//! `config.json` of the OpenVLA family: sizes of the vision towers and of the language model.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ExportError;
use crate::blocks::{LlamaConfig, VitConfig};
use crate::checkpoint::read_json;

/// The file's name.
pub const FILE: &str = "config.json";

/// Width of the towers' channels in `pixel_values`: one RGB picture, normalised its own way, per tower.
pub const CHANNELS: u64 = 3;

/// Sizes of a model.
#[derive(Clone, Debug)]
pub struct Config {
    /// Vision towers in the order of their channels.
    pub towers: Vec<Tower>,
    /// The language model.
    pub llama: LlamaConfig,
    /// Tokens of the longest sequence.
    pub max_tokens: u64,
    /// The tokens that stand for actions, where no head does.
    pub action_tokens: ActionTokens,
}

/// The last tokens of the vocabulary, each of which stands for a bin of [-1, 1], in falling order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionTokens {
    /// Tokens of the vocabulary, without the rows that pad the embedding table.
    pub vocabulary: u64,
    /// Edges of the bins, -1 and 1 included.
    pub edges: u64,
}

impl ActionTokens {
    /// The middle of each bin, rising.
    pub fn centres(self) -> Vec<f32> {
        let bins = (self.edges - 1) as f64;
        (0..self.edges - 1).map(|bin| ((2 * bin + 1) as f64 / bins - 1.0) as f32).collect()
    }
}

/// One vision tower.
#[derive(Clone, Debug)]
pub struct Tower {
    /// Where its tensors stand in the checkpoint.
    pub prefix: &'static str,
    /// Short name in graphs and stage outputs.
    pub name: &'static str,
    /// Sizes.
    pub vit: VitConfig,
}

impl Config {
    /// Reads the configuration of the checkpoint in `dir`.
    pub fn read(dir: &Path) -> Result<Self, ExportError> {
        let raw: RawConfig = read_json(dir, FILE)?;
        let path = dir.join(FILE);
        let wanted = if raw.use_fused_vision_backbone { 2 } else { 1 };
        let counts = [raw.timm_model_ids.len(), raw.image_sizes.len()];
        if counts != [wanted; 2] {
            return Err(ExportError::Mismatch {
                what: "number of `timm_model_ids` and `image_sizes`".to_owned(),
                got: format!("{} and {}", counts[0], counts[1]),
                wanted: format!("{wanted} (`use_fused_vision_backbone` is {})", raw.use_fused_vision_backbone),
                path,
            });
        }
        let towers = (0..wanted).map(|index| raw.tower(index, &path)).collect::<Result<_, _>>()?;
        let action_tokens = raw.action_tokens(&path)?;
        Ok(Self { towers, llama: raw.text_config.llama(&path)?, max_tokens: raw.llm_max_length, action_tokens })
    }

    /// Side of the square pictures in pixels.
    pub fn image_size(&self) -> u64 {
        self.towers[0].vit.image_size
    }

    /// Patches of one picture.
    pub fn patches(&self) -> u64 {
        self.towers[0].vit.patches()
    }
}

#[derive(Deserialize)]
struct RawConfig {
    timm_model_ids: Vec<String>,
    timm_override_act_layers: Option<Vec<Option<String>>>,
    image_sizes: Vec<u64>,
    use_fused_vision_backbone: bool,
    /// Not in released files: sizes of towers that timm does not know.
    vision_backbone_arch: Option<Vec<RawVit>>,
    text_config: RawText,
    #[serde(default = "default_max_tokens")]
    llm_max_length: u64,
    #[serde(default = "default_padding")]
    pad_to_multiple_of: u64,
    #[serde(default = "default_edges")]
    n_action_bins: u64,
}

/// Sizes of a tower, in timm's words.
#[derive(Clone, Deserialize)]
struct RawVit {
    act: String,
    class_token: bool,
    depth: u64,
    embed_dim: u64,
    img_size: u64,
    layer_scale: bool,
    mlp_hidden_dim: u64,
    norm_eps: f32,
    num_heads: u64,
    patch_size: u64,
    qkv_bias: bool,
    reg_tokens: u64,
}

/// The part of a `LlamaConfig` that differs from the defaults of transformers 4.40.1.
#[derive(Deserialize)]
#[serde(default)]
struct RawText {
    hidden_size: u64,
    intermediate_size: u64,
    num_hidden_layers: u64,
    num_attention_heads: u64,
    num_key_value_heads: Option<u64>,
    rms_norm_eps: f32,
    rope_theta: f32,
    rope_scaling: Option<serde_json::Value>,
    hidden_act: String,
    attention_bias: bool,
    vocab_size: u64,
}

impl Default for RawText {
    fn default() -> Self {
        Self {
            hidden_size: 4096,
            intermediate_size: 11008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            rms_norm_eps: 1e-6,
            rope_theta: 10000.0,
            rope_scaling: None,
            hidden_act: "silu".to_owned(),
            attention_bias: false,
            vocab_size: 32000,
        }
    }
}

fn default_max_tokens() -> u64 {
    2048
}

fn default_padding() -> u64 {
    64
}

fn default_edges() -> u64 {
    256
}

impl RawConfig {
    fn action_tokens(&self, path: &Path) -> Result<ActionTokens, ExportError> {
        let (rows, padding, edges) = (self.text_config.vocab_size, self.pad_to_multiple_of, self.n_action_bins);
        match rows.checked_sub(padding) {
            Some(vocabulary) if (2..vocabulary).contains(&edges) => Ok(ActionTokens { vocabulary, edges }),
            _ => Err(ExportError::Mismatch {
                what: "`n_action_bins`".to_owned(),
                got: edges.to_string(),
                wanted: format!("2 or more, and fewer than `vocab_size` {rows} less `pad_to_multiple_of` {padding}"),
                path: path.to_owned(),
            }),
        }
    }

    fn tower(&self, index: usize, path: &Path) -> Result<Tower, ExportError> {
        let id = self.timm_model_ids[index].as_str();
        let image_size = self.image_sizes[index];
        let unsupported = |what: String| ExportError::Unsupported { what, path: path.to_owned() };
        if let Some(act) = self.timm_override_act_layers.as_ref().and_then(|acts| acts.get(index)?.as_ref()) {
            return Err(unsupported(format!("activation `{act}` of tower `{id}`")));
        }
        let raw = match self.vision_backbone_arch.as_ref().and_then(|all| all.get(index)) {
            Some(raw) => raw.clone(),
            None => known(id, image_size).ok_or_else(|| unsupported(format!("vision tower `{id}`")))?,
        };
        if raw.act != "gelu" || !raw.qkv_bias {
            return Err(unsupported(format!("tower `{id}` with act `{}`, qkv_bias {}", raw.act, raw.qkv_bias)));
        }
        check(&format!("image size of tower `{id}`"), raw.img_size, self.image_sizes[0], path)?;
        check(&format!("image size of tower `{id}` modulo its patch size"), image_size % raw.patch_size, 0, path)?;
        check(&format!("width of tower `{id}` modulo its heads"), raw.embed_dim % raw.num_heads, 0, path)?;
        let (prefix, fallback) =
            [("vision_backbone.featurizer", "tower0"), ("vision_backbone.fused_featurizer", "tower1")][index];
        let name = ["dino", "siglip"].into_iter().find(|name| id.contains(name)).unwrap_or(fallback);
        Ok(Tower { prefix, name, vit: raw.vit() })
    }
}

impl RawVit {
    fn vit(&self) -> VitConfig {
        let mut prefix = Vec::new();
        if self.class_token {
            prefix.push(("cls_token", 1));
        }
        if self.reg_tokens > 0 {
            prefix.push(("reg_token", self.reg_tokens));
        }
        VitConfig {
            image_size: self.img_size,
            patch_size: self.patch_size,
            width: self.embed_dim,
            depth: self.depth,
            heads: self.num_heads,
            mlp_width: self.mlp_hidden_dim,
            prefix,
            layer_scale: self.layer_scale,
            norm_eps: self.norm_eps,
        }
    }
}

impl RawText {
    fn llama(&self, path: &Path) -> Result<LlamaConfig, ExportError> {
        let unsupported = |what: String| Err(ExportError::Unsupported { what, path: path.to_owned() });
        let heads = self.num_attention_heads;
        if let Some(shared) = self.num_key_value_heads.filter(|n| *n != heads) {
            return unsupported(format!("a language model with {shared} key heads for {heads} query heads"));
        }
        if self.hidden_act != "silu" || self.attention_bias || self.rope_scaling.is_some() {
            return unsupported(format!(
                "a language model with hidden_act `{}`, attention_bias {}, rope_scaling {}",
                self.hidden_act,
                self.attention_bias,
                self.rope_scaling.clone().unwrap_or_default()
            ));
        }
        check("hidden_size modulo twice num_attention_heads", self.hidden_size % (2 * heads), 0, path)?;
        Ok(LlamaConfig {
            hidden: self.hidden_size,
            intermediate: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads,
            vocabulary: self.vocab_size,
            norm_eps: self.rms_norm_eps,
            rope_theta: self.rope_theta,
        })
    }
}

/// Towers of released checkpoints, as timm 0.9.10 builds them.
fn known(id: &str, image_size: u64) -> Option<RawVit> {
    let base = RawVit {
        act: "gelu".to_owned(),
        class_token: false,
        depth: 0,
        embed_dim: 0,
        img_size: image_size,
        layer_scale: false,
        mlp_hidden_dim: 0,
        norm_eps: 1e-6,
        num_heads: 16,
        patch_size: 14,
        qkv_bias: true,
        reg_tokens: 0,
    };
    match id {
        "vit_large_patch14_reg4_dinov2.lvd142m" => Some(RawVit {
            class_token: true,
            reg_tokens: 4,
            depth: 24,
            embed_dim: 1024,
            layer_scale: true,
            mlp_hidden_dim: 4096,
            ..base
        }),
        "vit_so400m_patch14_siglip_224" => Some(RawVit { depth: 27, embed_dim: 1152, mlp_hidden_dim: 4304, ..base }),
        _ => None,
    }
}

/// Fails where two numbers that must agree do not.
pub fn check(what: &str, got: u64, wanted: u64, path: &Path) -> Result<(), ExportError> {
    if got == wanted {
        return Ok(());
    }
    Err(ExportError::Mismatch {
        what: what.to_owned(),
        got: got.to_string(),
        wanted: wanted.to_string(),
        path: PathBuf::from(path),
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The fields of the released openvla-7b-oft checkpoints.
    pub const RELEASED: &str = r#"{
        "model_type": "openvla",
        "image_sizes": [224, 224],
        "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
        "timm_override_act_layers": [null, null],
        "use_fused_vision_backbone": true,
        "llm_max_length": 2048,
        "text_config": {"model_type": "llama", "pad_token_id": 32000, "torch_dtype": "bfloat16", "vocab_size": 32064}
    }"#;

    impl Config {
        /// Sizes of the released checkpoints.
        pub fn released() -> Self {
            read(RELEASED).unwrap()
        }
    }

    fn read(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        Config::read(dir.path()).map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn released_checkpoints_have_the_published_sizes() {
        let Config { towers, llama, max_tokens, action_tokens } = Config::released();
        let dino = VitConfig {
            image_size: 224,
            patch_size: 14,
            width: 1024,
            depth: 24,
            heads: 16,
            mlp_width: 4096,
            prefix: vec![("cls_token", 1), ("reg_token", 4)],
            layer_scale: true,
            norm_eps: 1e-6,
        };
        let siglip =
            VitConfig { width: 1152, depth: 27, mlp_width: 4304, prefix: vec![], layer_scale: false, ..dino.clone() };
        assert_eq!([&towers[0].vit, &towers[1].vit], [&dino, &siglip]);
        assert_eq!((towers[0].name, towers[1].name, dino.patches()), ("dino", "siglip", 256));
        let wanted = LlamaConfig {
            hidden: 4096,
            intermediate: 11008,
            layers: 32,
            heads: 32,
            vocabulary: 32064,
            norm_eps: 1e-6,
            rope_theta: 10000.0,
        };
        assert_eq!((llama, max_tokens), (wanted, 2048));
        assert_eq!(action_tokens, ActionTokens { vocabulary: 32000, edges: 256 });
    }

    #[test]
    fn tokens_stand_for_the_middle_of_their_bins() {
        // numpy 2.4.6: bins = numpy.linspace(-1, 1, 256); ((bins[:-1] + bins[1:]) / 2).astype("f4")[[0, 1, 100, 254]]
        let centres = ActionTokens { vocabulary: 32000, edges: 256 }.centres();
        assert_eq!(centres.len(), 255);
        let some = [0, 1, 100, 254].map(|bin: usize| centres[bin]);
        assert_eq!(some, [-0.996_078_43, -0.988_235_3, -0.211_764_71, 0.996_078_43]);
    }

    #[test]
    fn what_the_blocks_cannot_do_is_refused_by_name() {
        let changed = |from: &str, to: &str| read(&RELEASED.replace(from, to)).unwrap_err();
        assert_eq!(
            changed("[null, null]", r#"[null, "quick_gelu"]"#),
            "activation `quick_gelu` of tower `vit_so400m_patch14_siglip_224` is not supported yet: DIR/config.json"
        );
        assert_eq!(
            changed(r#""vocab_size": 32064"#, r#""vocab_size": 32064, "num_key_value_heads": 8"#),
            "a language model with 8 key heads for 32 query heads is not supported yet: DIR/config.json"
        );
        assert_eq!(
            changed(r#""vocab_size": 32064"#, r#""vocab_size": 32064, "rope_scaling": {"factor": 2}"#),
            "a language model with hidden_act `silu`, attention_bias false, rope_scaling {\"factor\":2} \
             is not supported yet: DIR/config.json"
        );
        assert_eq!(
            changed(r#""vocab_size": 32064"#, r#""vocab_size": 320"#),
            "`n_action_bins`: got 256, wanted 2 or more, and fewer than `vocab_size` 320 less `pad_to_multiple_of` 64: \
             DIR/config.json"
        );
        assert_eq!(
            changed("[224, 224]", "[224, 384]"),
            "image size of tower `vit_so400m_patch14_siglip_224`: got 384, wanted 224: DIR/config.json"
        );
    }
}

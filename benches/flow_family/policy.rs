//! A checkpoint of pi0's shape in openpi's layout, and its bundle.

use std::path::Path;

use onnx_export::blocks::{DecoderConfig, GateActivation};
use onnx_export::{Adapter, Camera, Request, System};
use serde_json::json;
use vla_bundle::{Bundle, Dtype};

use super::random_weights;
use super::timed::Error;

pub const CAMERAS: usize = 2;
pub const SIDE: usize = 224;
pub const TEXT: usize = 48;
pub const CHUNK: usize = 50;
pub const NETWORK: usize = 32;
pub const STEPS: u64 = 10;
pub const LAYERS: u64 = 6;
pub const ACTIONS: &str = "normalized_actions";
const PATCHES: usize = 256;
const VOCABULARY: u64 = 1024;
/// Width, inner width, blocks and heads of the vision tower.
const VISION: [u64; 4] = [384, 1536, 4, 6];

/// Half of pi0's widths, its heads, a third of its layers.
pub fn prefix() -> DecoderConfig {
    stack(1024, 8192)
}

pub fn expert() -> DecoderConfig {
    stack(512, 2048)
}

fn stack(width: u64, inner: u64) -> DecoderConfig {
    DecoderConfig {
        width,
        inner,
        depth: LAYERS,
        heads: 8,
        groups: 1,
        head_width: 128,
        norm_eps: 1e-6,
        rope_theta: 10000.0,
        activation: GateActivation::GeluTanh,
    }
}

/// Lengths of the dynamic dimensions.
pub struct Lengths;

impl Lengths {
    pub const PREFIX: u64 = (CAMERAS * PATCHES + TEXT) as u64;

    pub fn of(symbol: &str) -> u64 {
        match symbol {
            "text" => TEXT as u64,
            "prefix" => Self::PREFIX,
            "memory" => Self::PREFIX + 1,
            other => unreachable!("no graph of the policy has a dimension `{other}`"),
        }
    }
}

/// Writes the checkpoint: weights, configuration, and the small files of the tests' own.
pub fn write_checkpoint(dir: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(dir.join("assets/libero"))?;
    let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoints/pi0/checkpoint");
    std::fs::copy(given.join("tokenizer.json"), dir.join("tokenizer.json"))?;
    let statistics = "assets/physical-intelligence/libero/norm_stats.json";
    std::fs::copy(given.join(statistics), dir.join("assets/libero/norm_stats.json"))?;
    let sizes = |config: DecoderConfig| {
        json!({"width": config.width, "depth": config.depth, "mlp_dim": config.inner, "num_heads": config.heads,
            "num_kv_heads": config.groups, "head_dim": config.head_width})
    };
    let [width, inner, blocks, heads] = VISION;
    let config = json!({
        "action_dim": NETWORK, "action_horizon": CHUNK, "paligemma_variant": "small", "action_expert_variant": "small",
        "pi05": false, "max_token_len": TEXT, "paligemma_config": sizes(prefix()),
        "action_expert_config": sizes(expert()), "vocab_size": VOCABULARY,
        "vision_config": {"hidden_size": width, "intermediate_size": inner, "num_hidden_layers": blocks,
            "num_attention_heads": heads, "patch_size": 14, "image_size": SIDE, "layer_norm_eps": 1e-6}
    });
    std::fs::write(dir.join("config.json"), config.to_string())?;
    random_weights::write(dir, &tensors())
}

fn tensors() -> Vec<(String, Vec<u64>)> {
    let mut all = Vec::new();
    let mut matrix = |name: &str, shape: &[u64]| all.push((format!("{name}.weight"), shape.to_vec()));
    let model = "paligemma_with_expert.paligemma.model";
    let language = format!("{model}.language_model");
    for (place, config) in [(language.as_str(), prefix()), ("paligemma_with_expert.gemma_expert.model", expert())] {
        let (queries, keys) = (config.heads * config.head_width, config.memory_width());
        for layer in 0..config.depth {
            let at = |part: &str| format!("{place}.layers.{layer}.{part}");
            for (name, shape) in [
                ("self_attn.q_proj", [queries, config.width]),
                ("self_attn.k_proj", [keys, config.width]),
                ("self_attn.v_proj", [keys, config.width]),
                ("self_attn.o_proj", [config.width, queries]),
                ("mlp.gate_proj", [config.inner, config.width]),
                ("mlp.up_proj", [config.inner, config.width]),
                ("mlp.down_proj", [config.width, config.inner]),
            ] {
                matrix(&at(name), &shape);
            }
            matrix(&at("input_layernorm"), &[config.width]);
            matrix(&at("post_attention_layernorm"), &[config.width]);
        }
        matrix(&format!("{place}.norm"), &[config.width]);
    }
    let [width, inner, blocks, _] = VISION;
    matrix("paligemma_with_expert.paligemma.lm_head", &[VOCABULARY, prefix().width]);
    let tower = format!("{model}.vision_tower.vision_model");
    matrix(&format!("{tower}.embeddings.position_embedding"), &[PATCHES as u64, width]);
    let mut biased = |name: &str, shape: &[u64]| {
        all.push((format!("{name}.weight"), shape.to_vec()));
        all.push((format!("{name}.bias"), shape[..1].to_vec()));
    };
    biased(&format!("{tower}.embeddings.patch_embedding"), &[width, 3, 14, 14]);
    for block in 0..blocks {
        let at = |part: &str| format!("{tower}.encoder.layers.{block}.{part}");
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            biased(&at(&format!("self_attn.{name}")), &[width, width]);
        }
        biased(&at("mlp.fc1"), &[inner, width]);
        biased(&at("mlp.fc2"), &[width, inner]);
        biased(&at("layer_norm1"), &[width]);
        biased(&at("layer_norm2"), &[width]);
    }
    biased(&format!("{tower}.post_layernorm"), &[width]);
    biased(&format!("{model}.multi_modal_projector.linear"), &[prefix().width, width]);
    let (width, network) = (expert().width, NETWORK as u64);
    for (name, shape) in [
        ("state_proj", [width, network]),
        ("action_in_proj", [width, network]),
        ("action_time_mlp_in", [width, 2 * width]),
        ("action_time_mlp_out", [width, width]),
        ("action_out_proj", [network, width]),
    ] {
        biased(name, &shape);
    }
    all
}

/// The bundle of the checkpoint.
pub fn export(checkpoint: &Path, out: &Path) -> Result<Bundle, Error> {
    let camera = |slot: &str| Camera { slot: slot.to_owned(), name: slot.to_owned() };
    let request = Request {
        checkpoint: checkpoint.to_owned(),
        out: out.to_owned(),
        system: System::Pi0,
        cameras: ["base_0_rgb", "left_wrist_0_rgb"].map(camera).into(),
        io: None,
        unnorm_key: None,
        chunk_size: None,
        norm: None,
        image_pipeline: None,
        center_crop: None,
        head: None,
        hidden_offset: None,
        base_checkpoint: None,
        denoise_steps: Some(STEPS),
        adapter: Some(Adapter::Libero),
        delta_actions: None,
        precision: Dtype::Fp32,
        opset: 23,
    };
    Ok(onnx_export::export(&request, &mut |_| {})?.bundle)
}

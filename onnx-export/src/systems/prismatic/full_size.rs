//! Released checkpoints by name and shape alone: 15 GB of weights of which not one byte is on disk.
//!
//! The tables below are written from a description of the original projects' checkpoints, not from the code that reads
//! them; their totals are those of the released index (982 tensors, 7,541,237,184 parameters).

use std::io::Write;
use std::path::Path;

use serde_json::json;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::request::{Camera, CenterCrop, Head, ImagePipeline, Request, System};

use super::*;
use crate::systems::openvla_oft;

/// Names and shapes.
#[derive(Default)]
pub struct Table(pub Vec<(String, Vec<u64>)>);

impl Table {
    pub fn add(&mut self, name: impl Into<String>, shape: &[u64]) {
        self.0.push((name.into(), shape.to_vec()));
    }

    /// `<name>.weight [rows, ..]` and `<name>.bias [rows]`.
    pub fn layer(&mut self, name: &str, shape: &[u64]) {
        self.add(format!("{name}.weight"), shape);
        self.add(format!("{name}.bias"), &shape[..1]);
    }

    /// [`Table::layer`] as PEFT wraps it, rank 32.
    pub fn adapted(&mut self, name: &str, shape: &[u64]) {
        self.layer(&format!("{name}.base_layer"), shape);
        let ones = vec![1; shape.len() - 2];
        self.add(format!("{name}.lora_A.default.weight"), &[&[32], &shape[1..]].concat());
        self.add(format!("{name}.lora_B.default.weight"), &[&[shape[0], 32], ones.as_slice()].concat());
    }

    pub fn parameters(&self) -> u64 {
        self.0.iter().map(|(_, shape)| shape.iter().product::<u64>()).sum()
    }

    /// A safetensors file of bf16 tensors that takes no space.
    pub fn write_safetensors(&self, path: &Path) {
        let mut header = serde_json::Map::new();
        let mut end = 0;
        for (name, shape) in &self.0 {
            let begin = end;
            end += 2 * shape.iter().product::<u64>();
            header.insert(name.clone(), json!({"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}));
        }
        let header = serde_json::to_vec(&header).unwrap();
        let mut file = std::fs::File::create(path).unwrap();
        file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        file.write_all(&header).unwrap();
        file.set_len(8 + header.len() as u64 + end).unwrap();
    }

    /// A torch file of f32 tensors that all look at the same number.
    pub fn write_torch(&self, path: &Path) {
        let text = |text: &str| [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat();
        let tuple = |numbers: &mut dyn Iterator<Item = u64>| {
            let numbers: Vec<u8> = numbers.flat_map(|n| [b"J", (n as u32).to_le_bytes().as_slice()].concat()).collect();
            [b"(", numbers.as_slice(), b"t"].concat()
        };
        let mut pickle = b"\x80\x02}".to_vec();
        for (name, shape) in &self.0 {
            pickle.extend(text(name));
            pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n");
            pickle.extend(b"X\x01\0\0\x000X\x03\0\0\0cpuK\x01tQK\0");
            pickle.extend(tuple(&mut shape.iter().copied()));
            pickle.extend(tuple(&mut shape.iter().map(|_| 0)));
            pickle.extend(b"\x89}tRs");
        }
        pickle.push(b'.');
        let mut archive = ZipWriter::new(std::fs::File::create(path).unwrap());
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, data) in [("a/data.pkl", pickle.as_slice()), ("a/data/0", &[0; 4])] {
            archive.start_file(name, stored).unwrap();
            archive.write_all(data).unwrap();
        }
        archive.finish().unwrap();
    }
}

/// Prefix, width, blocks and MLP width of DINOv2 ViT-L/14 with registers and of SigLIP So400m/14.
const TOWERS: [(&str, u64, u64, u64); 2] =
    [("vision_backbone.featurizer", 1024, 24, 4096), ("vision_backbone.fused_featurizer", 1152, 27, 4304)];

/// How a tower's layers are stored: as the model has them, or with adapters and FiLM around them.
#[derive(Clone, Copy, PartialEq)]
pub enum Stored {
    Plain,
    Film,
}

pub fn tower(index: usize, stored: Stored) -> Table {
    let (prefix, width, blocks, mlp) = TOWERS[index];
    let dino = index == 0;
    let linear = if stored == Stored::Film { Table::adapted } else { Table::layer };
    let mut table = Table::default();
    if dino {
        table.add(format!("{prefix}.cls_token"), &[1, 1, width]);
        table.add(format!("{prefix}.reg_token"), &[1, 4, width]);
    }
    table.add(format!("{prefix}.pos_embed"), &[1, 256, width]);
    linear(&mut table, &format!("{prefix}.patch_embed.proj"), &[width, 3, 14, 14]);
    for block in 0..blocks {
        let outer = format!("{prefix}.blocks.{block}");
        let inner = if stored == Stored::Film { format!("{outer}.block") } else { outer.clone() };
        table.layer(&format!("{inner}.norm1"), &[width]);
        table.layer(&format!("{inner}.norm2"), &[width]);
        linear(&mut table, &format!("{inner}.attn.qkv"), &[3 * width, width]);
        linear(&mut table, &format!("{inner}.attn.proj"), &[width, width]);
        linear(&mut table, &format!("{inner}.mlp.fc1"), &[mlp, width]);
        linear(&mut table, &format!("{inner}.mlp.fc2"), &[width, mlp]);
        if dino {
            table.add(format!("{inner}.ls1.scale_factor"), &[width]);
            table.add(format!("{inner}.ls2.scale_factor"), &[width]);
        }
        if stored == Stored::Film {
            table.layer(&format!("{outer}.scale"), &[width, 4096]);
            table.layer(&format!("{outer}.shift"), &[width, 4096]);
        }
    }
    table.layer(&format!("{prefix}.norm"), &[width]);
    if !dino {
        let pool = format!("{prefix}.attn_pool");
        table.add(format!("{pool}.latent"), &[1, 1, width]);
        table.layer(&format!("{pool}.norm"), &[width]);
        linear(&mut table, &format!("{pool}.q"), &[width, width]);
        linear(&mut table, &format!("{pool}.kv"), &[2 * width, width]);
        linear(&mut table, &format!("{pool}.proj"), &[width, width]);
        linear(&mut table, &format!("{pool}.mlp.fc1"), &[mlp, width]);
        linear(&mut table, &format!("{pool}.mlp.fc2"), &[width, mlp]);
    }
    table
}

pub fn projector() -> Table {
    let mut table = Table::default();
    table.layer("projector.fc1", &[8704, 2176]);
    table.layer("projector.fc2", &[4096, 8704]);
    table.layer("projector.fc3", &[4096, 4096]);
    table
}

pub fn language() -> Table {
    let mut table = Table::default();
    table.add("language_model.model.embed_tokens.weight", &[32064, 4096]);
    for layer in 0..32 {
        let mut add = |name: &str, shape: &[u64]| {
            table.add(format!("language_model.model.layers.{layer}.{name}.weight"), shape);
        };
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), &[4096, 4096]);
        }
        add("mlp.gate_proj", &[11008, 4096]);
        add("mlp.up_proj", &[11008, 4096]);
        add("mlp.down_proj", &[4096, 11008]);
        add("input_layernorm", &[4096]);
        add("post_attention_layernorm", &[4096]);
    }
    table.add("language_model.model.norm.weight", &[4096]);
    table.add("language_model.lm_head.weight", &[32064, 4096]);
    table
}

/// The residual network of a head for `dim` values, below `prefix`.
pub fn head(prefix: &str, dim: u64) -> Table {
    let input = 4096 * dim;
    let mut table = Table::default();
    table.layer(&format!("{prefix}.layer_norm1"), &[input]);
    table.layer(&format!("{prefix}.fc1"), &[4096, input]);
    for block in 0..2 {
        table.layer(&format!("{prefix}.mlp_resnet_blocks.{block}.ffn.0"), &[4096]);
        table.layer(&format!("{prefix}.mlp_resnet_blocks.{block}.ffn.1"), &[4096, 4096]);
    }
    table.layer(&format!("{prefix}.layer_norm2"), &[4096]);
    table.layer(&format!("{prefix}.fc2"), &[dim, 4096]);
    table
}

/// A projector of `dim` values to one token.
pub fn token_projector(dim: u64) -> Table {
    let mut table = Table::default();
    table.layer("fc1", &[4096, dim]);
    table.layer("fc2", &[4096, 4096]);
    table
}

/// What a base model holds: 982 tensors.
pub fn model() -> Table {
    let mut model = Table::default();
    for part in [tower(0, Stored::Plain), tower(1, Stored::Plain), projector(), language()] {
        model.0.extend(part.0);
    }
    assert_eq!((model.0.len(), model.parameters()), (982, 7_541_237_184));
    model
}

/// The model with its small files, and these components.
fn folder(components: &[(&str, &Table)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    model().write_safetensors(&dir.path().join("model.safetensors"));
    write_small_files(dir.path(), config::tests::RELEASED);
    write_components(dir.path(), components);
    dir
}

/// Files of tensors beside a model.
pub fn write_components(dir: &Path, components: &[(&str, &Table)]) {
    for (name, table) in components {
        table.write_torch(&dir.join(format!("{name}--150000_checkpoint.pt")));
    }
}

/// Tokenizer, statistics, processor, adapter's configuration and `config`.
pub fn write_small_files(dir: &Path, config: &str) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/checkpoints/openvla_oft_l1/checkpoint");
    for name in [text::TOKENIZER, "dataset_statistics.json"] {
        std::fs::write(dir.join(name), std::fs::read(data.join(name)).unwrap()).unwrap();
    }
    let processor = json!({
        "image_resize_strategy": "resize-naive",
        "input_sizes": [[3, 224, 224], [3, 224, 224]],
        "interpolations": ["bicubic", "bicubic"],
        "means": [[0.485, 0.456, 0.406], [0.5, 0.5, 0.5]],
        "stds": [[0.229, 0.224, 0.225], [0.5, 0.5, 0.5]],
    });
    std::fs::write(dir.join(image::FILE), serde_json::to_vec(&processor).unwrap()).unwrap();
    std::fs::write(dir.join(config::FILE), config).unwrap();
    std::fs::create_dir(dir.join("lora_adapter")).unwrap();
    std::fs::write(dir.join("lora_adapter/adapter_config.json"), r#"{"r": 32, "lora_alpha": 16}"#).unwrap();
}

pub fn request(dir: &Path) -> Request {
    let camera = |name: &str| Camera { slot: name.to_owned(), name: name.to_owned() };
    Request {
        checkpoint: dir.to_owned(),
        out: dir.join("bundle"),
        system: System::OpenvlaOft,
        cameras: ["front", "wrist"].map(camera).into(),
        io: None,
        unnorm_key: Some("libero_spatial_no_noops".to_owned()),
        chunk_size: Some(8),
        norm: Some(Norm::Quantile),
        image_pipeline: Some(ImagePipeline::OpenvlaOft),
        center_crop: Some(CenterCrop::On),
        head: None,
        hidden_offset: None,
        base_checkpoint: None,
        denoise_steps: None,
        adapter: None,
        delta_actions: None,
        precision: vla_bundle::Dtype::Fp32,
        opset: 23,
    }
}

/// Reads the checkpoint as an export does, up to the writing; gives the bytes of the graphs' weights and what was dropped.
fn drafted(request: &Request) -> (u64, Vec<String>) {
    let policy = Prismatic::open(request, openvla_oft::DECODING).unwrap();
    let (graphs, _) = policy.plan(openvla_oft::body(&policy).unwrap()).unwrap();
    (graphs.iter().map(Graph::external_bytes).sum(), policy.dropped().unwrap())
}

/// What a released model holds and no head reads: the towers' last blocks and what follows them.
const DEAD_IN_TOWERS: usize = 14 + 2 + 12 + 2 + 13;

#[test]
fn the_tables_have_the_published_totals() {
    let parts = [tower(0, Stored::Plain), tower(1, Stored::Plain), projector(), language()];
    assert_eq!(parts.each_ref().map(|part| part.0.len()), [343, 342, 6, 291]);
    assert_eq!(parts.each_ref().map(Table::parameters), [303_230_976, 427_680_704, 71_385_600, 6_738_939_904]);
    assert_eq!([head("model", 7), token_projector(8)].map(|part| part.parameters()), [151_117_831, 16_818_176]);
}

#[test]
fn a_released_checkpoint_is_read_to_the_last_name() {
    let dir = folder(&[("action_head", &head("model", 7)), ("proprio_projector", &token_projector(8))]);
    let (bytes, dropped) = drafted(&request(dir.path()));
    assert_eq!(dropped.len(), DEAD_IN_TOWERS + 1);
    // Parameters that are read, in f32: all of them but the towers' ends (15.2 M and 15.2 M and the last DINOv2 block) and lm_head.
    let model = 7_541_237_184_u64 + 151_117_831 + 16_818_176;
    let dead_dino = 12_598_272 + 2 * 1024;
    let siglip_block = 4 * 1152 * 1152 + 4 * 1152 + 2 * 1152 * 4304 + 4304 + 1152 + 4 * 1152;
    let siglip_pool = 1152 + 4 * 1152 * 1152 + 4 * 1152 + 2 * 1152 * 4304 + 4304 + 1152 + 2 * 1152;
    let dead = dead_dino + siglip_block + 2 * 1152 + siglip_pool + 131_334_144;
    let padding = bytes - 4 * (model - dead);
    assert!(padding < 982 * 4096, "{padding}");
}

#[test]
fn a_vision_file_with_adapters_and_film_is_read_to_the_last_name() {
    let mut vision = tower(0, Stored::Film);
    vision.0.extend(tower(1, Stored::Film).0);
    // CogVLA's file of 1309 tensors has two aggregation tensors more, and no adapter around its two convolutions.
    assert_eq!(vision.0.len(), 1309 - 2 + 4);
    let components: [(&str, &Table); 3] =
        [("action_head", &head("model", 7)), ("proprio_projector", &token_projector(8)), ("vision_backbone", &vision)];
    let dir = folder(&components);
    let (_, dropped) = drafted(&request(dir.path()));
    let film =
        dropped.iter().filter(|name| name.contains(".block.") || name.contains("scale.") || name.contains("shift."));
    // The last block of each tower: its own tensors, merged, and four of FiLM.
    assert_eq!(film.count(), 14 + 4 + 12 + 4);
}

#[test]
fn the_other_heads_are_read_to_the_last_name() {
    let discrete = folder(&[]);
    assert_eq!(drafted(&request(discrete.path())).1.len(), DEAD_IN_TOWERS);
    let diffusion = folder(&[
        ("action_head", &head("noise_predictor.mlp_resnet", 7)),
        ("noisy_action_projector", &token_projector(1)),
        ("proprio_projector", &token_projector(8)),
    ]);
    let mut asked = request(diffusion.path());
    asked.denoise_steps = Some(10);
    asked.head = Some(Head::Diffusion);
    assert_eq!(drafted(&asked).1.len(), DEAD_IN_TOWERS + 1);
}

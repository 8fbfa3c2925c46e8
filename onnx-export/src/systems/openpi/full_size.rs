//! Released checkpoints by name and shape alone; not one byte of their weights is on disk.
//!
//! The tables are written from a description of the original's checkpoints, not from the code that reads them; the
//! totals are those of its model cards.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::request::{Adapter, Camera, System};

use super::*;
use crate::systems::{pi0, pi05};

#[derive(Default)]
struct Table(Vec<(String, Vec<u64>)>);

impl Table {
    fn add(&mut self, name: impl Into<String>, shape: &[u64]) {
        self.0.push((name.into(), shape.to_vec()));
    }

    fn layer(&mut self, name: &str, shape: &[u64]) {
        self.add(format!("{name}.weight"), shape);
        self.add(format!("{name}.bias"), &shape[..1]);
    }

    fn parameters(&self) -> u64 {
        self.0.iter().map(|(_, shape)| shape.iter().product::<u64>()).sum()
    }

    /// A file that takes no space.
    fn write(&self, path: &Path) {
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
}

fn vision() -> Table {
    let mut table = Table::default();
    let tower = "paligemma_with_expert.paligemma.model.vision_tower.vision_model";
    table.layer(&format!("{tower}.embeddings.patch_embedding"), &[1152, 3, 14, 14]);
    table.add(format!("{tower}.embeddings.position_embedding.weight"), &[256, 1152]);
    for index in 0..27 {
        let layer = format!("{tower}.encoder.layers.{index}");
        table.layer(&format!("{layer}.layer_norm1"), &[1152]);
        table.layer(&format!("{layer}.layer_norm2"), &[1152]);
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            table.layer(&format!("{layer}.self_attn.{name}"), &[1152, 1152]);
        }
        table.layer(&format!("{layer}.mlp.fc1"), &[4304, 1152]);
        table.layer(&format!("{layer}.mlp.fc2"), &[1152, 4304]);
    }
    table.layer(&format!("{tower}.post_layernorm"), &[1152]);
    table
}

/// One of the two stacks; `norm` adds a norm.
fn stack(prefix: &str, [width, inner]: [u64; 2], norm: &dyn Fn(&mut Table, String)) -> Table {
    let mut table = Table::default();
    for index in 0..18 {
        let layer = format!("{prefix}.layers.{index}");
        table.add(format!("{layer}.self_attn.q_proj.weight"), &[2048, width]);
        table.add(format!("{layer}.self_attn.k_proj.weight"), &[256, width]);
        table.add(format!("{layer}.self_attn.v_proj.weight"), &[256, width]);
        table.add(format!("{layer}.self_attn.o_proj.weight"), &[width, 2048]);
        table.add(format!("{layer}.mlp.gate_proj.weight"), &[inner, width]);
        table.add(format!("{layer}.mlp.up_proj.weight"), &[inner, width]);
        table.add(format!("{layer}.mlp.down_proj.weight"), &[width, inner]);
        norm(&mut table, format!("{layer}.input_layernorm"));
        norm(&mut table, format!("{layer}.post_attention_layernorm"));
    }
    norm(&mut table, format!("{prefix}.norm"));
    table
}

fn prefix() -> Table {
    let plain = |table: &mut Table, name: String| table.add(format!("{name}.weight"), &[2048]);
    stack("paligemma_with_expert.paligemma.model.language_model", [2048, 16384], &plain)
}

fn expert(generation: Generation) -> Table {
    let norm = move |table: &mut Table, name: String| match generation {
        Generation::Pi0 => table.add(format!("{name}.weight"), &[1024]),
        Generation::Pi05 => table.layer(&format!("{name}.dense"), &[3072, 1024]),
    };
    stack("paligemma_with_expert.gemma_expert.model", [1024, 4096], &norm)
}

fn rest(generation: Generation) -> Table {
    let mut table = Table::default();
    table.layer("paligemma_with_expert.paligemma.model.multi_modal_projector.linear", &[2048, 1152]);
    table.add("paligemma_with_expert.paligemma.lm_head.weight", &[257_152, 2048]);
    table.add("paligemma_with_expert.gemma_expert.lm_head.weight", &[257_152, 1024]);
    table.layer("action_in_proj", &[1024, 32]);
    table.layer("action_out_proj", &[32, 1024]);
    match generation {
        Generation::Pi0 => {
            table.layer("state_proj", &[1024, 32]);
            table.layer("action_time_mlp_in", &[1024, 2048]);
            table.layer("action_time_mlp_out", &[1024, 1024]);
        }
        Generation::Pi05 => {
            table.layer("time_mlp_in", &[1024, 1024]);
            table.layer("time_mlp_out", &[1024, 1024]);
        }
    }
    table
}

/// A released checkpoint with the small files of a tiny one.
fn folder(generation: Generation) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut table = Table::default();
    for part in [vision(), prefix(), expert(generation), rest(generation)] {
        table.0.extend(part.0);
    }
    table.write(&dir.path().join("model.safetensors"));
    let config = json!({
        "action_dim": 32, "action_horizon": 50, "precision": "bfloat16",
        "paligemma_variant": "gemma_2b", "action_expert_variant": "gemma_300m"
    });
    std::fs::write(dir.path().join(config::FILE), config.to_string()).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/checkpoints/pi0/checkpoint");
    let copy = |from: &Path, to: &Path| std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
    copy(&data.join(text::TOKENIZER), &dir.path().join(text::TOKENIZER));
    std::fs::create_dir_all(dir.path().join("assets/libero")).unwrap();
    let statistics = data.join("assets/physical-intelligence/libero/norm_stats.json");
    copy(&statistics, &dir.path().join("assets/libero/norm_stats.json"));
    dir
}

fn opened(generation: Generation, dir: &Path) -> Openpi {
    let system = if generation == Generation::Pi0 { System::Pi0 } else { System::Pi05 };
    let camera = |slot: &str| Camera { slot: slot.to_owned(), name: slot.to_owned() };
    let request = Request {
        checkpoint: dir.to_owned(),
        out: dir.join("bundle"),
        system,
        cameras: SLOTS.map(camera).into(),
        io: None,
        unnorm_key: None,
        chunk_size: None,
        norm: None,
        image_pipeline: None,
        center_crop: None,
        head: None,
        hidden_offset: None,
        base_checkpoint: None,
        denoise_steps: Some(10),
        adapter: Some(Adapter::Libero),
        delta_actions: None,
        precision: Dtype::Fp32,
        opset: 23,
    };
    Openpi::open(&request, generation).unwrap()
}

#[test]
fn the_tables_have_the_published_totals() {
    let totals = [vision(), prefix(), expert(Generation::Pi0), expert(Generation::Pi05)].map(|part| part.parameters());
    assert_eq!(totals, [412_442_352, 1_981_884_416, 311_464_960, 427_932_672]);
}

/// Of the prefix's last layer only keys and values are needed; heads over the vocabulary are not.
#[test]
fn every_tensor_of_a_released_checkpoint_is_read_or_known_to_be_dead() {
    for generation in [Generation::Pi0, Generation::Pi05] {
        let dir = folder(generation);
        let policy = opened(generation, dir.path());
        let graphs = match generation {
            Generation::Pi0 => pi0::graphs(&policy).unwrap(),
            Generation::Pi05 => pi05::graphs(&policy).unwrap(),
        };
        let seen = [policy.text_graph().unwrap(), policy.vision().unwrap()];
        let dropped = policy.dropped().unwrap();
        let last = "paligemma_with_expert.paligemma.model.language_model.layers.17";
        let dead = [
            "paligemma_with_expert.gemma_expert.lm_head.weight".to_owned(),
            format!("{last}.mlp.down_proj.weight"),
            format!("{last}.mlp.gate_proj.weight"),
            format!("{last}.mlp.up_proj.weight"),
            format!("{last}.post_attention_layernorm.weight"),
            format!("{last}.self_attn.o_proj.weight"),
            format!("{last}.self_attn.q_proj.weight"),
            "paligemma_with_expert.paligemma.model.language_model.norm.weight".to_owned(),
        ];
        assert_eq!(dropped, dead);
        let bytes: u64 = graphs.iter().chain(&seen).map(Graph::external_bytes).sum();
        assert!(bytes > 4 * 2_900_000_000, "{bytes}");
    }
}

//! Published CogVLA by name and shape alone, as a base model with its adapter; totals, lengths and operations are those
//! of a description of the original, which counted them with the original's classes.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::cost::{Choice, cost};
use crate::request::{Camera, System};
use crate::systems::prismatic::full_size::{
    Stored, Table, head, model, request, token_projector, tower, write_components, write_small_files,
};

const CONFIG: &str = r#"{
    "model_type": "openvla",
    "image_sizes": [224, 224],
    "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
    "use_fused_vision_backbone": true,
    "use_film": true, "use_aggr": true, "num_vision_aggr": 64, "vision_aggregate_type": "moe",
    "text_config": {
        "vocab_size": 32064, "use_lfp": true, "lfp_average_factor": 0.5,
        "lfp_type": "shiftedcos_decay_0.85_0.15", "lfp_enable_film": true
    }
}"#;

/// The vision file: aggregation tokens, and towers with FiLM whose convolutions have no adapter.
fn vision() -> Table {
    let mut vision = Table::default();
    vision.add("vision_aggr_featurizer", &[1, 64, 1024]);
    vision.add("vision_aggr_fused_featurizer", &[1, 64, 1152]);
    for index in [0, 1] {
        vision.0.extend(tower(index, Stored::Film).0);
    }
    vision.0.retain(|(name, _)| !name.contains("patch_embed"));
    vision.layer("vision_backbone.featurizer.patch_embed.proj", &[1024, 3, 14, 14]);
    vision.layer("vision_backbone.fused_featurizer.patch_embed.proj", &[1152, 3, 14, 14]);
    vision
}

fn routers() -> Table {
    let mut routers = Table::default();
    for layer in 8..32 {
        let router = format!("language_model.model.layers.{layer}.router");
        routers.layer(&format!("{router}.router"), &[2, 4096]);
        for name in ["scale", "shift"] {
            routers.layer(&format!("{router}.{name}.0"), &[2048, 4096]);
            routers.layer(&format!("{router}.{name}.2"), &[4096, 2048]);
        }
    }
    routers
}

fn mixture() -> Table {
    let mut mixture = Table::default();
    mixture.layer("aggregation_router.router.0", &[4096, 4096]);
    mixture.layer("aggregation_router.router.2", &[2, 4096]);
    for (name, width) in [("featurizer_proj", 1024), ("fused_featurizer_proj", 1152)] {
        mixture.layer(&format!("{name}.fc1"), &[4096, width]);
        mixture.layer(&format!("{name}.fc2"), &[4096, 4096]);
    }
    mixture
}

/// Rank 32 for each of these weights, as PEFT saves it.
fn factors(table: &Table, wanted: impl Fn(&str) -> bool, rename: impl Fn(&str) -> String) -> Table {
    let mut factors = Table::default();
    for (name, shape) in table.0.iter().filter(|(name, shape)| shape.len() == 2 && wanted(name)) {
        let name = format!("base_model.model.{}", rename(name.trim_end_matches(".weight")));
        factors.add(format!("{name}.lora_A.weight"), &[32, shape[1]]);
        factors.add(format!("{name}.lora_B.weight"), &[shape[0], 32]);
    }
    factors
}

/// Every linear layer of the base model but the projector, the towers' under the names that they have inside FiLM.
fn adapter() -> Table {
    let mut adapter =
        factors(&model(), |name| name.starts_with("language_model") && !name.contains("embed"), str::to_owned);
    let towers = factors(
        &model(),
        |name| name.starts_with("vision_backbone."),
        |name| {
            let mut parts: Vec<&str> = name.split('.').collect();
            if parts[2] == "blocks" {
                parts.insert(4, "block");
            }
            format!("vision_backbone.{}", parts.join("."))
        },
    );
    adapter.0.extend(towers.0);
    adapter
}

/// Checkpoint and base beside each other.
fn opened(root: &Path, cameras: &[&str]) -> Cogvla {
    let [dir, base] = ["checkpoint", "base"].map(|name| root.join(name));
    for dir in [&dir, &base] {
        std::fs::create_dir(dir).unwrap();
    }
    model().write_safetensors(&base.join("model.safetensors"));
    write_small_files(&dir, CONFIG);
    adapter().write_safetensors(&dir.join("lora_adapter/adapter_model.safetensors"));
    let mut whole = mixture();
    whole.0.extend(routers().0);
    let components = [
        ("action_head", &head("model", 7)),
        ("proprio_projector", &token_projector(8)),
        ("vision_backbone", &vision()),
        ("non_lora_trainables", &whole),
    ];
    write_components(&dir, &components);
    let mut request = request(&dir);
    request.system = System::Cogvla;
    request.base_checkpoint = Some(base);
    let camera = |name: &&str| Camera { slot: (*name).to_owned(), name: (*name).to_owned() };
    request.cameras = cameras.iter().map(camera).collect();
    Cogvla::open(&request).unwrap()
}

#[test]
fn the_tables_have_the_published_totals() {
    assert_eq!(mixture().parameters(), 16_789_506 + 20_979_712 + 21_504_000);
    assert_eq!(routers().parameters(), 24 * 33_574_914);
    // Without the base model's projector, which a mixture leaves unused.
    let total = model().parameters() - 71_385_600 + mixture().parameters() + routers().parameters();
    assert_eq!(total, 8_334_922_738);
    let vision = vision();
    assert_eq!(vision.0.len(), 1309);
    let film = vision.0.iter().filter(|(name, _)| name.contains(".scale.") || name.contains(".shift."));
    assert_eq!(film.map(|(_, shape)| shape.iter().product::<u64>()).sum::<u64>(), 456_241_920);
    assert_eq!(adapter().0.len(), 2 * (225 + 96 + 113));
}

#[test]
fn a_published_checkpoint_and_its_base_are_read_to_the_last_name() {
    let root = tempfile::tempdir().unwrap();
    let cogvla = opened(root.path(), &["front", "wrist"]);
    let (graphs, _) = cogvla.policy.plan(cogvla.body().unwrap()).unwrap();
    assert_eq!(graphs.len(), 8);
    let dropped = cogvla.policy.dropped().unwrap();
    let count = |wanted: &dyn Fn(&str) -> bool| dropped.iter().filter(|name| wanted(name)).count();
    // The adapter of the towers is ignored, the base model's own towers are replaced, the projector is unused.
    assert_eq!(count(&|name| name.starts_with("base_model.")), 2 * (96 + 113));
    assert_eq!(count(&|name| name.starts_with("projector.")), 6);
    assert_eq!(count(&|name| name.starts_with("language_model.")), 1);
}

#[test]
fn the_language_model_executes_the_operations_that_the_schedule_promises() {
    let cases: [(&[&str], u64, [f64; 2]); 2] =
        [(&["front", "wrist"], 128 + 94, [2.901, 2.120]), (&["front", "left", "right"], 192 + 64, [3.350, 2.177])];
    for (cameras, tokens, wanted) in cases {
        let root = tempfile::tempdir().unwrap();
        let cogvla = opened(root.path(), cameras);
        let graph = language(&cogvla.policy, &cogvla.config).unwrap();
        let inputs = BTreeMap::from([
            ("multimodal_embeds".to_owned(), vec![Some(1), Some(tokens), Some(4096)]),
            ("position_ids".to_owned(), vec![Some(1), Some(tokens)]),
        ]);
        let patches = cogvla.policy.patches();
        let pruned = cogvla.config.schedule.as_ref().unwrap().kept(patches);
        for (choice, wanted) in [Choice::Everything, Choice::AsExported].into_iter().zip(wanted) {
            let cost = cost(&graph.onnx(), &inputs, choice).unwrap();
            assert_eq!(cost.uncounted, [""; 0]);
            // The reference counts every pair; no token before the 57 of the tail is paired with them here.
            let hidden_pairs = |layer: u64| match (choice, pruned.get(&layer)) {
                (Choice::AsExported, Some(kept)) => (tokens - patches + kept - 57) * 57,
                _ => (tokens - 57) * 57,
            };
            let hidden: u64 = (0..32).map(|layer| 4 * 4096 * hidden_pairs(layer)).sum();
            // It leaves the routers out: 24 times 67 MFLOP, nearly all of it their FiLM.
            let got = (cost.flops + hidden) as f64 / 1e12 - 0.0016;
            assert!((got - wanted).abs() < 0.001, "{cameras:?} {choice:?}: {got} TFLOP, wanted {wanted}");
        }
    }
}

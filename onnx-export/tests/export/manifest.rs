//! What stands in the manifests.

use onnx_export::{CenterCrop, ImagePipeline, Norm, System, attach_golden};
use serde_json::{Value, json};
use vla_bundle::{Bundle, BundleError, GoldenKind, Integrity, Manifest, Unnormalize};

use super::edited::Edited;
use super::{checkpoint, exported, request};

pub fn tensors(manifest: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    for name in manifest.plan.iter().flat_map(vla_bundle::Stage::graphs) {
        let graph = &manifest.graphs[name];
        let list = |specs: &[vla_bundle::TensorSpec]| {
            let text = |s: &vla_bundle::TensorSpec| {
                let dims: Vec<String> = s.dims.iter().map(ToString::to_string).collect();
                format!("{} {} [{}]", s.name, s.dtype, dims.join(", "))
            };
            specs.iter().map(text).collect::<Vec<_>>().join(", ")
        };
        lines.push(format!("{name}: {} -> {}", list(&graph.inputs), list(&graph.outputs)));
    }
    lines
}

pub fn value(what: &impl serde::Serialize) -> Value {
    serde_json::to_value(what).unwrap()
}

#[test]
fn openvla_oft_is_cut_where_lengths_and_cadences_change() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = exported(&request(System::OpenvlaOft, &checkpoint("openvla_oft_l1"), dir.path())).unwrap();
    let manifest = bundle.manifest();
    assert_eq!(
        tensors(manifest),
        [
            "text: input_ids int64 [1, prompt] -> bos fp32 [1, 1, 24], text_tail fp32 [1, tail, 24]",
            "vision: pixel_values fp32 [cameras, 6, 56, 56] -> vision.dino fp32 [cameras, 16, 24], \
             vision.siglip fp32 [cameras, 16, 32], projected_patches fp32 [1, patches, 24]",
            "state: proprio fp32 [1, 8] -> proprio_token fp32 [1, 1, 24]",
            "sequence: bos fp32 [1, 1, 24], projected_patches fp32 [1, patches, 24], proprio_token fp32 [1, 1, 24], \
             text_tail fp32 [1, tail, 24] -> multimodal_embeds fp32 [1, tokens, 24], position_ids int64 [1, tokens]",
            "language: multimodal_embeds fp32 [1, tokens, 24], position_ids int64 [1, tokens] -> \
             hidden_states fp32 [1, tokens, 24]",
            "head: hidden_states fp32 [1, tokens, 24], hidden_offset int64 [1] -> \
             action_hidden_states fp32 [1, 56, 24], normalized_actions fp32 [8, 7]",
        ]
    );
    let every: Vec<Value> = manifest.plan.iter().map(|stage| value(stage)["every"].clone()).collect();
    assert_eq!(
        value(&every),
        json!(["instruction", "observation", "observation", "observation", "observation", "observation"])
    );
    let range = |name: &str| value(&manifest.dims[name]);
    assert_eq!(range("cameras"), json!({"min": 1, "opt": 1, "max": 1}));
    assert_eq!(range("patches"), json!({"min": 16, "opt": 16, "max": 16}));
    assert_eq!(range("prompt"), json!({"min": 2, "opt": 35, "max": 256}));
    // The case's 33 prompt tokens make 107: BOS and patches and proprio are 18, the placeholders 56, STOP 1, tail 32.
    assert_eq!(range("tail"), json!({"min": 58, "opt": 91, "max": 312}));
    assert_eq!(range("tokens"), json!({"min": 76, "opt": 109, "max": 330}));
}

#[test]
fn the_way_of_a_picture_a_text_and_a_state_is_the_originals() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = exported(&request(System::OpenvlaOft, &checkpoint("openvla_oft_l1"), dir.path())).unwrap();
    let manifest = bundle.manifest();
    let source = |tensor: &str| {
        value(&manifest.inputs.iter().find(|input| input.tensor == tensor).expect("an input of this name").source)
    };
    let stored = json!([
        {"op": "jpeg_roundtrip", "quality": 95, "subsampling": "4:2:0", "idct": "fast"},
        {"op": "resize", "height": 224, "width": 224, "kernel": "lanczos3_tf"},
    ]);
    // `tvf_normalize_params` of the file, not its `means` and `stds`.
    let dino = json!({"op": "normalize", "mean": [0.484_375, 0.455_078_125, 0.406_25], "std": [0.228_515_625, 0.223_632_812_5, 0.224_609_375]});
    let siglip = json!({"op": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]});
    let steps = json!([
        {"op": "unless_size", "height": 224, "width": 224, "steps": stored},
        {"op": "center_crop", "area": 0.9},
        {"op": "resize", "height": 56, "width": 56, "kernel": "bicubic_pil"},
        {"op": "stack_channels", "branches": [[dino], [siglip]]},
    ]);
    assert_eq!(source("pixel_values"), json!({"from": "cameras", "steps": steps}));
    // case.json: empty_token_id 929.
    let steps = json!([
        {"op": "lowercase"},
        {"op": "prompt", "template": "In: What action should the robot take to {task}?\nOut:"},
        {"op": "tokenize", "file": "tokenizer.json", "special_tokens": true},
        {"op": "ensure_last_token", "id": 929},
    ]);
    assert_eq!(source("input_ids"), json!({"from": "task", "steps": steps}));
    assert_eq!(source("hidden_offset"), json!({"from": "constant", "values": [-1]}));
    let state = source("proprio");
    assert_eq!(state["steps"][0]["op"], "normalize_range");
    assert_eq!(state["steps"][0]["eps"], 1e-8);
    assert_eq!(state["steps"][0]["low"].as_array().unwrap().len(), 8);
    assert_eq!(state["steps"][1], json!({"op": "clip", "low": -1.0, "high": 1.0}));
}

#[test]
fn actions_are_mapped_back_by_the_statistics_that_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut asked = request(System::OpenvlaOft, &checkpoint("openvla_oft_l1"), dir.path());
    let bundle = exported(&asked).unwrap();
    // Numbers of dataset_statistics.json.
    let Unnormalize::Quantile { low, high, eps, mask } = bundle.manifest().actions.unnormalize.clone() else {
        panic!("not quantile");
    };
    assert_eq!((low[0], high[1], eps), (-0.865_247_011_184_692_4, 0.655_612_587_928_772, 1e-8));
    assert_eq!(mask, [true, true, true, true, true, true, false]);
    asked.norm = Some(Norm::MinMax);
    asked.out = dir.path().join("min_max");
    let Unnormalize::MinMax { low, .. } = exported(&asked).unwrap().manifest().actions.unnormalize.clone() else {
        panic!("not min_max");
    };
    assert_eq!(low[0], -0.977_412_998_676_3);
}

#[test]
fn what_inference_never_uses_is_left_out_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = exported(&request(System::OpenvlaOft, &checkpoint("openvla_oft_l1"), dir.path())).unwrap();
    let checkpoint = &bundle.manifest().checkpoint;
    assert_eq!(checkpoint.name, "checkpoint");
    assert_eq!(checkpoint.unnorm_key.as_deref(), Some("libero_spatial_no_noops"));
    // Reference: lm_head, the last block and the norm of each tower, the pooling of the second one.
    let tower = |prefix: &str| checkpoint.dropped.iter().filter(|name| name.starts_with(prefix)).count();
    let first = tower("vision_backbone.featurizer.blocks.2.") + tower("vision_backbone.featurizer.norm.");
    let second = tower("vision_backbone.fused_featurizer.blocks.2.") + tower("vision_backbone.fused_featurizer.norm.");
    let pool = tower("vision_backbone.fused_featurizer.attn_pool.");
    assert_eq!((first, second, pool), (14 + 2, 12 + 2, 13));
    assert_eq!(checkpoint.dropped[0], "language_model.lm_head.weight");
    assert_eq!(checkpoint.dropped.len(), 1 + first + second + pool);
}

#[test]
fn lightvla_prunes_in_a_graph_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut asked = request(System::Lightvla, &checkpoint("lightvla_l1"), dir.path());
    let bundle = exported(&asked).unwrap();
    let manifest = bundle.manifest();
    assert_eq!(
        tensors(manifest)[3..5],
        [
            "prune: bos fp32 [1, 1, 32], projected_patches fp32 [1, patches, 32], proprio_token fp32 [1, 1, 32], \
             text_tail fp32 [1, tail, 32] -> multimodal_embeds fp32 [1, tokens, 32], prune.kept_mask bool [1, patches], \
             pruned_embeds fp32 [1, kept, 32], position_ids int64 [1, kept]",
            "language: pruned_embeds fp32 [1, kept, 32], position_ids int64 [1, kept] -> \
             hidden_states fp32 [1, kept, 32]",
        ]
    );
    assert_eq!(manifest.actions.kept_tokens.as_deref(), Some("prune.kept_mask"));
    // 50 patches, of which at least one and usually 7 (15 %) stay.
    assert_eq!(value(&manifest.dims["tokens"]), json!({"min": 110, "opt": 143, "max": 364}));
    assert_eq!(value(&manifest.dims["kept"]), json!({"min": 61, "opt": 100, "max": 364}));
    let offset = |manifest: &Manifest| value(&manifest.inputs[2].source)["values"][0].clone();
    assert_eq!(offset(manifest), 1);
    asked.hidden_offset = Some(-1);
    asked.out = dir.path().join("as_trained");
    assert_eq!(offset(exported(&asked).unwrap().manifest()), -1);
}

#[test]
fn what_the_vision_blocks_are_modulated_with_is_made_once_per_instruction() {
    let dir = tempfile::tempdir().unwrap();
    let mut asked = request(System::OpenvlaOft, &checkpoint("openvla_oft_film"), dir.path());
    asked.unnorm_key = Some("libero_10_no_noops".to_owned());
    let bundle = exported(&asked).unwrap();
    let manifest = bundle.manifest();
    assert_eq!(
        tensors(manifest)[..3],
        [
            "text: input_ids int64 [1, prompt] -> bos fp32 [1, 1, 24], text_tail fp32 [1, tail, 24], \
             text_embedding fp32 [1, 24]",
            "film: text_embedding fp32 [1, 24] -> film.dino fp32 [2, 2, 20], film.siglip fp32 [2, 2, 24]",
            "vision: pixel_values fp32 [cameras, 6, 56, 56], film.dino fp32 [2, 2, 20], film.siglip fp32 [2, 2, 24] \
             -> vision.dino fp32 [cameras, 16, 20], vision.siglip fp32 [cameras, 16, 24], \
             projected_patches fp32 [1, patches, 24]",
        ]
    );
    let every: Vec<Value> = manifest.plan[..3].iter().map(|stage| value(stage)["every"].clone()).collect();
    assert_eq!(value(&every), json!(["instruction", "instruction", "observation"]));
    // The model's own towers, which the vision file replaces, and that file's last blocks.
    let dropped = &manifest.checkpoint.dropped;
    assert!(dropped.contains(&"vision_backbone.featurizer.blocks.0.attn.qkv.weight".to_owned()));
    assert!(dropped.contains(&"vision_backbone.fused_featurizer.blocks.2.scale.weight".to_owned()));
}

#[test]
fn a_single_tower_without_state_takes_three_channels_of_up_to_three_cameras() {
    let edited = Edited::of("openvla_oft_l1")
        .without_file("proprio_projector")
        .with_json("config.json", |config| {
            config["use_fused_vision_backbone"] = json!(false);
            for field in ["timm_model_ids", "timm_override_act_layers", "image_sizes", "vision_backbone_arch"] {
                config[field].as_array_mut().unwrap().remove(1);
            }
        })
        .with_json("preprocessor_config.json", |processor| {
            for (_, field) in processor.as_object_mut().unwrap() {
                if let Value::Array(entries) = field {
                    entries.truncate(1);
                }
            }
        })
        .with_tensors(|tensors| {
            tensors.retain(|name, _| !name.contains("fused_featurizer") && !name.contains("projector.fc3"));
            let zeros = |shape: [u64; 2]| (shape.to_vec(), vec![0; 2 * (shape[0] * shape[1]) as usize]);
            tensors.insert("projector.fc1.weight".to_owned(), zeros([24, 24]));
            tensors.insert("projector.fc1.bias".to_owned(), (vec![24], vec![0; 48]));
            tensors.insert("projector.fc2.weight".to_owned(), zeros([24, 24]));
        });
    let mut asked = request(System::OpenvlaOft, &edited.dir(), edited.out());
    asked.image_pipeline = Some(ImagePipeline::Processor);
    asked.center_crop = Some(CenterCrop::Off);
    let mut wrist = asked.cameras[0].clone();
    (wrist.slot, wrist.name) = ("wrist".to_owned(), "wrist".to_owned());
    let third = onnx_export::Camera { slot: "side".to_owned(), name: "side".to_owned() };
    asked.cameras.extend([wrist, third]);
    let bundle = exported(&asked).unwrap();
    let manifest = bundle.manifest();
    assert_eq!(
        tensors(manifest)[1..3],
        [
            "vision: pixel_values fp32 [cameras, 3, 56, 56] -> vision.dino fp32 [cameras, 16, 24], \
             projected_patches fp32 [1, patches, 24]",
            "sequence: bos fp32 [1, 1, 24], projected_patches fp32 [1, patches, 24], text_tail fp32 [1, tail, 24] -> \
             multimodal_embeds fp32 [1, tokens, 24], position_ids int64 [1, tokens]",
        ]
    );
    assert_eq!(manifest.streams.state, None);
    assert_eq!(value(&manifest.dims["patches"]), json!({"min": 48, "opt": 48, "max": 48}));
    let steps = json!([
        {"op": "resize", "height": 56, "width": 56, "kernel": "bicubic_pil"},
        {"op": "normalize", "mean": [0.484_375, 0.455_078_125, 0.406_25], "std": [0.228_515_625, 0.223_632_812_5, 0.224_609_375]},
    ]);
    assert_eq!(value(&manifest.inputs[0].source), json!({"from": "cameras", "steps": steps}));
}

#[test]
fn progress_ends_at_the_total() {
    let dir = tempfile::tempdir().unwrap();
    let request = request(System::OpenvlaOft, &checkpoint("openvla_oft_l1"), dir.path());
    let mut seen = Vec::new();
    onnx_export::export(&request, &mut |p| seen.push((p.graph.to_owned(), p.written_bytes, p.total_bytes))).unwrap();
    let (graph, written, total) = seen.last().unwrap();
    assert_eq!((graph.as_str(), written), ("head", total));
    assert!(seen.windows(2).all(|pair| pair[0].1 < pair[1].1), "written bytes grow");
}

#[test]
fn a_golden_run_joins_the_files_and_is_guarded_like_them() {
    let dir = tempfile::tempdir().unwrap();
    let request = request(System::OpenvlaOft, &checkpoint("openvla_oft_l1"), dir.path());
    let before = exported(&request).unwrap().digest().to_owned();
    std::fs::write(request.out.join("golden.safetensors"), "a run").unwrap();
    let bundle = attach_golden(&request.out, "golden.safetensors", "pick up the cup").unwrap();
    let golden = bundle.manifest().golden.as_ref().unwrap();
    assert_eq!((golden.kind, golden.task.as_str()), (GoldenKind::Regression, "pick up the cup"));
    assert_ne!(bundle.digest(), before);
    Bundle::load(&request.out, Integrity::Digests).unwrap();
    std::fs::write(request.out.join("golden.safetensors"), "a lie").unwrap();
    let changed = Bundle::load(&request.out, Integrity::Digests).unwrap_err();
    assert!(matches!(changed, BundleError::Changed { what: "sha256", .. }), "{changed}");
}

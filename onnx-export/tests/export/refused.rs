//! Every refusal in its exact words.

use onnx_export::{Camera, CenterCrop, Head, ImagePipeline, Request, System};
use serde_json::json;
use vla_bundle::{Dtype, IoFile};

use super::edited::Edited;
use super::{exported, request};

/// The words in which the export of an edited checkpoint is refused.
fn refusal_of(edited: &Edited, change: impl FnOnce(&mut Request)) -> String {
    let mut request = request(System::OpenvlaOft, &edited.dir(), edited.out());
    change(&mut request);
    let refusal = exported(&request).unwrap_err().to_string();
    let left: Vec<String> = std::fs::read_dir(edited.out())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "checkpoint" && !name.starts_with("there"))
        .collect();
    assert_eq!(left, [""; 0], "a refused export leaves nothing behind");
    edited.anonymous(&refusal)
}

fn refusal(edited: &Edited) -> String {
    refusal_of(edited, |_| {})
}

fn original() -> Edited {
    Edited::of("openvla_oft_l1")
}

#[test]
fn an_absent_tensor_is_named() {
    let edited = original().with_tensors(|tensors| {
        tensors.remove("language_model.model.layers.2.mlp.up_proj.weight");
    });
    assert_eq!(
        refusal(&edited),
        "tensor `language_model.model.layers.2.mlp.up_proj.weight`: not in the checkpoint, wanted [68, 24]: ROOT/checkpoint"
    );
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both() {
    let edited = original().with_tensors(|tensors| {
        tensors.get_mut("projector.fc1.weight").unwrap().0 = vec![56, 224];
    });
    assert_eq!(
        refusal(&edited),
        "tensor `projector.fc1.weight`: got [56, 224], wanted [224, 56]: ROOT/checkpoint/model.safetensors"
    );
}

#[test]
fn a_tensor_that_nobody_reads_is_named() {
    let edited = original().with_tensors(|tensors| {
        let norm = tensors["language_model.model.layers.3.input_layernorm.weight"].clone();
        tensors.insert("language_model.model.layers.4.input_layernorm.weight".to_owned(), norm);
    });
    assert_eq!(
        refusal(&edited),
        "1 tensor is neither read nor declared droppable: \
         `language_model.model.layers.4.input_layernorm.weight`: ROOT/checkpoint"
    );
}

#[test]
fn everything_that_was_not_said_is_listed_at_once() {
    let said = refusal_of(&original(), |request| {
        (request.chunk_size, request.norm) = (None, None);
        (request.image_pipeline, request.center_crop) = (None, None);
        request.hidden_offset = Some(2);
    });
    assert_eq!(
        said,
        "`--chunk-size` is missing, and the checkpoint does not say it; \
         `--norm` is missing, and the checkpoint does not say it; \
         `--image-pipeline` is missing, and the checkpoint does not say it; \
         `--center-crop` is missing, and the checkpoint does not say it; \
         `--hidden-offset` is 2, wanted -1, 0 or 1"
    );
    let said = refusal_of(&original(), |request| {
        (request.precision, request.opset) = (Dtype::Fp16, 17);
        request.cameras.clear();
    });
    assert_eq!(
        said,
        "`--precision fp16` is not supported yet, only fp32; `--opset 17` is not supported yet, only 23; \
         `--cameras` is missing"
    );
}

#[test]
fn cameras_that_cannot_be_are_refused() {
    let twice = refusal_of(&original(), |request| request.cameras.push(request.cameras[0].clone()));
    assert_eq!(twice, "camera `front` is listed twice");
    let slot = Camera { slot: "base_0_rgb".to_owned(), name: "front".to_owned() };
    let said = refusal_of(&original(), |request| request.cameras = vec![slot]);
    assert_eq!(said, "camera `base_0_rgb=front`: this system has no camera slots, only names in order");
    let crop = refusal_of(&original(), |request| {
        (request.image_pipeline, request.center_crop) = (Some(ImagePipeline::Processor), Some(CenterCrop::On));
    });
    assert_eq!(crop, "`--center-crop on` belongs to `--image-pipeline openvla_oft`");
}

#[test]
fn files_that_do_not_say_one_head_want_it_named() {
    let noisy = "noisy_action_projector--5_checkpoint.pt";
    assert_eq!(
        refusal(&original().with_file(noisy)),
        "action head: got files of the l1 head and of the diffusion head, wanted `--head` to say which: ROOT/checkpoint"
    );
    assert_eq!(
        refusal(&original().without_file("action_head").with_file(noisy)),
        "action head: got files of the discrete head and of the diffusion head, wanted `--head` to say which: \
         ROOT/checkpoint"
    );
    assert_eq!(
        refusal_of(&original(), |request| request.head = Some(Head::Diffusion)),
        "action head: got files of the l1 head, wanted `--head diffusion`: ROOT/checkpoint"
    );
    assert_eq!(
        refusal_of(&original().without_file("action_head"), |request| request.head = Some(Head::L1)),
        "action head: got files of the discrete head, wanted `--head l1`: ROOT/checkpoint"
    );
    let named = original().with_file(noisy);
    let mut request = request(System::OpenvlaOft, &named.dir(), named.out());
    request.head = Some(Head::L1);
    exported(&request).unwrap();
}

/// The words in which the export of a checkpoint with FiLM is refused.
fn refusal_of_film(edited: &Edited) -> String {
    refusal_of(edited, |request| request.unnorm_key = Some("libero_10_no_noops".to_owned()))
}

#[test]
fn a_vision_file_of_other_blocks_or_adapters_is_refused() {
    let film = || Edited::of("openvla_oft_film");
    for (tower, prefix) in ["featurizer", "fused_featurizer"].into_iter().enumerate() {
        let deeper =
            film().with_json("config.json", |config| config["vision_backbone_arch"][tower]["depth"] = json!(4));
        assert_eq!(
            refusal_of_film(&deeper),
            format!(
                "blocks of `vision_backbone.{prefix}` with FiLM: got 3, wanted 4: \
                 ROOT/checkpoint/vision_backbone--150000_checkpoint.pt"
            )
        );
    }
    let config = "lora_adapter/adapter_config.json";
    let rank = film().with_json(config, |config| config["r"] = json!(17));
    let name = "vision_backbone.featurizer.blocks.0.block.attn.proj.lora_A.default.weight";
    assert_eq!(
        refusal_of_film(&rank),
        format!(
            "tensor `{name}`: got [18, 20], wanted [17, 20]: ROOT/checkpoint/vision_backbone--150000_checkpoint.pt"
        )
    );
    let unsaid = film();
    std::fs::remove_dir_all(unsaid.dir().join("lora_adapter")).unwrap();
    assert_eq!(
        refusal_of_film(&unsaid),
        format!(
            "LoRA: got 31 adapters, the first of `vision_backbone.featurizer.blocks.0.block.attn.proj`, \
             and no {config} that says r and lora_alpha: ROOT/checkpoint"
        )
    );
}

#[test]
fn a_target_that_is_there_is_left_alone() {
    let edited = original();
    let there = edited.out().join("there");
    std::fs::create_dir(&there).unwrap();
    let said = refusal_of(&edited, |request| request.out.clone_from(&there));
    assert_eq!(said, "something that is no bundle is already there, remove it first: ROOT/there");
    std::fs::write(there.join("manifest.json"), "{}").unwrap();
    let said = refusal_of(&edited, |request| request.out.clone_from(&there));
    assert_eq!(said, "a bundle is already there, remove it first: ROOT/there");
    assert_eq!(std::fs::read(there.join("manifest.json")).unwrap(), b"{}");
}

#[test]
fn an_io_file_of_another_width_is_refused_before_anything_is_written() {
    let io = "rate_hz: 20\nactions:\n- {name: j1, unit: rad, kind: joint_position}\n";
    let said = refusal_of(&original(), |request| request.io = Some(IoFile::parse(io, "io.yaml").unwrap()));
    assert_eq!(
        said,
        "`--io` names 1 action dimensions, the policy has 7; `--io` names 0 state dimensions, the policy takes 8"
    );
}

#[test]
fn files_that_contradict_each_other_are_refused() {
    let towers = original().with_json("config.json", |config| config["use_fused_vision_backbone"] = json!(false));
    assert_eq!(
        refusal(&towers),
        "number of `timm_model_ids` and `image_sizes`: got 2 and 2, wanted 1 (`use_fused_vision_backbone` is false): \
         ROOT/checkpoint/config.json"
    );
    let size = original().with_json("preprocessor_config.json", |p| p["input_sizes"][1] = json!([3, 70, 56]));
    assert_eq!(refusal(&size), "height of `input_sizes`: got 70, wanted 56: ROOT/checkpoint/preprocessor_config.json");
    let tower = original().with_json("config.json", |config| {
        config["timm_model_ids"][0] = json!("vit_base_patch16_clip_224");
        config.as_object_mut().unwrap().remove("vision_backbone_arch");
    });
    assert_eq!(
        refusal(&tower),
        "vision tower `vit_base_patch16_clip_224` is not supported yet: ROOT/checkpoint/config.json"
    );
    let tokens = original().with_json("tokenizer.json", |t| t["added_tokens"][3]["id"] = json!(1088));
    assert_eq!(
        refusal(&tokens),
        "largest token id: got 1088, wanted less than the 1088 embedding rows: ROOT/checkpoint/tokenizer.json"
    );
    let long = original().with_json("config.json", |config| config["llm_max_length"] = json!(100));
    assert_eq!(
        refusal(&long),
        "tokens of 16 patches and 56 action values: got 26 left for the instruction, wanted 35 of `llm_max_length` 100: \
         ROOT/checkpoint/config.json"
    );
}

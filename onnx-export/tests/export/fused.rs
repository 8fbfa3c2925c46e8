//! Heads and experts on LLaVA-like models: what their checkpoints may not say, in exact words.

use onnx_export::{ExportError, System};
use serde_json::{Value, json};
use vla_bundle::{Bundle, CameraModel, Dtype, Source, Stage};

use super::edited::Edited;
use super::{exported, request};

fn export(system: System, edited: &Edited) -> Result<Bundle, ExportError> {
    let mut request = request(system, &edited.dir(), edited.out());
    (request.unnorm_key, request.norm, request.chunk_size) = (None, None, None);
    (request.image_pipeline, request.center_crop) = (None, None);
    exported(&request)
}

fn refusal(system: System, case: &str, file: &str, change: impl FnOnce(&mut Value)) -> String {
    let edited = Edited::of(case).with_json(file, change);
    edited.anonymous(&export(system, &edited).unwrap_err().to_string())
}

fn of_head(change: impl FnOnce(&mut Value)) -> String {
    refusal(System::DitLayerwise, "dit_layerwise", "config.json", change)
}

fn of_model(change: impl FnOnce(&mut Value)) -> String {
    refusal(System::DitLayerwise, "dit_layerwise", "base_vlm/config.json", change)
}

fn of_late(change: impl FnOnce(&mut Value)) -> String {
    refusal(System::LateFusion, "late_fusion_flow", "config.json", change)
}

fn of_deep(change: impl FnOnce(&mut Value)) -> String {
    refusal(System::DeepFusion, "deep_fusion_v2", "config.json", change)
}

/// Shape and bytes by name.
type Tensors = std::collections::BTreeMap<String, (Vec<u64>, Vec<u8>)>;

const CONFIG: &str = "ROOT/checkpoint/config.json";

#[test]
fn a_heads_mode_must_be_said() {
    let wanted = "wanted F1, F2, F3, F4 or F5: the tensors of all of them look the same";
    let silent = of_head(|config| {
        config.as_object_mut().unwrap().remove("head_mode");
    });
    assert_eq!(silent, format!("`head_mode`: got none, {wanted}: {CONFIG}"));
    let unknown = of_head(|config| config["head_mode"] = json!("F6"));
    assert_eq!(unknown, format!("`head_mode`: got `F6`, {wanted}: {CONFIG}"));
}

#[test]
fn a_state_that_no_encoder_takes_is_not_left_out() {
    let edited = Edited::of("dit_layerwise").with_tensors(|tensors: &mut Tensors| {
        tensors.retain(|name, _| !name.contains("state_encoder"));
    });
    let said = edited.anonymous(&export(System::DitLayerwise, &edited).unwrap_err().to_string());
    let what = "a state of 8 values without `state_encoder` is not supported yet";
    assert_eq!(said, format!("{what}: {CONFIG}"));
}

#[test]
fn a_head_fits_its_language_model() {
    let head = |name: &'static str, value: Value| {
        of_head(|config| config["framework"]["action_model"]["diffusion_model_cfg"][name] = value)
    };
    assert_eq!(head("num_layers", json!(4)), format!("blocks in the checkpoint: got 5, wanted 4: {CONFIG}"));
    assert_eq!(head("num_attention_heads", json!(4)), format!("heads times their width: got 64, wanted 48: {CONFIG}"));
    let shallow = of_model(|config| config["text_config"]["num_hidden_layers"] = json!(4));
    assert_eq!(shallow, format!("blocks of the head: got 5, wanted 1 to the 4 layers of the language model: {CONFIG}"));
    let other = of_head(|config| config["framework"]["action_model"]["vl_layer_selection"] = json!("middle"));
    assert_eq!(other, format!("`vl_layer_selection`: got `middle`, wanted `first` or `last`: {CONFIG}"));
}

#[test]
fn the_pictures_token_is_in_the_vocabulary_and_the_tokenizer() {
    let config = "ROOT/checkpoint/base_vlm/config.json";
    for id in [-200, 1032] {
        let got = of_model(|config| config["image_token_index"] = json!(id));
        let wanted = "wanted a token of the vocabulary, 0 to 1031";
        assert_eq!(got, format!("`image_token_index`: got {id}, {wanted}: {config}"));
    }
    let other = of_model(|config| config["image_token_index"] = json!(1024));
    let path = "ROOT/checkpoint/base_vlm/tokenizer.json";
    assert_eq!(other, format!("token `<image>`: got 1025, wanted `image_token_index` 1024: {path}"));
    let patches = of_model(|config| config["image_seq_length"] = json!(15));
    assert_eq!(patches, format!("`image_seq_length`: got 15, wanted 16: {config}"));
    let long = of_model(|config| config["text_config"]["max_position_embeddings"] = json!(17));
    assert_eq!(long, format!("tokens of 16 patches and a prompt: got at least 18, wanted at most 17: {config}"));
}

#[test]
fn noise_and_target_agree() {
    let got = of_late(|config| config["flow"]["t_noise"] = json!(0.0));
    let wanted = "wanted 1 and `noise_minus_data`, or 0 and `data_minus_noise`";
    assert_eq!(got, format!("`t_noise` and `target`: got 0 and `noise_minus_data`, {wanted}: {CONFIG}"));
    let got = of_deep(|config| config["flow"]["target"] = json!("data_minus_noise"));
    assert_eq!(got, format!("`t_noise` and `target`: got 1 and `data_minus_noise`, {wanted}: {CONFIG}"));
    let got = of_late(|config| config["flow"]["suffix_layout"] = json!("actions_time"));
    assert_eq!(got, format!("`suffix_layout`: got `actions_time`, wanted `time_actions`: {CONFIG}"));
}

#[test]
fn noise_may_be_at_either_end_of_the_time() {
    for (system, case) in [(System::LateFusion, "late_fusion_flow"), (System::DeepFusion, "deep_fusion_v2")] {
        let edited = Edited::of(case).with_json("config.json", |config| {
            config["flow"]["t_noise"] = json!(0.0);
            config["flow"]["target"] = json!("data_minus_noise");
        });
        let manifest = export(system, &edited).unwrap().manifest().clone();
        let Some(Stage::Denoise(denoise)) = manifest.plan.last() else { panic!("{:?}", manifest.plan) };
        let want = json!({"kind": "flow", "t_noise": 0, "target": "data_minus_noise", "grid": "uniform_fp64"});
        assert_eq!(serde_json::to_value(&denoise.rule).unwrap(), want);
    }
}

/// starVLA draws in the precision of the hidden states, the experts' code always in fp32.
#[test]
fn noise_is_drawn_in_the_precision_of_the_original() {
    for (system, case, wanted) in [
        (System::DitLayerwise, "dit_layerwise", Dtype::Bf16),
        (System::LateFusion, "late_fusion_flow", Dtype::Fp32),
        (System::DeepFusion, "deep_fusion_v2", Dtype::Fp32),
    ] {
        let manifest = export(system, &Edited::of(case)).unwrap().manifest().clone();
        let Some(Stage::Denoise(denoise)) = manifest.plan.last() else { panic!("{:?}", manifest.plan) };
        assert_eq!(denoise.noise.dtype, wanted, "{case}");
    }
}

/// Where every block reads hidden states alone, rows never mix.
#[test]
fn rows_that_no_action_sees_are_not_computed_and_their_weights_are_named() {
    let manifest = export(System::DitLayerwise, &Edited::of("dit_llava3d")).unwrap().manifest().clone();
    let inputs: Vec<_> = manifest.graphs["denoise"].inputs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(inputs[..3], ["flow.x", "action_time", "time"]);
    assert!(inputs.iter().all(|name| *name != "state_token") && !manifest.graphs.contains_key("state"), "{inputs:?}");
    let dropped: Vec<_> = manifest.checkpoint.dropped.iter().filter(|name| name.starts_with("action_model.")).collect();
    let unseen = ["future_tokens.weight", "state_encoder.layer1.bias", "state_encoder.layer1.weight"];
    let unseen = unseen.into_iter().chain(["state_encoder.layer2.bias", "state_encoder.layer2.weight"]);
    assert_eq!(
        dropped,
        unseen.map(|name| format!("action_model.{name}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
}

#[test]
fn statistics_are_not_guessed() {
    let got = refusal(System::LateFusion, "late_fusion_flow", "processor_config.json", |processor| {
        processor.as_object_mut().unwrap().remove("statistics");
    });
    assert_eq!(got, "statistics: got no data set: ROOT/checkpoint/processor_config.json");
}

#[test]
fn a_geometry_branch_fits_its_pictures_and_has_its_tensors() {
    let wanted = "wanted the sizes of the encoder that `use_geometric_branch` wants";
    let nothing = of_late(|config| config["use_geometric_branch"] = json!(true));
    assert_eq!(nothing, format!("`mapanything_config`: got none, {wanted}: {CONFIG}"));
    let with = |name: &'static str, value: u64| {
        refusal(System::DeepFusion, "deep_fusion_llama", "config.json", |config| {
            config["mapanything_config"][name] = json!(value);
        })
    };
    assert_eq!(with("image_size", 28), format!("mapanything_config: image_size: got 28, wanted 56: {CONFIG}"));
    let left = |what: &str, rest| format!("mapanything_config: what {what}: got {rest}, wanted 0: {CONFIG}");
    assert_eq!(with("patch_size", 0), left("patch_size 0 leaves of 56", 56));
    assert_eq!(with("patch_size", 15), left("patch_size 15 leaves of 56", 11));
    assert_eq!(with("num_heads", 5), left("num_heads 5 leaves of 24", 4));
    let kernel = "tensor `geometric_model.map_anything_model.encoder.patch_embed.weight`";
    let patches = with("patch_size", 7);
    assert!(patches.starts_with(&format!("{kernel}: got [24, 3, 14, 14], wanted [24, 3, 7, 7]: ")), "{patches}");
    let edited = Edited::of("deep_fusion_llama").with_tensors(|tensors: &mut Tensors| {
        tensors.retain(|name, _| !name.contains("ray_dirs_encoder"));
    });
    let blind = edited.anonymous(&export(System::DeepFusion, &edited).unwrap_err().to_string());
    assert!(blind.contains("geometric_model.map_anything_model.ray_dirs_encoder.proj.weight"), "{blind}");
}

#[test]
fn a_geometry_branch_that_does_not_run_leaves_no_tensors_behind() {
    let silent = refusal(System::DeepFusion, "deep_fusion_llama", "config.json", |config| {
        config["use_geometric_branch"] = json!(false);
    });
    assert!(silent.contains("fusion_projector.bias"), "{silent}");
}

#[test]
fn intrinsics_are_a_stream_and_geometry_waits_for_no_other_graph() {
    let edited = Edited::of("deep_fusion_llama");
    let bundle = export(System::DeepFusion, &edited).unwrap();
    let manifest = bundle.manifest();
    assert_eq!(manifest.streams.intrinsics, Some(CameraModel::Pinhole));
    let source = |name: &str| manifest.inputs.iter().find(|input| input.tensor == name).map(|input| &input.source);
    assert_eq!(source("intrinsics"), Some(&Source::Intrinsics { of: "pixel_values".to_owned() }));
    let geometry = &manifest.graphs["geometry"];
    assert!(geometry.inputs.iter().all(|input| source(&input.name).is_some()), "{:?}", geometry.inputs);
    let runs: Vec<&str> = manifest.plan.iter().flat_map(Stage::graphs).map(String::as_str).collect();
    assert_eq!(runs, ["text", "vision", "geometry", "prefix", "state", "denoise"]);
}

#[test]
fn an_experts_layout_pattern_and_state_agree() {
    let flow = |name: &'static str, value: Value| of_deep(|config| config["flow"][name] = value);
    assert_eq!(
        of_deep(|config| config["use_state"] = json!(false)),
        format!("`suffix_layout`: got `state_actions_time`, wanted `actions_time`, for `use_state` is false: {CONFIG}")
    );
    assert_eq!(
        of_deep(|config| config["state_dim"] = json!(null)),
        format!("`state_dim`: got none, wanted the width of the state in the suffix: {CONFIG}")
    );
    assert_eq!(flow("velocity_read_start", json!(2)), format!("`velocity_read_start`: got 2, wanted 1: {CONFIG}"));
    assert_eq!(flow("suffix_ar", json!([1, 0])), format!("entries of `suffix_ar`: got 2, wanted 12: {CONFIG}"));
    assert_eq!(
        flow("suffix_ar", json!(vec![0; 12])),
        format!(
            "first entry of `suffix_ar`: got 0, wanted 1: a prefix that sees the suffix changes with every step and \
             cannot be kept: {CONFIG}"
        )
    );
    assert_eq!(
        flow("suffix_ar", json!([1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0])),
        format!(
            "entries of `suffix_ar`: got 2, wanted 0 and 1: 1 begins a block of tokens that see each other: {CONFIG}"
        )
    );
    assert_eq!(flow("normalization", json!("none")), format!("`normalization`: got `none`, wanted `zscore`: {CONFIG}"));
}

#[test]
fn an_expert_is_as_deep_as_its_prefix_and_has_its_heads() {
    let change = |change: fn(&mut Tensors)| {
        let edited = Edited::of("deep_fusion_v2").with_tensors(change);
        edited.anonymous(&export(System::DeepFusion, &edited).unwrap_err().to_string())
    };
    let shallow = change(|tensors| tensors.retain(|name, _| !name.contains("expert_model.layers.3.")));
    assert_eq!(
        shallow,
        format!("layers of the expert: got 3, wanted the 4 of the language model: no map of layers is known: {CONFIG}")
    );
    let other = change(|tensors| {
        let tensor = tensors.get_mut("language_model_with_expert.expert_q_projs.1.weight").unwrap();
        *tensor = (vec![32, 32], tensor.1[..32 * 32 * 2].to_vec());
    });
    let name = "language_model_with_expert.expert_q_projs.1.weight";
    assert!(other.contains("got [32, 32], wanted [64, 32]"), "{name}: {other}");
}

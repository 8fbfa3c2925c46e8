//! CogVLA: what stands in the manifest, and every refusal in its exact words.

use onnx_export::{Head, Request, System};
use serde_json::json;
use vla_bundle::{Bundle, Dim};

use super::edited::Edited;
use super::{checkpoint, exported, request};

const CONFIG: &str = "config.json";
const KEY: &str = "libero_goal_no_noops";

fn merged() -> Edited {
    Edited::of("cogvla_nofilm")
}

fn adapter() -> Edited {
    Edited::of("cogvla")
}

fn base() -> std::path::PathBuf {
    checkpoint("cogvla").with_file_name("base_checkpoint")
}

/// The request of an edited copy of `cogvla_nofilm`.
fn of_merged(edited: &Edited) -> Request {
    let mut request = request(System::Cogvla, &edited.dir(), edited.out());
    request.unnorm_key = Some(KEY.to_owned());
    request
}

/// The request of an edited copy of `cogvla`.
fn of_adapter(edited: &Edited) -> Request {
    let mut request = request(System::Cogvla, &edited.dir(), edited.out());
    request.base_checkpoint = Some(base());
    request
}

fn refusal(edited: &Edited, request: &Request) -> String {
    edited.anonymous(&exported(request).unwrap_err().to_string())
}

fn kept(bundle: &Bundle) -> Vec<(String, u64)> {
    let outputs = &bundle.manifest().graphs["language"].outputs;
    let kept = outputs.iter().filter_map(|output| match (output.name.strip_suffix(".kept_patches"), &*output.dims) {
        (Some(layer), [Dim::Fixed(count)]) => Some((layer.to_owned(), *count)),
        _ => None,
    });
    kept.collect()
}

#[test]
fn an_adapter_becomes_weights_and_the_manifest_says_which_and_what_was_left_out() {
    let edited = adapter();
    let bundle = exported(&of_adapter(&edited)).unwrap();
    let checkpoint = &bundle.manifest().checkpoint;
    // Seven per layer of the language model, four in each block that runs, two and three; alpha 16, r 4.
    let merged = checkpoint.merged.as_ref().unwrap();
    assert_eq!(
        (merged.base.as_deref(), merged.weights, merged.scale),
        (Some("base_checkpoint"), 8 * 7 + 2 * 4 + 3 * 4, 4.0)
    );
    let dropped = |start: &str| checkpoint.dropped.iter().filter(|name| name.starts_with(start)).count();
    // Two factors for each of the towers' matrices: 4 x 3, 4 x 4 and the pooling's 5.
    assert_eq!(dropped("base_model.model.vision_backbone.vision_backbone."), 2 * (12 + 16 + 5));
    assert_eq!((dropped("projector."), dropped("language_model.")), (6, 1));
    let kept: Vec<u64> = kept(&bundle).into_iter().map(|(_, count)| count).collect();
    // One camera: 20 aggregation tokens.
    assert_eq!(kept, [14, 14, 14, 13, 13, 12]);
}

#[test]
fn towers_without_film_take_their_part_of_the_adapter() {
    // The case's own merged model stands for a base: without what the adapter's checkpoint holds whole.
    let base = merged().with_tensors(|tensors| {
        tensors.retain(|name, _| name.starts_with("vision_backbone.") || name.starts_with("language_model."));
        tensors.retain(|name, _| !name.contains(".router."));
    });
    std::fs::remove_dir_all(base.dir().join("lora_adapter")).unwrap();
    let edited = merged().without_file("model.safetensors");
    let mut asked = of_merged(&edited);
    asked.base_checkpoint = Some(base.dir());
    let bundle = exported(&asked).unwrap();
    let checkpoint = &bundle.manifest().checkpoint;
    // Seven per layer of the language model, four in each of two blocks of two towers; alpha 16, r 2.
    let merged = checkpoint.merged.as_ref().unwrap();
    assert_eq!((merged.weights, merged.scale), (8 * 7 + 2 * 2 * 4, 8.0));
    assert!(checkpoint.dropped.iter().all(|name| !name.contains("lora_")), "{:?}", checkpoint.dropped);
}

#[test]
fn an_adapter_is_merged_once_and_onto_the_model_that_it_belongs_to() {
    let whole = merged();
    let mut asked = of_merged(&whole);
    asked.base_checkpoint = Some(base());
    assert_eq!(
        refusal(&whole, &asked),
        "base checkpoint: the checkpoint holds a whole model, onto which its adapter was merged already: \
         export it without a base checkpoint: ROOT/checkpoint"
    );

    let alone = adapter();
    let mut asked = of_adapter(&alone);
    asked.base_checkpoint = None;
    assert_eq!(refusal(&alone, &asked), "`--base-checkpoint` is missing: the checkpoint holds an adapter and no model");

    let used = merged();
    asked.base_checkpoint = Some(used.dir());
    let said = exported(&asked).unwrap_err().to_string();
    assert_eq!(
        used.anonymous(&said),
        "base checkpoint: got one with a lora_adapter of its own, wanted the model that the training started from: \
         ROOT/checkpoint"
    );
    std::fs::remove_dir_all(used.dir().join("lora_adapter")).unwrap();
    let said = exported(&asked).unwrap_err().to_string();
    assert_eq!(
        used.anonymous(&said),
        "base checkpoint: `aggregation_router.router.0.bias` of non_lora_trainables is in it already, so that it is \
         merged: ROOT/checkpoint"
    );
    let nothing = adapter();
    std::fs::remove_file(nothing.dir().join("lora_adapter/adapter_model.safetensors")).unwrap();
    assert_eq!(
        refusal(&nothing, &of_adapter(&nothing)),
        "base checkpoint: got a checkpoint without lora_adapter/adapter_model.safetensors, so there is nothing to \
         merge: ROOT/checkpoint"
    );
}

#[test]
fn factors_that_do_not_fit_the_base_are_refused_by_name() {
    let file = "lora_adapter/adapter_model.safetensors";
    let first = "base_model.model.language_model.model.layers.0.mlp.down_proj.lora_A.weight";
    let wider = adapter().with_tensors_of(file, |tensors| {
        let factor = tensors.get_mut(first).unwrap();
        *factor = (vec![4, 32], factor.1[..2 * 4 * 32].to_vec());
    });
    assert_eq!(
        refusal(&wider, &of_adapter(&wider)),
        format!("tensor `{first}`: got [4, 32], wanted [4, 64]: ROOT/checkpoint/{file}")
    );
    let stray = adapter().with_tensors_of(file, |tensors| {
        let factor = tensors.remove(first).unwrap();
        tensors.insert(first.replace("layers.0.", "layers.9."), factor);
    });
    let name = "language_model.model.layers.9.mlp.down_proj";
    assert_eq!(
        exported(&of_adapter(&stray)).unwrap_err().to_string(),
        format!(
            "tensor `{name}.lora_A.weight`: there is no `{name}.weight` that it could be added to: {}",
            base().display()
        )
    );
    let half = adapter().with_tensors_of(file, |tensors| {
        tensors.remove(first).unwrap();
    });
    assert_eq!(
        refusal(&half, &of_adapter(&half)),
        format!(
            "adapter: got 113 tensors of which 112 are low-rank factors, wanted those alone: ROOT/checkpoint/{file}"
        )
    );
    let config = "lora_adapter/adapter_config.json";
    let unsaid = adapter().with_json(config, |config| {
        config.as_object_mut().unwrap().remove("lora_alpha");
    });
    let said = refusal(&unsaid, &of_adapter(&unsaid));
    assert!(said.starts_with(&format!("{config}: missing field `lora_alpha`")), "{said}");
}

#[test]
fn schedules_that_cannot_be_are_refused() {
    let text = |edited: Edited, field: &'static str, value: serde_json::Value| {
        let edited = edited.with_json(CONFIG, |config| config["text_config"][field] = value);
        refusal(&edited, &of_merged(&edited))
    };
    let wanted = "wanted a schedule by which some layers prune, or `use_lfp` false: ROOT/checkpoint/config.json";
    assert_eq!(
        text(merged(), "lfp_type", json!("shiftedcos_decay_0.10_0.05")),
        format!(
            "`lfp_type`: got `shiftedcos_decay_0.10_0.05` with factor 0.5, which leaves none of 8 layers to prune, {wanted}"
        )
    );
    assert_eq!(
        text(merged(), "lfp_type", json!("deep_all")),
        "layers with a router: got 1, 3, 5, 7, wanted 2, 3, 4, 5, 6, 7 (`lfp_type` and `lfp_average_factor` of \
         config.json): ROOT/checkpoint"
    );
    assert_eq!(
        text(merged(), "use_lfp", json!(false)),
        "layers with a router: got 1, 3, 5, 7, wanted none (`lfp_type` and `lfp_average_factor` of config.json): \
         ROOT/checkpoint"
    );
    assert_eq!(
        text(merged(), "lfp_enable_film", json!(true)),
        "tensor `language_model.model.layers.1.router.scale.0.weight`: not in the checkpoint, wanted [14, 28]: \
         ROOT/checkpoint"
    );
}

#[test]
fn vision_that_the_original_cannot_run_is_refused() {
    let of = |change: fn(&mut serde_json::Value)| {
        let edited = merged().with_json(CONFIG, change);
        refusal(&edited, &of_merged(&edited))
    };
    assert_eq!(
        of(|config| config["vision_aggregate_type"] = json!("add")),
        "`vision_aggregate_type`: got `add`, wanted moe or concat: ROOT/checkpoint/config.json"
    );
    assert_eq!(
        of(|config| config["use_aggr"] = json!(true)),
        "`use_aggr` without `use_film` (the original fails on it, so there is nothing to agree with) is not supported \
         yet: ROOT/checkpoint/config.json"
    );
    assert_eq!(
        of(|config| config["use_film"] = json!(true)),
        "vision towers: got no vision_backbone file, wanted what `use_film` true says: ROOT/checkpoint/config.json"
    );
    let mixture = "tensor `projector.fc1.weight`: not in the checkpoint, wanted [208, 52]: ROOT/checkpoint";
    assert_eq!(of(|config| config["vision_aggregate_type"] = json!("concat")), mixture);
    let count = adapter().with_json(CONFIG, |config| config["num_vision_aggr"] = json!(24));
    assert_eq!(
        refusal(&count, &of_adapter(&count)),
        "tensor `vision_aggr_featurizer`: got [1, 20, 20], wanted [1, 24, 20]: \
         ROOT/checkpoint/vision_backbone--60000_checkpoint.pt"
    );
}

#[test]
fn action_tokens_that_do_not_fit_are_refused() {
    let edited = merged();
    let mut asked = of_merged(&edited);
    asked.chunk_size = Some(300);
    assert_eq!(
        refusal(&edited, &asked),
        "tokens of 16 patches and 2100 action values: got 0 left for the instruction, wanted 35 of `llm_max_length` 2048: \
         ROOT/checkpoint/config.json"
    );
    asked.chunk_size = Some(8);
    asked.head = Some(Head::Discrete);
    assert_eq!(
        refusal(&edited, &asked),
        "action head: got files of the l1 head, wanted `--head discrete`: ROOT/checkpoint"
    );
}

//! The system that writes its actions token by token.

use onnx_export::{CenterCrop, ImagePipeline, Request, System};
use serde_json::json;
use vla_bundle::Unnormalize;

use super::edited::Edited;
use super::manifest::{tensors, value};
use super::{exported, request};

fn asked(edited: &Edited) -> Request {
    let mut request = request(System::Openvla, &edited.dir(), edited.out());
    request.unnorm_key = Some("bridge_orig".to_owned());
    request.chunk_size = Some(1);
    request.image_pipeline = Some(ImagePipeline::Processor);
    request.center_crop = Some(CenterCrop::Off);
    request
}

fn original() -> Edited {
    Edited::of("openvla_base")
}

#[test]
fn the_sequence_is_read_once_and_every_token_with_the_cache_of_those_before_it() {
    let edited = original();
    let bundle = exported(&asked(&edited)).unwrap();
    let manifest = bundle.manifest();
    let lines = tensors(manifest);
    assert_eq!(
        lines[0],
        "text: input_ids int64 [1, prompt] -> bos fp32 [1, 1, 24], prompt_tail fp32 [1, prompt_tail, 24]"
    );
    assert!(lines[2].starts_with(
        "language: bos fp32 [1, 1, 24], projected_patches fp32 [1, patches, 24], prompt_tail fp32 [1, prompt_tail, 24] \
         -> multimodal_embeds fp32 [1, tokens, 24], hidden_states fp32 [1, tokens, 24], first_token int64 [1, 1], \
         key.0 fp32 [1, tokens, 24], value.0 fp32 [1, tokens, 24], key.1 fp32"
    ));
    assert_eq!(lines[3], "embed: last_token int64 [1, 1] -> token_embeds fp32 [1, 1, 24]");
    assert!(lines[4].starts_with(
        "language_step: token_embeds fp32 [1, 1, 24], past_key.0 fp32 [1, past, 24], past_value.0 fp32 [1, past, 24]"
    ));
    assert_eq!(lines[5], "actions: action_token_ids int64 [7] -> normalized_actions fp32 [1, 7]");
    let mut stage = value(&manifest.plan[3]);
    let carry = stage.as_object_mut().unwrap().remove("carry").unwrap();
    assert_eq!(
        stage,
        json!({"stage": "autoregress", "body": ["embed", "language_step"], "first_token": "first_token",
            "token": "next_token", "count": 7, "end": 2, "result": "action_token_ids"})
    );
    // The token, and keys and values of four layers.
    assert_eq!(carry.as_array().unwrap().len(), 1 + 2 * 4);
    assert_eq!(carry[1], json!({"tensor": "past_key.0", "first": "key.0", "next": "next_key.0"}));
    // 16 patches around a prompt of 2 to 256 tokens, and seven tokens after them.
    assert_eq!(value(&manifest.dims["tokens"]), json!({"min": 18, "opt": 51, "max": 272}));
    assert_eq!(value(&manifest.dims["seen"]), json!({"min": 19, "opt": 52, "max": 280}));
}

#[test]
fn weights_that_two_graphs_use_are_on_disk_once() {
    let edited = original();
    let bundle = exported(&asked(&edited)).unwrap();
    let graphs = &bundle.manifest().graphs;
    let files = ["embed", "language_step"].map(|graph| graphs[graph].weights.as_deref());
    assert_eq!(files, [Some("text.weights"), Some("language.weights")]);
    let weights: Vec<&str> =
        bundle.manifest().files.keys().map(String::as_str).filter(|name| name.ends_with(".weights")).collect();
    assert_eq!(weights, ["language.weights", "text.weights", "vision.weights"]);
}

#[test]
fn statistics_come_from_the_config_and_the_range_is_taken_as_it_is() {
    let edited = original();
    let bundle = exported(&asked(&edited)).unwrap();
    let Unnormalize::Quantile { low, eps, .. } = &bundle.manifest().actions.unnormalize else { panic!("not quantile") };
    // `norm_stats` of config.json.
    assert_eq!((low[0], *eps), (-0.046_649_917_960_166_93, 0.0));
    assert_eq!(bundle.manifest().checkpoint.unnorm_key.as_deref(), Some("bridge_orig"));
}

#[test]
fn what_belongs_to_decoding_in_one_pass_is_refused() {
    let edited = original();
    let mut request = asked(&edited);
    (request.chunk_size, request.hidden_offset) = (Some(8), Some(-1));
    assert_eq!(
        exported(&request).unwrap_err().to_string(),
        "`--hidden-offset` is -1, but this system has no placeholders; \
         `--chunk-size` is 8, wanted 1: this system writes one step"
    );
    let parallel = Edited::of("openvla_oft_l1");
    assert_eq!(
        parallel.anonymous(&exported(&asked(&parallel)).unwrap_err().to_string()),
        "action head: got an `action_head` file, wanted none: this system writes tokens: ROOT/checkpoint"
    );
}

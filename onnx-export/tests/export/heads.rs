//! What the kinds of action head become in a manifest, and what is asked about them.

use onnx_export::{Camera, Request, System};
use serde_json::{Value, json};

use super::edited::Edited;
use super::manifest::{tensors, value};
use super::{exported, request};

fn denoising(edited: &Edited) -> Request {
    let mut request = request(System::OpenvlaOft, &edited.dir(), edited.out());
    request.cameras.push(Camera { slot: "wrist".to_owned(), name: "wrist".to_owned() });
    request.unnorm_key = Some("libero_goal_no_noops".to_owned());
    request.denoise_steps = Some(10);
    request
}

#[test]
fn a_head_that_denoises_runs_the_language_model_per_step_and_the_vision_once() {
    let edited = Edited::of("openvla_oft_diffusion");
    let bundle = exported(&denoising(&edited)).unwrap();
    let manifest = bundle.manifest();
    let of_step = "bos fp32 [1, 1, 32], projected_patches fp32 [1, patches, 32], proprio_token fp32 [1, 1, 32], \
                   time_token fp32 [1, 1, 32], text_tail fp32 [1, tail, 32]";
    assert_eq!(
        tensors(manifest)[3..],
        [
            "noisy: noisy_actions fp32 [8, 7], time fp32 [1, 32], prompt_tail fp32 [1, prompt_tail, 32], \
             stop fp32 [1, 1, 32] -> text_tail fp32 [1, tail, 32], time_token fp32 [1, 1, 32]"
                .to_owned(),
            format!("sequence: {of_step} -> multimodal_embeds fp32 [1, tokens, 32], position_ids int64 [1, tokens]"),
            "language: multimodal_embeds fp32 [1, tokens, 32], position_ids int64 [1, tokens] -> \
             hidden_states fp32 [1, tokens, 32]"
                .to_owned(),
            "head: hidden_states fp32 [1, tokens, 32], hidden_offset int64 [1] -> \
             action_hidden_states fp32 [1, 56, 32], noise_prediction fp32 [8, 7]"
                .to_owned(),
        ]
    );
    let plan = value(&manifest.plan);
    assert_eq!(value(&plan.as_array().unwrap().len()), json!(4));
    let mut denoise = plan[3].clone();
    let schedule = denoise["rule"].as_object_mut().unwrap().remove("alphas_cumprod").unwrap();
    // The two ends of the published schedule of 50 timesteps.
    let ends = [0, 49].map(|at: usize| schedule[at].as_f64().unwrap());
    assert!((ends[0] - 0.998_252_51).abs() < 1e-7 && (ends[1] - 9.7e-7).abs() < 1e-8, "{ends:?}");
    let encoding = json!({"kind": "theta_sinusoid", "width": 32, "theta": 10000.0, "denominator": "half_minus_one",
        "order": "sin_cos", "buckets": null});
    let wanted = json!({
        "stage": "denoise",
        "body": ["noisy", "sequence", "language", "head"],
        "noise": {"tensor": "diffusion.noise", "dtype": "fp32"},
        "sample": "noisy_actions",
        "times": [{"tensor": "time", "encoding": encoding}],
        "prediction": "noise_prediction",
        "result": "normalized_actions",
        "steps": 10,
        "rule": {"kind": "ddim", "clip_sample": 1.0},
    });
    assert_eq!(denoise, wanted);
    // 18 patches, BOS, proprio, time, 56 actions and STOP around a prompt of 2 to 256 tokens, BOS included.
    assert_eq!(value(&manifest.dims["tokens"]), json!({"min": 79, "opt": 112, "max": 333}));
    assert_eq!(value(&manifest.dims["prompt_tail"]), json!({"min": 1, "opt": 34, "max": 255}));
}

#[test]
fn without_state_one_camera_and_one_step_are_a_policy_too() {
    let edited = Edited::of("openvla_oft_diffusion").without_file("proprio_projector");
    let mut asked = denoising(&edited);
    asked.cameras.pop();
    asked.denoise_steps = Some(1);
    let bundle = exported(&asked).unwrap();
    let graph = &bundle.manifest().graphs["sequence"];
    let names: Vec<&str> = graph.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["bos", "projected_patches", "time_token", "text_tail"]);
    assert_eq!(value(&bundle.manifest().dims["patches"])["max"], 9);
}

#[test]
fn a_policy_that_prunes_keeps_other_patches_in_every_step() {
    let edited = Edited::of("openvla_oft_diffusion");
    let mut asked = denoising(&edited);
    asked.system = System::Lightvla;
    let bundle = exported(&asked).unwrap();
    let manifest = bundle.manifest();
    assert_eq!(value(&manifest.plan.last().unwrap())["body"], json!(["noisy", "prune", "language", "head"]));
    assert_eq!(manifest.actions.kept_tokens, None, "what a step makes stays in it");
}

#[test]
fn steps_that_the_schedule_cannot_do_are_refused() {
    let edited = Edited::of("openvla_oft_diffusion");
    let refusal = |steps| {
        let mut asked = denoising(&edited);
        asked.denoise_steps = steps;
        edited.anonymous(&exported(&asked).unwrap_err().to_string())
    };
    assert_eq!(refusal(Some(51)), "`--denoise-steps` is 51, wanted 1 to 50, the steps of the training");
    assert_eq!(refusal(Some(0)), "`--denoise-steps` is 0, wanted 1 to 50, the steps of the training");
    assert_eq!(refusal(None), "`--denoise-steps` is missing, and the checkpoint does not say it");
    let regression = Edited::of("openvla_oft_l1");
    let mut asked = request(System::OpenvlaOft, &regression.dir(), regression.out());
    asked.denoise_steps = Some(10);
    assert_eq!(exported(&asked).unwrap_err().to_string(), "`--denoise-steps` is 10, but the l1 head does not denoise");
}

#[test]
fn a_denoising_head_without_its_projector_is_refused() {
    let edited = Edited::of("openvla_oft_diffusion").without_file("noisy_action_projector");
    assert_eq!(
        edited.anonymous(&exported(&denoising(&edited)).unwrap_err().to_string()),
        "checkpoint: no `noisy_action_projector` file, which the diffusion head consists of: ROOT/checkpoint"
    );
}

#[test]
fn tokens_are_read_from_the_vocabulary_that_the_checkpoint_has() {
    let edited = Edited::of("openvla_oft_discrete");
    let mut asked = request(System::OpenvlaOft, &edited.dir(), edited.out());
    asked.unnorm_key = Some("libero_object_no_noops".to_owned());
    let bundle = exported(&asked).unwrap();
    let head = tensors(bundle.manifest()).pop().unwrap();
    assert_eq!(
        head,
        "head: hidden_states fp32 [1, tokens, 32], hidden_offset int64 [1] -> action_hidden_states fp32 [1, 56, 32], \
         action_token_ids int64 [1, 56], normalized_actions fp32 [8, 7]"
    );
    let dropped = &bundle.manifest().checkpoint.dropped;
    assert!(!dropped.contains(&"language_model.lm_head.weight".to_owned()), "{dropped:?}");
    let padded = Edited::of("openvla_oft_discrete")
        .with_json("config.json", |config: &mut Value| config["pad_to_multiple_of"] = json!(1088));
    let mut asked = request(System::OpenvlaOft, &padded.dir(), padded.out());
    asked.unnorm_key = Some("libero_object_no_noops".to_owned());
    assert_eq!(
        padded.anonymous(&exported(&asked).unwrap_err().to_string()),
        "`n_action_bins`: got 256, wanted 2 or more, and fewer than `vocab_size` 1088 less `pad_to_multiple_of` 1088: \
         ROOT/checkpoint/config.json"
    );
}

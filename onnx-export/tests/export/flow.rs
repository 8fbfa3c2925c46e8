//! Policies that denoise along a velocity: what stands in their manifests, and what is refused in which words.

use onnx_export::{Adapter, Camera, Request, System, delta_mask};
use serde_json::{Value, json};
use vla_bundle::{ActionStep, Manifest, Source, Stage, StateStep};

use super::edited::Edited;
use super::exported;

const STATISTICS: &str = "assets/physical-intelligence/libero/norm_stats.json";

fn camera(slot: &str, name: &str) -> Camera {
    Camera { slot: slot.to_owned(), name: name.to_owned() }
}

fn request(system: System, edited: &Edited) -> Request {
    let openpi = system != System::Smolvla;
    let (cameras, steps) = if openpi {
        (vec![camera("left_wrist_0_rgb", "wrist"), camera("base_0_rgb", "front")], Some(10))
    } else {
        (vec![camera("observation.images.top", "top"), camera("observation.images.wrist", "wrist")], None)
    };
    Request {
        cameras,
        unnorm_key: None,
        chunk_size: None,
        norm: None,
        image_pipeline: None,
        center_crop: None,
        denoise_steps: steps,
        adapter: openpi.then_some(Adapter::Libero),
        ..super::request(system, &edited.dir(), edited.out())
    }
}

fn manifest(system: System, case: &str, change: impl FnOnce(&mut Request)) -> Manifest {
    let edited = Edited::of(case);
    let mut request = request(system, &edited);
    change(&mut request);
    exported(&request).unwrap().manifest().clone()
}

fn refusal(system: System, edited: &Edited, change: impl FnOnce(&mut Request)) -> String {
    let mut request = request(system, edited);
    change(&mut request);
    edited.anonymous(&exported(&request).unwrap_err().to_string())
}

fn edited_config(change: impl FnOnce(&mut Value)) -> String {
    refusal(System::Pi0, &Edited::of("pi0").with_json("config.json", change), |_| {})
}

#[test]
fn cameras_stand_in_the_order_of_their_slots_and_others_are_masked() {
    let manifest = manifest(System::Pi0, "pi0", |_| {});
    let names: Vec<_> = manifest.streams.cameras.iter().map(|camera| camera.name.as_str()).collect();
    assert_eq!(names, ["front", "wrist"]);
    assert_eq!(manifest.actions.network_dim, Some(32));
    assert_eq!((manifest.actions.action_dim, manifest.actions.chunk_size), (7, 10));
    let range = manifest.dims["memory"];
    assert_eq!([range.min, range.max], [2 * 16 + 1 + 1, 2 * 16 + 48 + 1]);
    let other = Edited::of("pi0");
    let said = refusal(System::Pi0, &other, |request| request.cameras.push(camera("head", "head")));
    assert_eq!(said, "`--cameras head`: the model's cameras are base_0_rgb, left_wrist_0_rgb, right_wrist_0_rgb");
}

#[test]
fn the_loop_says_where_noise_is_and_what_the_velocity_means() {
    let manifest = manifest(System::Pi05, "pi05", |request| request.adapter = Some(Adapter::Droid));
    let Some(Stage::Denoise(denoise)) = manifest.plan.last() else { panic!("{:?}", manifest.plan) };
    let rule = serde_json::to_value(&denoise.rule).unwrap();
    let want = json!({"kind": "flow", "t_noise": 1, "target": "noise_minus_data", "grid": "accumulated_fp32"});
    assert_eq!(rule, want);
    assert!(manifest.inputs.iter().any(|input| matches!(input.source, Source::TaskWithState { .. })));
}

#[test]
fn differences_start_from_the_state_as_the_adapter_makes_it() {
    let with = |deltas: &str| {
        let deltas = delta_mask(deltas).unwrap();
        manifest(System::Pi0, "pi0", |request| request.delta_actions = Some(deltas)).actions.steps
    };
    let mask = [true, true, true, true, true, true, false].into();
    let want = [ActionStep::AddState { state: vec![], mask }, ActionStep::KeepFirst { dims: 7 }];
    assert_eq!(with("6,-1"), want);
    assert_eq!(with("-7"), [ActionStep::KeepFirst { dims: 7 }]);
    let said = refusal(System::Pi0, &Edited::of("pi0"), |request| request.delta_actions = Some(vec![true; 8]));
    assert_eq!(said, "`--delta-actions` speaks of 8 dimensions, action and state have 7 in common");
    assert_eq!(
        delta_mask("6,0").unwrap_err().to_string(),
        "delta actions `6,0`: `0` dimensions, wanted 1 to 4096 in all"
    );
}

#[test]
fn the_two_armed_robot_turns_joints_and_grippers_both_ways() {
    let long = |columns: &mut Value| {
        for column in columns.as_object_mut().unwrap().values_mut() {
            *column = (1..=14).map(f64::from).collect::<Vec<_>>().into();
        }
    };
    let edited = Edited::of("pi0").with_json(STATISTICS, |json| {
        long(&mut json["norm_stats"]["state"]);
        long(&mut json["norm_stats"]["actions"]);
    });
    let mut request = request(System::Pi0, &edited);
    request.adapter = Some(Adapter::Aloha);
    let manifest = exported(&request).unwrap().manifest().clone();
    let Some(Source::State { steps }) =
        manifest.inputs.iter().map(|input| &input.source).find(|source| matches!(source, Source::State { .. }))
    else {
        panic!("no state");
    };
    assert_eq!(steps[1], StateStep::CrankAngle { dims: vec![6, 13], crank: 0.022, rod: 0.036 });
    let Some(ActionStep::Affine { scale, offset }) = manifest.actions.steps.last() else { panic!("no affine") };
    assert_eq!(scale[..6], [1.0, -1.0, -1.0, 1.0, 1.0, 1.0]);
    // (v + 0.5476 + 0.6213) / (1.4910 + 0.6213) at v = 0.25
    assert!((0.25 * scale[13] + offset[13] - 0.671_732_235_004_497_3).abs() < 1e-12);
}

#[test]
fn stacks_that_do_not_fit_each_other_are_refused() {
    let cases = [
        ("depth", 3, "`depth` of the action expert: got 3, wanted 4: ROOT/checkpoint/config.json"),
        ("num_heads", 4, "`num_heads` of the action expert: got 4, wanted 8: ROOT/checkpoint/config.json"),
        ("num_kv_heads", 2, "`num_kv_heads` of the action expert: got 2, wanted 1: ROOT/checkpoint/config.json"),
        ("head_dim", 4, "`head_dim` of the action expert: got 4, wanted 8: ROOT/checkpoint/config.json"),
    ];
    for (field, value, want) in cases {
        assert_eq!(edited_config(|config| config["action_expert_config"][field] = json!(value)), want);
    }
    let said = edited_config(|config| config["pi05"] = json!(true));
    assert_eq!(said, "`pi05`: got true, wanted false: ROOT/checkpoint/config.json");
}

#[test]
fn statistics_that_are_missing_or_too_short_are_refused() {
    let without = Edited::of("pi0").with_json(STATISTICS, |json| {
        json["norm_stats"].as_object_mut().unwrap().remove("actions");
    });
    let said = refusal(System::Pi0, &without, |_| {});
    assert!(said.contains("missing field `actions`"), "{said}");
    let short = Edited::of("pi0").with_json(STATISTICS, |json| {
        for column in json["norm_stats"]["state"].as_object_mut().unwrap().values_mut() {
            column.as_array_mut().unwrap().truncate(5);
        }
    });
    let want = format!("statistics of the state: got 5, wanted at least 8: ROOT/checkpoint/{STATISTICS}");
    assert_eq!(refusal(System::Pi0, &short, |_| {}), want);
    let other = refusal(System::Pi0, &Edited::of("pi0"), |request| request.unnorm_key = Some("droid".to_owned()));
    let want = "statistics: got no key `droid`, but `physical-intelligence/libero`: ROOT/checkpoint/assets";
    assert_eq!(other, want);
    let lerobot = Edited::of("smolvla").without_file("policy_postprocessor.json");
    let said = refusal(System::Smolvla, &lerobot, |_| {});
    assert!(said.starts_with("cannot read policy_postprocessor.json"), "{said}");
}

#[test]
fn what_no_checkpoint_says_must_be_said() {
    let said = refusal(System::Pi0, &Edited::of("pi0"), |request| {
        request.adapter = None;
        request.denoise_steps = None;
    });
    let lacks = |flag: &str| format!("`{flag}` is missing, and the checkpoint does not say it");
    assert_eq!(said, format!("{}; {}", lacks("--adapter"), lacks("--denoise-steps")));
}

#[test]
fn a_camera_that_the_policy_cannot_miss_is_asked_for() {
    let said = refusal(System::Smolvla, &Edited::of("smolvla"), |request| {
        request.cameras.pop();
    });
    let want = "`--cameras` lacks `observation.images.wrist`, the policy was trained with 0 absent cameras at most";
    assert_eq!(said, want);
}

#[test]
fn a_picture_token_outside_the_vocabulary_is_refused() {
    let edited = Edited::of("smolvla")
        .with_json("config.json", |config| config["add_image_special_tokens"] = json!(true))
        .with_json("vlm/tokenizer.json", |tokenizer| tokenizer["added_tokens"][3]["id"] = json!(519));
    let want = "id of `fake_image_token`: got 519, wanted less than the 519 embedding rows: \
                ROOT/checkpoint/vlm/tokenizer.json";
    assert_eq!(refusal(System::Smolvla, &edited, |_| {}), want);
    let small = refusal(
        System::Pi0,
        &Edited::of("pi0").with_json("config.json", |config| config["vocab_size"] = json!(900)),
        |_| {},
    );
    assert!(small.starts_with("largest token id: got "), "{small}");
}

//! Steps that change how wide a state or an action is, and texts that hold a state.

use serde_json::{Value, json};

use super::{found, found_in_picture_step, found_in_steps};

#[test]
fn every_state_step_is_as_wide_as_the_one_before_leaves_it() {
    let pad = json!({"op": "pad", "width": 4});
    let affine = json!({"op": "affine", "scale": [1, 1, 1, 1], "offset": [0, 0, 0, 0]});
    assert_eq!(found_in_steps(1, json!([pad, affine])), [""; 0]);
    let cases = [
        (json!([affine]), "affine scale has 4 values, wanted 2"),
        (
            json!([pad, {"op": "standardize", "mean": [1, 2], "std": [1, 2, 3, 4], "eps": 0}]),
            "standardize mean has 2 values, wanted 4",
        ),
        (json!([{"op": "pad", "width": 1}]), "pad 2 values to 1, wanted 2 to 4096"),
        (json!([{"op": "pad", "width": 5000}]), "pad 2 values to 5000, wanted 2 to 4096"),
        (
            json!([{"op": "crank_angle", "dims": [0, 2], "crank": 1, "rod": 1}]),
            "crank_angle of dimension 2, the state has 2",
        ),
        (
            json!([{"op": "crank_angle", "dims": [], "crank": 0, "rod": 1}]),
            "crank_angle of lengths 0 and 1, wanted numbers above 0",
        ),
    ];
    for (steps, reason) in cases {
        assert_eq!(found_in_steps(1, steps).first(), Some(&format!("input `state`: {reason}")));
    }
}

#[test]
fn frames_that_pictures_are_fitted_into_have_a_size_and_numbers() {
    let fit = |height: u32| {
        let fill = [0, 0, 0];
        json!({"op": "resize_with_pad", "height": height, "width": 3, "kernel": "bilinear_pil", "border": "around", "fill": fill})
    };
    assert_eq!(found_in_picture_step(&fit(2)), [""; 0]);
    assert_eq!(found_in_picture_step(&fit(0)), ["input `pixels`: resize_with_pad to 0 pixels, wanted 1 to 4096"]);
    let interpolate = |fill: f64, std: f64| {
        let std = [1.0, std, 1.0];
        found_in_steps(
            0,
            json!([{
                "op": "interpolate_with_pad", "height": 2, "width": 3, "border": "left_top", "fill": fill,
                "mean": [0, 0, 0], "std": std
            }]),
        )
    };
    assert_eq!(interpolate(0.5, 1.0), [""; 0]);
    assert_eq!(interpolate(1.5, 1.0), ["input `pixels`: interpolate_with_pad fill is 1.5, wanted 0 to 1"]);
    let message = "input `pixels`: interpolate_with_pad std [1.0, 0.0, 1.0] must be numbers other than 0";
    assert_eq!(interpolate(0.5, 0.0), [message]);
}

#[test]
fn a_state_in_a_text_needs_a_place_and_bins() {
    let said = |template: &str, low: f64, count: u32| {
        found(|manifest| {
            manifest["plan"][0]["every"] = json!("observation");
            manifest["inputs"][2]["source"] = json!({
                "from": "task_with_state",
                "state": {"steps": [], "low": low, "high": 1.0, "count": count},
                "steps": [
                    {"op": "prompt", "template": template},
                    {"op": "tokenize", "file": "tokenizer.json", "special_tokens": false}
                ]
            });
        })
    };
    assert_eq!(said("{task}: {state}", -1.0, 256), [""; 0]);
    assert_eq!(said("{task}", -1.0, 256), ["input `ids`: the prompt template must hold {state} 1 times"]);
    assert_eq!(said("{task}: {state}", 1.0, 256), ["input `ids`: 256 bins from 1 to 1 are none"]);
    assert_eq!(said("{task}: {state}", -1.0, 0), ["input `ids`: 0 bins from -1 to 1 are none"]);
    let steps = json!([
        {"op": "prompt", "template": "{task}: {state}"},
        {"op": "tokenize", "file": "tokenizer.json", "special_tokens": false}
    ]);
    assert_eq!(found_in_steps(2, steps), ["input `ids`: the prompt template must hold {state} 0 times"]);
}

#[test]
fn action_steps_lead_from_the_networks_width_to_the_actions() {
    let said = |steps: Value| {
        found(|manifest| {
            manifest["actions"]["network_dim"] = json!(5);
            manifest["graphs"]["body"]["outputs"][0]["dims"][1] = json!(5);
            manifest["actions"]["unnormalize"] = json!({"kind": "identity"});
            manifest["actions"]["steps"] = steps;
        })
    };
    let keep = json!({"op": "keep_first", "dims": 3});
    assert_eq!(said(json!([keep])), [""; 0]);
    assert_eq!(said(json!([])), ["actions: the steps make 5 values, action_dim is 3"]);
    assert_eq!(said(json!([{"op": "keep_first", "dims": 6}, keep])), ["actions: keep_first 6 of 5 values"]);
    let add = |mask: &[bool]| said(json!([{"op": "add_state", "state": [], "mask": mask}, keep]));
    assert_eq!(add(&[true, false]), [""; 0]);
    let message = "actions: add_state mask has 3 values, actions have 5, the state 2";
    assert_eq!(add(&[true, false, false]), [message]);
}

#[test]
fn a_token_that_stands_for_several_becomes_at_least_one() {
    let found = |count: u32| {
        let tokenize = json!({"op": "tokenize", "file": "tokenizer.json", "special_tokens": true});
        found_in_steps(2, json!([tokenize, {"op": "expand_token", "id": 7, "at": 1, "count": count}]))
    };
    assert_eq!(found(16), [""; 0]);
    assert_eq!(found(0), ["input `ids`: step 1 makes 0 tokens of one, wanted 1 to 1048576"]);
    let before = json!({"op": "expand_token", "id": 7, "at": 1, "count": 2});
    let tokenize = json!({"op": "tokenize", "file": "tokenizer.json", "special_tokens": true});
    let message = "input `ids`: step 0 has no effect on its side of tokenize";
    assert_eq!(found_in_steps(2, json!([before, tokenize])), [message]);
}

#[test]
fn steps_before_un_normalising_fit_the_networks_output() {
    let found = |step: Value| found(|manifest| manifest["actions"]["before"] = json!([step]));
    assert_eq!(found(json!({"op": "clip", "low": -1, "high": 1})), [""; 0]);
    assert_eq!(
        found(json!({"op": "clip", "low": 1, "high": -1})),
        ["actions: clip from 1 to -1, wanted the smaller number first"]
    );
    assert_eq!(
        found(json!({"op": "threshold", "dim": 3, "at": 0.5})),
        ["actions: threshold at 0.5 of dimension 3, actions have 3"]
    );
}

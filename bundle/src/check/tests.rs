//! Every contradiction in its exact words, on a small manifest in which one thing at a time is changed.

mod loops;
mod steps;

use serde_json::{Value, json};

use super::problems;
use crate::Manifest;

/// One camera of 3x2 pixels, two state values, one instruction; graph `text` makes `word`, graph `body` the actions.
const TINY: &str = include_str!("../../../tests/data/bundles/tiny/manifest.json");

fn found(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut manifest = serde_json::from_str(TINY).unwrap();
    change(&mut manifest);
    problems(&serde_json::from_value::<Manifest>(manifest).unwrap())
}

/// What is found where the steps of input `index` (0 pixels, 1 state, 2 ids) are `steps`.
fn found_in_steps(index: usize, steps: Value) -> Vec<String> {
    found(|manifest| manifest["inputs"][index]["source"]["steps"] = steps)
}

/// What is found where one picture step stands before the normalisation.
fn found_in_picture_step(step: &Value) -> Vec<String> {
    found_in_steps(0, json!([step, {"op": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.25, 0.125]}]))
}

#[test]
fn a_manifest_that_fits_together_has_no_problem() {
    assert_eq!(found(|_| {}), [""; 0]);
}

#[test]
fn a_file_name_that_leaves_the_folder_is_refused() {
    for name in ["", ".", "..", "../body.onnx", "/etc/passwd", "a/b", "a\\b"] {
        let said = found(|manifest| manifest["files"][name] = json!({"bytes": 1, "sha256": "0"}));
        assert_eq!(said, [format!("file `{name}`: a file of a bundle is a plain name inside its folder")]);
    }
}

#[test]
fn a_file_that_is_used_but_not_listed_is_named_with_its_user() {
    let said = found(|manifest| {
        manifest["files"] = json!({});
        manifest["graphs"]["body"]["weights"] = json!("body.weights");
        manifest["golden"] = json!({"file": "golden.safetensors", "kind": "regression", "task": "pick"});
    });
    assert_eq!(
        said,
        [
            "graph `body` names file `body.onnx`, which `files` does not list",
            "graph `body` names file `body.weights`, which `files` does not list",
            "graph `text` names file `text.onnx`, which `files` does not list",
            "input `ids` names file `tokenizer.json`, which `files` does not list",
            "golden names file `golden.safetensors`, which `files` does not list",
        ]
    );
}

#[test]
fn cameras_have_names_of_their_own_and_there_is_one() {
    let camera = json!({"name": "front", "orientation": "as_trained"});
    assert_eq!(
        found(|manifest| manifest["streams"]["cameras"] = json!([camera, camera])),
        ["camera `front` is listed twice"]
    );
    assert_eq!(
        found(|manifest| manifest["streams"]["cameras"] = json!([])),
        ["no camera: the first camera is the anchor of every observation"]
    );
}

#[test]
fn intrinsics_are_those_of_a_plain_picture_tensor_and_a_stream() {
    let with = |of: &str, change: fn(&mut Value)| {
        found(|manifest| {
            manifest["streams"]["intrinsics"] = json!("pinhole");
            let inputs = manifest["inputs"].as_array_mut().unwrap();
            inputs.push(json!({"tensor": "k", "source": {"from": "intrinsics", "of": of}}));
            change(manifest);
        })
    };
    assert_eq!(with("pixels", |_| {}), [""; 0]);
    assert_eq!(
        with("pixels", |manifest| manifest["streams"]["intrinsics"] = json!(null)),
        ["input `k` is made from the cameras' intrinsics, but `streams` has none"]
    );
    for other in ["state", "k", "depth"] {
        assert_eq!(
            with(other, |_| {}),
            [format!("input `k`: intrinsics of `{other}`, which is not made from the cameras")]
        );
    }
    let stacked = with("pixels", |manifest| {
        let steps = manifest["inputs"][0]["source"]["steps"].take();
        manifest["inputs"][0]["source"]["steps"] = json!([{"op": "stack_channels", "branches": [steps]}]);
    });
    assert_eq!(stacked, ["input `k`: the branches of `pixels` may show different pixels, wanted plain steps"]);
}

#[test]
fn picture_steps_that_cannot_run_are_refused() {
    let cases = [
        (json!({"op": "center_crop", "area": 0.0}), "center_crop area is 0, wanted (0, 1]"),
        (json!({"op": "center_crop", "area": 1.5}), "center_crop area is 1.5, wanted (0, 1]"),
        (
            json!({"op": "jpeg_roundtrip", "quality": 0, "subsampling": "4:2:0", "idct": "fast"}),
            "jpeg_roundtrip quality is 0, wanted 1 to 100",
        ),
        (
            json!({"op": "jpeg_roundtrip", "quality": 101, "subsampling": "4:2:0", "idct": "fast"}),
            "jpeg_roundtrip quality is 101, wanted 1 to 100",
        ),
        (
            json!({"op": "resize", "height": 3, "width": 4097, "kernel": "bicubic_pil"}),
            "resize to 4097 pixels, wanted 1 to 4096",
        ),
        (
            json!({"op": "resize_short_side", "size": 0, "kernel": "bicubic_pil"}),
            "resize_short_side to 0 pixels, wanted 1 to 4096",
        ),
        (
            json!({"op": "crop_pixels", "height": 4_294_967_295_u32, "width": 2}),
            "crop_pixels to 4294967295 pixels, wanted 1 to 4096",
        ),
        (
            json!({"op": "unless_size", "height": 5, "width": 0, "steps": []}),
            "unless_size to 0 pixels, wanted 1 to 4096",
        ),
        (
            json!({"op": "unless_size", "height": 5, "width": 6, "steps": [{"op": "stack_channels", "branches": []}]}),
            "unless_size may hold only steps from picture to picture",
        ),
        (
            json!({"op": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}),
            "step 0 yields f32, no step may follow it",
        ),
    ];
    for (step, reason) in cases {
        let said = found_in_picture_step(&step);
        assert_eq!(said.first(), Some(&format!("input `pixels`: {reason}")), "{step}");
    }
}

#[test]
fn steps_inside_other_steps_are_looked_at_too() {
    let crop = json!({"op": "center_crop", "area": 2.0});
    let normalize = json!({"op": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.0, 0.5]});
    let inside = json!({"op": "unless_size", "height": 5, "width": 6, "steps": [crop]});
    assert_eq!(found_in_picture_step(&inside), ["input `pixels`: center_crop area is 2, wanted (0, 1]"]);
    let branches = json!([{"op": "stack_channels", "branches": [[normalize], [crop]]}]);
    assert_eq!(
        found_in_steps(0, branches),
        [
            "input `pixels`: normalize std [0.5, 0.0, 0.5] must be numbers other than 0",
            "input `pixels`: the last image step must be `normalize`, `interpolate_with_pad` or `stack_channels`",
            "input `pixels`: center_crop area is 2, wanted (0, 1]",
        ]
    );
}

#[test]
fn pictures_must_become_numbers() {
    let last = "input `pixels`: the last image step must be `normalize`, `interpolate_with_pad` or `stack_channels`";
    assert_eq!(found_in_steps(0, json!([])), [last]);
    assert_eq!(found_in_steps(0, json!([{"op": "letterbox", "fill": [1, 2, 3]}])), [last]);
    let empty = json!([{"op": "stack_channels", "branches": []}]);
    assert_eq!(found_in_steps(0, empty), ["input `pixels`: stack_channels without branches"]);
}

#[test]
fn state_steps_have_a_number_per_dimension_and_the_smaller_one_first() {
    let range = |low: Value, high: Value| {
        found_in_steps(1, json!([{"op": "normalize_range", "low": low, "high": high, "eps": 0.0}]))
    };
    assert_eq!(range(json!([0.5]), json!([1, 2])), ["input `state`: normalize_range low has 1 values, wanted 2"]);
    assert_eq!(
        range(json!([0.5, 1]), json!([1, 2, 3])),
        ["input `state`: normalize_range high has 3 values, wanted 2"]
    );
    assert_eq!(
        range(json!([0.5, 3]), json!([1, 2])),
        ["input `state`: normalize_range dimension 1: low is 3, above high 2"]
    );
    assert_eq!(
        found_in_steps(1, json!([{"op": "clip", "low": 1.0, "high": -1.0}])),
        ["input `state`: clip from 1 to -1, wanted the smaller number first"]
    );
    assert_eq!(
        found(|manifest| manifest["streams"]["state"] = json!(null)),
        ["input `state` is made from the state, but `streams` has none"]
    );
}

#[test]
fn an_instruction_goes_through_one_template_and_one_tokenizer_in_this_order() {
    let ids = json!({"op": "tokenize", "file": "tokenizer.json", "special_tokens": false});
    let prompt = |template: &str| json!({"op": "prompt", "template": template});
    let last = json!({"op": "ensure_last_token", "id": 3});
    let said = |steps: Value| found_in_steps(2, steps);
    assert_eq!(said(json!([prompt("{task}?")])), ["input `ids`: 0 tokenize steps, wanted exactly one"]);
    assert_eq!(
        said(json!([ids, ids])),
        [
            "input `ids`: 2 tokenize steps, wanted exactly one",
            "input `ids`: step 1 has no effect on its side of tokenize"
        ]
    );
    for template in ["go", "{task} and {task}"] {
        let reason = "input `ids`: the prompt template must hold {task} exactly once";
        assert_eq!(said(json!([prompt(template), ids])), [reason]);
    }
    assert_eq!(
        said(json!([last, ids, {"op": "lowercase"}])),
        [
            "input `ids`: step 0 has no effect on its side of tokenize",
            "input `ids`: step 2 has no effect on its side of tokenize",
        ]
    );
    assert_eq!(said(json!([prompt("{task}?"), ids, last])), [""; 0]);
}

#[test]
fn a_constant_has_values_and_a_tensor_is_made_once() {
    let constant = |tensor: &str, values: Value| {
        found(|manifest| {
            let input = json!({"tensor": tensor, "source": {"from": "constant", "values": values}});
            manifest["inputs"].as_array_mut().unwrap().push(input);
        })
    };
    assert_eq!(constant("offset", json!([-1])), [""; 0]);
    assert_eq!(constant("offset", json!([])), ["input `offset`: constant without values"]);
    assert_eq!(constant("state", json!([7])), ["tensor `state` is made twice"]);
    assert_eq!(constant("word", json!([7])), ["tensor `word` is made twice"]);
}

#[test]
fn a_graph_takes_only_what_was_made_before_it() {
    let said = found(|manifest| manifest["graphs"]["body"]["inputs"][2]["name"] = json!("words"));
    assert_eq!(said, ["graph `body` takes tensor `words`, which nothing before it makes"]);
    let said = found(|manifest| manifest["plan"].as_array_mut().unwrap().swap(0, 1));
    assert_eq!(said, ["graph `body` takes tensor `word`, which nothing before it makes"]);
    let said = found(|manifest| manifest["plan"][0]["graph"] = json!("tex"));
    assert_eq!(
        said,
        [
            "plan runs graph `tex`, which `graphs` does not list",
            "graph `body` takes tensor `word`, which nothing before it makes",
        ]
    );
}

#[test]
fn a_graph_that_runs_per_instruction_takes_nothing_of_an_observation() {
    assert_eq!(
        found(|manifest| manifest["plan"][1]["every"] = json!("instruction")),
        [
            "graph `body` runs per instruction, but its input `pixels` changes per observation",
            "graph `body` runs per instruction, but its input `state` changes per observation",
        ]
    );
    let offset = |from: Value| {
        found(|manifest| {
            manifest["inputs"][1]["source"] = from;
            manifest["plan"][0]["every"] = json!("observation");
            manifest["plan"][1]["every"] = json!("instruction");
        })
    };
    // A constant is as old as the instruction, but what a graph makes per observation is not.
    assert_eq!(
        offset(json!({"from": "constant", "values": [3, 4]})),
        [
            "graph `body` runs per instruction, but its input `pixels` changes per observation",
            "graph `body` runs per instruction, but its input `word` changes per observation",
        ]
    );
}

#[test]
fn a_tensor_has_one_type_and_shape_on_both_sides() {
    let wants = |field: &str, value: Value| found(|manifest| manifest["graphs"]["body"]["inputs"][2][field] = value);
    let reason = |wants: &str| format!("graph `body` input `word`: wants {wants}, the plan makes fp32 [1, tokens, 1]");
    assert_eq!(wants("dtype", json!("int64")), [reason("int64 [1, tokens, 1]")]);
    assert_eq!(wants("dims", json!([1, "tokens"])), [reason("fp32 [1, tokens]")]);
    assert_eq!(wants("dims", json!([1, "tokens", 2])), [reason("fp32 [1, tokens, 2]")]);
    assert_eq!(wants("dims", json!([1, 5, 1])), [""; 0], "a length that varies may be a fixed one");
}

#[test]
fn a_length_that_varies_has_a_range_in_order() {
    assert_eq!(
        found(|manifest| manifest["graphs"]["text"]["outputs"][0]["dims"][1] = json!("words")),
        ["graph `text` tensor `word`: dimension `words` has no range in `dims`"]
    );
    for (min, opt, max) in [(0, 3, 20), (4, 3, 20), (2, 21, 20)] {
        let said = found(|manifest| manifest["dims"]["tokens"] = json!({"min": min, "opt": opt, "max": max}));
        let reason = format!("dimension `tokens`: min {min}, opt {opt}, max {max} are not in order");
        // The two graphs name it three times.
        assert_eq!(said, vec![reason; 3]);
    }
}

#[test]
fn the_plan_makes_the_actions_as_fp32_of_their_size() {
    let output = |field: &str, value: Value| found(|manifest| manifest["graphs"]["body"]["outputs"][0][field] = value);
    assert_eq!(output("dtype", json!("fp16")), ["action tensor `actions`: got fp16 [2, 3], wanted fp32 [2, 3]"]);
    assert_eq!(output("dims", json!([3, 2])), ["action tensor `actions`: got fp32 [3, 2], wanted fp32 [2, 3]"]);
    for (tensor, what) in [("state", "an input"), ("nothing", "nobody's")] {
        let said = found(|manifest| manifest["actions"]["tensor"] = json!(tensor));
        assert_eq!(said, [format!("action tensor `{tensor}` is made by no graph of the plan")], "{what}");
    }
    for kept in ["word", "state", "nothing"] {
        let said = found(|manifest| manifest["actions"]["kept_tokens"] = json!(kept));
        assert_eq!(said, [format!("kept-token mask `{kept}` is not a bool tensor that the plan makes")]);
    }
}

#[test]
fn a_chunk_has_steps_and_values_within_reason() {
    let said = |field: &str, value: u64| found(|manifest| manifest["actions"][field] = json!(value))[1].clone();
    assert_eq!(said("chunk_size", 0), "actions: chunk_size is 0, wanted 1 to 4096");
    assert_eq!(said("chunk_size", u64::MAX), "actions: chunk_size is 18446744073709551615, wanted 1 to 4096");
    assert_eq!(said("action_dim", 4097), "actions: action_dim is 4097, wanted 1 to 4096");
}

#[test]
fn bounds_of_actions_are_as_many_as_the_actions_and_the_right_way_round() {
    let said = |field: &str, value: Value| found(|manifest| manifest["actions"]["unnormalize"][field] = value);
    assert_eq!(said("low", json!([-1, 0])), ["actions: unnormalize low has 2 values, wanted 3"]);
    assert_eq!(said("high", json!([1, 4, 1, 1])), ["actions: unnormalize high has 4 values, wanted 3"]);
    assert_eq!(said("mask", json!([true])), ["actions: unnormalize mask has 1 values, wanted 3"]);
    assert_eq!(said("low", json!([-1, 4.5, 0])), ["actions: unnormalize dimension 1: low is 4.5, above high 4"]);
}

#[test]
fn a_number_that_is_none_is_refused_where_json_could_not_hold_it() {
    let mut manifest: Manifest = serde_json::from_str(TINY).unwrap();
    if let crate::Unnormalize::MinMax { low, high, .. } = &mut manifest.actions.unnormalize {
        (low[0], high[2]) = (f64::NEG_INFINITY, f64::NAN);
    }
    if let crate::Source::State { steps } = &mut manifest.inputs[1].source {
        steps.push(crate::StateStep::Clip { low: f64::NAN, high: 1.0 });
    }
    assert_eq!(
        problems(&manifest),
        [
            "input `state`: clip from NaN to 1, wanted the smaller number first",
            "actions: unnormalize low holds a value that is not finite",
            "actions: unnormalize high holds a value that is not finite",
        ]
    );
}

#[test]
fn io_names_as_many_dimensions_as_there_are() {
    let joint = |name: &str| json!({"name": name, "unit": "rad", "kind": "joint_position"});
    let said = found(|manifest| {
        manifest["io"] = json!({"rate_hz": 5, "actions": [joint("a"), joint("b")],
            "state": [{"name": "a", "unit": "rad", "source": "joint_position"}]});
    });
    assert_eq!(
        said,
        ["io names 2 action dimensions, the policy has 3", "io names 1 state dimensions, the policy takes 2"]
    );
}

//! Contradictions of loops. In the tiny manifest `body` makes `actions` [2, 3]; here a loop over it follows.

use serde_json::{Value, json};

use super::found;

fn spec(name: &str, dtype: &str, dims: &Value) -> Value {
    json!({"name": name, "dtype": dtype, "dims": dims})
}

/// What is found where a denoising of `[2, 3]` with a velocity of `x`, `t` and `actions` is changed.
fn found_in_denoise(change: impl FnOnce(&mut Value, &mut Value)) -> Vec<String> {
    found(|manifest| {
        let mut graph = json!({
            "file": "body.onnx", "weights": null,
            "inputs": [spec("x", "fp32", &json!([2, 3])), spec("t", "fp32", &json!([1])),
                spec("actions", "fp32", &json!([2, 3]))],
            "outputs": [spec("v", "fp32", &json!([2, 3]))],
        });
        let mut stage = json!({
            "stage": "denoise", "body": ["velocity"], "noise": {"tensor": "noise", "dtype": "fp32"}, "sample": "x",
            "times": [{"tensor": "t", "encoding": {"kind": "scalar"}}], "prediction": "v", "result": "denoised",
            "steps": 10,
            "rule": {"kind": "flow", "t_noise": 1, "target": "noise_minus_data", "grid": "accumulated_fp32"},
        });
        change(&mut stage, &mut graph);
        manifest["graphs"]["velocity"] = graph;
        manifest["plan"].as_array_mut().unwrap().push(stage);
        manifest["actions"]["tensor"] = json!("denoised");
    })
}

#[test]
fn a_denoising_whose_parts_fit_has_no_problem() {
    assert_eq!(found_in_denoise(|_, _| {}), [""; 0]);
}

#[test]
fn a_target_that_contradicts_the_direction_of_time_is_refused() {
    let said = |t_noise: u8, target: &str| {
        found_in_denoise(|stage, _| {
            stage["rule"]["t_noise"] = json!(t_noise);
            stage["rule"]["target"] = json!(target);
        })
    };
    let words = |target: &str, t: u8| [format!("denoise: target {target} belongs to t_noise {t}, got the other one")];
    assert_eq!(said(0, "noise_minus_data"), words("noise_minus_data", 1));
    assert_eq!(said(1, "data_minus_noise"), words("data_minus_noise", 0));
    assert_eq!(said(0, "data_minus_noise"), [""; 0]);
    assert_eq!(said(2, "data_minus_noise"), ["denoise: t_noise is 2, wanted 0 or 1"]);
}

#[test]
fn steps_stay_within_what_the_rule_takes() {
    let said = |steps: u64| found_in_denoise(|stage, _| stage["steps"] = json!(steps));
    assert_eq!(said(0), ["denoise: steps is 0, the rule takes 1 to 1000"]);
    assert_eq!(said(1001), ["denoise: steps is 1001, the rule takes 1 to 1000"]);
    let said = found_in_denoise(|stage, _| {
        stage["rule"] = json!({"kind": "ddim", "alphas_cumprod": [0.9, 0.5, 0.25], "clip_sample": 1.0});
        stage["steps"] = json!(4);
    });
    assert_eq!(said, ["denoise: steps is 4, the rule takes 1 to 3"]);
}

#[test]
fn the_variances_of_a_diffusion_fall_from_below_one_to_above_zero() {
    for alphas in [json!([]), json!([0.5, 0.5]), json!([1.0, 0.5]), json!([0.5, 0.0])] {
        let said = found_in_denoise(|stage, _| {
            stage["rule"] = json!({"kind": "ddim", "alphas_cumprod": alphas, "clip_sample": null});
            stage["steps"] = json!(1);
        });
        assert_eq!(said[0], "denoise: alphas_cumprod must fall from below 1 to above 0");
    }
    let said = found_in_denoise(|stage, _| {
        stage["rule"] = json!({"kind": "ddim", "alphas_cumprod": [0.5], "clip_sample": 0.0});
        stage["steps"] = json!(1);
    });
    assert_eq!(said, ["denoise: clip_sample is 0, wanted a number above 0"]);
}

#[test]
fn sample_and_prediction_are_one_shape_of_fixed_lengths() {
    assert_eq!(
        found_in_denoise(|_, graph| graph["outputs"][0]["dims"] = json!([3, 2])),
        ["denoise: prediction `v` is fp32 [3, 2], wanted the sample's fp32 [2, 3]"]
    );
    assert_eq!(
        found_in_denoise(|stage, _| stage["prediction"] = json!("w")),
        ["denoise: prediction `w` is made by no graph of the body"]
    );
    let said = found_in_denoise(|stage, graph| {
        stage["sample"] = json!("y");
        graph["inputs"][0] = spec("actions", "fp32", &json!([2, 3]));
    });
    assert_eq!(said[0], "denoise: no graph of the body takes the sample `y`");
    let said = found_in_denoise(|_, graph| graph["inputs"][0]["dims"] = json!([2, "tokens"]));
    assert_eq!(said[0], "denoise: sample `x` is fp32 [2, tokens], wanted fp32 of fixed lengths");
}

#[test]
fn a_time_is_what_the_body_takes() {
    let said = |encoding: Value| found_in_denoise(|stage, _| stage["times"][0]["encoding"] = encoding);
    assert_eq!(
        said(json!({"kind": "bucket", "buckets": 1000})),
        ["graph `velocity` input `t`: wants fp32 [1], the plan makes int64 [1]"]
    );
    assert_eq!(
        said(json!({"kind": "bucket", "buckets": null}))[0],
        "denoise: time `t`: the times of a flow are no whole numbers without buckets"
    );
    let periods = |width: u64, min: f64, max: f64| json!({"kind": "period_sinusoid", "width": width, "min_period": min, "max_period": max, "order": "sin_cos"});
    assert_eq!(said(periods(8, 4.0, 0.004))[0], "denoise: time `t`: periods from 4 to 0.004, wanted 0 < min < max");
    assert_eq!(said(periods(7, 0.004, 4.0))[0], "denoise: time `t`: width is 7, wanted an even number from 4 to 65536");
    let theta = json!({
        "kind": "theta_sinusoid", "width": 8, "theta": 1.0, "denominator": "half", "order": "cos_sin", "buckets": null
    });
    assert_eq!(said(theta)[0], "denoise: time `t`: theta is 1, wanted a number above 1");
}

#[test]
fn what_a_body_makes_stays_in_the_loop() {
    let said = found_in_denoise(|stage, _| stage["result"] = json!("actions"));
    assert_eq!(said[0], "tensor `actions` is made twice");
    let said = found(|manifest| {
        manifest["plan"].as_array_mut().unwrap().push(json!(
            {"stage": "run", "graph": "body", "every": "observation"}
        ))
    });
    assert_eq!(said[0], "plan runs graph `body` in two places");
}

/// What is found where a loop that writes tokens is changed: `next` takes `token` and makes `token_next`.
fn found_in_autoregress(change: impl FnOnce(&mut Value, &mut Value)) -> Vec<String> {
    found(|manifest| {
        let mut graph = json!({
            "file": "body.onnx", "weights": null,
            "inputs": [spec("token", "int64", &json!([1]))],
            "outputs": [spec("token_next", "int64", &json!([1]))],
        });
        let mut stage = json!({
            "stage": "autoregress", "body": ["next"], "first_token": "token_first", "token": "token_next",
            "carry": [{"tensor": "token", "first": "token_first", "next": "token_next"}],
            "count": 7, "end": 2, "result": "tokens_all",
        });
        change(&mut stage, &mut graph);
        manifest["graphs"]["next"] = graph;
        manifest["graphs"]["body"]["outputs"].as_array_mut().unwrap().push(spec(
            "token_first",
            "int64",
            &json!([1, 1]),
        ));
        manifest["plan"].as_array_mut().unwrap().push(stage);
    })
}

#[test]
fn a_loop_over_tokens_hands_on_what_it_makes() {
    // The first token is [1, 1], the body takes [1].
    let shape = "graph `next` input `token`: wants int64 [1], the plan makes int64 [1, 1]";
    assert_eq!(found_in_autoregress(|_, _| {}), [shape]);
    let fits = |graph: &mut Value| graph["inputs"][0]["dims"] = json!([1, 1]);
    let said = found_in_autoregress(|_, graph| {
        fits(graph);
        graph["outputs"][0]["dims"] = json!([1, 1]);
    });
    assert_eq!(said, [""; 0]);
    let said = found_in_autoregress(|stage, graph| {
        fits(graph);
        graph["outputs"][0] = spec("token_next", "fp32", &json!([1, 1]));
        stage["count"] = json!(1);
    });
    assert_eq!(
        said,
        [
            "autoregress: count is 1, wanted 2 to 4096",
            "autoregress: token `token_next` is fp32 [1, 1], wanted one value of int64",
            "graph `autoregress` input `token`: wants int64 [1, 1], the plan makes fp32 [1, 1]",
        ]
    );
    let said = found_in_autoregress(|stage, graph| {
        fits(graph);
        graph["outputs"][0]["dims"] = json!([1, 1]);
        stage["carry"][0]["first"] = json!("nothing");
        stage["carry"][0]["next"] = json!("nowhere");
    });
    assert_eq!(
        said,
        [
            "autoregress: `token` starts as `nothing`, which nothing before it makes",
            "graph `next` takes tensor `token`, which nothing before it makes",
            "autoregress: `token` goes on as `nowhere`, which no graph of the body makes",
        ]
    );
}

#[test]
fn a_tensor_is_handed_on_under_one_name() {
    let said = found_in_autoregress(|stage, graph| {
        graph["inputs"] = json!([spec("token", "int64", &json!([1, 1])), spec("again", "int64", &json!([1, 1]))]);
        graph["outputs"][0]["dims"] = json!([1, 1]);
        let twice = json!({"tensor": "again", "first": "token_first", "next": "token_next"});
        stage["carry"].as_array_mut().unwrap().push(twice);
    });
    assert_eq!(said, ["autoregress: `token_next` goes on under two names"]);
}

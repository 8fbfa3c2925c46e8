//! Low-rank adapters merged into the weights they belong to; expected values are hand sums.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use onnx_export::checkpoint::{CheckpointError, Weights};
use serde_json::json;

/// Shape and numbers of a tensor.
type Numbers<'a> = (&'a [u64], &'a [f32]);

/// `W` of the layer, A and B of rank 2.
const LAYER: Numbers = (&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
const A: Numbers = (&[2, 3], &[1.0, 0.0, 2.0, 0.0, -1.0, 1.0]);
const B: Numbers = (&[2, 2], &[1.0, 2.0, 3.0, -1.0]);
/// B A = [[1, -2, 4], [3, 1, 5]]; W + 3/2 of it.
const MERGED: [f32; 6] = [2.5, -1.0, 9.0, 8.5, 6.5, 13.5];

/// A checkpoint folder of these f32 tensors, and the adapter's configuration where there is one.
fn folder(tensors: &[(&str, Numbers)], config: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut header = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, (shape, values)) in tensors {
        let begin = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        header.insert((*name).to_owned(), json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]}));
    }
    let header = serde_json::to_vec(&header).unwrap();
    let file = [&(header.len() as u64).to_le_bytes(), header.as_slice(), data.as_slice()].concat();
    std::fs::write(dir.path().join("model.safetensors"), file).unwrap();
    if let Some(config) = config {
        std::fs::create_dir(dir.path().join("lora_adapter")).unwrap();
        std::fs::write(dir.path().join("lora_adapter/adapter_config.json"), config).unwrap();
    }
    dir
}

fn merged(dir: &Path) -> Result<(Weights, Vec<String>), CheckpointError> {
    let mut weights = Weights::open_safetensors(dir)?;
    let merged = weights.merge_lora(dir)?;
    Ok((weights, merged))
}

fn refusal(tensors: &[(&str, Numbers)], config: Option<&str>) -> String {
    let dir = folder(tensors, config);
    merged(dir.path()).unwrap_err().to_string().replace(&dir.path().display().to_string(), "DIR")
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

const PLAIN: &str = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 3, "use_rslora": false, "use_dora": false}"#;
const WRAPPED: [(&str, Numbers); 4] = [
    ("m.fc.base_layer.weight", LAYER),
    ("m.fc.base_layer.bias", (&[2], &[0.5, 0.25])),
    ("m.fc.lora_A.default.weight", A),
    ("m.fc.lora_B.default.weight", B),
];

#[test]
fn a_wrapped_layer_reads_as_its_sum_in_every_order() {
    let dir = folder(&WRAPPED, Some(PLAIN));
    let (weights, names) = merged(dir.path()).unwrap();
    assert_eq!(names, ["m.fc.weight"]);
    assert_eq!(weights.names().collect::<Vec<_>>(), ["m.fc.bias", "m.fc.weight"]);
    let weight = weights.read("m.fc.weight", &[2, 3]).unwrap();
    assert_eq!(weight.to_f32(), MERGED);
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    weight.write_f32(&mut rows).unwrap();
    weight.write_f32_transposed(&mut columns).unwrap();
    assert_eq!(floats(&rows), MERGED);
    assert_eq!(floats(&columns), [2.5, 8.5, -1.0, 6.5, 9.0, 13.5]);
    assert_eq!(weights.read("m.fc.bias", &[2]).unwrap().to_f32(), [0.5, 0.25]);
    assert_eq!(weights.finish().unwrap(), [""; 0], "an adapter that was merged was read");
    let config = dir.path().join("lora_adapter/adapter_config.json");
    assert!(weights.sources().contains(&config), "its configuration counts for the checkpoint's identity");
}

#[test]
fn an_adapter_beside_a_plain_layer_is_added_to_it() {
    let tensors = [("fc.weight", LAYER), ("fc.lora_A.weight", A), ("fc.lora_B.weight", B)];
    let dir = folder(&tensors, Some(PLAIN));
    let (weights, names) = merged(dir.path()).unwrap();
    assert_eq!(names, ["fc.weight"]);
    assert_eq!(weights.read("fc.weight", &[2, 3]).unwrap().to_f32(), MERGED);
}

#[test]
fn a_convolution_contracts_its_factors_over_the_rank() {
    // The same numbers: 3 channels of 1 x 1 pixels.
    let tensors = [
        ("proj.base_layer.weight", (&[2, 3, 1, 1][..], LAYER.1)),
        ("proj.lora_A.default.weight", (&[2, 3, 1, 1][..], A.1)),
        ("proj.lora_B.default.weight", (&[2, 2, 1, 1][..], B.1)),
    ];
    let dir = folder(&tensors, Some(PLAIN));
    let (weights, _) = merged(dir.path()).unwrap();
    assert_eq!(weights.read("proj.weight", &[2, 3, 1, 1]).unwrap().to_f32(), MERGED);
}

#[test]
fn rank_stabilised_adapters_are_divided_by_the_root_of_the_rank() {
    let dir = folder(&WRAPPED, Some(r#"{"r": 2, "lora_alpha": 3, "use_rslora": true}"#));
    let (weights, _) = merged(dir.path()).unwrap();
    let first = weights.read("m.fc.weight", &[2, 3]).unwrap().to_f32()[0];
    // 1 + 3 / 2^0.5 * 1
    assert!((first - 3.121_320_3).abs() < 1e-6, "{first}");
}

#[test]
fn without_adapters_no_configuration_is_asked_for() {
    let dir = folder(&[("fc.weight", LAYER)], None);
    assert_eq!(merged(dir.path()).unwrap().1, [""; 0]);
}

#[test]
fn a_configuration_that_does_not_say_the_scale_is_refused() {
    assert_eq!(
        refusal(&WRAPPED, None),
        "LoRA: got 1 adapters, the first of `m.fc`, and no lora_adapter/adapter_config.json that says r and lora_alpha: DIR"
    );
    let missing = |config, field| {
        let wanted = format!("lora_adapter/adapter_config.json: missing field `{field}`");
        let got = refusal(&WRAPPED, Some(config));
        assert!(got.starts_with(&wanted), "{got}");
    };
    missing(r#"{"lora_alpha": 3}"#, "r");
    missing(r#"{"r": 2}"#, "lora_alpha");
    let file = "lora_adapter/adapter_config.json";
    assert_eq!(
        refusal(&WRAPPED, Some(r#"{"r": 0, "lora_alpha": 3}"#)),
        format!("{file}: r is 0 and lora_alpha 3, wanted numbers above 0: DIR/{file}")
    );
}

#[test]
fn adapters_that_are_more_than_a_product_are_refused() {
    let file = "lora_adapter/adapter_config.json";
    let fields = [
        r#""use_dora": true"#,
        r#""fan_in_fan_out": true"#,
        r#""rank_pattern": {"fc": 4}"#,
        r#""alpha_pattern": {"fc": 4}"#,
    ];
    for field in fields {
        let name = field.split('"').nth(1).unwrap();
        assert_eq!(
            refusal(&WRAPPED, Some(&format!(r#"{{"r": 2, "lora_alpha": 3, {field}}}"#))),
            format!("{file}: `{name}` is set, wanted one rank and one alpha for plain adapters: DIR/{file}")
        );
    }
    assert_eq!(
        refusal(&WRAPPED, Some(r#"{"peft_type": "IA3", "r": 2, "lora_alpha": 3}"#)),
        format!("{file}: peft_type is `IA3`, wanted LORA: DIR/{file}")
    );
}

#[test]
fn factors_that_do_not_fit_their_layer_are_refused() {
    let with = |index: usize, tensor: (&'static str, Numbers<'static>)| {
        let mut tensors = WRAPPED;
        tensors[index] = tensor;
        tensors
    };
    let (down, up) = ("m.fc.lora_A.default.weight", "m.fc.lora_B.default.weight");
    let narrow: Numbers = (&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(
        refusal(&with(2, (down, narrow)), Some(PLAIN)),
        format!("tensor `{down}`: got [2, 2], wanted [2, 3]: DIR/model.safetensors")
    );
    assert_eq!(
        refusal(&with(3, (up, (&[1, 2], &[1.0, 2.0]))), Some(PLAIN)),
        format!("tensor `{up}`: got [1, 2], wanted [2, 2]: DIR/model.safetensors")
    );
    assert_eq!(
        refusal(&WRAPPED, Some(r#"{"r": 3, "lora_alpha": 3}"#)),
        format!("tensor `{down}`: got [2, 3], wanted [3, 3]: DIR/model.safetensors")
    );
    assert_eq!(
        refusal(&with(3, ("other", B)), Some(PLAIN)),
        format!("tensor `{down}`: there is no `{up}` beside it: DIR")
    );
    assert_eq!(
        refusal(&with(0, ("m.fd.base_layer.weight", LAYER)), Some(PLAIN)),
        format!("tensor `{down}`: there is no `m.fc.weight` that it could be added to: DIR")
    );
}

#[test]
fn one_layer_has_one_weight_and_one_adapter() {
    let twice = [WRAPPED[0], WRAPPED[2], WRAPPED[3], ("m.fc.lora_A.weight", A), ("m.fc.lora_B.weight", B)];
    assert_eq!(
        refusal(&twice, Some(PLAIN)),
        "tensor `m.fc.weight`: `m.fc.lora_A.weight` is a second adapter of it, wanted one: DIR"
    );
    assert_eq!(
        refusal(&[WRAPPED[0], ("m.fc.weight", LAYER)], Some(PLAIN)),
        "tensor `m.fc.weight`: `m.fc.base_layer.weight` is the same tensor, wanted one of them: DIR/model.safetensors"
    );
}

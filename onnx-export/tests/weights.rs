//! Reading tensors out of checkpoint folders.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use onnx_export::checkpoint::{FloatType, Weights};

/// Writes a safetensors file; the entries are `(name, dtype, shape, bytes)`.
fn write(path: &Path, tensors: &[(&str, &str, &[u64], &[u8])]) {
    let mut end = 0;
    let mut data = vec![];
    let entries: Vec<String> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let begin = end;
            end += bytes.len();
            data.extend_from_slice(bytes);
            format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    std::fs::write(path, file).unwrap();
}

fn folder(tensors: &[(&str, &str, &[u64], &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("model.safetensors"), tensors);
    dir
}

fn refusal(dir: &Path) -> String {
    Weights::open_safetensors(dir).unwrap_err().to_string().replace(&dir.display().to_string(), "DIR")
}

/// 1.0 and -2.5 in every float encoding of IEEE 754 (and bfloat16, its upper half of a binary32).
const BF16: &[u8] = &[0x80, 0x3f, 0x20, 0xc0];
const F16: &[u8] = &[0x00, 0x3c, 0x00, 0xc1];
const F32: &[u8] = &[0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0];
const F64: &[u8] = &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0x04, 0xc0];

#[test]
fn every_float_encoding_reads_and_writes_as_the_same_f32() {
    let encodings = [
        ("BF16", FloatType::Bf16, BF16),
        ("F16", FloatType::F16, F16),
        ("F32", FloatType::F32, F32),
        ("F64", FloatType::F64, F64),
    ];
    for (name, dtype, bytes) in encodings {
        let dir = folder(&[("first", "U8", &[3], &[1, 2, 3]), ("w", name, &[2, 1], bytes)]);
        let weights = Weights::open_safetensors(dir.path()).unwrap();
        let weight = weights.read("w", &[2, 1]).unwrap();
        assert_eq!(
            (weight.name(), weight.shape(), weight.dtype(), weight.elements()),
            ("w", [2, 1].as_slice(), dtype, 2)
        );
        assert_eq!(weight.to_f32(), [1.0, -2.5], "{name}");
        let mut written = vec![];
        weight.write_f32(&mut written).unwrap();
        assert_eq!(written, F32, "{name}");
    }
}

#[test]
fn a_tensor_longer_than_one_piece_is_written_whole() {
    let values: Vec<f32> = (0..700_001).map(|i| i as f32 - 0.5).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let dir = folder(&[("w", "F32", &[700_001], &bytes)]);
    let weights = Weights::open_safetensors(dir.path()).unwrap();
    let weight = weights.read("w", &[700_001]).unwrap();
    let mut written = vec![];
    weight.write_f32(&mut written).unwrap();
    assert_eq!(written, bytes);
    assert_eq!(weight.to_f32(), values, "a second read after the pages were given back");
}

#[test]
fn a_scope_reads_by_local_names() {
    let dir =
        folder(&[("body.layers.3.norm.weight", "F32", &[2], F32), ("body.layers.30.norm.weight", "BF16", &[2], BF16)]);
    let weights = Weights::open_safetensors(dir.path()).unwrap();
    let layer = weights.at("body").at("layers.3");
    assert_eq!(layer.at("norm").shape("weight"), Some([2].as_slice()));
    assert_eq!(layer.read("norm.weight", &[2]).unwrap().dtype(), FloatType::F32);
    assert_eq!(weights.at("").read("body.layers.30.norm.weight", &[2]).unwrap().dtype(), FloatType::Bf16);
}

#[test]
fn a_read_that_the_file_cannot_answer_says_what_it_got_and_wanted() {
    let dir = folder(&[("ids", "I64", &[1], &[0; 8]), ("body.w", "F32", &[2], F32)]);
    let weights = Weights::open_safetensors(dir.path()).unwrap();
    let refusal = |name: &str, shape: &[u64]| {
        weights.at("body").read(name, shape).unwrap_err().to_string().replace(&dir.path().display().to_string(), "DIR")
    };
    assert_eq!(refusal("w", &[1, 2]), "tensor `body.w`: got [2], wanted [1, 2]: DIR/model.safetensors");
    assert_eq!(refusal("v", &[4]), "tensor `body.v`: not in the checkpoint, wanted [4]: DIR");
    assert_eq!(
        weights.read("ids", &[1]).unwrap_err().to_string(),
        format!("tensor `ids`: got elements of type I64, wanted floats: {}/model.safetensors", dir.path().display())
    );
}

#[test]
fn a_tensor_that_is_neither_read_nor_droppable_is_an_error() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let tensors: Vec<_> = names.iter().map(|name| (*name, "F32", [2].as_slice(), F32)).collect();
    let dir = folder(&tensors);
    let weights = Weights::open_safetensors(dir.path()).unwrap();
    let refusal = || weights.finish().unwrap_err().to_string().replace(&dir.path().display().to_string(), "DIR");
    assert_eq!(refusal(), "7 tensors are neither read nor declared droppable: `a`, `b`, `c`, `d`, `e` and 2 more: DIR");
    for name in ["a", "b", "c", "d"] {
        weights.read(name, &[2]).unwrap();
    }
    weights.drop_where(|name| ["a", "f", "g"].contains(&name));
    assert_eq!(refusal(), "1 tensor is neither read nor declared droppable: `e`: DIR");
    weights.read("e", &[2]).unwrap();
    weights.read("g", &[2]).unwrap();
    assert_eq!(weights.finish().unwrap(), ["f"]);
}

#[test]
fn a_peek_at_a_shape_does_not_count_as_a_read() {
    let dir = folder(&[("w", "F32", &[2], F32)]);
    let weights = Weights::open_safetensors(dir.path()).unwrap();
    assert_eq!(weights.shape("w"), Some([2].as_slice()));
    assert_eq!(weights.shape("v"), None);
    assert!(weights.finish().is_err());
}

/// Two shards and their index, which puts `a` into the first and `b` into the second.
fn sharded() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("m-1.safetensors"), &[("a", "F32", &[2], F32)]);
    write(&dir.path().join("m-2.safetensors"), &[("b", "BF16", &[2, 1], BF16)]);
    let index = r#"{"metadata":{"total_size":12},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#;
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    dir
}

#[test]
fn shards_read_as_one_checkpoint() {
    let dir = sharded();
    let weights = Weights::open_safetensors(dir.path()).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(weights.read("b", &[2, 1]).unwrap().to_f32(), [1.0, -2.5]);
    let sources: Vec<_> = weights.sources().iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(sources, ["m-1.safetensors", "m-2.safetensors", "model.safetensors.index.json"]);
}

#[test]
fn shards_that_contradict_their_index_are_refused() {
    let dir = sharded();
    std::fs::remove_file(dir.path().join("m-2.safetensors")).unwrap();
    assert_eq!(
        refusal(dir.path()),
        "cannot read safetensors file: No such file or directory (os error 2): DIR/m-2.safetensors"
    );
    write(&dir.path().join("m-2.safetensors"), &[("c", "BF16", &[2], BF16)]);
    assert_eq!(
        refusal(dir.path()),
        "tensor `b`: model.safetensors.index.json says it is in this file, and it is not: DIR/m-2.safetensors"
    );
    write(&dir.path().join("m-2.safetensors"), &[("a", "F32", &[2], F32), ("b", "BF16", &[2], BF16)]);
    assert_eq!(
        refusal(dir.path()),
        "tensor `a`: a second one of this name, the first is in DIR/m-1.safetensors: DIR/m-2.safetensors"
    );
    let index = r#"{"weight_map":{"a":"../m-1.safetensors"}}"#;
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    assert_eq!(
        refusal(dir.path()),
        "safetensors file: shard `../m-1.safetensors` is not a plain file name: DIR/model.safetensors.index.json"
    );
}

#[test]
fn a_folder_without_one_clear_model_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        refusal(dir.path()),
        "checkpoint: no model.safetensors.index.json, model.safetensors or other *.safetensors file: DIR"
    );
    write(&dir.path().join("x.safetensors"), &[("a", "F32", &[2], F32)]);
    assert_eq!(Weights::open_safetensors(dir.path()).unwrap().names().count(), 1);
    write(&dir.path().join("y.safetensors"), &[("a", "F32", &[2], F32)]);
    assert_eq!(
        refusal(dir.path()),
        "checkpoint: no model.safetensors.index.json or model.safetensors, and several others: \
         x.safetensors, y.safetensors: DIR"
    );
    let dir = sharded();
    write(&dir.path().join("model.safetensors"), &[("a", "F32", &[2], F32)]);
    assert_eq!(
        refusal(dir.path()),
        "checkpoint: got both model.safetensors.index.json and model.safetensors, wanted one of them: DIR"
    );
}

#[test]
fn one_name_twice_in_a_file_is_refused() {
    let dir = folder(&[("a", "F32", &[2], F32), ("a", "F32", &[2], F32)]);
    assert_eq!(
        refusal(dir.path()),
        "tensor `a`: a second one of this name, the first is in DIR/model.safetensors: DIR/model.safetensors"
    );
}

//! What `vla export` says about a checkpoint that is damaged or not whole; the target stays empty.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{ROOT, copy, edit, export, refusal};

const STATISTICS: &str = "dataset_statistics.json";
const MODEL: &str = "model.safetensors";

/// The words in which the changed checkpoint is refused.
fn said(change: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = dir.path().join("checkpoint");
    copy(&Path::new(ROOT).join("tests/data/checkpoints/arm6"), &checkpoint);
    change(&checkpoint);
    let out = dir.path().join("bundle");
    let line = refusal(&mut export(&checkpoint, &out), &checkpoint);
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["checkpoint"], "a refused export leaves nothing behind");
    line.strip_prefix("vla: error: ").unwrap().trim_end().to_owned()
}

fn change_bytes(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Puts text of the same length in the place of its first occurrence.
fn replace<const N: usize>(path: &Path, from: &[u8; N], to: &[u8; N]) {
    change_bytes(path, |bytes| {
        let at = bytes.windows(N).position(|window| window == from).unwrap();
        bytes[at..at + N].copy_from_slice(to);
    });
}

#[test]
fn a_missing_shard_is_named() {
    let line = said(|dir| {
        fs::rename(dir.join(MODEL), dir.join("model-00001-of-00002.safetensors")).unwrap();
        let index = json!({"weight_map": {"language_model.lm_head.weight": "model-00001-of-00002.safetensors",
            "vision_backbone.featurizer.cls_token": "model-00002-of-00002.safetensors"}});
        fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
    });
    assert_eq!(
        line,
        "cannot read safetensors file: No such file or directory (os error 2): DIR/model-00002-of-00002.safetensors"
    );
}

#[test]
fn a_model_file_that_is_cut_short_is_refused() {
    let line = said(|dir| change_bytes(&dir.join(MODEL), |bytes| bytes.truncate(bytes.len() - 1)));
    assert!(line.starts_with("tensor `") && line.contains("`: data ends at byte "), "{line}");
    assert!(line.contains(", the file holds ") && line.ends_with(": DIR/model.safetensors"), "{line}");
    let line = said(|dir| change_bytes(&dir.join(MODEL), |bytes| bytes.truncate(100)));
    assert!(
        line.starts_with("safetensors header: length is ") && line.contains(", and the file has 92 bytes after it")
    );
}

#[test]
fn a_header_that_lies_about_sizes_is_refused() {
    let line = said(|dir| change_bytes(&dir.join(MODEL), |bytes| bytes[..8].copy_from_slice(&[0xff; 8])));
    assert_eq!(
        line,
        "safetensors header: length is 18446744073709551615, at most 100000000 makes sense: DIR/model.safetensors"
    );
    let line = said(|dir| replace(&dir.join(MODEL), b"[1088, 32]", b"[1089, 32]"));
    assert_eq!(
        line,
        "tensor `language_model.lm_head.weight`: got 69632 bytes, BF16 [1089, 32] wants 69696: DIR/model.safetensors"
    );
}

#[test]
fn a_pickle_that_names_a_foreign_function_is_refused_and_nothing_of_it_runs() {
    let line = said(|dir| {
        let (ours, foreign) = (b"ctorch._utils\n_rebuild_tensor_v2\n", b"csubprocess.x\ncheck_output_lines\n");
        replace(&dir.join("action_head--1000_checkpoint.pt"), ours, foreign);
    });
    let reason = "`subprocess.x.check_output_lines` is none of the names a state dict needs";
    assert!(
        line.starts_with("torch file: byte ")
            && line.ends_with(&format!(" of the pickle: {reason}: DIR/action_head--1000_checkpoint.pt")),
        "{line}"
    );
}

#[test]
fn statistics_that_cannot_be_are_refused() {
    let file = |change: &dyn Fn(&mut serde_json::Value)| said(|dir| edit(&dir.join(STATISTICS), change));
    assert_eq!(
        said(|dir| fs::remove_file(dir.join(STATISTICS)).unwrap()),
        "cannot read dataset_statistics.json: No such file or directory (os error 2): DIR/dataset_statistics.json"
    );
    assert_eq!(
        file(&|all| all["second"] = all["arm6_random"].clone()),
        "statistics: got several keys, wanted --unnorm-key to name one of `arm6_random`, `second`: \
         DIR/dataset_statistics.json"
    );
    assert_eq!(
        file(&|all| all["arm6_random"]["proprio"]["q01"] = json!([0.5, 1.5])),
        "statistics: `arm6_random`: proprio: q01: got 2 values, wanted 7: DIR/dataset_statistics.json"
    );
    assert_eq!(
        file(&|all| all["arm6_random"]["action"]["q99"][2] = json!(-5.5)),
        "statistics: `arm6_random`: action: dimension 2: q01 is 1.296547, above q99 -5.5: DIR/dataset_statistics.json"
    );
    let line = said(|dir| {
        let text = fs::read_to_string(dir.join(STATISTICS)).unwrap();
        let at = text.find("\"q99\": [").unwrap() + 8;
        fs::write(dir.join(STATISTICS), format!("{}NaN, {}", &text[..at], &text[at..])).unwrap();
    });
    assert!(
        line.starts_with("dataset_statistics.json: `NaN` at line ")
            && line.ends_with(" is no JSON number, wanted a finite one: DIR/dataset_statistics.json"),
        "{line}"
    );
}

#[test]
fn a_checkpoint_without_a_tokenizer_is_refused() {
    assert_eq!(
        said(|dir| fs::remove_file(dir.join("tokenizer.json")).unwrap()),
        "cannot read tokenizer.json: No such file or directory (os error 2): DIR/tokenizer.json"
    );
}

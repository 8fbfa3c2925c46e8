//! Bundles on disk: what is refused, and in which words.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::path::Path;

use serde_json::{Value, json};
use vla_bundle::{Bundle, Digest, Integrity};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/bundles/tiny");

/// A copy of the small bundle.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(TINY).unwrap() {
        let path = entry.unwrap().path();
        std::fs::write(dir.path().join(path.file_name().unwrap()), std::fs::read(&path).unwrap()).unwrap();
    }
    dir
}

/// A copy whose manifest is another one.
fn changed(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let dir = copy();
    let path = dir.path().join("manifest.json");
    let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(path, manifest.to_string()).unwrap();
    dir
}

fn refusal(dir: &Path, integrity: Integrity) -> String {
    Bundle::load(dir, integrity).unwrap_err().to_string().replace(&dir.display().to_string(), "DIR")
}

#[test]
fn the_digest_of_a_bundle_is_the_sha256_of_its_manifest() {
    let bundle = Bundle::load(Path::new(TINY), Integrity::Digests).unwrap();
    let mut digest = Digest::default();
    digest.update(&std::fs::read(Path::new(TINY).join("manifest.json")).unwrap());
    assert_eq!(bundle.digest(), digest.hex());
}

#[test]
fn a_format_of_another_time_is_told_from_a_damaged_one() {
    let dir = changed(|manifest| {
        manifest["format_version"] = json!(2);
        manifest["of_the_future"] = json!(true);
    });
    assert_eq!(
        refusal(dir.path(), Integrity::Sizes),
        "manifest: format version is 2, this build reads 1: DIR/manifest.json"
    );
    let dir = changed(|manifest| manifest["format_version"] = json!("1"));
    let said = refusal(dir.path(), Integrity::Sizes);
    assert!(said.starts_with("manifest: invalid type: string \"1\", expected u32"), "{said}");
}

#[test]
fn a_field_that_is_unknown_or_missing_is_named() {
    let cases = [
        ("", "temperature", "unknown field `temperature`"),
        ("/actions", "clip", "unknown field `clip`"),
        ("/inputs/0/source/steps/0", "gamma", "unknown field `gamma`"),
        ("/files/body.onnx", "sha1", "unknown field `sha1`"),
    ];
    let missing = changed(|manifest| drop(manifest.as_object_mut().unwrap().remove("plan")));
    let unknown = |(at, field, reason)| {
        (changed(|manifest: &mut Value| manifest.pointer_mut(at).unwrap()[field] = json!(1)), reason)
    };
    for (dir, reason) in cases.map(unknown).into_iter().chain([(missing, "missing field `plan`")]) {
        let said = refusal(dir.path(), Integrity::Sizes);
        assert!(said.starts_with(&format!("manifest: {reason}")) && said.ends_with(": DIR/manifest.json"), "{said}");
    }
}

#[test]
fn a_manifest_that_is_no_json_or_too_deep_is_refused() {
    let dir = copy();
    let path = dir.path().join("manifest.json");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let said = refusal(dir.path(), Integrity::Sizes);
    assert!(said.starts_with("manifest: EOF while parsing"), "{said}");
    std::fs::write(&path, "[".repeat(1 << 20)).unwrap();
    assert_eq!(
        refusal(dir.path(), Integrity::Sizes),
        "manifest: recursion limit exceeded at line 1 column 128: DIR/manifest.json"
    );
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        refusal(dir.path(), Integrity::Sizes),
        "cannot read bundle manifest: No such file or directory (os error 2): DIR/manifest.json"
    );
}

#[test]
fn every_mismatch_is_listed_at_once() {
    let dir = changed(|manifest| {
        manifest["streams"]["cameras"] = json!([]);
        manifest["actions"]["unnormalize"]["mask"] = json!([]);
    });
    assert_eq!(
        refusal(dir.path(), Integrity::Sizes),
        "manifest: no camera: the first camera is the anchor of every observation; \
         actions: unnormalize mask has 0 values, wanted 3"
    );
}

#[test]
fn the_meaning_of_dimensions_is_checked_with_the_bundle() {
    let joint = |name: &str| json!({"name": name, "unit": "rad", "kind": "joint_position"});
    let state = |name: &str| json!({"name": name, "unit": "rad", "source": "joint_position"});
    let dir = changed(|manifest| {
        manifest["io"] = json!({"rate_hz": 0, "actions": [joint("a"), joint("b"), joint("c")],
            "state": [state("a"), state("b")]});
    });
    assert_eq!(refusal(dir.path(), Integrity::Sizes), "manifest `io`: `rate_hz` is 0, it must be a positive number");
}

#[test]
fn a_file_that_is_gone_cut_or_changed_is_named() {
    for name in ["body.onnx", "text.onnx", "tokenizer.json"] {
        let dir = copy();
        let path = dir.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let said = refusal(dir.path(), Integrity::Digests);
        assert!(said.starts_with(&format!("file `{name}`: sha256 is ")), "{said}");
        let cut = bytes.len() - 1;
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert_eq!(
            refusal(dir.path(), Integrity::Sizes),
            format!("file `{name}`: size is {cut}, the manifest wants {}: DIR/{name}", bytes.len())
        );
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            refusal(dir.path(), Integrity::Sizes),
            format!("cannot read bundle file: No such file or directory (os error 2): DIR/{name}")
        );
    }
}

#[test]
fn a_path_outside_of_the_bundle_is_refused_before_it_is_opened() {
    let dir = changed(|manifest| {
        let entry = manifest["files"]["body.onnx"].clone();
        manifest["files"]["../body.onnx"] = entry;
    });
    assert_eq!(
        refusal(dir.path(), Integrity::Digests),
        "manifest: file `../body.onnx`: a file of a bundle is a plain name inside its folder"
    );
}

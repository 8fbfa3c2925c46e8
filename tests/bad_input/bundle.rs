//! What the commands say about a bundle that is not the one that was exported, and about parameters of the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use vla_bundle::Digest;

use super::{copy, edit, exported, refusal, vla};

/// A copy of the arm's bundle.
struct Copy {
    root: tempfile::TempDir,
}

impl Copy {
    fn new() -> Self {
        let copied = Self { root: tempfile::tempdir().unwrap() };
        copy(exported(), &copied.dir());
        copied
    }

    fn with_manifest(change: impl FnOnce(&mut Value)) -> Self {
        let copied = Self::new();
        edit(&copied.dir().join("manifest.json"), change);
        copied
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("bundle")
    }

    fn inspect(&self) -> String {
        refused(vla().arg("inspect").arg(self.dir()), &self.dir())
    }

    fn verify(&self) -> String {
        refused(vla().args(["inspect", "--verify"]).arg(self.dir()), &self.dir())
    }

    fn node(&self, parameters: &[&str]) -> String {
        refused(&mut node(&self.dir(), parameters), &self.dir())
    }

    fn infer(&self, task: &str) -> String {
        let state = self.root.path().join("state.json");
        fs::write(&state, "[0.1, 0.6, 1.4, 0.02, 1.0, 0.2, 0.03]").unwrap();
        let mut command = vla();
        command.args(["infer", "--task", task]).arg(self.dir()).arg("--state").arg(state);
        command.args(["--image", "front=tests/data/checkpoints/openvla_oft_l1/input/image_0.png"]);
        refused(&mut command, &self.dir())
    }
}

fn refused(command: &mut Command, dir: &Path) -> String {
    refusal(command, dir).strip_prefix("vla: error: ").unwrap().trim_end().to_owned()
}

fn node(bundle: &Path, parameters: &[&str]) -> Command {
    let mut command = vla();
    command.args(["node", "--ros-args", "--params-file", "launch/params/arm6.yaml", "-p"]);
    command.arg(format!("bundle:={}", bundle.display()));
    for parameter in parameters {
        command.args(["-p", parameter]);
    }
    command
}

#[test]
fn one_changed_byte_in_any_file_stops_the_node_and_is_found_by_verify() {
    let bundle = Copy::new();
    let manifest: Value = serde_json::from_slice(&fs::read(bundle.dir().join("manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_object().unwrap();
    let there = fs::read_dir(bundle.dir()).unwrap().count();
    assert_eq!(files.len() + 1, there, "every file but the manifest is listed");
    for (name, entry) in files {
        let path = bundle.dir().join(name);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 3] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        let mut digest = Digest::default();
        digest.update(&changed);
        let wanted = entry["sha256"].as_str().unwrap();
        let said = format!("file `{name}`: sha256 is {}, the manifest wants {wanted}: DIR/{name}", digest.hex());
        assert_eq!(bundle.verify(), said);
        assert_eq!(bundle.node(&[]), said);
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn weights_that_are_gone_or_cut_short_are_refused_by_every_command() {
    let bundle = Copy::new();
    let path = bundle.dir().join("vision.weights");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..4096]).unwrap();
    let said = format!("file `vision.weights`: size is 4096, the manifest wants {}: DIR/vision.weights", whole.len());
    assert_eq!([bundle.inspect(), bundle.infer("pick"), bundle.node(&[])], [said.as_str(); 3]);
    fs::remove_file(&path).unwrap();
    let said = "cannot read bundle file: No such file or directory (os error 2): DIR/vision.weights";
    assert_eq!([bundle.inspect(), bundle.infer("pick"), bundle.node(&[])], [said; 3]);
}

#[test]
fn a_manifest_that_this_build_does_not_understand_is_refused_by_every_command() {
    let newer = Copy::with_manifest(|manifest| {
        manifest["format_version"] = json!(2);
        manifest["of_the_future"] = json!([]);
    });
    let said = "manifest: format version is 2, this build reads 1: DIR/manifest.json";
    assert_eq!([newer.inspect(), newer.infer("pick"), newer.node(&[])], [said; 3]);
    let unknown = Copy::with_manifest(|manifest| manifest["actions"]["smoothing"] = json!(0.5));
    let said = unknown.node(&[]);
    assert!(said.starts_with("manifest: unknown field `smoothing`, expected one of `tensor`"), "{said}");
    assert_eq!([unknown.inspect(), unknown.infer("pick")], [said.as_str(); 2]);
}

#[test]
fn an_input_that_nothing_makes_and_a_file_outside_are_listed_at_once() {
    let bundle = Copy::with_manifest(|manifest| {
        manifest["graphs"]["state"]["inputs"][0]["name"] = json!("joints");
        manifest["files"]["../secret"] = json!({"bytes": 1, "sha256": "0"});
    });
    let said = "manifest: file `../secret`: a file of a bundle is a plain name inside its folder; \
                graph `state` takes tensor `joints`, which nothing before it makes";
    assert_eq!([bundle.inspect(), bundle.infer("pick"), bundle.node(&[])], [said; 3]);
}

#[test]
fn a_graph_that_is_not_what_the_manifest_says_does_not_run() {
    let bundle = Copy::with_manifest(|manifest| manifest["graphs"]["head"]["inputs"][1]["dims"] = json!([2]));
    let said = "graph `head` input `hidden_offset`: the file has int64 [1], the manifest says int64 [2]";
    assert_eq!(bundle.infer("pick"), said);
    assert_eq!(bundle.node(&[]), format!("the policy cannot be loaded: {said}"));
}

#[test]
fn an_instruction_that_is_longer_than_the_policy_takes_is_refused() {
    let said = Copy::new().infer(&"abcde fgh ".repeat(1000));
    let tokens = said.strip_prefix("input `input_ids`: the instruction has ").unwrap();
    let tokens = tokens.strip_suffix(" tokens, the policy takes 2 to 256").unwrap();
    assert!(tokens.parse::<u32>().unwrap() > 1000, "{said}");
}

#[test]
fn an_empty_instruction_is_refused() {
    assert_eq!(Copy::new().infer(" \n"), "--task is empty, the policy wants an instruction");
}

#[test]
fn a_length_outside_of_its_range_is_refused_when_it_occurs() {
    let bundle = Copy::with_manifest(|manifest| {
        manifest["dims"]["tail"] = json!({"min": 2, "opt": 3, "max": 4});
    });
    let said = bundle.infer("pick");
    assert!(
        said.starts_with("graph `text` output `text_tail`: got [1, ")
            && said.ends_with(", 32], the manifest wants [1, tail, 32] with tail from 2 to 4"),
        "{said}"
    );
}

#[test]
fn a_tokenizer_that_is_none_is_refused_with_its_file() {
    let bundle = Copy::with_manifest(|manifest| manifest["files"]["tokenizer.json"]["bytes"] = json!(2));
    fs::write(bundle.dir().join("tokenizer.json"), "{}").unwrap();
    let said = bundle.infer("pick");
    assert!(
        said.starts_with("input `input_ids`: tokenizer does not load: ") && said.ends_with(": DIR/tokenizer.json"),
        "{said}"
    );
}

#[test]
fn parameters_of_the_wrong_type_or_unknown_are_listed_at_once() {
    let wrong = ["inference_rate_hz:=fast", "dry_run:='false'", "n_action_steps:=2.5", "max_skew:=3"];
    assert_eq!(
        Copy::new().node(&wrong),
        "parameters: `dry_run` is a string, wanted a bool; `inference_rate_hz` is a string, wanted a number; \
         `n_action_steps` is a number, wanted an integer; `max_skew` is not a parameter of this node"
    );
}

#[test]
fn an_action_that_no_output_of_the_robot_can_carry_is_refused() {
    let bundle = Copy::with_manifest(|manifest| {
        manifest["io"]["actions"][2] = json!({"name": "joint_3", "unit": "m", "kind": "eef_delta_position",
            "scale": 0.05, "frame": "base", "reference": "measured"});
    });
    assert_eq!(
        bundle.node(&[]),
        "bundle, profile and parameters do not fit together: output `joint_trajectory` (joint `joint_3`): action \
         `joint_3` is `eef_delta_position`, it carries joint_position, joint_delta, gripper"
    );
}

#[test]
fn a_profile_that_unfolds_without_end_or_nests_without_end_is_refused() {
    let bundle = Copy::new();
    let profile = bundle.root.path().join("profile.yaml");
    let parameter = format!("profile:={}", profile.display());
    let unfolding: Vec<String> =
        (1..30).map(|i| format!("a{i}: &a{i} [{}]", vec![format!("*a{}", i - 1); 9].join(", "))).collect();
    let unfolding = format!("a0: &a0 [1, 2]\n{}\nformat: 1\nrobot: *a29\n", unfolding.join("\n"));
    let nested = format!("format: 1\nrobot: {}", "[".repeat(1 << 16));
    for text in [unfolding, nested] {
        fs::write(&profile, text).unwrap();
        let said = bundle.node(&[&parameter]);
        assert!(said.contains(&profile.display().to_string()), "{said}");
    }
}

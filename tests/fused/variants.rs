//! What the references name beside the stored runs: other patterns of a suffix, noise at the other end of the time, heads
//! behind projections, and states that are text.

use super::*;

type Change = dyn Fn(&mut Value);

impl Case {
    /// Takes the head's tensors, and those between it and the language model, from another file of the case.
    fn replace_head(&self, file: &str) {
        let path = self.dir.join("checkpoint/model.safetensors");
        let [old, new] = [&path, &self.dir.join(file)].map(|path| std::fs::read(path).unwrap());
        let [old, new] = [&old, &new].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
        let model = old.tensors().into_iter().filter(|(name, _)| !name.starts_with("action_model."));
        let head = new.tensors().into_iter().filter(|(name, _)| !name.starts_with("velocity."));
        safetensors::serialize_to_file(model.chain(head).collect::<Vec<_>>(), None, &path).unwrap();
    }
}

/// The numbers come from recipes/deep_fusion.py, which masks what a token does not see.
#[test]
fn an_expert_sees_its_own_tokens_as_the_pattern_says_and_starts_where_the_noise_is() {
    let pattern = |pattern: [u64; 12]| move |config: &mut Value| config["flow"]["suffix_ar"] = json!(pattern);
    let noise_at_0 = |config: &mut Value| {
        config["flow"]["t_noise"] = json!(0.0);
        config["flow"]["target"] = json!("data_minus_noise");
    };
    let state_apart = pattern([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let three_blocks = pattern([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
    let causal = pattern([1; 12]);
    let cases: [(&str, &Change); 4] = [
        ("velocity.state_apart", &state_apart),
        ("velocity.three_blocks", &three_blocks),
        ("velocity.causal", &causal),
        ("velocity.noise_at_0", &noise_at_0),
    ];
    for (name, change) in cases {
        let case = Case::edited("deep_fusion_v2", change);
        case.run().check_steps(&case.original(), name, 5e-4);
    }
}

/// The numbers come from recipes/head_modes.py.
#[test]
fn a_narrower_head_behind_projections_equals_its_independent_computation() {
    for mode in ["F1", "F3"] {
        let case = Case::edited("dit_layerwise", |config| narrow(config, mode));
        case.replace_head("projected.safetensors");
        std::fs::write(case.dir.join("input/state.json"), r#"{"state": null}"#).unwrap();
        let wanted = std::fs::read(case.dir.join("projected.safetensors")).unwrap();
        case.run().check_steps(&wanted, &format!("velocity.{mode}"), 5e-4);
        let unread = |mode: &str| if mode == "F3" { vec!["project_layers.1", "project_layers.3"] } else { vec![] };
        let dropped = case.manifest()["checkpoint"]["dropped"].to_string();
        assert!(unread(mode).iter().all(|name| dropped.contains(name)), "{dropped}");
    }
}

/// The words and bins of starVLA's `add_discretized_state_to_instruction`: 2 (x - q01) / (q99 - q01) - 1, within 2.2, in
/// 256 bins from -1 to 1.
#[test]
fn a_state_that_is_text_stands_behind_the_instruction() {
    let case = Case::edited("dit_layerwise", |config| {
        narrow(config, "F1");
        head(config)["state_dim"] = json!(8);
    });
    case.replace_head("projected.safetensors");
    let run = case.run();
    let read = |name: &str| std::fs::read_to_string(case.dir.join(name)).unwrap();
    let json = |name: &str| serde_json::from_str::<Value>(&read(name)).unwrap();
    let numbers = |value: &Value| value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
    let statistics = json("checkpoint/dataset_statistics.json");
    let statistics = &statistics.as_object().unwrap().values().next().unwrap()["state"];
    let [low, high] = ["q01", "q99"].map(|column| numbers(&statistics[column]));
    let bins =
        numbers(&json("input/state.json")["state"]).into_iter().zip(low.iter().zip(&high)).map(|(x, (low, high))| {
            let x = if low == high { x } else { (2.0 * (x - low) / (high - low) - 1.0).clamp(-2.2, 2.2) };
            let bin = if x < -1.0 { -1.0 } else { ((x + 1.0) * 128.0).floor().min(255.0) };
            bin.to_string()
        });
    let bins = bins.collect::<Vec<_>>().join(" ");
    let task = read("input/instruction.txt");
    let prompt = format!("{} [STATE] {bins} [ACTION]", task.trim());
    let prompt = format!("<image> Your task is {prompt}. Locate the key objects.");
    let tokenizer = tokenizers::Tokenizer::from_file(case.dir.join("checkpoint/base_vlm/tokenizer.json")).unwrap();
    let mut wanted: Vec<i64> =
        tokenizer.encode(prompt, true).unwrap().get_ids().iter().map(|id| i64::from(*id)).collect();
    wanted.splice(1..2, [1025; 16]);
    let tensors = run.tensors();
    let ids = tensors.tensor("input_ids").unwrap();
    let got: Vec<i64> = ids.data().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
    assert_eq!(got, wanted);
    // The text changes with every observation, and no token of the head is the state.
    let manifest = case.manifest();
    assert_eq!(manifest["plan"][0], json!({"stage": "run", "graph": "text", "every": "observation"}));
    assert!(manifest["graphs"]["state"].is_null());
}

/// The head of a run that projects hidden states to a width of 32.
fn narrow(config: &mut Value, mode: &str) {
    config["head_mode"] = json!(mode);
    config["framework"]["name"] = json!("QwenPI_v3");
    let head = head(config);
    head["state_dim"] = json!(null);
    let sizes = &mut head["diffusion_model_cfg"];
    for name in ["input_embedding_dim", "cross_attention_dim", "num_attention_heads"] {
        sizes.as_object_mut().unwrap().remove(name);
    }
    sizes["action_dit_hidden_dim"] = json!(32);
}

pub fn head(config: &mut Value) -> &mut Value {
    &mut config["framework"]["action_model"]
}

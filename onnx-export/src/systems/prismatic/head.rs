//! What turns hidden states into actions, told by the files beside the model.

use std::path::Path;

use vla_bundle::Dtype;

use crate::ExportError;
use crate::blocks::{MlpResnetConfig, linear_unbiased, mlp_resnet};
use crate::checkpoint::{Weights, component};
use crate::graph::{Builder, Graph, Value, fixed, symbol};
use crate::request::Head;

use super::Prismatic;
use super::config::ActionTokens;

/// The action head and its weights.
pub enum ActionHead {
    /// Regression.
    L1(Weights),
    /// The language model's own vocabulary; no file beside the model.
    Discrete,
}

impl ActionHead {
    /// The head of the checkpoint in `dir`; `asked` decides where the files allow several.
    pub fn open(dir: &Path, asked: Option<Head>) -> Result<Self, ExportError> {
        let noise = component(dir, "noisy_action_projector")?;
        let file = component(dir, "action_head")?;
        let head = file.as_deref().map(Weights::open_torch).transpose()?;
        let predicts_noise = head.as_ref().is_some_and(|w| w.names().any(|name| name.starts_with("noise_predictor.")));
        let possible: &[Head] = match (&head, noise) {
            (None, None) => &[Head::Discrete],
            (None, Some(_)) => &[Head::Discrete, Head::Diffusion],
            (Some(_), _) if predicts_noise => &[Head::Diffusion],
            (Some(_), None) => &[Head::L1],
            (Some(_), Some(_)) => &[Head::L1, Head::Diffusion],
        };
        match (choose(possible, asked, dir)?, head) {
            (Head::L1, Some(head)) => Ok(Self::L1(head)),
            (Head::Discrete, _) => Ok(Self::Discrete),
            _ => {
                let what = "the diffusion head (its files predict noise)".to_owned();
                Err(ExportError::Unsupported { what, path: dir.to_owned() })
            }
        }
    }

    /// Values of an action, where the head's files say it.
    pub fn action_dim(&self) -> Option<u64> {
        match self {
            Self::L1(head) => head.shape("model.fc2.weight").and_then(|shape| shape.first().copied()),
            Self::Discrete => None,
        }
    }

    /// Its files.
    pub fn weights(&self) -> Option<&Weights> {
        match self {
            Self::L1(head) => Some(head),
            Self::Discrete => None,
        }
    }
}

fn choose(possible: &[Head], asked: Option<Head>, dir: &Path) -> Result<Head, ExportError> {
    let words: Vec<String> = possible.iter().map(|head| format!("the {} head", head.word())).collect();
    let wanted = match (possible, asked) {
        ([only], None) => return Ok(*only),
        (_, Some(asked)) if possible.contains(&asked) => return Ok(asked),
        (_, Some(asked)) => format!("`--head {}`", asked.word()),
        (_, None) => "`--head` to say which".to_owned(),
    };
    let got = format!("files of {}", words.join(" and of "));
    Err(ExportError::Mismatch { what: "action head".to_owned(), got, wanted, path: dir.to_owned() })
}

/// One hidden state per action value, starting `hidden_offset [1]` after the first placeholder, to
/// `action_hidden_states [1, chunk * dim, hidden]` and `normalized_actions [chunk, dim]`; a discrete head also tells the
/// tokens that it read, `action_token_ids [1, chunk * dim]`.
pub fn graph<'w>(policy: &'w Prismatic, length: &str) -> Result<Graph<'w>, ExportError> {
    let hidden = policy.config.llama.hidden;
    let mut graph = Graph::new("head");
    let states = graph.input("hidden_states", Dtype::Fp32, &[fixed(1), symbol(length), fixed(hidden)])?;
    let offset = graph.input("hidden_offset", Dtype::Int64, &[fixed(1)])?;
    let selected = select(&mut graph.root().at("select"), [&states, &offset], policy.action_tokens())?;
    graph.output("action_hidden_states", &selected)?;
    let actions = match &policy.head {
        ActionHead::L1(head) => {
            let mut root = graph.root();
            let mut g = root.at("action_head");
            let width = policy.action_dim * hidden;
            let steps = g.reshape("steps", &selected, &[fixed(policy.chunk_size), fixed(width)])?;
            let blocks = head.count(|index| format!("model.mlp_resnet_blocks.{index}.ffn.1.weight"));
            let config = MlpResnetConfig { input: width, hidden, output: policy.action_dim, blocks };
            mlp_resnet(&mut g, &head.at("model"), &steps, config)?
        }
        ActionHead::Discrete => {
            let ids = next_tokens(&mut graph.root().at("lm_head"), policy, &selected)?;
            graph.output("action_token_ids", &ids)?;
            let values = bin_centres(&mut graph.root().at("bins"), &ids, policy.config.action_tokens)?;
            graph.root().reshape("actions", &values, &[policy.chunk_size, policy.action_dim].map(fixed))?
        }
    };
    graph.output("normalized_actions", &actions)?;
    Ok(graph)
}

/// The `count` states `[1, count, hidden]` that start `offset` after the first placeholder.
fn select(g: &mut Builder<'_, '_>, [states, offset]: [&Value; 2], count: u64) -> Result<Value, ExportError> {
    let tokens = g.lengths("tokens", states, 1..2)?;
    // The sequence ends with `count` placeholders and the stop token.
    let placeholders: Vec<i64> = (0..count as i64).map(|i| i - count as i64 - 1).collect();
    let placeholders = g.ints("placeholders", &placeholders, &[count])?;
    let shifted = g.add("shifted", &placeholders, offset)?;
    let indices = g.add("indices", &shifted, &tokens)?;
    Ok(g.gather("states", states, 1, &indices)?)
}

/// The most likely token after each of `states [1, n, hidden]`, among all rows of the vocabulary: `[1, n]`, i64.
fn next_tokens<'w>(g: &mut Builder<'_, 'w>, policy: &'w Prismatic, states: &Value) -> Result<Value, ExportError> {
    let llama = &policy.config.llama;
    let logits =
        linear_unbiased(g, &policy.model.at("language_model.lm_head"), states, [llama.hidden, llama.vocabulary])?;
    Ok(g.argmax_last("token", &logits)?)
}

/// The last tokens of the vocabulary stand for the bins between -1 and 1, the last one for the lowest; other tokens count
/// as the nearest of them. Gives the centre of each token's bin, f32.
fn bin_centres(g: &mut Builder<'_, '_>, ids: &Value, tokens: ActionTokens) -> Result<Value, ExportError> {
    let last = g.ints("last_token", &[tokens.vocabulary as i64 - 1], &[1])?;
    let bins = g.sub("before_last", &last, ids)?;
    let bins = g.clamp("bin", &bins, [0, tokens.edges as i64 - 2])?;
    let table = g.floats("centres", &tokens.centres())?;
    Ok(g.gather("centre", &table, 0, &bins)?)
}

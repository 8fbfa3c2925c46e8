//! What turns hidden states into actions, told by the files beside the model.

use std::path::Path;

use vla_bundle::Dtype;

use crate::ExportError;
use crate::blocks::{MlpResnetConfig, linear_unbiased, mlp_resnet};
use crate::checkpoint::{CheckpointError, Weights, component};
use crate::graph::{Builder, Graph, Value, fixed, symbol};
use crate::request::{Head, Request};

use super::config::ActionTokens;
use super::denoise::{self, TIMESTEPS};
use super::{ACTIONS, Prismatic};

/// The action head and its weights.
pub enum ActionHead {
    /// Regression.
    L1(Weights),
    /// A predictor of noise, and the projector of noisy actions.
    Diffusion { head: Weights, projector: Weights, steps: u64 },
    /// The language model's own vocabulary; no file beside the model.
    Discrete,
}

/// Where the diffusion head's network stands in its file.
const NOISE_PREDICTOR: &str = "noise_predictor.mlp_resnet";

impl ActionHead {
    /// The head of the checkpoint in `dir`; the request decides where the files allow several.
    pub fn open(dir: &Path, request: &Request) -> Result<Self, ExportError> {
        let noise = component(dir, "noisy_action_projector")?;
        let file = component(dir, "action_head")?;
        let head = file.as_deref().map(Weights::open_torch).transpose()?;
        let predicts_noise = head.as_ref().is_some_and(|w| w.names().any(|name| name.starts_with("noise_predictor.")));
        let possible: &[Head] = match (&head, &noise) {
            (None, None) => &[Head::Discrete],
            (None, Some(_)) => &[Head::Discrete, Head::Diffusion],
            (Some(_), _) if predicts_noise => &[Head::Diffusion],
            (Some(_), None) => &[Head::L1],
            (Some(_), Some(_)) => &[Head::L1, Head::Diffusion],
        };
        let kind = choose(possible, request.head, dir)?;
        let steps = denoise_steps(kind, request.denoise_steps)?;
        let absent = |file: &str| {
            let reason = format!("no `{file}` file, which the {} head consists of", kind.word());
            CheckpointError::File { what: "checkpoint", reason, path: dir.to_owned() }
        };
        match kind {
            Head::Discrete => Ok(Self::Discrete),
            Head::L1 => Ok(Self::L1(head.ok_or_else(|| absent("action_head"))?)),
            Head::Diffusion => {
                let projector = noise.ok_or_else(|| absent("noisy_action_projector"))?;
                let head = head.ok_or_else(|| absent("action_head"))?;
                Ok(Self::Diffusion { head, projector: Weights::open_torch(&projector)?, steps })
            }
        }
    }

    /// Whether actions come out of noise, step by step.
    pub fn denoises(&self) -> bool {
        matches!(self, Self::Diffusion { .. })
    }

    /// Values of an action, where the head's files say it.
    pub fn action_dim(&self) -> Option<u64> {
        let (head, prefix) = self.network()?;
        head.shape(&format!("{prefix}.fc2.weight")).and_then(|shape| shape.first().copied())
    }

    /// Its files.
    pub fn weights(&self) -> impl Iterator<Item = &Weights> {
        let (first, second) = match self {
            Self::L1(head) => (Some(head), None),
            Self::Diffusion { head, projector, .. } => (Some(head), Some(projector)),
            Self::Discrete => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// The network from hidden states to values, and where it stands in its file.
    fn network(&self) -> Option<(&Weights, &'static str)> {
        match self {
            Self::L1(head) => Some((head, "model")),
            Self::Diffusion { head, .. } => Some((head, NOISE_PREDICTOR)),
            Self::Discrete => None,
        }
    }
}

/// Steps of a head that denoises; 0 for the others, which must not be given any.
fn denoise_steps(head: Head, asked: Option<u64>) -> Result<u64, ExportError> {
    let flag = "`--denoise-steps`";
    let problem = match (head, asked) {
        (Head::Diffusion, Some(steps)) if (1..=TIMESTEPS).contains(&steps) => return Ok(steps),
        (Head::Diffusion, Some(steps)) => {
            format!("{flag} is {steps}, wanted 1 to {TIMESTEPS}, the steps of the training")
        }
        (Head::Diffusion, None) => format!("{flag} is missing, and the checkpoint does not say it"),
        (_, Some(steps)) => format!("{flag} is {steps}, but the {} head does not denoise", head.word()),
        (_, None) => return Ok(0),
    };
    Err(ExportError::Request(vec![problem]))
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
/// `action_hidden_states [1, chunk * dim, hidden]` and `normalized_actions [chunk, dim]`, or `noise_prediction` of that
/// shape; a discrete head also tells the tokens that it read, `action_token_ids [1, chunk * dim]`.
pub fn graph<'w>(policy: &'w Prismatic, length: &str) -> Result<Graph<'w>, ExportError> {
    let hidden = policy.config.llama.hidden;
    let mut graph = Graph::new("head");
    let states = graph.input("hidden_states", Dtype::Fp32, &[fixed(1), symbol(length), fixed(hidden)])?;
    let offset = graph.input("hidden_offset", Dtype::Int64, &[fixed(1)])?;
    let selected = select(&mut graph.root().at("select"), [&states, &offset], policy.action_tokens())?;
    graph.output("action_hidden_states", &selected)?;
    let shape = [policy.chunk_size, policy.action_dim];
    let actions = if let Some((head, prefix)) = policy.head.network() {
        let mut root = graph.root();
        let mut g = root.at("action_head");
        let width = policy.action_dim * hidden;
        let steps = g.reshape("steps", &selected, &[policy.chunk_size, width].map(fixed))?;
        let blocks = head.count(|index| format!("{prefix}.mlp_resnet_blocks.{index}.ffn.1.weight"));
        let config = MlpResnetConfig { input: width, hidden, output: policy.action_dim, blocks };
        mlp_resnet(&mut g, &head.at(prefix), &steps, config)?
    } else {
        let ids = next_tokens(&mut graph.root().at("lm_head"), policy, &selected)?;
        graph.output("action_token_ids", &ids)?;
        let values = bin_centres(&mut graph.root().at("bins"), &ids, policy.config.action_tokens)?;
        graph.root().reshape("actions", &values, &shape.map(fixed))?
    };
    let result = if policy.head.denoises() { denoise::PREDICTION } else { ACTIONS };
    graph.output(result, &actions)?;
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
pub fn next_tokens<'w>(g: &mut Builder<'_, 'w>, policy: &'w Prismatic, states: &Value) -> Result<Value, ExportError> {
    let llama = &policy.config.llama;
    let logits =
        linear_unbiased(g, &policy.model.at("language_model.lm_head"), states, [llama.hidden, llama.vocabulary])?;
    Ok(g.argmax_last("token", &logits)?)
}

/// The last tokens of the vocabulary stand for the bins between -1 and 1, the last one for the lowest; other tokens count
/// as the nearest of them. Gives the centre of each token's bin, f32.
pub fn bin_centres(g: &mut Builder<'_, '_>, ids: &Value, tokens: ActionTokens) -> Result<Value, ExportError> {
    let last = g.ints("last_token", &[tokens.vocabulary as i64 - 1], &[1])?;
    let bins = g.sub("before_last", &last, ids)?;
    let bins = g.clamp("bin", &bins, [0, tokens.edges as i64 - 2])?;
    let table = g.floats("centres", &tokens.centres())?;
    Ok(g.gather("centre", &table, 0, &bins)?)
}

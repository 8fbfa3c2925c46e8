//! From the instruction, and the state where it is text, to token ids as openpi's `PaligemmaTokenizer` makes them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use vla_bundle::TextStep;

use crate::ExportError;
use crate::checkpoint::read_json;

use super::config::{Config, StateInText};

/// The tokenizer, in the checkpoint and in the bundle.
pub const TOKENIZER: &str = "tokenizer.json";
const WITH_STATE: &str = "Task: {task}, State: {state};\nAction: ";
const NEWLINE: &str = "\n";

/// How a prompt is made.
pub struct Prompt {
    newline: u32,
    rows: u32,
    max: u32,
    state: StateInText,
}

#[derive(Deserialize)]
struct RawTokenizer {
    model: RawModel,
    #[serde(default)]
    added_tokens: Vec<RawAdded>,
    post_processor: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawModel {
    vocab: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
struct RawAdded {
    id: u32,
    content: String,
}

impl Prompt {
    /// Reads the tokenizer. Every id of its model must have a row in the embedding table; added tokens that have none,
    /// as the picture token of the original's tokenizer, are refused where a text holds them.
    pub fn read(dir: &Path, config: &Config) -> Result<Self, ExportError> {
        let raw: RawTokenizer = read_json(dir, TOKENIZER)?;
        let refuse = |what: &str, got: String, wanted: String| ExportError::Mismatch {
            what: what.to_owned(),
            got,
            wanted,
            path: dir.join(TOKENIZER),
        };
        let added: Vec<u32> = raw.added_tokens.iter().map(|token| token.id).collect();
        let largest = raw.model.vocab.values().copied().filter(|id| !added.contains(id)).max().unwrap_or(0);
        if u64::from(largest) >= config.vocabulary {
            let wanted = format!("less than the {} embedding rows", config.vocabulary);
            return Err(refuse("largest token id", largest.to_string(), wanted));
        }
        if raw.post_processor.is_none() {
            let wanted = "one that puts the first token".to_owned();
            return Err(refuse("`post_processor`", "none".to_owned(), wanted));
        }
        let newline = raw.added_tokens.iter().find(|token| token.content == NEWLINE).map(|token| token.id);
        let Some(newline) = newline.or_else(|| raw.model.vocab.get(NEWLINE).copied()) else {
            return Err(refuse("vocabulary", "no newline".to_owned(), "the token that ends every prompt".to_owned()));
        };
        let [rows, max] = [config.vocabulary, config.max_tokens].map(|count| count as u32);
        Ok(Self { newline, rows, max, state: config.state_in_text })
    }

    /// Steps of `input_ids`.
    pub fn steps(&self) -> Vec<TextStep> {
        let to_space = |from: &str| TextStep::Replace { from: from.to_owned(), to: " ".to_owned() };
        let mut steps = vec![TextStep::Trim, to_space("_"), to_space(NEWLINE)];
        if self.state == StateInText::Yes {
            steps.push(TextStep::Prompt { template: WITH_STATE.to_owned() });
        }
        steps.push(TextStep::Tokenize { file: TOKENIZER.to_owned(), special_tokens: true });
        steps.push(TextStep::Below { rows: self.rows });
        if self.state == StateInText::No {
            steps.push(TextStep::AppendToken { id: self.newline });
        }
        steps.push(TextStep::Truncate { max: self.max });
        steps
    }
}

//! From the instruction to token ids: the project's prompt, then the checkpoint's `tokenizer.json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use vla_bundle::TextStep;

use crate::ExportError;
use crate::checkpoint::read_json;

/// The tokenizer, in the checkpoint and in the bundle.
pub const TOKENIZER: &str = "tokenizer.json";
/// A lone space: at training the actions followed `Out: `, so the prompt ends with it.
const SPACE: &str = "\u{2581}";
const PROMPT: &str = "In: What action should the robot take to {task}?\nOut:";

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
}

/// Steps of `input_ids`; every id must have a row in the embedding table of `rows`.
pub fn steps(dir: &Path, rows: u64) -> Result<Vec<TextStep>, ExportError> {
    let raw: RawTokenizer = read_json(dir, TOKENIZER)?;
    let refuse = |what: &str, got: String, wanted: String| ExportError::Mismatch {
        what: what.to_owned(),
        got,
        wanted,
        path: dir.join(TOKENIZER),
    };
    let largest = raw.model.vocab.values().copied().chain(raw.added_tokens.iter().map(|t| t.id)).max().unwrap_or(0);
    if u64::from(largest) >= rows {
        return Err(refuse("largest token id", largest.to_string(), format!("less than the {rows} embedding rows")));
    }
    if raw.post_processor.is_none() {
        return Err(refuse("`post_processor`", "none".to_owned(), "one that puts the first token".to_owned()));
    }
    let Some(id) = raw.model.vocab.get(SPACE).copied() else {
        return Err(refuse("vocabulary", format!("no `{SPACE}`"), "the token that ends every prompt".to_owned()));
    };
    Ok(vec![
        TextStep::Lowercase,
        TextStep::Prompt { template: PROMPT.to_owned() },
        TextStep::Tokenize { file: TOKENIZER.to_owned(), special_tokens: true },
        TextStep::EnsureLastToken { id },
    ])
}

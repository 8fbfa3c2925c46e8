//! From the instruction to token ids: one token per patch behind the first token, then the prompt.

use std::path::Path;

use serde::Deserialize;
use vla_bundle::TextStep;

use crate::ExportError;
use crate::checkpoint::read_json;

use super::config::Config;

/// The tokenizer, in the checkpoint and in the bundle.
pub const TOKENIZER: &str = "tokenizer.json";
/// The word that becomes the tokens of the patches.
const IMAGE: &str = "<image>";

#[derive(Deserialize)]
struct RawTokenizer {
    #[serde(default)]
    added_tokens: Vec<RawAdded>,
    post_processor: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawAdded {
    id: u32,
    content: String,
}

/// Steps of `input_ids` for `patches` patches; `prompt` holds `{task}`.
pub fn steps(dir: &Path, prompt: &str, (patches, config): (u64, &Config)) -> Result<Vec<TextStep>, ExportError> {
    let raw: RawTokenizer = read_json(dir, TOKENIZER)?;
    let refuse = |what: &str, got: String, wanted: String| ExportError::Mismatch {
        what: what.to_owned(),
        got,
        wanted,
        path: dir.join(TOKENIZER),
    };
    if raw.post_processor.is_none() {
        return Err(refuse("`post_processor`", "none".to_owned(), "one that puts the first token".to_owned()));
    }
    let id = config.image_token;
    match raw.added_tokens.iter().find(|token| token.content == IMAGE) {
        Some(token) if token.id == id => {}
        found => {
            let got = found.map_or("none".to_owned(), |token| token.id.to_string());
            return Err(refuse(&format!("token `{IMAGE}`"), got, format!("`image_token_index` {id}")));
        }
    }
    let rows = u32::try_from(config.vocabulary).unwrap_or(u32::MAX);
    Ok(vec![
        TextStep::Trim,
        TextStep::Prompt { template: format!("{IMAGE} {prompt}") },
        TextStep::Tokenize { file: TOKENIZER.to_owned(), special_tokens: true },
        TextStep::ExpandToken { id, at: 1, count: patches as u32 },
        TextStep::Below { rows },
    ])
}

//! From the instruction to token ids: a newline, then the language model's tokenizer.

use std::path::Path;

use serde::Deserialize;
use vla_bundle::TextStep;

use crate::ExportError;
use crate::checkpoint::read_json;

use super::config::Config;

/// The tokenizer, beside the vision-language model and in the bundle.
pub const TOKENIZER: &str = "tokenizer.json";
const SETTINGS: &str = "tokenizer_config.json";

#[derive(Deserialize)]
struct RawTokenizer {
    #[serde(default)]
    added_tokens: Vec<RawAdded>,
}

#[derive(Deserialize)]
struct RawAdded {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct RawSettings {
    fake_image_token: Option<String>,
    global_image_token: Option<String>,
}

/// Steps of `input_ids`.
pub fn steps(config: &Config) -> Vec<TextStep> {
    vec![
        TextStep::EnsureEnd { suffix: "\n".to_owned() },
        TextStep::Tokenize { file: TOKENIZER.to_owned(), special_tokens: true },
        TextStep::Truncate { max: config.max_tokens as u32 },
        TextStep::Below { rows: config.vocabulary as u32 },
    ]
}

/// Ids of the learned tokens before and after each picture.
pub fn image_tokens(dir: &Path, rows: u64) -> Result<[Vec<i64>; 2], ExportError> {
    let settings: RawSettings = read_json(dir, SETTINGS)?;
    let tokenizer: RawTokenizer = read_json(dir, TOKENIZER)?;
    let id = |name: Option<String>, what: &str| {
        let mismatch = |got: String, wanted: String| ExportError::Mismatch {
            what: what.to_owned(),
            got,
            wanted,
            path: dir.join(TOKENIZER),
        };
        let token = tokenizer.added_tokens.iter().find(|token| Some(&token.content) == name.as_ref());
        match token {
            Some(token) if u64::from(token.id) < rows => Ok(i64::from(token.id)),
            Some(token) => Err(mismatch(token.id.to_string(), format!("less than the {rows} embedding rows"))),
            None => Err(mismatch("none".to_owned(), format!("the added token that {SETTINGS} names"))),
        }
    };
    let around = id(settings.fake_image_token, "id of `fake_image_token`")?;
    let global = id(settings.global_image_token, "id of `global_image_token`")?;
    Ok([vec![around, global], vec![around]])
}

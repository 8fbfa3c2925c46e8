//! From an instruction to token ids.

use std::path::PathBuf;

use tokenizers::Tokenizer;
use vla_bundle::TextStep;

/// A manifest's text steps with their tokenizer loaded.
pub struct TextPipeline {
    steps: Vec<TextStep>,
    tokenizer: Box<Tokenizer>,
}

/// Why an instruction has no token ids.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TextError {
    #[error("no tokenize step")]
    NoTokenizer,
    #[error("tokenizer does not load: {reason}: {path}")]
    Load { reason: String, path: PathBuf },
    #[error("tokenizer refuses {text:?}: {reason}")]
    Tokenize { text: String, reason: String },
}

impl TextPipeline {
    /// Prepares `steps`; `path_of` says where a file of the bundle stands.
    ///
    /// # Errors
    /// A tokenizer file that is absent, or that the library cannot read.
    pub fn load(steps: &[TextStep], path_of: impl Fn(&str) -> PathBuf) -> Result<Self, TextError> {
        let file = steps.iter().find_map(|step| match step {
            TextStep::Tokenize { file, .. } => Some(file),
            TextStep::Lowercase | TextStep::Prompt { .. } | TextStep::EnsureLastToken { .. } => None,
        });
        let path = path_of(file.ok_or(TextError::NoTokenizer)?);
        let mut tokenizer = Tokenizer::from_file(&path)
            .map_err(|error| TextError::Load { reason: error.to_string(), path: path.clone() })?;
        // Exact lengths: a training setup's padding and truncation have no place here.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| TextError::Load { reason: error.to_string(), path })?;
        Ok(Self { steps: steps.to_vec(), tokenizer: Box::new(tokenizer) })
    }

    /// Token ids of `task`.
    ///
    /// # Errors
    /// A text that the tokenizer has no ids for.
    pub fn apply(&self, task: &str) -> Result<Vec<i64>, TextError> {
        let mut text = task.to_owned();
        let mut ids = Vec::new();
        for step in &self.steps {
            match step {
                TextStep::Lowercase => text = text.to_lowercase(),
                TextStep::Prompt { template } => text = template.replacen("{task}", &text, 1),
                TextStep::Tokenize { special_tokens, .. } => {
                    let encoding = self.tokenizer.encode_fast(text.as_str(), *special_tokens);
                    let encoding = encoding
                        .map_err(|error| TextError::Tokenize { text: text.clone(), reason: error.to_string() })?;
                    ids = encoding.get_ids().iter().map(|id| i64::from(*id)).collect();
                }
                TextStep::EnsureLastToken { id } => {
                    if ids.last() != Some(&i64::from(*id)) {
                        ids.push(i64::from(*id));
                    }
                }
            }
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(file: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizer").join(file)
    }

    fn tokenize() -> TextStep {
        TextStep::Tokenize { file: "tokenizer.json".to_owned(), special_tokens: true }
    }

    fn prompt() -> TextStep {
        TextStep::Prompt { template: "In: What action should the robot take to {task}?\nOut:".to_owned() }
    }

    /// cases.json holds the training side's ids, from its own tokenizer library.
    #[test]
    fn every_golden_text_has_the_training_sides_ids() {
        let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(data("cases.json")).unwrap()).unwrap();
        let plain = TextPipeline::load(&[tokenize()], data).unwrap();
        let prompted = TextPipeline::load(&[TextStep::Lowercase, prompt(), tokenize()], data).unwrap();
        let cases = cases["cases"].as_array().unwrap();
        assert!(cases.len() > 10);
        for case in cases {
            let wanted: Vec<i64> = case["ids"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
            let text = case["text"].as_str().unwrap();
            assert_eq!(plain.apply(text).unwrap(), wanted, "{text:?}");
            if let Some(task) = case["prompt_of"].as_str() {
                assert_eq!(prompted.apply(task).unwrap(), wanted, "{task:?}");
            }
        }
    }

    #[test]
    fn a_last_token_is_appended_only_where_it_is_missing() {
        let ids = |id: u32| {
            let steps = [tokenize(), TextStep::EnsureLastToken { id }];
            TextPipeline::load(&steps, data).unwrap().apply("pick up the black bowl").unwrap()
        };
        assert_eq!(ids(929), [1, 448, 447, 261, 431, 430, 929]);
        assert_eq!(ids(430), [1, 448, 447, 261, 431, 430]);
    }

    /// `"ΟΔΟΣ İÇ".lower()` in Python: a final sigma, and a dot that stays as a combining mark.
    #[test]
    fn lower_case_is_pythons() {
        let steps = [TextStep::Lowercase, tokenize()];
        let lowered = TextPipeline::load(&steps, data).unwrap().apply("ΟΔΟΣ İÇ").unwrap();
        let plain = TextPipeline::load(&[tokenize()], data).unwrap();
        assert_eq!(lowered, plain.apply("οδος i\u{307}ç").unwrap());
        assert_ne!(lowered, plain.apply("οδοσ i\u{307}ç").unwrap());
    }

    #[test]
    fn an_absent_tokenizer_is_named() {
        let error = TextPipeline::load(&[tokenize()], |file| PathBuf::from("nowhere").join(file)).err().unwrap();
        let wanted = "tokenizer does not load: No such file or directory (os error 2): nowhere/tokenizer.json";
        assert_eq!(error.to_string(), wanted);
    }
}

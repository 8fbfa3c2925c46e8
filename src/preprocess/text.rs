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
    #[error("the text {text:?} has token {id} at {}, the policy wants it once, at {at}", places(.got))]
    Expand { text: String, id: u32, got: Vec<usize>, at: u32 },
    #[error("the text {text:?} has token {id}, the policy knows 0 to {}", .rows - 1)]
    NoEmbedding { text: String, id: i64, rows: u32 },
}

impl TextPipeline {
    /// Prepares `steps`; `path_of` says where a file of the bundle stands.
    ///
    /// # Errors
    /// A tokenizer file that is absent, or that the library cannot read.
    pub fn load(steps: &[TextStep], path_of: impl Fn(&str) -> PathBuf) -> Result<Self, TextError> {
        let file = steps.iter().find_map(|step| match step {
            TextStep::Tokenize { file, .. } => Some(file),
            _ => None,
        });
        let path = path_of(file.ok_or(TextError::NoTokenizer)?);
        let mut tokenizer = Tokenizer::from_file(&path)
            .map_err(|error| TextError::Load { reason: error.to_string(), path: path.clone() })?;
        // Exact lengths: a training setup's padding and truncation have no place here.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| TextError::Load { reason: error.to_string(), path })?;
        Ok(Self { steps: steps.to_vec(), tokenizer: Box::new(tokenizer) })
    }

    /// Token ids of `task`; `state` is what a prompt says of it, where it does.
    ///
    /// # Errors
    /// A text that the tokenizer has no ids for, or ids that the policy has no embedding for.
    pub fn apply(&self, task: &str, state: Option<&str>) -> Result<Vec<i64>, TextError> {
        let mut text = task.to_owned();
        let mut ids = Vec::new();
        for step in &self.steps {
            match step {
                TextStep::Lowercase => text = text.to_lowercase(),
                TextStep::Trim => text = String::from(text.trim_matches(is_python_space)),
                TextStep::Replace { from, to } => text = text.replace(from, to),
                TextStep::Prompt { template } => text = fill(template, &text, state.unwrap_or_default()),
                TextStep::EnsureEnd { suffix } if !text.ends_with(suffix) => text.push_str(suffix),
                TextStep::EnsureEnd { .. } => {}
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
                TextStep::ExpandToken { id, at, count } => {
                    let wanted = i64::from(*id);
                    let got: Vec<usize> = (0..ids.len()).filter(|index| ids[*index] == wanted).collect();
                    if got != [*at as usize] {
                        return Err(TextError::Expand { text, id: *id, got, at: *at });
                    }
                    ids.splice(got[0]..=got[0], std::iter::repeat_n(wanted, *count as usize));
                }
                TextStep::AppendToken { id } => ids.push(i64::from(*id)),
                TextStep::Truncate { max } => truncate(&mut ids, *max as usize),
                TextStep::Below { rows } => {
                    if let Some(id) = ids.iter().find(|id| **id >= i64::from(*rows)) {
                        return Err(TextError::NoEmbedding { text, id: *id, rows: *rows });
                    }
                }
            }
        }
        Ok(ids)
    }
}

/// The template with both texts in their places, whatever braces they hold themselves.
fn fill(template: &str, task: &str, state: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        text.push_str(before);
        let (value, slot) = [(task, "{task}"), (state, "{state}")]
            .into_iter()
            .find(|(_, slot)| from.starts_with(slot))
            .unwrap_or((&from[..1], "{"));
        text.push_str(value);
        rest = &from[slot.len()..];
    }
    text + rest
}

fn places(got: &[usize]) -> String {
    match got {
        [] => "no place".to_owned(),
        got => got.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn truncate(ids: &mut Vec<i64>, max: usize) {
    if ids.len() > max {
        tracing::warn!(tokens = ids.len(), max, "the prompt is too long for the policy; its end is cut off");
        ids.truncate(max);
    }
}

/// What Python's `str.strip` takes away: Unicode white space, and four control characters that Rust does not count.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
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
            assert_eq!(plain.apply(text, None).unwrap(), wanted, "{text:?}");
            if let Some(task) = case["prompt_of"].as_str() {
                assert_eq!(prompted.apply(task, None).unwrap(), wanted, "{task:?}");
            }
        }
    }

    #[test]
    fn a_last_token_is_appended_only_where_it_is_missing() {
        let ids = |id: u32| {
            let steps = [tokenize(), TextStep::EnsureLastToken { id }];
            TextPipeline::load(&steps, data).unwrap().apply("pick up the black bowl", None).unwrap()
        };
        assert_eq!(ids(929), [1, 448, 447, 261, 431, 430, 929]);
        assert_eq!(ids(430), [1, 448, 447, 261, 431, 430]);
    }

    /// `"ΟΔΟΣ İÇ".lower()` in Python: a final sigma, and a dot that stays as a combining mark.
    #[test]
    fn lower_case_is_pythons() {
        let steps = [TextStep::Lowercase, tokenize()];
        let lowered = TextPipeline::load(&steps, data).unwrap().apply("ΟΔΟΣ İÇ", None).unwrap();
        let plain = TextPipeline::load(&[tokenize()], data).unwrap();
        assert_eq!(lowered, plain.apply("οδος i\u{307}ç", None).unwrap());
        assert_ne!(lowered, plain.apply("οδοσ i\u{307}ç", None).unwrap());
    }

    #[test]
    fn an_absent_tokenizer_is_named() {
        let error = TextPipeline::load(&[tokenize()], |file| PathBuf::from("nowhere").join(file)).err().unwrap();
        let wanted = "tokenizer does not load: No such file or directory (os error 2): nowhere/tokenizer.json";
        assert_eq!(error.to_string(), wanted);
    }

    fn ids(steps: &[TextStep], task: &str, state: Option<&str>) -> Result<Vec<i64>, TextError> {
        let mut steps = steps.to_vec();
        if !steps.contains(&tokenize()) {
            steps.push(tokenize());
        }
        TextPipeline::load(&steps, data).unwrap().apply(task, state)
    }

    #[test]
    fn a_cleaned_text_is_the_plain_one() {
        let replace = |from: &str| TextStep::Replace { from: from.to_owned(), to: " ".to_owned() };
        let clean = [TextStep::Trim, replace("_"), replace("\n")];
        let wanted = ids(&[], "pick up the black bowl", None).unwrap();
        assert_eq!(ids(&clean, "\u{1f} pick_up\nthe black bowl \t", None).unwrap(), wanted);
    }

    #[test]
    fn a_prompt_holds_task_and_state_whatever_they_look_like() {
        let prompt = [TextStep::Prompt { template: "{state} of {{task}}".to_owned() }];
        let wanted = ids(&[], "1 2 of {a {state}}", None).unwrap();
        assert_eq!(ids(&prompt, "a {state}", Some("1 2")).unwrap(), wanted);
    }

    #[test]
    fn a_text_ends_as_it_should_once() {
        let end = [TextStep::EnsureEnd { suffix: " bowl".to_owned() }];
        let wanted = ids(&[], "pick up the black bowl", None).unwrap();
        assert_eq!(ids(&end, "pick up the black", None).unwrap(), wanted);
        assert_eq!(ids(&end, "pick up the black bowl", None).unwrap(), wanted);
    }

    #[test]
    fn ids_are_appended_cut_off_and_held_against_the_table() {
        let after = |steps: &[TextStep]| ids(&[&[tokenize()], steps].concat(), "pick up the black bowl", None);
        let append = TextStep::AppendToken { id: 430 };
        assert_eq!(after(std::slice::from_ref(&append)).unwrap(), [1, 448, 447, 261, 431, 430, 430]);
        assert_eq!(after(&[append, TextStep::Truncate { max: 3 }]).unwrap(), [1, 448, 447]);
        let message = "the text \"pick up the black bowl\" has token 448, the policy knows 0 to 447";
        assert_eq!(after(&[TextStep::Below { rows: 448 }]).unwrap_err().to_string(), message);
        assert!(after(&[TextStep::Below { rows: 449 }]).is_ok());
    }

    #[test]
    fn a_token_becomes_several_where_it_stands_once_and_in_its_place() {
        let expand = |id, at| [tokenize(), TextStep::ExpandToken { id, at, count: 3 }];
        let task = "pick up the black bowl";
        assert_eq!(ids(&expand(447, 2), task, None).unwrap(), [1, 448, 447, 447, 447, 261, 431, 430]);
        let message = |id, at| ids(&expand(id, at), task, None).unwrap_err().to_string();
        let start = "the text \"pick up the black bowl\" has token";
        assert_eq!(message(447, 1), format!("{start} 447 at 2, the policy wants it once, at 1"));
        assert_eq!(message(7, 1), format!("{start} 7 at no place, the policy wants it once, at 1"));
    }
}

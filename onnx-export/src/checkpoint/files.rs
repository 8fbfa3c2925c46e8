//! The small files of a checkpoint folder: JSON, and components beside the model.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::CheckpointError;

/// A JSON file of a checkpoint folder; fields that `T` does not name are ignored.
///
/// # Errors
/// The file is absent, is no JSON, or is not what `T` wants. Python's `NaN` and `Infinity` are no JSON.
pub fn read_json<T: DeserializeOwned>(dir: &Path, file: &'static str) -> Result<T, CheckpointError> {
    let path = dir.join(file);
    let text =
        std::fs::read(&path).map_err(|source| CheckpointError::Read { what: file, source, path: path.clone() })?;
    serde_json::from_slice(&text).map_err(|e| {
        let reason = match non_finite(&text, &e) {
            Some(word) => format!("`{word}` at line {} is no JSON number, wanted a finite one", e.line()),
            None => e.to_string(),
        };
        CheckpointError::File { what: file, reason, path }
    })
}

/// The one file of a component that is saved beside the model: its name starts with `<component>--` and contains
/// `checkpoint`, as `action_head--150000_checkpoint.pt`.
///
/// # Errors
/// Several such files; the folder cannot be listed.
pub fn component(dir: &Path, component: &str) -> Result<Option<PathBuf>, CheckpointError> {
    let prefix = format!("{component}--");
    let found = files_where(dir, |name| name.starts_with(&prefix) && name.contains("checkpoint"))?;
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(dir.join(only))),
        several => Err(CheckpointError::File {
            what: "checkpoint",
            reason: format!("got several files of `{component}`, wanted one: {}", several.join(", ")),
            path: dir.to_owned(),
        }),
    }
}

/// Names of the files in `dir` that satisfy `wanted`, sorted.
pub(super) fn files_where(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, CheckpointError> {
    let refuse = |source| CheckpointError::Read { what: "checkpoint folder", source, path: dir.to_owned() };
    let mut names = vec![];
    for entry in std::fs::read_dir(dir).map_err(refuse)? {
        // A name that is not UTF-8 is none of the names a checkpoint has.
        if let Ok(name) = entry.map_err(refuse)?.file_name().into_string()
            && wanted(&name)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The word at an error's position, where it is one of those that Python's `json.dump` writes for non-finite numbers.
fn non_finite(text: &[u8], error: &serde_json::Error) -> Option<&'static str> {
    let line = text.split(|byte| *byte == b'\n').nth(error.line().checked_sub(1)?)?;
    let position = error.column().saturating_sub(1).min(line.len());
    let is_word = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-';
    let start = line[..position].iter().rposition(|byte| !is_word(byte)).map_or(0, |before| before + 1);
    ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| line[start..].starts_with(word.as_bytes()))
}

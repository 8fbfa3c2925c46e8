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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    struct Sizes {
        width: u64,
        scale: Vec<f64>,
    }

    fn read(text: &str) -> Result<Sizes, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), text).unwrap();
        read_json(dir.path(), "config.json")
            .map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn json_reads_the_fields_that_are_asked_for() {
        let wanted = Sizes { width: 24, scale: vec![0.1, -2.0] };
        assert_eq!(read(r#"{"other": [{}], "width": 24, "scale": [0.1, -2]}"#), Ok(wanted));
    }

    #[test]
    fn json_of_another_form_is_refused_with_the_file() {
        assert_eq!(
            read(r#"{"width": 24}"#),
            Err("config.json: missing field `scale` at line 1 column 13: DIR/config.json".to_owned())
        );
        assert_eq!(
            read_json::<Sizes>(Path::new("nowhere"), "config.json").unwrap_err().to_string(),
            "cannot read config.json: No such file or directory (os error 2): nowhere/config.json"
        );
    }

    #[test]
    fn the_non_finite_numbers_of_python_are_named() {
        for word in ["NaN", "Infinity", "-Infinity"] {
            let wanted =
                format!("config.json: `{word}` at line 2 is no JSON number, wanted a finite one: DIR/config.json");
            assert_eq!(read(&format!("{{\"width\": 24,\n \"scale\": [0.5, {word}, 1]}}")), Err(wanted.clone()));
        }
    }

    #[test]
    fn a_component_is_the_one_file_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let found = |name: &str| {
            component(dir.path(), name).map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"))
        };
        for name in ["noisy_action_projector--5_checkpoint.pt", "action_head--150000_checkpoint.pt", "vision--5.pt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(found("action_head"), Ok(Some(dir.path().join("action_head--150000_checkpoint.pt"))));
        assert_eq!(found("action_projector"), Ok(None));
        assert_eq!(found("vision"), Ok(None));
        std::fs::write(dir.path().join("action_head--latest_checkpoint.pt"), "").unwrap();
        assert_eq!(
            found("action_head"),
            Err("checkpoint: got several files of `action_head`, wanted one: \
                 action_head--150000_checkpoint.pt, action_head--latest_checkpoint.pt: DIR"
                .to_owned())
        );
    }
}

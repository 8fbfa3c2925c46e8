//! A copy of a checkpoint in which single things are different.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A copy of a folder, whose files may be changed.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::write(to, std::fs::read(&from).unwrap()).unwrap();
        }
    }
}

/// A checkpoint folder in a scratch folder; `out` stands beside it.
pub struct Edited {
    root: tempfile::TempDir,
}

impl Edited {
    /// A copy of the checkpoint of `case`.
    pub fn of(case: &str) -> Self {
        let edited = Self { root: tempfile::tempdir().unwrap() };
        copy(&super::checkpoint(case), &edited.dir());
        edited
    }

    /// The checkpoint.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("checkpoint")
    }

    /// Where the bundle may go.
    pub fn out(&self) -> &Path {
        self.root.path()
    }

    /// Removes the files whose names start so.
    pub fn without_file(self, start: &str) -> Self {
        for entry in std::fs::read_dir(self.dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with(start) {
                std::fs::remove_file(path).unwrap();
            }
        }
        self
    }

    /// Adds an empty file.
    pub fn with_file(self, name: &str) -> Self {
        std::fs::write(self.dir().join(name), "").unwrap();
        self
    }

    /// Changes a JSON file.
    pub fn with_json(self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let path = self.dir().join(name);
        let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(&path, serde_json::to_vec(&value).unwrap()).unwrap();
        self
    }

    /// Changes the model's tensors: name to shape and bf16 bytes.
    pub fn with_tensors(self, change: impl FnOnce(&mut BTreeMap<String, (Vec<u64>, Vec<u8>)>)) -> Self {
        self.with_tensors_of("model.safetensors", change)
    }

    /// Changes the tensors of one file.
    pub fn with_tensors_of(self, file: &str, change: impl FnOnce(&mut BTreeMap<String, (Vec<u64>, Vec<u8>)>)) -> Self {
        let path = self.dir().join(file);
        let file = std::fs::read(&path).unwrap();
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let header: BTreeMap<String, Value> = serde_json::from_slice(&file[8..8 + length]).unwrap();
        let body = &file[8 + length..];
        let mut tensors = header
            .into_iter()
            .filter(|(name, _)| name != "__metadata__")
            .map(|(name, entry)| {
                let shape: Vec<u64> = serde_json::from_value(entry["shape"].clone()).unwrap();
                let [from, to]: [usize; 2] = serde_json::from_value(entry["data_offsets"].clone()).unwrap();
                (name, (shape, body[from..to].to_vec()))
            })
            .collect();
        change(&mut tensors);
        let mut header = serde_json::Map::new();
        let mut body = Vec::new();
        for (name, (shape, bytes)) in &tensors {
            let range = [body.len(), body.len() + bytes.len()];
            header.insert(name.clone(), json!({"dtype": "BF16", "shape": shape, "data_offsets": range}));
            body.extend_from_slice(bytes);
        }
        let header = serde_json::to_vec(&header).unwrap();
        let file = [&(header.len() as u64).to_le_bytes(), header.as_slice(), body.as_slice()].concat();
        std::fs::write(&path, file).unwrap();
        self
    }

    /// The text without the scratch folder's own name.
    pub fn anonymous(&self, text: &str) -> String {
        text.replace(&self.root.path().display().to_string(), "ROOT")
    }
}

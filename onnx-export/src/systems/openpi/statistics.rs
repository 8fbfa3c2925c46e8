//! `assets/<data set>/norm_stats.json`: statistics that states and actions were normalised with.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ExportError;
use crate::checkpoint::CheckpointError;

const FILE: &str = "norm_stats.json";
const ASSETS: &str = "assets";

/// The statistics of one data set.
pub struct Statistics {
    /// Its name.
    pub key: String,
    /// Of the state.
    pub state: Columns,
    /// Of the actions.
    pub actions: Columns,
    /// The file.
    pub path: PathBuf,
}

/// Numbers per dimension.
#[derive(Deserialize)]
pub struct Columns {
    /// Mean.
    pub mean: Vec<f64>,
    /// Standard deviation.
    pub std: Vec<f64>,
    /// 1 % quantile.
    pub q01: Option<Vec<f64>>,
    /// 99 % quantile.
    pub q99: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Raw {
    norm_stats: RawGroups,
}

#[derive(Deserialize)]
struct RawGroups {
    state: Columns,
    actions: Columns,
}

impl Statistics {
    /// The statistics under `key`, or the only ones.
    pub fn read(dir: &Path, key: Option<&str>) -> Result<Self, ExportError> {
        let assets = dir.join(ASSETS);
        let refuse =
            |reason: String, path: &Path| CheckpointError::File { what: "statistics", reason, path: path.into() };
        let mut keys = Vec::new();
        collect(&assets, "", &mut keys).map_err(|source| CheckpointError::Read {
            what: "folder of the statistics",
            source,
            path: assets.clone(),
        })?;
        keys.sort();
        let listed = || keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let key = match (key, keys.as_slice()) {
            (_, []) => return Err(refuse(format!("no {FILE} below it"), &assets).into()),
            (Some(key), keys) if keys.iter().any(|known| known == key) => key.to_owned(),
            (Some(key), _) => return Err(refuse(format!("got no key `{key}`, but {}", listed()), &assets).into()),
            (None, [only]) => only.clone(),
            (None, _) => {
                let reason = format!("got several keys, wanted --unnorm-key to name one of {}", listed());
                return Err(refuse(reason, &assets).into());
            }
        };
        let path = assets.join(&key).join(FILE);
        let text = std::fs::read(&path);
        let text = text.map_err(|source| CheckpointError::Read { what: FILE, source, path: path.clone() })?;
        let raw: Raw = serde_json::from_slice(&text).map_err(|e| refuse(e.to_string(), &path))?;
        let RawGroups { state, actions } = raw.norm_stats;
        for (name, columns) in [("state", &state), ("actions", &actions)] {
            columns.check(name).map_err(|reason| refuse(reason, &path))?;
        }
        Ok(Self { key, state, actions, path })
    }
}

impl Columns {
    fn check(&self, name: &str) -> Result<(), String> {
        let columns = [Some(&self.mean), Some(&self.std), self.q01.as_ref(), self.q99.as_ref()];
        for column in columns.into_iter().flatten() {
            if column.len() != self.mean.len() || column.is_empty() {
                return Err(format!("{name}: columns of {} and {} values", self.mean.len(), column.len()));
            }
        }
        Ok(())
    }

    /// 1 % and 99 % quantiles.
    pub fn quantiles(&self, name: &str, path: &Path) -> Result<[&[f64]; 2], ExportError> {
        let Some(columns) = self.q01.as_ref().zip(self.q99.as_ref()) else {
            let reason = format!("{name}: no q01 and q99");
            return Err(CheckpointError::File { what: "statistics", reason, path: path.to_owned() }.into());
        };
        Ok([columns.0, columns.1])
    }
}

/// Folders below `dir` that hold statistics, as paths from it.
fn collect(dir: &Path, name: &str, keys: &mut Vec<String>) -> std::io::Result<()> {
    if dir.join(FILE).is_file() {
        keys.push(name.to_owned());
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if let (true, Ok(below)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            let below = if name.is_empty() { below } else { format!("{name}/{below}") };
            collect(&entry.path(), &below, keys)?;
        }
    }
    Ok(())
}

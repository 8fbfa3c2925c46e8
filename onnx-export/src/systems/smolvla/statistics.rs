//! Mean and deviation of states and actions, as lerobot's processors keep them beside the policy.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ExportError;
use crate::checkpoint::{CheckpointError, Weights, read_json};

const BEFORE: &str = "policy_preprocessor.json";
const AFTER: &str = "policy_postprocessor.json";

/// Mean and deviation per dimension.
#[derive(Debug)]
pub struct MeanStd {
    /// Mean.
    pub mean: Vec<f64>,
    /// Standard deviation.
    pub std: Vec<f64>,
    /// Added to the deviation where something is normalised.
    pub eps: f64,
    /// Files that were read.
    pub sources: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Raw {
    steps: Vec<RawStep>,
}

#[derive(Deserialize)]
struct RawStep {
    registry_name: Option<String>,
    #[serde(default)]
    config: RawConfig,
    state_file: Option<String>,
}

#[derive(Default, Deserialize)]
struct RawConfig {
    eps: Option<f64>,
}

/// Of a state of `dim` values.
pub fn state(dir: &Path, dim: u64) -> Result<MeanStd, ExportError> {
    read(dir, (BEFORE, "normalizer_processor"), ("observation.state", dim))
}

/// Of an action of `dim` values.
pub fn action(dir: &Path, dim: u64) -> Result<MeanStd, ExportError> {
    read(dir, (AFTER, "unnormalizer_processor"), ("action", dim))
}

fn read(dir: &Path, (file, step): (&'static str, &str), (group, dim): (&str, u64)) -> Result<MeanStd, ExportError> {
    let raw: Raw = read_json(dir, file)?;
    let found = raw.steps.into_iter().find(|found| found.registry_name.as_deref() == Some(step));
    let refuse = |reason: String| CheckpointError::File { what: "statistics", reason, path: dir.join(file) };
    let (eps, state_file) = match found {
        Some(RawStep { config: RawConfig { eps: Some(eps) }, state_file: Some(state_file), .. }) => (eps, state_file),
        Some(_) => return Err(refuse(format!("step `{step}` without `eps` or `state_file`")).into()),
        None => return Err(refuse(format!("no step `{step}`")).into()),
    };
    if Path::new(&state_file).file_name() != Some(state_file.as_ref()) {
        return Err(refuse(format!("`{state_file}` is not a plain file name")).into());
    }
    let numbers = Weights::open_file(&dir.join(&state_file))?;
    let column = |name: &str| -> Result<Vec<f64>, CheckpointError> {
        let values = numbers.read(&format!("{group}.{name}"), &[dim])?.to_f32();
        Ok(values.into_iter().map(f64::from).collect())
    };
    let (mean, std) = (column("mean")?, column("std")?);
    Ok(MeanStd { mean, std, eps, sources: vec![dir.join(file), dir.join(state_file)] })
}

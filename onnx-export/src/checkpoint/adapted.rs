//! A checkpoint that is an adapter: low-rank factors and whole tensors that belong to a base model in another folder.

use std::path::Path;

use super::lora::FOLDER;
use super::{CheckpointError, Weights, component};

/// The factors' file in the adapter's folder.
const FILE: &str = "adapter_model.safetensors";

/// What PEFT puts before every name of the model that it wraps.
const WRAPPER: &str = "base_model.model.";

/// Component of the tensors that were trained whole.
const WHOLE: &str = "non_lora_trainables";

/// A base model with what an adapter changes in it.
#[derive(Debug)]
pub struct Adapted {
    /// The merged model; low-rank factors are added in f32 while a weight is written.
    pub weights: Weights,
    /// Tensors of the adapter that were left out on purpose, sorted.
    pub ignored: Vec<String>,
}

impl Adapted {
    /// Whether `dir` holds an adapter and no model that it could have been merged into.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn is_needed(dir: &Path) -> Result<bool, CheckpointError> {
        Ok(dir.join(FOLDER).join(FILE).exists() && !Weights::is_model(dir)?)
    }

    /// Merges the adapter in `dir` onto the model in `base`, without its tensors whose names satisfy `ignored`.
    ///
    /// # Errors
    /// A checkpoint that holds a whole model, a base that holds an adapter or one of its tensors already, no adapter,
    /// factors that belong to no weight of the base or have another width, and what [`Weights::merge_lora`] says.
    pub fn open(dir: &Path, base: &Path, ignored: impl Fn(&str) -> bool) -> Result<Self, CheckpointError> {
        let refuse = |reason: String, path: &Path| {
            Err(CheckpointError::File { what: "base checkpoint", reason, path: path.to_owned() })
        };
        if Weights::is_model(dir)? {
            let reason = "the checkpoint holds a whole model, onto which its adapter was merged already: \
                          export it without a base checkpoint";
            return refuse(reason.to_owned(), dir);
        }
        if base.join(FOLDER).exists() {
            let reason = format!("got one with a {FOLDER} of its own, wanted the model that the training started from");
            return refuse(reason, base);
        }
        let factors = dir.join(FOLDER).join(FILE);
        if !factors.exists() {
            return refuse(format!("got a checkpoint without {FOLDER}/{FILE}, so there is nothing to merge"), dir);
        }
        let mut weights = Weights::open_safetensors(base)?;
        if let Some(path) = component(dir, WHOLE)? {
            let whole = Weights::open_torch(&path)?;
            let plain = |name: &str| name.strip_prefix(WRAPPER).unwrap_or(name).to_owned();
            if let Some(name) = whole.names().map(plain).find(|name| weights.shape(name).is_some()) {
                return refuse(format!("`{name}` of {WHOLE} is in it already, so that it is merged"), base);
            }
            weights.join(whole, plain)?;
        }
        let mut adapter = Weights::open_file(&factors)?;
        let ignored = adapter.take_where(ignored);
        let names = adapter.names().count();
        weights.join(adapter, |name| name.strip_prefix(WRAPPER).unwrap_or(name).to_owned())?;
        let merged = weights.merge_lora(dir)?;
        if 2 * merged.len() != names {
            let reason =
                format!("got {names} tensors of which {} are low-rank factors, wanted those alone", 2 * merged.len());
            return Err(CheckpointError::File { what: "adapter", reason, path: factors });
        }
        Ok(Self { weights, ignored })
    }
}

//! Checkpoints that are adapters of a base model.

use std::path::PathBuf;

use vla_bundle::{Dtype, Merged};

use crate::ExportError;
use crate::checkpoint::{Adapted, Weights};
use crate::request::Request;

use super::Prismatic;

/// Names in an adapter of the towers that FiLM wraps.
const WRAPPED_TOWERS: &str = "base_model.model.vision_backbone.vision_backbone.";

/// The model's tensors: the checkpoint's own, or its adapter merged onto the base. Towers with FiLM, in a file of their
/// own, have their adapters there; the official merge ignores the ones under the wrapped names, and so does this one.
pub fn open_model(request: &Request, film: Option<&Weights>) -> Result<Adapted, ExportError> {
    let dir = request.checkpoint.as_path();
    if let Some(base) = &request.base_checkpoint {
        let ignored = |name: &str| film.is_some() && name.starts_with(WRAPPED_TOWERS);
        return Ok(Adapted::open(dir, base, ignored)?);
    }
    if Adapted::is_needed(dir)? {
        let lacks = "`--base-checkpoint` is missing: the checkpoint holds an adapter and no model";
        return Err(ExportError::Request(vec![lacks.to_owned()]));
    }
    Ok(Adapted { weights: Weights::open_safetensors(dir)?, ignored: Vec::new() })
}

/// What the manifest says about the adapters that are in the bundle's weights.
pub fn merged(policy: &Prismatic) -> Option<Merged> {
    let weights = [Some(&policy.model), policy.film.as_ref()].into_iter().flatten();
    let scales: Vec<f32> = weights.flat_map(|weights| weights.merged().map(|(_, scale)| scale)).collect();
    let name = |path: &PathBuf| Some(path.canonicalize().ok()?.file_name()?.to_string_lossy().into_owned());
    Some(Merged {
        base: policy.base.as_ref().and_then(name),
        weights: scales.len() as u64,
        // All adapters of a checkpoint share one configuration.
        scale: *scales.first()?,
        precision: Dtype::Fp32,
    })
}

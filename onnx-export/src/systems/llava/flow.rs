//! The object `flow` of a run's configuration: how noise becomes actions.

use std::path::Path;

use serde::Deserialize;
use vla_bundle::TimeGrid;

use crate::ExportError;
use crate::systems::flow::Loop;

/// The fields that the family's checkpoints have in common.
#[derive(Deserialize)]
pub struct RawFlow {
    /// Denoising steps.
    pub num_inference_steps: u64,
    /// Order of the expert's tokens.
    pub suffix_layout: String,
    t_noise: f64,
    target: String,
    time_embedding: RawTime,
}

#[derive(Deserialize)]
struct RawTime {
    kind: String,
    min_period: f64,
    max_period: f64,
    order: String,
    two_pi: bool,
}

impl RawFlow {
    /// The loop over chunks of `[steps, values]` by an expert of `width`.
    pub fn stage(&self, [chunk_size, network_dim]: [u64; 2], width: u64, path: &Path) -> Result<Loop, ExportError> {
        let t_noise = match (self.t_noise, self.target.as_str()) {
            (1.0, "noise_minus_data") => 1,
            (0.0, "data_minus_noise") => 0,
            (t_noise, target) => {
                let got = format!("{t_noise} and `{target}`");
                let wanted = "1 and `noise_minus_data`, or 0 and `data_minus_noise`";
                return Err(mismatch("`t_noise` and `target`", got, wanted, path));
            }
        };
        let RawTime { kind, min_period, max_period, order, two_pi } = &self.time_embedding;
        if (kind.as_str(), order.as_str(), *two_pi) != ("sincos", "sin_cos", true) {
            let got = format!("`{kind}`, `{order}`, two_pi {two_pi}");
            return Err(mismatch("`time_embedding`", got, "`sincos`, `sin_cos`, two_pi true", path));
        }
        if chunk_size == 0 || network_dim == 0 || width < 4 || !width.is_multiple_of(2) {
            let got = format!("{chunk_size}, {network_dim} and {width}");
            let wanted = "numbers above 0, and an even width of at least 4";
            return Err(mismatch("`action_horizon`, `action_dim` and the expert's width", got, wanted, path));
        }
        let periods = [*min_period, *max_period];
        Ok(Loop { chunk_size, network_dim, width, t_noise, periods, grid: TimeGrid::UniformFp64 })
    }
}

/// Fails with what was found and what was wanted.
pub fn mismatch(what: &str, got: String, wanted: &str, path: &Path) -> ExportError {
    let (what, wanted, path) = (what.to_owned(), wanted.to_owned(), path.to_owned());
    ExportError::Mismatch { what, got, wanted, path }
}

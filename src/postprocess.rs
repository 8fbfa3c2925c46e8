//! From the network's output to actions in the data set's units.

use vla_bundle::{Actions, Unnormalize};

use crate::types::{Chunk, Robot};

/// Why a network's output is no chunk of actions.
#[derive(Debug, thiserror::Error, PartialEq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PostprocessError {
    #[error("actions: got {got} values, wanted {chunk_size} steps of {action_dim}")]
    Length { got: usize, chunk_size: usize, action_dim: usize },
    #[error("action step {step} dimension {dim}: the network's output is {got}")]
    NotFinite { step: usize, dim: usize, got: f32 },
}

/// The chunk that `normalized`, `[chunk_size, action_dim]` row-major, stands for.
///
/// # Errors
/// Another number of values; a value that is not a finite number.
pub fn unnormalize(actions: &Actions, normalized: &[f32]) -> Result<Chunk<Robot>, PostprocessError> {
    let Actions { chunk_size, action_dim, .. } = *actions;
    let length = PostprocessError::Length { got: normalized.len(), chunk_size, action_dim };
    if normalized.len() != chunk_size * action_dim {
        return Err(length);
    }
    if let Some(index) = normalized.iter().position(|value| !value.is_finite()) {
        let [step, dim] = [index / action_dim, index % action_dim];
        return Err(PostprocessError::NotFinite { step, dim, got: normalized[index] });
    }
    let values =
        normalized.iter().enumerate().map(|(index, value)| raw(&actions.unnormalize, index % action_dim, *value));
    Chunk::new(values.collect(), action_dim).ok_or(length)
}

/// One value of dimension `dim`. The first two operations are f32, as numpy's are on an f32 array; the rest is f64.
fn raw(kind: &Unnormalize, dim: usize, value: f32) -> f64 {
    match kind {
        Unnormalize::Quantile { low, high, eps, mask } | Unnormalize::MinMax { low, high, eps, mask } if mask[dim] => {
            f64::from(0.5 * (value + 1.0)) * (high[dim] - low[dim] + eps) + low[dim]
        }
        Unnormalize::Quantile { .. } | Unnormalize::MinMax { .. } | Unnormalize::Identity => f64::from(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The training side's run of a small random policy: statistics, network output, actions as numpy returned them.
    #[derive(serde::Deserialize)]
    struct Golden {
        action_low: Vec<f64>,
        action_high: Vec<f64>,
        action_mask: Vec<bool>,
        normalized_actions: Vec<f32>,
        actions: Vec<f64>,
    }

    fn golden() -> (Actions, Golden) {
        let golden: Golden = serde_json::from_str(include_str!("../tests/data/actions/quantile.json")).unwrap();
        let unnormalize = Unnormalize::Quantile {
            low: golden.action_low.clone(),
            high: golden.action_high.clone(),
            eps: 1e-8,
            mask: golden.action_mask.clone(),
        };
        let tensor = "actions".to_owned();
        (Actions { tensor, chunk_size: 8, action_dim: 7, unnormalize, kept_tokens: None }, golden)
    }

    #[test]
    fn actions_are_the_training_sides_to_the_last_bit() {
        let (actions, golden) = golden();
        let chunk = unnormalize(&actions, &golden.normalized_actions).unwrap();
        assert_eq!(chunk.values(), golden.actions);
    }

    #[test]
    fn an_output_that_is_no_number_is_named_by_step_and_dimension() {
        let (actions, mut golden) = golden();
        golden.normalized_actions[2 * 7 + 5] = f32::NAN;
        let error = unnormalize(&actions, &golden.normalized_actions).unwrap_err();
        assert_eq!(error.to_string(), "action step 2 dimension 5: the network's output is NaN");
        golden.normalized_actions.pop();
        let error = unnormalize(&actions, &golden.normalized_actions).unwrap_err();
        assert_eq!(error.to_string(), "actions: got 55 values, wanted 8 steps of 7");
    }

    #[test]
    fn identity_hands_the_output_on() {
        let (mut actions, golden) = golden();
        actions.unnormalize = Unnormalize::Identity;
        let chunk = unnormalize(&actions, &golden.normalized_actions).unwrap();
        assert!(chunk.values().iter().zip(&golden.normalized_actions).all(|(a, b)| *a == f64::from(*b)));
    }
}

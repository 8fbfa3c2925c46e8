//! From the network's output to actions in the data set's units.

use vla_bundle::{ActionStep, Actions, OutputStep, Unnormalize};

use crate::preprocess::state::{StateError, StatePipeline};
use crate::types::{Chunk, Robot};

/// Why a network's output is no chunk of actions.
#[derive(Debug, thiserror::Error, PartialEq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PostprocessError {
    #[error("actions: got {got} values, wanted {chunk_size} steps of {action_dim}")]
    Length { got: usize, chunk_size: usize, action_dim: usize },
    #[error("action step {step} dimension {dim}: the network's output is {got}")]
    NotFinite { step: usize, dim: usize, got: f32 },
    #[error("the state that the actions start from: {0}")]
    State(#[from] StateError),
}

/// From one network's output to actions.
pub struct Postprocessor {
    actions: Actions,
    /// The way of the state into each step that adds it, in their order.
    anchors: Vec<StatePipeline>,
}

impl Postprocessor {
    /// For actions of a policy that takes a state of `state_dim` values.
    pub fn new(actions: &Actions, state_dim: usize) -> Self {
        let anchor = |step: &ActionStep| match step {
            ActionStep::AddState { state, .. } => Some(StatePipeline::new(state, state_dim)),
            ActionStep::KeepFirst { .. } | ActionStep::Affine { .. } => None,
        };
        Self { anchors: actions.steps.iter().filter_map(anchor).collect(), actions: actions.clone() }
    }

    /// The chunk that `normalized`, `[chunk_size, network_dim]` row-major, stands for; `state` is that of the
    /// observation that it answers.
    ///
    /// # Errors
    /// Another number of values; a value that is not a finite number; a state that is needed and unusable.
    pub fn apply(&self, normalized: &[f32], state: Option<&[f64]>) -> Result<Chunk<Robot>, PostprocessError> {
        let (chunk_size, width) = (self.actions.chunk_size, self.actions.network_dim());
        let length = PostprocessError::Length { got: normalized.len(), chunk_size, action_dim: width };
        if normalized.len() != chunk_size * width {
            return Err(length);
        }
        if let Some(index) = normalized.iter().position(|value| !value.is_finite()) {
            let [step, dim] = [index / width, index % width];
            return Err(PostprocessError::NotFinite { step, dim, got: normalized[index] });
        }
        let unnormalize = |(dim, value): (usize, &f32)| {
            let value = self.actions.before.iter().fold(*value, |value, step| before(step, dim, value));
            raw(&self.actions.unnormalize, dim, value)
        };
        let mut rows: Vec<Vec<f64>> =
            normalized.chunks_exact(width).map(|row| row.iter().enumerate().map(unnormalize).collect()).collect();
        let mut anchors = self.anchors.iter();
        for step in &self.actions.steps {
            match step {
                ActionStep::AddState { mask, .. } => {
                    let anchor = anchors.next().map(|pipeline| pipeline.values(state)).transpose()?.unwrap_or_default();
                    let deltas = mask.iter().zip(&anchor).enumerate().filter(|(_, (is_delta, _))| **is_delta);
                    for (dim, (_, from)) in deltas {
                        for row in &mut rows {
                            row[dim] += from;
                        }
                    }
                }
                ActionStep::KeepFirst { dims } => rows.iter_mut().for_each(|row| row.truncate(*dims)),
                ActionStep::Affine { scale, offset } => {
                    for (dim, (scale, offset)) in scale.iter().zip(offset).enumerate() {
                        for row in &mut rows {
                            row[dim] = row[dim] * scale + offset;
                        }
                    }
                }
            }
        }
        Chunk::new(rows.concat(), self.actions.action_dim).ok_or(length)
    }
}

fn before(step: &OutputStep, dim: usize, value: f32) -> f32 {
    match step {
        OutputStep::Clip { low, high } => value.clamp(*low as f32, *high as f32),
        OutputStep::Threshold { dim: of, at } if *of == dim => f32::from(u8::from(f64::from(value) >= *at)),
        OutputStep::Threshold { .. } => value,
    }
}

/// One value of dimension `dim`. The first two operations on a range are f32, as numpy's are on an f32 array; the rest
/// is f64.
fn raw(kind: &Unnormalize, dim: usize, value: f32) -> f64 {
    match kind {
        Unnormalize::Quantile { low, high, eps, mask } | Unnormalize::MinMax { low, high, eps, mask } if mask[dim] => {
            f64::from(0.5 * (value + 1.0)) * (high[dim] - low[dim] + eps) + low[dim]
        }
        Unnormalize::MeanStd { mean, std, eps } => f64::from(value) * (std[dim] + eps) + mean[dim],
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

    fn apply(actions: &Actions, normalized: &[f32]) -> Result<Chunk<Robot>, PostprocessError> {
        Postprocessor::new(actions, 0).apply(normalized, None)
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
        (
            Actions {
                tensor,
                chunk_size: 8,
                action_dim: 7,
                network_dim: None,
                before: vec![],
                unnormalize,
                steps: vec![],
                kept_tokens: None,
            },
            golden,
        )
    }

    #[test]
    fn actions_are_the_training_sides_to_the_last_bit() {
        let (actions, golden) = golden();
        let chunk = apply(&actions, &golden.normalized_actions).unwrap();
        assert_eq!(chunk.values(), golden.actions);
    }

    #[test]
    fn an_output_that_is_no_number_is_named_by_step_and_dimension() {
        let (actions, mut golden) = golden();
        golden.normalized_actions[2 * 7 + 5] = f32::NAN;
        let error = apply(&actions, &golden.normalized_actions).unwrap_err();
        assert_eq!(error.to_string(), "action step 2 dimension 5: the network's output is NaN");
        golden.normalized_actions.pop();
        let error = apply(&actions, &golden.normalized_actions).unwrap_err();
        assert_eq!(error.to_string(), "actions: got 55 values, wanted 8 steps of 7");
    }

    #[test]
    fn identity_hands_the_output_on() {
        let (mut actions, golden) = golden();
        actions.unnormalize = Unnormalize::Identity;
        let chunk = apply(&actions, &golden.normalized_actions).unwrap();
        assert!(chunk.values().iter().zip(&golden.normalized_actions).all(|(a, b)| *a == f64::from(*b)));
    }

    /// By hand: 2 * (0.5 + 0.25) + 1 = 2.5 and -1 * (2 + 0.25) - 3 = -5.25 from the network, then the state, then signs.
    #[test]
    fn deltas_start_from_the_state_and_padding_goes() {
        let actions = Actions {
            tensor: "actions".to_owned(),
            chunk_size: 2,
            action_dim: 2,
            network_dim: Some(3),
            before: vec![],
            unnormalize: Unnormalize::MeanStd { mean: vec![1.0, -3.0, 0.0], std: vec![0.5, 2.0, 1.0], eps: 0.25 },
            steps: vec![
                ActionStep::AddState {
                    state: vec![vla_bundle::StateStep::Affine { scale: vec![-1.0, 1.0, 1.0], offset: vec![0.0; 3] }],
                    mask: vec![true, false],
                },
                ActionStep::KeepFirst { dims: 2 },
                ActionStep::Affine { scale: vec![1.0, -1.0], offset: vec![0.0, 0.125] },
            ],
            kept_tokens: None,
        };
        let postprocessor = Postprocessor::new(&actions, 3);
        let chunk = postprocessor.apply(&[2.0, -1.0, 9.0, 0.0, 0.0, 9.0], Some(&[10.0, 20.0, 30.0])).unwrap();
        assert_eq!(chunk.values(), [2.5 - 10.0, 5.375, 1.0 - 10.0, 3.125]);
        let error = postprocessor.apply(&[0.0; 6], None).unwrap_err();
        let message = "the state that the actions start from: the policy takes a state of 3 values, got none";
        assert_eq!(error.to_string(), message);
    }

    /// By hand: 0.5 * (0.5 + 1) * (3 - 1) + 1 = 2.5; 1.5 is clipped to 1, -2 to -1; the gripper keeps its 0 or 1.
    #[test]
    fn outputs_are_clipped_and_a_gripper_is_open_or_closed_before_they_are_un_normalised() {
        let actions = Actions {
            tensor: "actions".to_owned(),
            chunk_size: 2,
            action_dim: 2,
            network_dim: None,
            before: vec![OutputStep::Clip { low: -1.0, high: 1.0 }, OutputStep::Threshold { dim: 1, at: 0.5 }],
            unnormalize: Unnormalize::Quantile {
                low: vec![1.0, 5.0],
                high: vec![3.0, 9.0],
                eps: 0.0,
                mask: vec![true, false],
            },
            steps: vec![],
            kept_tokens: None,
        };
        let chunk = apply(&actions, &[0.5, 0.5, 1.5, -2.0]).unwrap();
        assert_eq!(chunk.values(), [2.5, 1.0, 3.0, 0.0]);
        let chunk = apply(&actions, &[-7.0, 0.499, 0.0, 3.0]).unwrap();
        assert_eq!(chunk.values(), [1.0, 0.0, 2.0, 1.0]);
    }
}

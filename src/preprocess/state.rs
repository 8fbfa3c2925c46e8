//! From the robot's state vector to numbers the network was trained on.

use vla_bundle::StateStep;

/// A manifest's state steps.
pub struct StatePipeline {
    steps: Vec<StateStep>,
    dim: usize,
}

/// Why a state vector is not usable.
#[derive(Debug, thiserror::Error, PartialEq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StateError {
    #[error("the policy takes a state of {wanted} values, got none")]
    Absent { wanted: usize },
    #[error("state: got {got} values, wanted {wanted}")]
    Length { got: usize, wanted: usize },
    #[error("state dimension {dim} is {got}")]
    NotFinite { dim: usize, got: f64 },
    #[error("state dimension {dim} is {got}, which normalises to {made}")]
    Unusable { dim: usize, got: f64, made: f32 },
}

impl StatePipeline {
    /// Prepares `steps` for a state of `dim` values. Dimensions that were constant in the data set are normalised as
    /// the training side does it (to -1 or, clipped, +1) and are logged as a warning.
    pub fn new(steps: &[StateStep], dim: usize) -> Self {
        for step in steps {
            if let StateStep::NormalizeRange { low, high, .. } = step {
                let constant: Vec<usize> = (0..low.len()).filter(|dim| low[*dim] == high[*dim]).collect();
                if !constant.is_empty() {
                    tracing::warn!(dimensions = ?constant, "state dimensions without range in the statistics");
                }
            }
        }
        Self { steps: steps.to_vec(), dim }
    }

    /// What the steps make of `state`; f64 until the last cast.
    ///
    /// # Errors
    /// No state, another length, or a value that is not a finite number, before or after.
    pub fn apply(&self, state: Option<&[f64]>) -> Result<Vec<f32>, StateError> {
        Ok(self.values(state)?.into_iter().map(|value| value as f32).collect())
    }

    /// The same in f64.
    ///
    /// # Errors
    /// As [`StatePipeline::apply`].
    pub fn values(&self, state: Option<&[f64]>) -> Result<Vec<f64>, StateError> {
        let state = state.ok_or(StateError::Absent { wanted: self.dim })?;
        if state.len() != self.dim {
            return Err(StateError::Length { got: state.len(), wanted: self.dim });
        }
        if let Some(dim) = state.iter().position(|value| !value.is_finite()) {
            return Err(StateError::NotFinite { dim, got: state[dim] });
        }
        let mut values = state.to_vec();
        self.steps.iter().for_each(|step| apply(step, &mut values));
        match values.iter().map(|value| *value as f32).enumerate().find(|(_, made)| !made.is_finite()) {
            Some((dim, made)) => Err(StateError::Unusable { dim, got: state[dim], made }),
            None => Ok(values),
        }
    }
}

fn apply(step: &StateStep, values: &mut Vec<f64>) {
    match step {
        StateStep::NormalizeRange { low, high, eps } => {
            let bounds = low.iter().zip(high);
            values.iter_mut().zip(bounds).for_each(|(x, (low, high))| *x = 2.0 * (*x - low) / (high - low + eps) - 1.0);
        }
        StateStep::Standardize { mean, std, eps } => {
            values.iter_mut().zip(mean.iter().zip(std)).for_each(|(x, (mean, std))| *x = (*x - mean) / (std + eps));
        }
        StateStep::Clip { low, high } => values.iter_mut().for_each(|x| *x = x.clamp(*low, *high)),
        StateStep::Affine { scale, offset } => {
            values.iter_mut().zip(scale.iter().zip(offset)).for_each(|(x, (scale, offset))| *x = *x * scale + offset);
        }
        StateStep::CrankAngle { dims, crank, rod } => {
            for dim in dims {
                let x = values[*dim];
                let sine = (crank * crank + x * x - rod * rod) / (2.0 * crank * x);
                values[*dim] = sine.clamp(-1.0, 1.0).asin();
            }
        }
        StateStep::Pad { width } => values.resize(*width, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(eps: f64) -> [StateStep; 2] {
        let range = StateStep::NormalizeRange { low: vec![-2.0, 0.25, 7.0], high: vec![6.0, 0.75, 7.0], eps };
        [range, StateStep::Clip { low: -1.0, high: 1.0 }]
    }

    fn run(eps: f64, state: &[f64]) -> Result<Vec<f32>, StateError> {
        StatePipeline::new(&steps(eps), 3).apply(Some(state))
    }

    /// The training side's statistics, state and normalised state.
    #[derive(serde::Deserialize)]
    struct Golden {
        state_low: Vec<f64>,
        state_high: Vec<f64>,
        state: Vec<f64>,
        normalized_state: Vec<f32>,
    }

    #[test]
    fn the_state_is_the_training_sides_to_the_last_bit() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/data/actions/quantile.json")).unwrap();
        let range = StateStep::NormalizeRange { low: golden.state_low, high: golden.state_high, eps: 1e-8 };
        let pipeline = StatePipeline::new(&[range, StateStep::Clip { low: -1.0, high: 1.0 }], 8);
        assert_eq!(pipeline.apply(Some(&golden.state)).unwrap(), golden.normalized_state);
    }

    #[test]
    fn a_range_becomes_minus_one_to_one_and_the_rest_is_clipped() {
        assert_eq!(run(1e-8, &[-1.0, 0.9, 7.0]).unwrap(), [-0.75, 1.0, -1.0]);
        assert_eq!(run(1e-8, &[0.0, 0.25, 7.1]).unwrap(), [-0.5, -1.0, 1.0]);
    }

    #[test]
    fn what_is_no_number_is_refused_by_its_dimension() {
        let message = |state: &[f64]| run(1e-8, state).unwrap_err().to_string();
        assert_eq!(message(&[0.0, f64::NAN, 7.0]), "state dimension 1 is NaN");
        assert_eq!(message(&[f64::NEG_INFINITY, 0.5, 7.0]), "state dimension 0 is -inf");
        assert_eq!(message(&[0.0, 0.5]), "state: got 2 values, wanted 3");
        let constant = run(0.0, &[0.0, 0.5, 7.0]).unwrap_err();
        assert_eq!(constant.to_string(), "state dimension 2 is 7, which normalises to NaN");
        let absent = StatePipeline::new(&steps(1e-8), 3).apply(None).unwrap_err();
        assert_eq!(absent.to_string(), "the policy takes a state of 3 values, got none");
    }

    /// `asin(clip((0.022**2 + p**2 - 0.036**2) / (2 * 0.022 * p), -1, 1))` with `p = x * (0.058 - 0.01844) + 0.01844`,
    /// scaled by `(v - 0.5476) / (1.6296 - 0.5476)`, in Python.
    #[test]
    fn a_slider_becomes_the_angle_of_its_crank() {
        let steps = [
            StateStep::Affine { scale: vec![-1.0, 0.058 - 0.018_44], offset: vec![0.0, 0.018_44] },
            StateStep::CrankAngle { dims: vec![1], crank: 0.022, rod: 0.036 },
            StateStep::Affine { scale: vec![1.0, 1.0 / 1.082], offset: vec![0.25, -0.5476 / 1.082] },
            StateStep::Pad { width: 4 },
        ];
        let made = |x| StatePipeline::new(&steps, 2).values(Some(&[0.5, x])).unwrap();
        for (x, wanted) in [(0.3, -0.432_159_558_028_619_8), (0.8, 0.306_023_693_560_422_86)] {
            let made = made(x);
            assert!((made[1] - wanted).abs() < 1e-12, "{}", made[1]);
            assert_eq!([made[0], made[2], made[3]], [-0.25, 0.0, 0.0]);
        }
    }

    #[test]
    fn mean_and_deviation_become_zero_and_one() {
        let steps = [StateStep::Standardize { mean: vec![2.0, -1.0], std: vec![0.5, 3.0], eps: 0.5 }];
        assert_eq!(StatePipeline::new(&steps, 2).apply(Some(&[3.0, 2.5])).unwrap(), [1.0, 1.0]);
    }
}

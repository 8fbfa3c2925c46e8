//! The state as words of a prompt: the number of each value's bin.

use vla_bundle::StateBins;

use super::state::{StateError, StatePipeline};

/// A manifest's way from a state to its text.
pub struct StateText {
    pipeline: StatePipeline,
    low: f64,
    high: f64,
    count: u32,
}

impl StateText {
    /// For a state of `dim` values.
    pub fn new(bins: &StateBins, dim: usize) -> Self {
        let StateBins { steps, low, high, count } = bins;
        Self { pipeline: StatePipeline::new(steps, dim), low: *low, high: *high, count: *count }
    }

    /// Decimal numbers, a space between neighbours.
    ///
    /// # Errors
    /// As [`StatePipeline::apply`].
    pub fn apply(&self, state: Option<&[f64]>) -> Result<String, StateError> {
        let values = self.pipeline.values(state)?;
        Ok(values.into_iter().map(|value| self.bin(value).to_string()).collect::<Vec<_>>().join(" "))
    }

    fn bin(&self, value: f64) -> i64 {
        if value < self.low {
            return -1;
        }
        let count = f64::from(self.count);
        ((value - self.low) / (self.high - self.low) * count).floor().min(count - 1.0) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `np.digitize(x, np.linspace(-1, 1, 257)[:-1]) - 1`.
    #[test]
    fn bins_are_those_of_numpy() {
        let bins = StateBins { steps: vec![], low: -1.0, high: 1.0, count: 256 };
        let state = [-1.2, -1.0, -0.999, -0.5, 0.0, 0.4999, 0.992, 1.0, 1.5];
        let text = StateText::new(&bins, state.len()).apply(Some(&state)).unwrap();
        assert_eq!(text, "-1 0 0 64 128 191 254 255 255");
    }
}

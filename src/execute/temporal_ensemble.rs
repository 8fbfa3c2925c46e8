//! Temporal ensembling of ACT (arXiv 2304.13705, algorithm 2): the action for a moment is the mean of everything that was
//! predicted for it, prediction `i` (0 is the oldest) with weight `exp(-decay * i)`.

/// Its one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TemporalEnsemble {
    /// 0 weighs all alike; above, the oldest most; the paper takes 0.01.
    pub decay: f64,
}

impl TemporalEnsemble {
    /// Weights of the mean of the `predictions` so far and of the next one.
    pub(super) fn blend(self, predictions: u32) -> [f64; 2] {
        let weight = |age: u32| (-self.decay * f64::from(age)).exp();
        let before: f64 = (0..predictions).map(weight).sum();
        let all = before + weight(predictions);
        [before / all, weight(predictions) / all]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_predictions_are_weighed_as_in_the_paper() {
        let ensemble = TemporalEnsemble { decay: 0.5 };
        let mut mean = 2.0;
        for (predictions, value) in [(1, 5.0), (2, -3.0)] {
            let [old, fresh] = ensemble.blend(predictions);
            mean = old * mean + fresh * value;
        }
        // (2 + 5 e^-0.5 - 3 e^-1) / (1 + e^-0.5 + e^-1)
        assert!((mean - 1.989_969_041_0).abs() < 1e-9, "{mean}");
    }
}

//! Where a denoising starts: numbers that somebody gave, or that a recorded seed gives again.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rand_distr::{Distribution as _, StandardNormal};

/// Noise of one inference.
#[derive(Clone, Debug, PartialEq)]
pub enum Noise {
    /// Drawn from the normal distribution (mean 0, variance 1) with ChaCha8: the same two numbers give the same noise.
    Seeded {
        /// Seed of the run.
        seed: u64,
        /// Number of the inference within the run.
        stream: u64,
    },
    /// Used as it is, row-major.
    Given(Arc<[f32]>),
}

impl Default for Noise {
    fn default() -> Self {
        Self::Seeded { seed: 0, stream: 0 }
    }
}

impl Noise {
    /// `count` numbers.
    ///
    /// # Errors
    /// How many there are, where another number of them was given.
    pub fn numbers(&self, count: usize) -> Result<Vec<f32>, usize> {
        match self {
            Self::Given(numbers) if numbers.len() == count => Ok(numbers.to_vec()),
            Self::Given(numbers) => Err(numbers.len()),
            Self::Seeded { seed, stream } => {
                let mut generator = ChaCha8Rng::seed_from_u64(*seed);
                generator.set_stream(*stream);
                Ok((0..count).map(|_| StandardNormal.sample(&mut generator)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, stream: u64) -> Vec<f32> {
        Noise::Seeded { seed, stream }.numbers(20_000).unwrap()
    }

    #[test]
    fn seed_and_number_of_the_inference_decide_the_noise() {
        assert_eq!(drawn(5, 9), drawn(5, 9));
        assert_ne!(drawn(5, 9), drawn(6, 9));
        assert_ne!(drawn(5, 9), drawn(5, 10));
    }

    #[test]
    fn drawn_noise_is_normal() {
        // Standard errors for 20,000 draws: 0.007 of the mean, 0.01 of the variance, 0.0033 of the share within one.
        let numbers = drawn(3, 1);
        let mean = |values: &dyn Fn(f64) -> f64| numbers.iter().map(|x| values(f64::from(*x))).sum::<f64>() / 20_000.0;
        assert!(mean(&|x| x).abs() < 0.03, "mean");
        assert!((mean(&|x| x * x) - 1.0).abs() < 0.04, "variance");
        assert!((mean(&|x| f64::from(u8::from(x.abs() < 1.0))) - 0.6827).abs() < 0.014, "within one");
    }

    #[test]
    fn given_noise_is_used_as_it_is_or_refused_by_its_length() {
        let given = Noise::Given(Arc::from([0.5, -1.5]));
        assert_eq!(given.numbers(2), Ok(vec![0.5, -1.5]));
        assert_eq!(given.numbers(3), Err(2));
    }
}

//! How recorded joints moved, and limits that fit it.
//!
//! Recorded positions are noisy, rounded, irregular in time and sometimes there twice; differences of neighbours would
//! mostly be noise, and three times differenced nothing else. So each derivative is estimated from a window: around
//! every sample a cubic is fitted by least squares to all samples of `window` (half of it before, half after), and its
//! value, slope, curvature and third derivative at the sample are taken. This is a Savitzky-Golay filter that needs no
//! even spacing. What is faster than about `2 / window` is smoothed away; what is left of the noise is estimated from
//! what the cubics miss ([`Estimates::noise`]), so that a figure can be told from the noise of its estimate.
//!
//! A sample whose window has too few samples, or none near one of its ends (the bag's ends, gaps), is left out.

mod cubic;
mod limits;
#[cfg(test)]
mod tests;

use crate::time::{Span, Stamp};

pub use limits::{Bounds, Fit, Flags, bounds, flags, held_out};

/// Positions of one joint, at rising times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Track {
    samples: Vec<(Stamp, f64)>,
    merged: usize,
    dropped: usize,
}

/// What a joint did at one moment, in its unit and seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// When.
    pub at: Stamp,
    /// Position and its first three derivatives.
    pub derivatives: [f64; 4],
}

/// What a joint did, sample by sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimates {
    /// At rising times.
    pub all: Vec<Estimate>,
    /// Samples of the track whose window was not filled.
    pub left_out: usize,
    /// One standard deviation that noise alone puts on position, velocity, acceleration and jerk; 0 where nothing was
    /// estimated.
    pub noise: [f64; 4],
}

impl Track {
    /// A track of samples in any order. Values that are not finite are dropped; values of one stamp become their mean.
    pub fn new(mut samples: Vec<(Stamp, f64)>) -> Self {
        let given = samples.len();
        samples.retain(|(_, value)| value.is_finite());
        let dropped = given - samples.len();
        // Stable, so that the mean does not depend on how equal stamps were sorted.
        samples.sort_by_key(|(stamp, _)| *stamp);
        let mut merged = Vec::with_capacity(samples.len());
        for same in samples.chunk_by(|(a, _), (b, _)| a == b) {
            let sum: f64 = same.iter().map(|(_, value)| value).sum();
            merged.extend(same.first().map(|(stamp, _)| (*stamp, sum / same.len() as f64)));
        }
        Self { merged: samples.len() - merged.len(), samples: merged, dropped }
    }

    /// The samples, at rising times.
    pub fn samples(&self) -> &[(Stamp, f64)] {
        &self.samples
    }

    /// Samples whose stamp another one had already.
    pub fn merged(&self) -> usize {
        self.merged
    }

    /// Samples that were not finite.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Time from the first sample to the last.
    pub fn length(&self) -> Span {
        match &self.samples[..] {
            [(first, _), .., (last, _)] => last.since(*first),
            _ => Span::ZERO,
        }
    }

    /// What the joint did, from windows of this length.
    pub fn estimate(&self, window: Span) -> Estimates {
        let half = window.secs() / 2.0;
        let (mut found, mut residuals, mut freedom) = (Estimates::default(), 0.0, 0.0);
        let mut spreads: [Vec<f64>; 4] = Default::default();
        let (mut from, mut to) = (0, 0);
        for (index, (at, _)) in self.samples.iter().enumerate() {
            let since = |other: usize| self.samples.get(other).map(|(stamp, _)| stamp.since(*at).secs());
            while from < index && since(from).is_some_and(|time| time < -half) {
                from += 1;
            }
            while since(to).is_some_and(|time| time <= half) {
                to += 1;
            }
            let near = self.samples.get(from..to).unwrap_or_default();
            let points = near.iter().map(|(stamp, value)| (stamp.since(*at).secs() / half, *value));
            let Some(fitted) = cubic::fit(points) else {
                found.left_out += 1;
                continue;
            };
            found.all.push(Estimate { at: *at, derivatives: scaled(fitted.coefficients, half) });
            residuals += fitted.residual;
            freedom += fitted.freedom;
            for (spreads, spread) in spreads.iter_mut().zip(scaled(fitted.spread, half)) {
                spreads.push(spread);
            }
        }
        if freedom > 0.0 {
            let sigma = (residuals / freedom).sqrt();
            found.noise = spreads.map(|mut spreads| sigma * limits::quantile(&mut spreads, 0.5));
        }
        found
    }
}

/// Coefficients of powers of `time / half` as derivatives: 1, 1, 2 and 6 times the coefficient per unit of time.
fn scaled([a, b, c, d]: [f64; 4], half: f64) -> [f64; 4] {
    [a, b / half, 2.0 * c / (half * half), 6.0 * d / (half * half * half)]
}

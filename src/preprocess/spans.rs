//! Weights of a separable resize: which input samples make each output sample, and how much of each.

use std::ops::Range;

/// Per output sample, a run of input samples and their weights.
#[derive(Clone, Debug, Default)]
pub struct Spans<W> {
    spans: Vec<(usize, Range<usize>)>,
    weights: Vec<W>,
}

impl<W> Spans<W> {
    /// Appends an output sample made of the inputs `first..first + weights.len()`.
    pub fn push(&mut self, first: usize, weights: impl IntoIterator<Item = W>) {
        let start = self.weights.len();
        self.weights.extend(weights);
        self.spans.push((first, start..self.weights.len()));
    }

    /// Per output sample: the first input and the weights from there on.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, &[W])> + Clone {
        self.range(0..self.spans.len())
    }

    /// The same of these output samples.
    pub fn range(&self, samples: Range<usize>) -> impl ExactSizeIterator<Item = (usize, &[W])> + Clone {
        self.spans[samples].iter().map(|(first, weights)| (*first, &self.weights[weights.clone()]))
    }
}

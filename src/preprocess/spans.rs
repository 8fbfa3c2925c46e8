//! Weights of a separable resize: which input samples make each output sample, and how much of each.

/// Per output sample, a run of input samples and their weights.
#[derive(Clone, Debug, Default)]
pub struct Spans<W> {
    spans: Vec<(usize, std::ops::Range<usize>)>,
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
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, &[W])> {
        self.spans.iter().map(|(first, weights)| (*first, &self.weights[weights.clone()]))
    }
}

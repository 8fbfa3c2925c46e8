//! The first `n_action_steps` rows of every chunk; a fresh chunk replaces what is left.

/// The fresh prediction alone.
pub(super) const LATEST: [f64; 2] = [0.0, 1.0];

#[cfg(test)]
mod tests {
    use super::super::{Execution, Left};
    use crate::time::Span;

    #[test]
    fn the_newest_chunk_counts_alone_and_belongs_to_its_observation() {
        let execution = Execution::RecedingHorizon;
        assert_eq!(execution.blend(3), [0.0, 1.0]);
        let [observed, now] = [100.0, 776.0].map(Span::from_millis);
        assert_eq!(execution.anchor(observed, now), observed);
        assert!(execution.wants_chunk(Left { rows: 7.5, n_action_steps: 8, is_at_rest: false }));
    }
}

//! Executed to its end, then a look, then the next one: each chunk starts from rest, as openpi's `ActionChunkBroker`
//! serves them.

use super::Left;
use crate::time::Span;

pub(super) fn wants_chunk(left: Left) -> bool {
    left.is_at_rest
}

/// Nothing moved since the observation, so nothing is skipped, however long the inference took.
pub(super) fn anchor(now: Span) -> Span {
    now
}

#[cfg(test)]
mod tests {
    use super::super::Execution;
    use super::*;

    #[test]
    fn a_chunk_is_asked_for_at_rest_and_begins_with_its_first_row() {
        let left = Left { rows: 0.0, n_action_steps: 8, is_at_rest: false };
        assert!(!Execution::Synchronous.wants_chunk(left), "still coming to rest");
        assert!(Execution::Synchronous.wants_chunk(Left { is_at_rest: true, ..left }));
        let [observed, now] = [100.0, 776.0].map(Span::from_millis);
        assert_eq!(Execution::Synchronous.anchor(observed, now), now);
    }
}

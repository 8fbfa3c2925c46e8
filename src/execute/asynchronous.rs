//! The queue of lerobot's asynchronous client (`RobotClient`): a chunk is asked for while the last one still runs, and
//! where both predict a moment, both count.

use super::Left;

/// When to ask, and how to merge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asynchronous {
    /// Share of a chunk that is left when the next one is asked for, 0 to 1; lerobot's `chunk_size_threshold`.
    pub threshold: f64,
    /// How the overlap is merged.
    pub aggregate: Aggregate,
}

/// How two predictions of a row are merged; words and weights are lerobot's `AGGREGATE_FUNCTIONS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// 0.3 of the old one and 0.7 of the fresh one.
    WeightedAverage,
    /// The fresh one.
    LatestOnly,
    /// Half of each.
    Average,
    /// 0.7 of the old one and 0.3 of the fresh one.
    Conservative,
}

impl Aggregate {
    /// All of them, by their words.
    pub const WORDS: [(&'static str, Aggregate); 4] = [
        ("weighted_average", Aggregate::WeightedAverage),
        ("latest_only", Aggregate::LatestOnly),
        ("average", Aggregate::Average),
        ("conservative", Aggregate::Conservative),
    ];

    pub(super) fn weights(self) -> [f64; 2] {
        match self {
            Aggregate::WeightedAverage => [0.3, 0.7],
            Aggregate::LatestOnly => [0.0, 1.0],
            Aggregate::Average => [0.5, 0.5],
            Aggregate::Conservative => [0.7, 0.3],
        }
    }
}

impl Asynchronous {
    pub(super) fn wants_chunk(self, left: Left) -> bool {
        left.rows <= self.threshold * left.n_action_steps as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_asked_for_when_the_threshold_is_left() {
        let queue = Asynchronous { threshold: 0.5, aggregate: Aggregate::Average };
        let left = |rows| Left { rows, n_action_steps: 8, is_at_rest: false };
        assert!(!queue.wants_chunk(left(4.1)));
        assert!(queue.wants_chunk(left(4.0)) && queue.wants_chunk(left(0.0)));
    }

    #[test]
    fn the_weights_of_an_overlap_are_those_of_lerobot() {
        let weights = Aggregate::WORDS.map(|(word, aggregate)| (word, aggregate.weights()));
        let want = [
            ("weighted_average", [0.3, 0.7]),
            ("latest_only", [0.0, 1.0]),
            ("average", [0.5, 0.5]),
            ("conservative", [0.7, 0.3]),
        ];
        assert_eq!(weights, want);
    }
}

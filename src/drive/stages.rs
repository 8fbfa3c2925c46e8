//! What each stage of an inference takes on this machine.

use super::clock::Stopwatch;
use crate::policy::Observer;
use crate::time::Span;

/// Lengths of the stages of one inference, by name; a stage inside a loop has the sum of its runs.
pub type StageLengths = Vec<(String, Span)>;

/// Watches one inference.
#[derive(Debug, Default)]
pub struct StageTimer {
    done: StageLengths,
    running: Option<(String, Stopwatch)>,
}

impl StageTimer {
    /// Stages in the order in which they ran.
    pub fn into_lengths(self) -> StageLengths {
        self.done
    }
}

impl Observer for StageTimer {
    fn stage(&mut self, name: &str) {
        self.end();
        self.running = Some((name.to_owned(), Stopwatch::start()));
    }

    fn end(&mut self) {
        let Some((name, watch)) = self.running.take() else { return };
        let length = watch.elapsed();
        match self.done.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum = *sum + length,
            None => self.done.push((name, length)),
        }
    }
}

/// Lengths of one stage over many inferences, sorted.
#[derive(Clone, Debug, PartialEq)]
pub struct StageCost {
    /// Stage name.
    pub name: String,
    lengths: Vec<Span>,
}

impl StageCost {
    /// The lengths of all runs of the stage `name`, in any order.
    pub fn new(name: &str, mut lengths: Vec<Span>) -> Self {
        lengths.sort_unstable();
        Self { name: name.to_owned(), lengths }
    }

    /// One per stage, in the order in which the stages first ran.
    pub fn of_inferences<'a>(inferences: impl IntoIterator<Item = &'a StageLengths>) -> Vec<Self> {
        let mut stages: Vec<(&str, Vec<Span>)> = Vec::new();
        for (name, length) in inferences.into_iter().flatten() {
            match stages.iter_mut().find(|(known, _)| known == name) {
                Some((_, lengths)) => lengths.push(*length),
                None => stages.push((name, vec![*length])),
            }
        }
        stages.into_iter().map(|(name, lengths)| Self::new(name, lengths)).collect()
    }

    /// How often it ran.
    pub fn runs(&self) -> usize {
        self.lengths.len()
    }

    /// The length that `share` (in [0, 1]) of the runs did not exceed, by nearest rank.
    pub fn quantile(&self, share: f64) -> Span {
        let rank = (share * self.lengths.len() as f64).ceil() as usize;
        self.lengths.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks_of_the_sorted_lengths() {
        let cost = StageCost::new("body", [40, 10, 30, 20].map(|ms| Span::from_millis(f64::from(ms))).to_vec());
        let quantiles = [0.0, 0.5, 0.95, 1.0].map(|share| cost.quantile(share).millis());
        assert_eq!(quantiles, [10.0, 20.0, 40.0, 40.0]);
        assert_eq!(cost.runs(), 4);
    }

    #[test]
    fn stages_stand_in_the_order_in_which_they_first_ran() {
        let took = |name: &str, ms: f64| (name.to_owned(), Span::from_millis(ms));
        let inferences = [vec![took("text", 1.0), took("body", 5.0)], vec![took("body", 3.0)]];
        let costs = StageCost::of_inferences(&inferences);
        let seen: Vec<_> = costs.iter().map(|c| (c.name.as_str(), c.runs(), c.quantile(1.0).millis())).collect();
        assert_eq!(seen, [("text", 1, 1.0), ("body", 2, 5.0)]);
    }

    #[test]
    fn a_stage_that_runs_again_adds_to_its_length() {
        let mut timer = StageTimer::default();
        for name in ["step", "head", "step", "head"] {
            timer.stage(name);
        }
        timer.end();
        let names: Vec<_> = timer.into_lengths().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["step", "head"]);
    }

    #[test]
    fn a_timer_closes_a_stage_when_the_next_one_begins_or_the_inference_ends() {
        let mut timer = StageTimer::default();
        timer.stage("text");
        timer.stage("body");
        timer.end();
        timer.end();
        let names: Vec<_> = timer.into_lengths().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["text", "body"]);
    }
}

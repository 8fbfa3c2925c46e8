//! Whether a policy answers in time for the way in which its chunks are executed.

use super::Execution;
use crate::time::Span;

/// A robot that computes on a busy day takes so much longer than the longest answer that was measured.
const MARGIN: f64 = 1.2;

/// What has to fit together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feasibility {
    /// How chunks follow each other.
    pub execution: Execution,
    /// Rows executed per chunk.
    pub n_action_steps: usize,
    /// Rows that the policy predicts.
    pub chunk_size: usize,
    /// Time from one row to the next.
    pub action_dt: Span,
    /// From what the anchor camera sees to its stamp.
    pub camera_latency: Span,
    /// From a command to its motion.
    pub actuation_latency: Span,
    /// Oldest observation whose chunk may still begin.
    pub max_observation_age: Span,
}

/// A policy that is too slow, and what would fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// Every observation would be too old when its chunk is there.
    #[error(
        "inference takes {latency} with a margin, so that an observation is {age} old when its chunk is there, and \
         `max_observation_age_ms` allows {allowed}"
    )]
    Age {
        /// Of an inference.
        latency: Span,
        /// Of the observation.
        age: Span,
        /// The oldest.
        allowed: Span,
    },
    /// The rows are over before those of the next chunk are there.
    #[error(
        "inference takes {latency} with a margin: {needed} do not fit into {available} of chunk (`n_action_steps` is \
         {n_action_steps}); {fits}"
    )]
    Chunk {
        /// Of an inference.
        latency: Span,
        /// From an observation to the chunk after the next.
        needed: Span,
        /// From the first row to the last.
        available: Span,
        /// Rows executed per chunk.
        n_action_steps: usize,
        /// What would.
        fits: String,
    },
    /// The queue is empty before the chunk is there that was asked for.
    #[error(
        "inference takes {latency} with a margin, but a chunk is asked for when {left} of the one before are left; what \
         fits is a larger `queue_threshold`, `execution: synchronous` or a faster inference"
    )]
    Queue {
        /// Of an inference.
        latency: Span,
        /// When the next one is asked for.
        left: Span,
    },
}

impl Feasibility {
    /// Checks an answer's longest measured time.
    ///
    /// # Errors
    /// [`Unfit`] where chunks would come too late.
    pub fn check(&self, longest: Span) -> Result<(), Unfit> {
        let latency = longer(longest, MARGIN);
        let available = self.action_dt.times(self.n_action_steps.saturating_sub(1) as i64);
        // The rows that are past when a chunk is there are lost; the rest has to last until the next one is.
        let lead = self.camera_latency + self.actuation_latency;
        let answers = match self.execution {
            Execution::Synchronous => 0,
            Execution::Asynchronous(_) => 1,
            Execution::RecedingHorizon | Execution::TemporalEnsemble(_) => 2,
        };
        let needed = lead + latency.times(answers);
        if answers > 0 && needed > available {
            let (n_action_steps, room) = (self.n_action_steps, available - lead);
            let fits = self.fits(needed, longer(room, 1.0 / (MARGIN * answers as f64)));
            return Err(Unfit::Chunk { latency, needed, available, n_action_steps, fits });
        }
        if let Execution::Asynchronous(queue) = self.execution {
            let left = longer(self.action_dt, queue.threshold * self.n_action_steps as f64);
            if latency > left {
                return Err(Unfit::Queue { latency, left });
            }
        }
        let (age, allowed) = (self.camera_latency + latency, self.max_observation_age);
        if age > allowed { Err(Unfit::Age { latency, age, allowed }) } else { Ok(()) }
    }

    /// What the person who reads it can change.
    fn fits(&self, needed: Span, inference: Span) -> String {
        let dt = self.action_dt.nanos().max(1);
        let steps = 1 + ((needed.nanos() + dt - 1) / dt) as usize;
        let chunk = if steps <= self.chunk_size {
            format!("`n_action_steps` of at least {steps} (the bundle predicts {}), ", self.chunk_size)
        } else {
            String::new()
        };
        let faster = if inference > Span::ZERO {
            format!("inference within {inference} (fewer denoise steps, smaller weights, another provider), ")
        } else {
            String::new()
        };
        format!("what fits: {chunk}{faster}or `execution: synchronous`")
    }
}

fn longer(span: Span, factor: f64) -> Span {
    Span::from_secs(span.secs() * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::{Aggregate, Asynchronous};

    /// 8 of 50 rows, 50 ms each: 350 ms from the first to the last.
    fn policy(execution: Execution) -> Feasibility {
        Feasibility {
            execution,
            n_action_steps: 8,
            chunk_size: 50,
            action_dt: Span::from_millis(50.0),
            camera_latency: Span::from_millis(30.0),
            actuation_latency: Span::from_millis(20.0),
            max_observation_age: Span::from_millis(350.0),
        }
    }

    fn says(policy: Feasibility, longest_ms: f64) -> String {
        policy.check(Span::from_millis(longest_ms)).map_or_else(|unfit| unfit.to_string(), |()| "fits".to_owned())
    }

    #[test]
    fn a_chunk_has_to_last_until_the_next_one_is_there() {
        // 30 + 20 + 2 x 1.2 x 125 = 350 ms.
        assert_eq!(says(policy(Execution::RecedingHorizon), 125.0), "fits");
        assert_eq!(
            says(policy(Execution::RecedingHorizon), 500.0),
            "inference takes 600.000 ms with a margin: 1250.000 ms do not fit into 350.000 ms of chunk \
             (`n_action_steps` is 8); what fits: `n_action_steps` of at least 26 (the bundle predicts 50), inference \
             within 125.000 ms (fewer denoise steps, smaller weights, another provider), or `execution: synchronous`"
        );
        // 26 rows last for 25 x 50 ms.
        let longer = Feasibility {
            n_action_steps: 26,
            max_observation_age: Span::from_millis(1250.0),
            ..policy(Execution::RecedingHorizon)
        };
        assert_eq!((says(longer, 500.0), says(longer, 501.0) == "fits"), ("fits".to_owned(), false));
    }

    #[test]
    fn what_cannot_be_had_is_not_proposed() {
        let short = Feasibility { chunk_size: 25, ..policy(Execution::RecedingHorizon) };
        assert!(!says(short, 500.0).contains("at least"));
        let slow = Feasibility { actuation_latency: Span::from_millis(330.0), ..policy(Execution::RecedingHorizon) };
        assert!(says(slow, 500.0).ends_with(
            "what fits: `n_action_steps` of at least 33 (the bundle predicts 50), or `execution: synchronous`"
        ));
    }

    #[test]
    fn a_queue_has_to_last_until_the_chunk_is_there_that_was_asked_for() {
        let queue = |threshold| Execution::Asynchronous(Asynchronous { threshold, aggregate: Aggregate::Average });
        // Half of 8 rows is 200 ms.
        assert_eq!(says(policy(queue(0.5)), 166.0), "fits");
        assert_eq!(
            says(policy(queue(0.5)), 170.0),
            "inference takes 204.000 ms with a margin, but a chunk is asked for when 200.000 ms of the one before are \
             left; what fits is a larger `queue_threshold`, `execution: synchronous` or a faster inference"
        );
        assert!(
            says(policy(queue(1.0)), 251.0)
                .starts_with("inference takes 301.200 ms with a margin: 351.200 ms do not fit")
        );
    }

    #[test]
    fn a_robot_that_waits_for_its_chunk_only_needs_an_observation_that_is_not_too_old() {
        // 30 + 1.2 x 266 ms.
        assert_eq!(says(policy(Execution::Synchronous), 266.0), "fits");
        assert_eq!(
            says(policy(Execution::Synchronous), 500.0),
            "inference takes 600.000 ms with a margin, so that an observation is 630.000 ms old when its chunk is \
             there, and `max_observation_age_ms` allows 350.000 ms"
        );
    }
}

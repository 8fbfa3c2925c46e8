//! A gripper that takes goals of an action: rows in, a goal at every edge out.

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use crate::drive::gripper::{Edges, GripperGoal};
use crate::drive::ros::{GripperClient, PublishError};
use crate::profile::GripperEdges;
use crate::time::{Span, Stamp};

/// The client of one gripper.
pub(super) struct GripperOutput {
    client: GripperClient,
    joint: String,
    max_effort: f64,
    edges: RefCell<Edges>,
}

impl GripperOutput {
    pub fn new(client: GripperClient, joint: &str, edges: GripperEdges) -> Self {
        let GripperEdges { hysteresis, dwell_ms, max_effort } = edges;
        let edges = RefCell::new(Edges::new(hysteresis, Span::from_millis(dwell_ms)));
        Self { client, joint: joint.to_owned(), max_effort, edges }
    }

    /// Sends a goal where the row that is due at `at` is an edge; `None` where it is none.
    pub fn publish(&self, at: Stamp, row: &[f64]) -> Option<Result<(), PublishError>> {
        let &[position] = row else { return None };
        let mut edges = self.edges.borrow_mut();
        if self.client.lost.swap(false, Ordering::Relaxed) {
            edges.lost();
        }
        let position = edges.offer(at, position)?;
        let goal = GripperGoal { joint: self.joint.clone(), position, max_effort: self.max_effort };
        let sent = self.client.goals.publish(goal);
        if sent.is_ok() {
            edges.sent(position);
        }
        Some(sent)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::drive::ros::Publish;

    struct Heard(Sender<GripperGoal>);

    impl Publish<GripperGoal> for Heard {
        fn publish(&self, goal: GripperGoal) -> Result<(), PublishError> {
            let gone = |_| PublishError { topic: "/hand".to_owned(), reason: "nobody listens".to_owned() };
            self.0.send(goal).map_err(gone)
        }
    }

    #[test]
    fn a_goal_leaves_at_an_edge_and_again_where_nobody_took_it() {
        let (sender, heard) = channel();
        let lost = Arc::new(AtomicBool::new(false));
        let client = GripperClient { goals: Box::new(Heard(sender)), lost: Arc::clone(&lost) };
        let edges = GripperEdges { hysteresis: 0.01, dwell_ms: 20.0, max_effort: 12.5 };
        let gripper = GripperOutput::new(client, "finger", edges);
        let at = |ms: f64| Stamp::from_ros(1_700_000_000, 0) + Span::from_millis(ms);
        for (ms, row) in [(0.0, 0.04), (30.0, 0.035), (60.0, 0.02), (70.0, 0.04)] {
            assert!(gripper.publish(at(ms), &[row]).is_none_or(|sent| sent.is_ok()));
        }
        let goal = |position| GripperGoal { joint: "finger".to_owned(), position, max_effort: 12.5 };
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [goal(0.04), goal(0.02)]);
        lost.store(true, Ordering::Relaxed);
        assert!(gripper.publish(at(100.0), &[0.021]).is_some_and(|sent| sent.is_ok()));
        drop(heard);
        assert!(gripper.publish(at(200.0), &[0.04]).is_some_and(|sent| sent.is_err()));
        assert!(gripper.publish(at(300.0), &[0.04]).is_some(), "what did not leave is tried again");
    }
}

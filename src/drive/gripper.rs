//! When a gripper that takes goals gets a new one: at an edge, not at every row.
//!
//! Time is an argument.

use crate::time::{Span, Stamp};

/// A goal for a gripper.
#[derive(Clone, Debug, PartialEq)]
pub struct GripperGoal {
    /// The joint; the action's name where no joint stands for the gripper.
    pub joint: String,
    /// Where it should be, in the output's unit.
    pub position: f64,
    /// Largest force or torque, N or Nm.
    pub max_effort: f64,
}

/// Turns rows into goals.
#[derive(Clone, Debug)]
pub struct Edges {
    hysteresis: f64,
    dwell: Span,
    /// The goal that was taken last.
    goal: Option<f64>,
    /// When a goal was tried last.
    tried: Option<Stamp>,
}

impl Edges {
    /// A goal differs from the one before by at least `hysteresis`, in the output's unit, and comes at least `dwell`
    /// after it.
    pub fn new(hysteresis: f64, dwell: Span) -> Self {
        Self { hysteresis, dwell, goal: None, tried: None }
    }

    /// The goal to try at `now`, where the row at `position` is an edge. An edge that comes too early is one still when
    /// the next row says the same.
    pub fn offer(&mut self, now: Stamp, position: f64) -> Option<f64> {
        let is_edge = self.goal.is_none_or(|goal| (position - goal).abs() >= self.hysteresis);
        let is_early = self.tried.is_some_and(|tried| (Span::ZERO..self.dwell).contains(&now.since(tried)));
        if !is_edge || is_early {
            return None;
        }
        self.tried = Some(now);
        Some(position)
    }

    /// The goal has left.
    pub fn sent(&mut self, position: f64) {
        self.goal = Some(position);
    }

    /// The goal that left last has reached nobody: the next row is an edge.
    pub fn lost(&mut self) {
        self.goal = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: f64) -> Stamp {
        Stamp::from_ros(1_700_000_000, 0) + Span::from_millis(ms)
    }

    /// Goals of rows every 10 ms, with their times, ms.
    fn goals(edges: &mut Edges, from_ms: i32, rows: &[f64]) -> Vec<(i32, f64)> {
        let mut found = Vec::new();
        for (ms, row) in (from_ms..).step_by(10).zip(rows) {
            if let Some(goal) = edges.offer(at(f64::from(ms)), *row) {
                edges.sent(goal);
                found.push((ms, goal));
            }
        }
        found
    }

    #[test]
    fn a_row_that_hardly_differs_is_no_goal() {
        let mut edges = Edges::new(0.25, Span::from_millis(1.0));
        let rows = [0.5, 0.6, 0.7, 0.74, 0.75, 0.6, 0.51, 0.5, 1.0];
        assert_eq!(goals(&mut edges, 0, &rows), [(0, 0.5), (40, 0.75), (70, 0.5), (80, 1.0)]);
    }

    #[test]
    fn a_policy_that_wavers_moves_the_gripper_once_per_dwell() {
        let mut edges = Edges::new(0.5, Span::from_millis(50.0));
        let rows = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(goals(&mut edges, 0, &rows), [(0, 1.0), (50, 0.0), (100, 1.0)]);
    }

    #[test]
    fn an_edge_that_came_too_early_leaves_when_the_dwell_is_over() {
        let mut edges = Edges::new(0.5, Span::from_millis(30.0));
        assert_eq!(goals(&mut edges, 0, &[0.0, 1.0, 1.0, 1.0, 1.0]), [(0, 0.0), (30, 1.0)]);
    }

    #[test]
    fn a_goal_that_did_not_leave_or_reached_nobody_is_tried_again_after_the_dwell() {
        let mut edges = Edges::new(0.5, Span::from_millis(30.0));
        assert_eq!(edges.offer(at(0.0), 0.25), Some(0.25), "it does not leave");
        assert_eq!((edges.offer(at(20.0), 0.25), edges.offer(at(30.0), 0.25)), (None, Some(0.25)));
        edges.sent(0.25);
        assert_eq!(edges.offer(at(90.0), 0.25), None);
        edges.lost();
        assert_eq!(edges.offer(at(100.0), 0.25), Some(0.25));
    }

    #[test]
    fn a_clock_that_went_back_keeps_no_edge_waiting() {
        let mut edges = Edges::new(0.5, Span::from_millis(30.0));
        assert_eq!(edges.offer(at(5000.0), 0.0), Some(0.0));
        assert_eq!(edges.offer(at(0.0), 1.0), Some(1.0));
    }
}

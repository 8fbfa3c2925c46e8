//! Where the robot is on its way, as a value.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Kind, Motion, Sample};
use crate::safety::{SafeCommand, SafeOutput};
use crate::time::{Span, Stamp};

/// Everything that the motion remembers, and the command that the robot follows; how its outputs move is not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MotionState {
    start: Stamp,
    path: VecDeque<Sample>,
    following: usize,
    reaches_end: bool,
    done: Span,
    settled: Stamp,
    past: VecDeque<(Stamp, Span)>,
    last: Option<Told>,
}

/// A command without what the deployment knows about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    stamp: Stamp,
    outputs: Vec<Rows>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rows {
    times: Vec<Span>,
    row_length: Span,
    values: Vec<f64>,
    velocities: Vec<f64>,
}

impl Motion {
    /// What it remembers, where `last` is the last command.
    pub fn state(&self, last: Option<&SafeCommand>) -> MotionState {
        MotionState {
            start: self.start,
            path: self.path.clone(),
            following: self.following,
            reaches_end: self.reaches_end,
            done: self.done,
            settled: self.settled,
            past: self.past.clone(),
            last: last.map(Told::of),
        }
    }

    /// Goes on from a state, and gives the last command; `None` where the state is that of other outputs, and then
    /// nothing has changed.
    pub fn resume(&mut self, state: MotionState) -> Option<Option<SafeCommand>> {
        let last = match state.last {
            Some(told) => Some(self.told(told)?),
            None => None,
        };
        let states = self.lanes.last().map_or(0, |lane| lane.states.end);
        let turns = self.lanes.iter().filter(|lane| matches!(lane.kind, Kind::Pose { .. })).count();
        let fits = |sample: &Sample| (sample.states.len(), sample.turns.len()) == (states, turns);
        if !state.path.iter().all(fits) || state.following > state.path.len() {
            return None;
        }
        (self.start, self.path, self.following) = (state.start, state.path, state.following);
        (self.reaches_end, self.done, self.past) = (state.reaches_end, state.done, state.past);
        self.settled = state.settled;
        Some(last)
    }

    fn told(&self, Told { stamp, outputs }: Told) -> Option<SafeCommand> {
        if outputs.len() != self.lanes.len() {
            return None;
        }
        let outputs = self.lanes.iter().zip(outputs).map(|(lane, rows)| {
            let stops = match &lane.kind {
                Kind::Held { stops, .. } => Arc::clone(stops),
                _ => [].into(),
            };
            let is_path = !matches!(lane.kind, Kind::Held { .. });
            let Rows { times, row_length, values, velocities } = rows;
            let fits = values.len() == times.len() * lane.names.len();
            let names = Arc::clone(&lane.names);
            fits.then_some(SafeOutput { names, is_path, stops, times, row_length, values, velocities })
        });
        Some(SafeCommand { stamp, outputs: outputs.collect::<Option<_>>()? })
    }
}

impl Told {
    fn of(command: &SafeCommand) -> Self {
        let rows = |output: &SafeOutput| Rows {
            times: output.times.clone(),
            row_length: output.row_length,
            values: output.values.clone(),
            velocities: output.velocities.clone(),
        };
        Self { stamp: command.stamp, outputs: command.outputs.iter().map(rows).collect() }
    }
}

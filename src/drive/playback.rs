//! Row by row, each when it is due: what leaves of the newest command, and what stops the robot where nothing follows.
//!
//! The same for the live node and for replay; time is an argument.

use std::borrow::Cow;
use std::sync::Arc;

use crate::safety::SafeCommand;
use crate::time::Stamp;

/// The newest command and how far its rows have left.
#[derive(Debug, Default)]
pub struct Playback {
    running: Option<Running>,
    /// The row that left last, where it moves the robot until it is told to stop.
    moving: Option<(Arc<SafeCommand>, usize)>,
}

#[derive(Debug)]
struct Running {
    command: Arc<SafeCommand>,
    next_row: usize,
}

/// Something that leaves now, on every output that sends rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Departure {
    /// When it was due.
    pub at: Stamp,
    /// The command that it belongs to.
    pub command: Arc<SafeCommand>,
    /// Which part of it.
    pub part: Part,
}

/// A part of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// This row.
    Row(usize),
    /// What stops the robot after this row: [`crate::safety::SafeOutput::stop_after`].
    StopAfter(usize),
}

impl Departure {
    /// One row per output of the command, in its units; `None` where nothing leaves.
    pub fn rows(&self) -> impl Iterator<Item = Option<Cow<'_, [f64]>>> {
        self.command.outputs().iter().map(|output| match self.part {
            Part::Row(row) => output.rows().nth(row).map(Cow::Borrowed),
            Part::StopAfter(row) => output.stop_after(row).map(Cow::Owned),
        })
    }
}

impl Playback {
    /// A new command replaces the rows of the last one that were still to come. The one that has left stays in effect
    /// until the new command's first row is due, at most until its own end.
    pub fn start(&mut self, command: Arc<SafeCommand>) {
        self.running = Some(Running { command, next_row: 0 });
    }

    /// When something is due next; `None` where nothing is to come.
    pub fn due(&self) -> Option<Stamp> {
        let row = self.running.as_ref().and_then(|running| running.command.due(running.next_row));
        let stop = self.moving.as_ref().and_then(|(command, row)| command.end(*row));
        row.into_iter().chain(stop).min()
    }

    /// What leaves at `now`: the row in effect where it has not left yet, or the stop behind the last one.
    pub fn take(&mut self, now: Stamp) -> Option<Departure> {
        if let Some((command, row)) = self.running.as_mut().and_then(|running| running.take_row(now)) {
            self.moving = command.wants_stop().then(|| (Arc::clone(&command), row));
            let at = command.due(row)?;
            return Some(Departure { at, command, part: Part::Row(row) });
        }
        let is_over = |(command, row): &mut (Arc<SafeCommand>, usize)| command.end(*row).is_some_and(|end| end <= now);
        let (command, row) = self.moving.take_if(is_over)?;
        let at = command.end(row)?;
        Some(Departure { at, command, part: Part::StopAfter(row) })
    }

    /// No further row leaves; gives what stops the robot, where it moves.
    pub fn halt(&mut self, now: Stamp) -> Option<Departure> {
        self.running = None;
        self.moving.take().map(|(command, row)| Departure { at: now, command, part: Part::StopAfter(row) })
    }
}

impl Running {
    /// The row that is in effect at `now`, once; rows before it that were missed are skipped, and where the clock jumped
    /// beyond the last one's end, all of them.
    fn take_row(&mut self, now: Stamp) -> Option<(Arc<SafeCommand>, usize)> {
        let is_due = |row: &usize| self.command.due(*row).is_some_and(|due| due <= now);
        let row = (self.next_row..self.command.times().len()).take_while(is_due).last()?;
        self.next_row = row + 1;
        let is_in_effect = self.command.end(row).is_some_and(|end| now < end);
        is_in_effect.then(|| (Arc::clone(&self.command), row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::samples::arm::at;
    use crate::deploy::samples::{ARM_IO, ARM_PROFILE, bundle, parameters, profile};
    use crate::deploy::{Deployment, Output};
    use crate::execute::Schedule;
    use crate::safety::{Basis, Gate};
    use crate::time::Span;
    use crate::types::{Chunk, Measured};

    /// Rows of `first`, then two more of 0.1, from `ms` on, every 50 ms; the gripper is half open.
    fn command(io: &str, robot: &str, ms: f64, first: f64) -> Arc<SafeCommand> {
        let deployment = Deployment::check(&bundle(io, &["front"]), &profile(robot), parameters(&[])).unwrap();
        let width = deployment.outputs().iter().map(Output::dims).map(<[_]>::len).sum();
        let rows = [first, 0.1, 0.1, 0.1].map(|value| vec![value; width]).concat();
        let schedule = Schedule { stamp: at(ms), action_dt: Span::from_millis(50.0), n_action_steps: 3 };
        let measured = Measured { joints: &[0.25, 0.1, 0.03], eef: None };
        let basis = Basis { now: at(ms), at_observation: measured, measured };
        Arc::new(Gate::new(&deployment).pass(&Chunk::new(rows, width).unwrap(), schedule, 0..3, basis).unwrap())
    }

    fn inputs(ms: f64, first: f64) -> Arc<SafeCommand> {
        let io = "
rate_hz: 20
actions:
- {name: x, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
- {name: grip, unit: normalized, kind: gripper, open: 1.0, closed: 0.0}
";
        let robot = "
format: 1
robot: box
inputs: [{kind: camera, camera: front, transport: raw, max_age_ms: 100}]
outputs:
- {kind: controller_input, dims: [{action: grip, open: 1, closed: 0, max_step: 1}, {action: x, min: -1, max: 1, max_step: 1}]}
";
        command(io, robot, ms, first)
    }

    /// When each departure until `end` was due, and its rows.
    fn departures(playback: &mut Playback, end: f64) -> Vec<(f64, Vec<f64>)> {
        let mut all = Vec::new();
        while let Some(due) = playback.due().filter(|due| *due < at(end)) {
            let departure = playback.take(due).unwrap();
            all.push((
                departure.at.since(at(0.0)).millis(),
                departure.rows().flatten().flat_map(|row| row.to_vec()).collect(),
            ));
        }
        all
    }

    #[test]
    fn behind_the_last_row_what_moves_is_stopped_and_the_gripper_keeps_its_grip() {
        let mut playback = Playback::default();
        playback.start(inputs(0.0, 0.4));
        let rows = [(0.0, vec![0.4, 0.4]), (50.0, vec![0.1, 0.1]), (100.0, vec![0.1, 0.1]), (150.0, vec![0.1, 0.0])];
        assert_eq!(departures(&mut playback, 1e6), rows);
        assert_eq!(playback.due(), None);
    }

    #[test]
    fn a_new_command_takes_over_at_its_first_row_and_not_later_than_the_old_row_ends() {
        let mut playback = Playback::default();
        playback.start(inputs(0.0, 0.4));
        assert_eq!(departures(&mut playback, 10.0).len(), 1);
        playback.start(inputs(50.0, 0.7));
        assert_eq!(departures(&mut playback, 60.0), [(50.0, vec![0.7, 0.7])]);
        // Its first row is due 20 ms after the one that has left is over.
        playback.start(inputs(120.0, 0.2));
        assert_eq!(departures(&mut playback, 130.0), [(100.0, vec![0.7, 0.0]), (120.0, vec![0.2, 0.2])]);
    }

    #[test]
    fn a_halt_stops_what_moves_once() {
        let mut playback = Playback::default();
        assert_eq!(playback.halt(at(0.0)), None);
        playback.start(inputs(0.0, 0.4));
        assert_eq!(playback.halt(at(0.0)), None, "no row has left");
        playback.start(inputs(0.0, 0.4));
        playback.take(at(1.0)).unwrap();
        let stop = playback.halt(at(7.0)).unwrap();
        assert_eq!((stop.at, stop.part), (at(7.0), Part::StopAfter(0)));
        assert_eq!(stop.rows().flatten().next().unwrap()[..], [0.4, 0.0]);
        assert_eq!((playback.halt(at(8.0)), playback.due()), (None, None));
    }

    #[test]
    fn missed_rows_are_skipped_and_a_command_that_is_past_leaves_only_its_stop() {
        let mut playback = Playback::default();
        playback.start(inputs(0.0, 0.4));
        playback.take(at(0.0)).unwrap();
        assert_eq!(playback.take(at(110.0)).unwrap().part, Part::Row(2));
        playback.start(inputs(120.0, 0.4));
        assert_eq!(playback.take(at(270.0)).unwrap().part, Part::StopAfter(2));
        assert_eq!(playback.take(at(280.0)), None);
    }

    #[test]
    fn positions_stay_where_they_are_without_being_told() {
        let mut playback = Playback::default();
        let robot = ARM_PROFILE.replace("kind: joint_trajectory", "kind: joint_positions");
        playback.start(command(ARM_IO, &robot, 0.0, 0.1));
        assert_eq!(departures(&mut playback, 1e6).len(), 3);
        assert_eq!(playback.halt(at(200.0)), None);
    }
}

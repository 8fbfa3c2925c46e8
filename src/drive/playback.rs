//! Row by row, each when it is due: what leaves of the newest command.
//!
//! The same for the live node and for replay; time is an argument.

use std::borrow::Cow;
use std::sync::Arc;

use crate::deploy::{Deployment, Form};
use crate::safety::SafeCommand;
use crate::time::{Span, Stamp};

/// The newest command and how far the rows of each output have left.
#[derive(Debug)]
pub struct Playback {
    command: Option<Arc<SafeCommand>>,
    outputs: Vec<Output>,
    /// Rows that come later than this do not leave any more: they would move the robot in one step to where it should have
    /// gone in many.
    longest_gap: Span,
}

#[derive(Debug)]
struct Output {
    /// Trajectories leave whole.
    sends_rows: bool,
    next_row: usize,
    /// What left last.
    departed: Option<(Arc<SafeCommand>, usize)>,
}

/// A row that leaves now.
#[derive(Clone, Debug, PartialEq)]
pub struct Departure {
    /// When it was due.
    pub at: Stamp,
    /// Index of the output.
    pub output: usize,
    command: Arc<SafeCommand>,
    row: usize,
    /// Whether it stops what this row does.
    stops: bool,
}

impl Departure {
    /// Its values, in the output's units.
    pub fn values(&self) -> Cow<'_, [f64]> {
        let Some(output) = self.command.outputs().get(self.output) else { return Cow::default() };
        let row = output.rows().nth(self.row).unwrap_or_default();
        if self.stops { output.stop_after(row).collect() } else { Cow::Borrowed(row) }
    }
}

impl Playback {
    /// Before the first command.
    pub fn new(deployment: &Deployment) -> Self {
        let sends_rows = deployment.outputs().iter().map(|output| output.form != Form::Trajectory);
        let outputs = sends_rows.map(|sends_rows| Output { sends_rows, next_row: 0, departed: None }).collect();
        Self { command: None, outputs, longest_gap: deployment.longest_gap() }
    }

    /// A new command replaces what was still to come of the last one; what has left does not leave twice.
    pub fn start(&mut self, command: Arc<SafeCommand>, now: Stamp) {
        for (index, output) in self.outputs.iter_mut().enumerate() {
            let left = output.departed.as_ref().and_then(|(command, row)| command.due(index, *row));
            let rows = 0..command.outputs().get(index).map_or(0, |output| output.times().len());
            // Where the clock went back, it left in another time.
            let left = left.filter(|left| *left <= now);
            let has_left = |row: &usize| left.zip(command.due(index, *row)).is_some_and(|(left, due)| due <= left);
            output.next_row = rows.take_while(has_left).count();
        }
        self.command = Some(command);
    }

    /// When something is due next; `None` where nothing is to come.
    pub fn due(&self) -> Option<Stamp> {
        let command = self.command.as_ref()?;
        let outputs = self.outputs.iter().enumerate().filter(|(_, output)| output.sends_rows);
        outputs.filter_map(|(index, output)| command.due(index, output.next_row)).min()
    }

    /// The row of one output that has come into effect by `now`; those before it that were missed are skipped.
    pub fn take(&mut self, now: Stamp) -> Option<Departure> {
        let command = self.command.as_ref()?;
        for (index, output) in self.outputs.iter_mut().enumerate().filter(|(_, output)| output.sends_rows) {
            let rows = command.outputs().get(index)?;
            let is_due = |row: &usize| command.due(index, *row).is_some_and(|due| due <= now);
            let Some(row) = (output.next_row..rows.times().len()).take_while(is_due).last() else { continue };
            let at = command.due(index, row)?;
            if now.since(command.due(index, output.next_row)?) > self.longest_gap {
                output.next_row = rows.times().len();
                // On a path it stands; else what has left is still being done.
                if !rows.is_path()
                    && let Some((command, row)) = output.departed.clone()
                {
                    return Some(Departure { at: now, output: index, command, row, stops: true });
                }
                continue;
            }
            output.next_row = row + 1;
            output.departed = Some((Arc::clone(command), row));
            return Some(Departure { at, output: index, command: Arc::clone(command), row, stops: false });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::ParamValue;
    use crate::deploy::samples::arm::{at, frame, instruction, joints};
    use crate::deploy::samples::{ARM_IO, ARM_PROFILE, bundle, parameters, profile};
    use crate::engine::{Effect, Engine, Event};
    use crate::types::{Chunk, Inferred};

    const INPUTS_IO: &str = "
rate_hz: 20
actions:
- {name: x, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
- {name: grip, unit: normalized, kind: gripper, open: 1.0, closed: 0.0}
";
    const INPUTS: &str = "
format: 1
robot: box
inputs: [{kind: camera, camera: front, transport: raw, max_age_ms: 100}]
outputs:
- {kind: controller_input, dims: [{action: grip, open: 1, closed: 0, max_step: 1}, {action: x, min: -1, max: 1, max_step: 1}]}
";

    fn deployment(io: &str, robot: &str) -> Deployment {
        let live = [("dry_run", ParamValue::Bool(false))];
        Deployment::check(&bundle(io, &["front"]), &profile(robot), parameters(&live)).unwrap()
    }

    /// What an engine that has seen nothing yet commands at `ms`, for rows of `first`, then more of 0.1.
    fn command(deployment: &Deployment, ms: f64, first: f64) -> Arc<SafeCommand> {
        let width = deployment.actions().len();
        let chunk = Chunk::new([first, 0.1, 0.1, 0.1].map(|value| vec![value; width]).concat(), width).unwrap();
        let (mut engine, mut effects) = (Engine::activated(deployment), Vec::new());
        for sample in [instruction(ms, "go"), joints(ms, [0.25, 0.1, 0.03]), frame(0, ms)] {
            engine.handle(at(ms), Event::Sample(sample), &mut effects);
        }
        let request = effects.iter().find_map(|effect| match effect {
            Effect::Infer { request, .. } => Some(*request),
            _ => None,
        });
        let inferred = Inferred { chunk, kept_tokens: 0, inference_delay: Span::ZERO };
        engine.handle(at(ms), Event::Inferred { request: request.unwrap(), result: Ok(inferred) }, &mut effects);
        let command = effects.into_iter().find_map(|effect| match effect {
            Effect::Command(command) => Some(command),
            _ => None,
        });
        command.unwrap()
    }

    /// When each departure until `end` was due, and its values.
    fn departures(playback: &mut Playback, end: f64) -> Vec<(f64, Vec<f64>)> {
        let mut all = Vec::new();
        while let Some(due) = playback.due().filter(|due| *due < at(end)) {
            while let Some(departure) = playback.take(due) {
                all.push((departure.at.since(at(0.0)).millis(), departure.values().to_vec()));
            }
        }
        all
    }

    #[test]
    fn rows_leave_when_they_are_due_and_the_last_one_stops_the_robot() {
        let deployment = deployment(INPUTS_IO, INPUTS);
        let mut playback = Playback::new(&deployment);
        assert_eq!((playback.due(), playback.take(at(0.0))), (None, None));
        playback.start(command(&deployment, 0.0, 0.4), at(0.0));
        let rows = [(0.0, vec![0.4, 0.4]), (50.0, vec![0.1, 0.1]), (100.0, vec![0.1, 0.1]), (150.0, vec![0.1, 0.0])];
        assert_eq!(departures(&mut playback, 1e6), rows);
        assert_eq!(playback.due(), None);
    }

    #[test]
    fn a_new_command_replaces_what_was_still_to_come() {
        let deployment = deployment(INPUTS_IO, INPUTS);
        let mut playback = Playback::new(&deployment);
        playback.start(command(&deployment, 0.0, 0.4), at(0.0));
        assert_eq!(departures(&mut playback, 60.0).len(), 2);
        playback.start(command(&deployment, 60.0, 0.7), at(60.0));
        assert_eq!(departures(&mut playback, 120.0), [(60.0, vec![0.7, 0.7]), (110.0, vec![0.1, 0.1])]);
    }

    #[test]
    fn missed_rows_are_skipped_and_of_a_command_that_is_past_the_stop_is_left() {
        let deployment = deployment(INPUTS_IO, INPUTS);
        let mut playback = Playback::new(&deployment);
        playback.start(command(&deployment, 0.0, 0.4), at(0.0));
        assert_eq!(playback.take(at(110.0)).unwrap().at, at(100.0));
        playback.start(command(&deployment, 120.0, 0.4), at(120.0));
        // Of what left last the gripper's position stays, not that of rows that nobody was told.
        let stop = playback.take(at(5000.0)).unwrap();
        assert_eq!((stop.at, &stop.values()[..]), (at(5000.0), &[0.1, 0.0][..]));
        assert_eq!(playback.take(at(5000.0)), None);
    }

    #[test]
    fn a_path_that_was_left_alone_for_too_long_is_given_up() {
        let deployment = deployment(ARM_IO, &ARM_PROFILE.replace("kind: joint_trajectory", "kind: joint_positions"));
        let mut playback = Playback::new(&deployment);
        playback.start(command(&deployment, 0.0, 0.1), at(0.0));
        assert_eq!(playback.take(at(0.0)).unwrap().values()[..], [0.25, 0.1, 0.03]);
        // Half a horizon late it still leaves, and not later.
        assert_eq!(playback.take(at(100.0)).unwrap().at, at(100.0));
        assert_eq!((playback.take(at(260.5)), playback.due()), (None, None));
    }

    #[test]
    fn a_trajectory_leaves_whole_and_not_row_by_row() {
        let deployment = deployment(ARM_IO, ARM_PROFILE);
        let mut playback = Playback::new(&deployment);
        playback.start(command(&deployment, 0.0, 0.1), at(0.0));
        assert_eq!((playback.due(), playback.take(at(100.0))), (None, None));
    }
}

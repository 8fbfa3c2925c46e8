//! A run as a bag.

use std::iter::Peekable;
use std::path::Path;
use std::slice;
use std::sync::Arc;

use super::{ReplayError, Run, Step};
use crate::bag::{BagError, BagWriter};
use crate::deploy::{Deployment, Form};
use crate::drive::chunk_messages::{ChunkMessages, Source};
use crate::drive::commands::{array, number, pose, trajectory, twist};
use crate::drive::playback::Playback;
use crate::drive::ros_args::{NameError, RosArgs};
use crate::msg::{ActionChunk, DiagnosticArray, DiagnosticStatus, Header, KeyValue, Level};
use crate::safety::SafeCommand;
use crate::time::{Span, Stamp};

/// Apart from the chunks, because it differs from run to run and they must not.
const TIMING_TOPIC: &str = "~/timing";

/// Every chunk with its verdict as the node would have published it.
pub fn action_chunks(deployment: &Deployment, run: &Run) -> Vec<ActionChunk> {
    let messages = ChunkMessages::new(deployment, Source::Replay);
    run.steps.iter().map(|step| messages.message(&step.decision)).collect()
}

/// Writes what the node would have published, each message on its topic and at its time: chunks with their verdicts, and
/// the commands of those that were sent (a dry run has none); what the stages took on this machine stands on `~/timing`.
pub fn record(path: &Path, deployment: &Deployment, names: &RosArgs, run: &Run) -> Result<(), ReplayError> {
    let mut bag = BagWriter::create(path)?;
    let chunk_topic = names.resolve(deployment.action_chunk_topic())?;
    let timing_topic = names.resolve(TIMING_TOPIC)?;
    let outputs = deployment.outputs().iter().map(|output| Ok((&output.form, names.resolve(&output.topic)?)));
    let outputs = outputs.collect::<Result<_, NameError>>()?;
    let mut commands =
        Commands { outputs, playback: Playback::new(deployment), waiting: run.commands.iter().peekable() };
    for (step, chunk) in run.steps.iter().zip(action_chunks(deployment, run)) {
        commands.write_until(step.at, &mut bag)?;
        bag.write(&chunk_topic, step.at, &chunk)?;
        bag.write(&timing_topic, step.at, &timing(names.node_name(), step))?;
    }
    commands.write_until(Stamp::from_nanos(i64::MAX), &mut bag)?;
    Ok(bag.finish()?)
}

/// The outputs' messages and topics, and what is still to leave on them.
struct Commands<'a> {
    outputs: Vec<(&'a Form, String)>,
    playback: Playback,
    waiting: Peekable<slice::Iter<'a, (Stamp, Arc<SafeCommand>)>>,
}

impl Commands<'_> {
    /// Everything that is given or due before `end`.
    fn write_until(&mut self, end: Stamp, bag: &mut BagWriter) -> Result<(), BagError> {
        while let Some((at, command)) = self.waiting.next_if(|(at, _)| *at < end) {
            self.write_rows(*at + Span::from_nanos(1), bag)?;
            self.start(*at, command, bag)?;
        }
        self.write_rows(end, bag)
    }

    /// Trajectories leave at once, rows when they are due.
    fn start(&mut self, at: Stamp, command: &Arc<SafeCommand>, bag: &mut BagWriter) -> Result<(), BagError> {
        for ((form, topic), output) in self.outputs.iter().zip(command.outputs()) {
            if **form == Form::Trajectory {
                bag.write(topic, at, &trajectory(command, output))?;
            }
        }
        self.playback.start(Arc::clone(command), at);
        Ok(())
    }

    fn write_rows(&mut self, end: Stamp, bag: &mut BagWriter) -> Result<(), BagError> {
        while let Some(due) = self.playback.due().filter(|due| *due < end) {
            while let Some(departure) = self.playback.take(due) {
                if let Some((form, topic)) = self.outputs.get(departure.output) {
                    write_row(form, topic, (departure.at, &departure.values()), bag)?;
                }
            }
        }
        Ok(())
    }
}

fn write_row(form: &Form, topic: &str, (at, row): (Stamp, &[f64]), bag: &mut BagWriter) -> Result<(), BagError> {
    let written = match form {
        // A goal is a request, which no bag holds.
        Form::Trajectory | Form::Goal { .. } => None,
        Form::Array => Some(bag.write(topic, at, &array(row))),
        Form::Number => number(row).map(|number| bag.write(topic, at, &number)),
        Form::Pose { frame } => pose(at, frame, row).map(|pose| bag.write(topic, at, &pose)),
        Form::Twist { frame } => twist(at, frame, row).map(|twist| bag.write(topic, at, &twist)),
    };
    written.unwrap_or(Ok(()))
}

fn timing(node: &str, step: &Step) -> DiagnosticArray {
    let value = |(name, length): &(String, Span)| KeyValue {
        key: format!("{name}_ms"),
        value: format!("{:.6}", length.millis()),
    };
    let status = DiagnosticStatus {
        level: Level::Ok as u8,
        name: format!("{node}: timing"),
        message: format!("chunk {}", step.decision.chunk_id.0),
        hardware_id: String::new(),
        values: step.stages.iter().map(value).collect(),
    };
    DiagnosticArray { header: Header::new(step.decision.stamp, ""), status: vec![status] }
}

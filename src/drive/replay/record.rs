//! A run as a bag.

use std::path::Path;
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
use crate::time::Stamp;

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
    let mut commands = Commands { outputs: outputs.collect::<Result<_, NameError>>()?, playback: Playback::default() };
    for (step, chunk) in run.steps.iter().zip(action_chunks(deployment, run)) {
        bag.write(&chunk_topic, step.at, &chunk)?;
        bag.write(&timing_topic, step.at, &timing(names.node_name(), step))?;
        if let Some(command) = step.decision.verdict.command() {
            commands.write_until(step.at, &mut bag)?;
            commands.start(step.at, command, &mut bag)?;
        }
    }
    commands.write_until(Stamp::from_nanos(i64::MAX), &mut bag)?;
    Ok(bag.finish()?)
}

/// The outputs' messages and topics, and what is still to leave on them.
struct Commands<'a> {
    outputs: Vec<(&'a Form, String)>,
    playback: Playback,
}

impl Commands<'_> {
    /// Trajectories leave at once, rows when they are due.
    fn start(&mut self, at: Stamp, command: &Arc<SafeCommand>, bag: &mut BagWriter) -> Result<(), BagError> {
        for ((form, topic), output) in self.outputs.iter().zip(command.outputs()) {
            if **form == Form::Trajectory {
                bag.write(topic, at, &trajectory(command, output))?;
            }
        }
        self.playback.start(Arc::clone(command));
        Ok(())
    }

    /// Everything that is due before `end`.
    fn write_until(&mut self, end: Stamp, bag: &mut BagWriter) -> Result<(), BagError> {
        while let Some(due) = self.playback.due().filter(|due| *due < end) {
            let Some(departure) = self.playback.take(due) else { continue };
            for ((form, topic), row) in self.outputs.iter().zip(departure.rows()) {
                if let Some(row) = row {
                    write_row(form, topic, (departure.at, &row), bag)?;
                }
            }
        }
        Ok(())
    }
}

fn write_row(form: &Form, topic: &str, (at, row): (Stamp, &[f64]), bag: &mut BagWriter) -> Result<(), BagError> {
    let written = match form {
        Form::Trajectory => None,
        Form::Array => Some(bag.write(topic, at, &array(row))),
        Form::Number => number(row).map(|number| bag.write(topic, at, &number)),
        Form::Pose { frame } => pose(at, frame, row).map(|pose| bag.write(topic, at, &pose)),
        Form::Twist { frame } => twist(at, frame, row).map(|twist| bag.write(topic, at, &twist)),
    };
    written.unwrap_or(Ok(()))
}

fn timing(node: &str, step: &Step) -> DiagnosticArray {
    let value = |(name, length): &(String, crate::time::Span)| KeyValue {
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

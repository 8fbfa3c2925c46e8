//! A run as a bag.

use std::path::Path;

use super::{ReplayError, Run, Step};
use crate::bag::{BagError, BagWriter};
use crate::deploy::Deployment;
use crate::drive::chunk_messages::{ChunkMessages, Source};
use crate::drive::commands::{array, trajectory};
use crate::drive::ros_args::{NameError, RosArgs};
use crate::msg::{ActionChunk, DiagnosticArray, DiagnosticStatus, Header, KeyValue, Level};
use crate::profile::OutputKind;
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
    let outputs = deployment.outputs().iter().map(|output| Ok((output.kind, names.resolve(&output.topic)?)));
    let outputs = outputs.collect::<Result<Vec<_>, NameError>>()?;
    for (index, (step, chunk)) in run.steps.iter().zip(action_chunks(deployment, run)).enumerate() {
        bag.write(&chunk_topic, step.at, &chunk)?;
        bag.write(&timing_topic, step.at, &timing(names.node_name(), step))?;
        if let Some(command) = step.decision.verdict.command() {
            let later = &run.steps[index + 1..];
            let replaced = later.iter().find(|later| later.decision.verdict.command().is_some()).map(|later| later.at);
            write_command(&mut bag, &outputs, command, (step.at, replaced))?;
        }
    }
    Ok(bag.finish()?)
}

/// Trajectories at once, rows each when it is due, from when the command was sent until the next one replaces it.
fn write_command(
    bag: &mut BagWriter,
    outputs: &[(OutputKind, String)],
    command: &SafeCommand,
    (sent, replaced): (Stamp, Option<Stamp>),
) -> Result<(), BagError> {
    for ((kind, topic), output) in outputs.iter().zip(command.outputs()) {
        match kind {
            OutputKind::JointTrajectory => bag.write(topic, sent, &trajectory(command, output))?,
            OutputKind::ControllerInput => {
                let due = command.times().iter().map(|time| command.stamp() + *time);
                let is_left = |due: &Stamp| replaced.is_none_or(|replaced| *due < replaced);
                for (due, row) in due.take_while(is_left).zip(output.rows()) {
                    bag.write(topic, due, &array(row))?;
                }
            }
        }
    }
    Ok(())
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

//! A run as a bag.

use std::path::Path;

use super::{ReplayError, Run, Step};
use crate::bag::BagWriter;
use crate::deploy::Deployment;
use crate::drive::chunk_messages::{ChunkMessages, Source};
use crate::drive::command_log::CommandLog;
use crate::drive::ros_args::RosArgs;
use crate::msg::{ActionChunk, DiagnosticArray, DiagnosticStatus, Header, KeyValue, Level};
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
    let (mut commands, mut waiting) = (CommandLog::new(deployment, names)?, run.commands.iter().peekable());
    for (step, chunk) in run.steps.iter().zip(action_chunks(deployment, run)) {
        while let Some((at, command)) = waiting.next_if(|(at, _)| *at < step.at) {
            commands.start(*at, command, &mut bag)?;
        }
        commands.write_until(step.at, &mut bag)?;
        bag.write(&chunk_topic, step.at, &chunk)?;
        bag.write(&timing_topic, step.at, &timing(names.node_name(), step))?;
    }
    for (at, command) in waiting {
        commands.start(*at, command, &mut bag)?;
    }
    commands.write_until(Stamp::from_nanos(i64::MAX), &mut bag)?;
    Ok(bag.finish()?)
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

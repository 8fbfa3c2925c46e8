//! Commands as the messages that the node sends, each on its topic and at its time, into a bag.

use std::sync::Arc;

use super::commands::{array, number, pose, trajectory, twist};
use super::playback::Playback;
use super::ros_args::{NameError, RosArgs};
use crate::bag::{BagError, BagWriter};
use crate::deploy::{Deployment, Form};
use crate::safety::SafeCommand;
use crate::time::{Span, Stamp};

/// The outputs' messages and topics, and what is still to leave on them.
#[derive(Debug)]
pub struct CommandLog {
    outputs: Vec<(Form, String)>,
    playback: Playback,
}

impl CommandLog {
    /// Before the first command.
    ///
    /// # Errors
    /// A topic name that ROS forbids.
    pub fn new(deployment: &Deployment, names: &RosArgs) -> Result<Self, NameError> {
        let outputs =
            deployment.outputs().iter().map(|output| Ok((output.form.clone(), names.resolve(&output.topic)?)));
        Ok(Self { outputs: outputs.collect::<Result<_, _>>()?, playback: Playback::new(deployment) })
    }

    /// A command that is given at `at`: trajectories leave at once, rows when they are due.
    pub fn start(&mut self, at: Stamp, command: &Arc<SafeCommand>, bag: &mut BagWriter) -> Result<(), BagError> {
        self.write_until(at + Span::from_nanos(1), bag)?;
        for ((form, topic), output) in self.outputs.iter().zip(command.outputs()) {
            if *form == Form::Trajectory {
                bag.write(topic, at, &trajectory(command, output))?;
            }
        }
        self.playback.start(Arc::clone(command), at);
        Ok(())
    }

    /// Every row that is due before `end`.
    pub fn write_until(&mut self, end: Stamp, bag: &mut BagWriter) -> Result<(), BagError> {
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

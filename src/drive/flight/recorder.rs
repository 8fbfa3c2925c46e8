//! The end of the recorder that the engine's thread holds: it hands over and waits for nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};

use crossbeam::channel::{Sender, TrySendError, bounded};

use super::file::Template;
use super::recording::{Numbered, Recording, Shared, Told};
use super::ring::{Bounds, What};
use super::trigger::Robot;
use super::{Entry, Trigger};
use crate::deploy::Deployment;
use crate::drive::ros::Original;
use crate::drive::ros_args::{NameError, RosArgs};
use crate::engine::{Effect, Event, State};
use crate::interlock::Input;
use crate::msg::StringMessage;
use crate::time::{Span, Stamp};
use crate::types::{Sample, Switch, Transform, Value};

/// What may wait for the thread, at about a thousand a second; more means that the disk is stuck, and it is lost.
const WAITING: usize = 2048;

/// How the recorder did since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What went wrong, several at a time included.
    pub triggers: u64,
    /// Files written.
    pub files: u64,
    /// Files that could not be written.
    pub failed: u64,
    /// Events that did not reach the ring.
    pub lost: u64,
    /// The last file, or why there is none.
    pub last: String,
}

/// The end that hands over; without parameters for it, nothing is kept and nothing happens.
pub struct FlightRecorder(Option<Running>);

struct Running {
    sender: Sender<Numbered>,
    shared: Arc<Shared>,
    handle: JoinHandle<()>,
    instruction_topic: Arc<str>,
    /// Of the next event: where one is missing, the ring begins anew.
    number: u64,
    /// When the last command is at its end.
    moves_until: Stamp,
    last: String,
}

impl FlightRecorder {
    /// Starts the thread, where the parameters name a folder.
    ///
    /// # Errors
    /// A topic name that ROS forbids, or no thread.
    pub fn start(deployment: &Deployment, names: &RosArgs) -> Result<Self, StartError> {
        let Some(rules) = deployment.parameters().flight_recorder() else { return Ok(Self(None)) };
        let instruction_topic = names.resolve(deployment.instruction_topic())?.into();
        let (sender, waiting) = bounded(WAITING);
        let shared = Arc::new(Shared::default());
        let bounds = Bounds { length: rules.length, bytes: rules.bytes, look_back: look_back(deployment) };
        let template = Template::new(deployment, names, &rules.folder)?;
        let mut recording = Recording::new(bounds, template, Arc::clone(&shared));
        let handle = Builder::new().name("flight".to_owned()).spawn(move || recording.run(&waiting))?;
        tracing::info!(folder = %rules.folder.display(), length = %rules.length, bytes = rules.bytes, "flight recorder on");
        let (moves_until, last) = (Stamp::default(), String::new());
        Ok(Self(Some(Running { sender, shared, handle, instruction_topic, number: 0, moves_until, last })))
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The engine is given a sample; `original` is the message that it was.
    pub fn sample(&mut self, now: Stamp, sample: &Sample, original: Option<Original>) {
        let Some(running) = &mut self.0 else { return };
        let original = original.or_else(|| match &sample.value {
            // From a parameter or a run, not from the topic.
            Value::Instruction(task) => {
                Some(Original::of(&running.instruction_topic, &StringMessage { data: task.to_string() }))
            }
            _ => None,
        });
        // What was latched before we listened starts nothing, and would in a replay.
        let Some(original) = original.filter(|_| !matches!(sample.value, Value::LatchedInstruction(_))) else { return };
        let holds_as = holds_as(&original.topic, &sample.value);
        running.tell(now, Told::What(What::Message { original, received: sample.received, holds_as }));
    }

    /// The engine is given an event that is no sample.
    pub fn event(&mut self, now: Stamp, event: &Event) {
        let Some(running) = &mut self.0 else { return };
        let entry = match event {
            Event::Sample(_) => return,
            Event::Tick => Entry::Tick,
            Event::Stop => Entry::Stop,
            Event::Inferred { request, result } => {
                let (delay, failure) = match result {
                    Ok(inferred) => (inferred.inference_delay, None),
                    Err(reason) => (Span::ZERO, Some(reason.clone())),
                };
                Entry::Inferred { request: *request, delay, failure }
            }
        };
        running.tell(now, Told::Entry(entry));
    }

    /// The interlocks are given an input.
    pub fn interlock(&mut self, now: Stamp, input: Input) {
        if let Some(running) = &mut self.0 {
            running.tell(now, Told::Entry(Entry::Interlock(input)));
        }
    }

    /// What the engine has become; a file begins with one of these.
    pub fn state(&mut self, now: Stamp, state: impl FnOnce() -> State) {
        if let Some(running) = &mut self.0 {
            running.tell(now, Told::Entry(Entry::State(Box::new(state()))));
        }
    }

    /// What the engine does.
    pub fn effect(&mut self, now: Stamp, effect: &Effect) {
        let Some(running) = &mut self.0 else { return };
        match effect {
            Effect::Decided(decision) => running.tell(now, Told::What(What::Decision(Arc::new(decision.clone())))),
            Effect::Command(command) => {
                let ends = command.outputs().iter().filter_map(|output| output.times().last());
                running.moves_until = ends.max().map_or(running.moves_until, |end| command.stamp() + *end);
                running.tell(now, Told::What(What::Command(Arc::clone(command))));
            }
            Effect::Infer { .. } | Effect::Report(_) => {}
        }
        let robot = if now < running.moves_until { Robot::Moves } else { Robot::Stands };
        if let Some(trigger) = Trigger::of(effect, robot) {
            running.tell(now, Told::Entry(Entry::Trigger(trigger)));
        }
    }

    /// Something else went wrong.
    pub fn trigger(&mut self, now: Stamp, trigger: Trigger) {
        if let Some(running) = &mut self.0 {
            running.tell(now, Told::Entry(Entry::Trigger(trigger)));
        }
    }

    /// How it did; `None` where it is off.
    pub fn status(&mut self) -> Option<Status> {
        let running = self.0.as_mut()?;
        let status = running.shared.status(std::mem::take(&mut running.last));
        running.last.clone_from(&status.last);
        Some(status)
    }

    /// Whether the thread has taken everything in.
    #[cfg(test)]
    pub fn has_caught_up(&self) -> bool {
        self.0.as_ref().is_none_or(|running| running.sender.is_empty())
    }

    /// Writes what is still to be written, and ends the thread; how it did, `None` where it is off.
    pub fn finish(self) -> Option<Status> {
        let Running { sender, shared, handle, last, .. } = self.0?;
        drop(sender);
        if handle.join().is_err() {
            tracing::error!("the flight recorder's thread panicked");
        }
        Some(shared.status(last))
    }
}

/// Why there is no recorder.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StartError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Thread(#[from] io::Error),
}

impl Running {
    fn tell(&mut self, at: Stamp, told: Told) {
        let number = self.number;
        self.number += 1;
        match self.sender.try_send(Numbered { number, at, told }) {
            Ok(()) => {}
            // Full: the disk is stuck. Disconnected: the thread panicked. Neither concerns the robot.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The longest time for which a sample counts.
fn look_back(deployment: &Deployment) -> Span {
    let cameras = deployment.cameras().iter().map(|camera| camera.max_age);
    let joints = deployment.joints().map(|joints| joints.max_age);
    let eef = deployment.eef().map(|eef| eef.max_age);
    let array = deployment.array().map(|array| array.max_age);
    let longest = cameras.chain(joints).chain(eef).chain(array).max();
    longest.unwrap_or(Span::ZERO) + deployment.max_skew().times(2)
}

/// Under which name a message holds that is said only once.
fn holds_as(topic: &Arc<str>, value: &Value) -> Option<Arc<str>> {
    match value {
        Value::Optics { .. } | Value::Instruction(_) | Value::Switch { switch: Switch::Takeover, .. } => {
            Some(Arc::clone(topic))
        }
        Value::Transforms(transforms) if transforms.iter().all(|transform| transform.stamp.is_none()) => {
            // Several publishers say where different frames are.
            let children = transforms.iter().map(|Transform { child, .. }| child.as_str());
            Some(std::iter::once(&**topic).chain(children).collect::<Vec<_>>().join(" ").into())
        }
        _ => None,
    }
}

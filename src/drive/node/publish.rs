//! The thread that owns the publishers. What moves the robot comes from a [`SafeCommand`] and from nowhere else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TrySendError, after, bounded, never};
use crossbeam::select;

use super::grippers::GripperOutput;
use crate::drive::chunk_messages::ChunkMessages;
use crate::drive::clock::Clock;
use crate::drive::commands::{array, number, pose, trajectory, twist};
use crate::drive::playback::{Departure, Playback};
use crate::drive::ros::{Publish, PublishError};
use crate::engine::Decision;
use crate::msg::{
    ActionChunk, DiagnosticArray, Float64, Float64MultiArray, JointTrajectory, PoseStamped, TwistStamped,
};
use crate::safety::SafeCommand;

/// Longer than this nobody waits for the rest of a command: a simulation's clock may have ended before the node.
const LONGEST_STOP: Duration = Duration::from_secs(2);

/// Messages between two rounds of the thread; it waits for nobody, so that more than a few mean that it is stuck.
const WAITING: usize = 8;

/// Where everything goes.
pub(super) struct Publishers {
    pub chunks: Box<dyn Publish<ActionChunk>>,
    pub diagnostics: Box<dyn Publish<DiagnosticArray>>,
    /// In the deployment's order.
    pub outputs: Vec<OutputPublisher>,
}

/// One topic that moves the robot.
pub(super) enum OutputPublisher {
    /// The whole segment at once.
    Trajectory(Box<dyn Publish<JointTrajectory>>),
    /// Row by row, each when it is due, as are the others.
    Array(Box<dyn Publish<Float64MultiArray>>),
    Number(Box<dyn Publish<Float64>>),
    /// A goal where a row is an edge.
    Goal(Box<GripperOutput>),
    /// In this frame, as the next one.
    Pose(Box<dyn Publish<PoseStamped>>, Arc<str>),
    Twist(Box<dyn Publish<TwistStamped>>, Arc<str>),
}

/// Something to publish.
pub(super) enum Outgoing {
    Decision(Box<Decision>),
    /// Takes the place of the command before it.
    Command(Arc<SafeCommand>),
    Diagnostics(DiagnosticArray),
}

/// The running thread.
pub(super) struct PublishThread {
    outgoing: Sender<Outgoing>,
    unsent: Arc<AtomicU64>,
    handle: JoinHandle<()>,
}

impl PublishThread {
    pub fn start(publishers: Publishers, chunks: ChunkMessages, playback: Playback, clock: Clock) -> io::Result<Self> {
        // Full means a stuck thread; then the newest message is dropped and counted, because the engine never waits.
        let (outgoing, waiting) = bounded(WAITING);
        let unsent = Arc::new(AtomicU64::new(0));
        let mut publishing = Publishing { publishers, chunks, clock, playback, unsent: Arc::clone(&unsent) };
        let handle = Builder::new().name("publish".to_owned()).spawn(move || publishing.run(&waiting))?;
        Ok(Self { outgoing, unsent, handle })
    }

    /// Hands a message over without waiting; false where the thread has died.
    pub fn send(&self, outgoing: Outgoing) -> bool {
        match self.outgoing.try_send(outgoing) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.unsent.fetch_add(1, Ordering::Relaxed);
                tracing::error!("the publish thread is stuck, a message is lost");
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Messages that did not leave, since the start.
    pub fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }

    /// Publishes what was handed over and what is still to come of the last command, which ends at rest; false where the
    /// thread panicked.
    pub fn join(self) -> bool {
        drop(self.outgoing);
        self.handle.join().is_ok()
    }
}

/// The thread's state.
struct Publishing {
    publishers: Publishers,
    chunks: ChunkMessages,
    clock: Clock,
    playback: Playback,
    unsent: Arc<AtomicU64>,
}

impl Publishing {
    fn run(&mut self, waiting: &Receiver<Outgoing>) {
        let (mut waiting, mut end) = (Some(waiting), never());
        loop {
            let due = self.playback.due();
            if waiting.is_none() && due.is_none() {
                return;
            }
            let due = due.map_or_else(never, |due| self.clock.timer(due));
            select! {
                recv(waiting.unwrap_or(&never())) -> outgoing => {
                    if let Ok(outgoing) = outgoing {
                        self.publish(outgoing);
                    } else {
                        (waiting, end) = (None, after(LONGEST_STOP));
                    }
                }
                recv(end) -> _ => return,
                recv(due) -> _ => {}
            }
            self.depart();
        }
    }

    fn publish(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Command(command) => {
                // What is due before it is not lost.
                self.depart();
                self.publish_trajectories(&command);
                self.playback.start(command, self.clock.now().unwrap_or_default());
            }
            Outgoing::Diagnostics(array) => self.count(self.publishers.diagnostics.publish(array)),
            Outgoing::Decision(decision) => self.count(self.publishers.chunks.publish(self.chunks.message(&decision))),
        }
    }

    fn publish_trajectories(&self, command: &SafeCommand) {
        for (publisher, output) in self.publishers.outputs.iter().zip(command.outputs()) {
            if let OutputPublisher::Trajectory(publisher) = publisher {
                self.count(publisher.publish(trajectory(command, output)));
            }
        }
    }

    /// Everything that is due by now.
    fn depart(&mut self) {
        let Some(now) = self.clock.now() else { return };
        while let Some(departure) = self.playback.take(now) {
            let publisher = self.publishers.outputs.get(departure.output);
            if let Some(sent) = publisher.and_then(|publisher| publisher.publish_row(&departure)) {
                self.count(sent);
            }
        }
    }

    fn count(&self, published: Result<(), PublishError>) {
        if let Err(error) = published {
            self.unsent.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "message lost");
        }
    }
}

impl OutputPublisher {
    /// Sends a row; `None` where this output sends no rows.
    fn publish_row(&self, departure: &Departure) -> Option<Result<(), PublishError>> {
        let (at, row) = (departure.at, &*departure.values());
        Some(match self {
            OutputPublisher::Trajectory(_) => return None,
            OutputPublisher::Goal(gripper) => return gripper.publish(at, row),
            OutputPublisher::Array(publisher) => publisher.publish(array(row)),
            OutputPublisher::Number(publisher) => publisher.publish(number(row)?),
            OutputPublisher::Pose(publisher, frame) => publisher.publish(pose(at, frame, row)?),
            OutputPublisher::Twist(publisher, frame) => publisher.publish(twist(at, frame, row)?),
        })
    }
}

//! The thread that owns the publishers. What moves the robot comes from a [`SafeCommand`] and from nowhere else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded, never};
use crossbeam::select;

use crate::drive::chunk_messages::ChunkMessages;
use crate::drive::clock::Clock;
use crate::drive::commands::{array, trajectory};
use crate::drive::ros::{Publish, PublishError};
use crate::engine::Decision;
use crate::msg::{ActionChunk, DiagnosticArray, Float64MultiArray, JointTrajectory};
use crate::safety::SafeCommand;
use crate::time::Stamp;

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
    /// Row by row, each when it is due.
    Rows(Box<dyn Publish<Float64MultiArray>>),
}

/// Something to publish.
pub(super) enum Outgoing {
    Decision(Box<Decision>),
    Diagnostics(DiagnosticArray),
    /// No row of the running command leaves any more.
    Halt,
}

/// The running thread.
pub(super) struct PublishThread {
    outgoing: Sender<Outgoing>,
    unsent: Arc<AtomicU64>,
    handle: JoinHandle<()>,
}

impl PublishThread {
    pub fn start(publishers: Publishers, chunks: ChunkMessages, clock: Clock) -> io::Result<Self> {
        // Full means a stuck thread; then the newest message is dropped and counted, because the engine never waits.
        let (outgoing, waiting) = bounded(WAITING);
        let unsent = Arc::new(AtomicU64::new(0));
        let mut publishing = Publishing { publishers, chunks, clock, running: None, unsent: Arc::clone(&unsent) };
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

    /// Publishes what was handed over, and no further row; false where the thread panicked.
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
    running: Option<Running>,
    unsent: Arc<AtomicU64>,
}

/// The newest command and how far its rows have left.
struct Running {
    command: Arc<SafeCommand>,
    next_row: usize,
}

impl Publishing {
    fn run(&mut self, waiting: &Receiver<Outgoing>) {
        loop {
            let row_due = self.running.as_ref().and_then(Running::due);
            let row_due = row_due.map_or_else(never, |due| self.clock.timer(due));
            select! {
                recv(waiting) -> outgoing => match outgoing {
                    Ok(outgoing) => self.publish(outgoing),
                    Err(_) => return,
                },
                recv(row_due) -> _ => {}
            }
            if let Some(now) = self.clock.now() {
                self.publish_row(now);
            }
        }
    }

    fn publish(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Halt => self.running = None,
            Outgoing::Diagnostics(array) => self.count(self.publishers.diagnostics.publish(array)),
            Outgoing::Decision(decision) => {
                if let Some(command) = decision.verdict.command() {
                    self.publish_trajectories(command);
                    // A new command replaces the rows of the last one that were still to come.
                    self.running = Some(Running { command: Arc::clone(command), next_row: 0 });
                }
                self.count(self.publishers.chunks.publish(self.chunks.message(&decision)));
            }
        }
    }

    fn publish_trajectories(&self, command: &SafeCommand) {
        for (publisher, output) in self.publishers.outputs.iter().zip(command.outputs()) {
            if let OutputPublisher::Trajectory(publisher) = publisher {
                self.count(publisher.publish(trajectory(command, output)));
            }
        }
    }

    /// The row in effect at `now`, where it has not left yet.
    fn publish_row(&mut self, now: Stamp) {
        let Some(running) = &mut self.running else { return };
        let Some(row) = running.take_row(now) else { return };
        let command = Arc::clone(&running.command);
        for (publisher, output) in self.publishers.outputs.iter().zip(command.outputs()) {
            if let (OutputPublisher::Rows(publisher), Some(values)) = (publisher, output.rows().nth(row)) {
                self.count(publisher.publish(array(values)));
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

impl Running {
    fn due_at(&self, row: usize) -> Option<Stamp> {
        self.command.times().get(row).map(|time| self.command.stamp() + *time)
    }

    fn due(&self) -> Option<Stamp> {
        self.due_at(self.next_row)
    }

    /// The row that is in effect at `now`, once; rows before it that were missed are skipped. The last one is in effect
    /// as long as the one before it: where the clock jumped ahead, the whole command is past.
    fn take_row(&mut self, now: Stamp) -> Option<usize> {
        let is_due = |row: &usize| self.due_at(*row).is_some_and(|due| due <= now);
        let row = (self.next_row..self.command.times().len()).take_while(is_due).last()?;
        self.next_row = row + 1;
        let due = self.due_at(row)?;
        let length = row.checked_sub(1).and_then(|before| self.due_at(before)).map(|before| due.since(before));
        let is_past = self.next_row == self.command.times().len() && length.is_some_and(|length| now > due + length);
        (!is_past).then_some(row)
    }
}

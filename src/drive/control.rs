//! What others ask of a running node by services and actions, and what it tells them: the two ends of one line.
//!
//! The middleware's thread asks and waits; the thread that owns the engine answers when it gets to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use crate::drive::lifecycle::{State, Transition};
use crate::drive::runs::{Ended, GoalId, Progress};
use crate::time::{Span, Stamp};

/// Requests that may wait for the engine's thread; more means that it is stuck, and they are refused.
const WAITING: usize = 16;
/// What may wait for the middleware's thread; more means that it is stuck, and what is told is lost.
const TOLD: usize = 256;

/// Something that somebody asks for.
#[derive(Debug)]
pub enum Request {
    /// Another state.
    Change {
        /// Number of the transition.
        id: u8,
        /// Its label; where it is not empty, it counts.
        label: String,
        /// Whether it was done.
        answer: Answer<bool>,
    },
    /// A service without arguments.
    Trigger {
        /// Which one.
        trigger: Trigger,
        /// Whether it was done, or why not.
        answer: Answer<Result<String, String>>,
    },
    /// A run of the policy.
    Run {
        /// Its name.
        goal: GoalId,
        /// The instruction.
        prompt: String,
        /// Longest time that it may take; zero for any.
        max_duration: Span,
        /// Whether it begins.
        answer: Answer<bool>,
    },
    /// The end of a run.
    Cancel {
        /// Its name.
        goal: GoalId,
        /// Whether it ends.
        answer: Answer<bool>,
    },
}

/// A service of type `std_srvs/Trigger`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// `~/start`: the robot may move.
    Start,
    /// `~/stop`: it may not, until a start.
    Stop,
    /// `~/estop_reset`: the cause of an e-stop has been seen to.
    EStopReset,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Trigger; 3] = [Trigger::Start, Trigger::Stop, Trigger::EStopReset];

    /// The service's name below the node's.
    pub fn service(self) -> &'static str {
        match self {
            Trigger::Start => "start",
            Trigger::Stop => "stop",
            Trigger::EStopReset => "estop_reset",
        }
    }
}

/// Something that is told without being asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The node went from one state to another.
    Changed(Stamp, Transition),
    /// A run goes on.
    Progress(Progress),
    /// A run is over.
    Ended(Ended),
}

/// Where the answer to one request goes.
#[derive(Debug)]
pub struct Answer<T>(smol::channel::Sender<T>);

impl<T> Answer<T> {
    /// Answers; who has asked may have gone.
    pub fn give(self, answer: T) {
        let _ = self.0.try_send(answer);
    }
}

/// The end that asks.
#[derive(Clone, Debug)]
pub struct Asking {
    requests: Sender<Request>,
    state: Arc<AtomicU8>,
    told: smol::channel::Receiver<Told>,
}

/// The end that answers.
#[derive(Debug)]
pub struct Answering {
    requests: Receiver<Request>,
    state: Arc<AtomicU8>,
    told: smol::channel::Sender<Told>,
}

/// Both ends of a new line; the node is unconfigured.
pub fn line() -> (Asking, Answering) {
    let (sender, requests) = bounded(WAITING);
    let (tell, told) = smol::channel::bounded(TOLD);
    let state = Arc::new(AtomicU8::new(State::Unconfigured.id()));
    (Asking { requests: sender, state: Arc::clone(&state), told }, Answering { requests, state, told: tell })
}

impl Asking {
    /// Asks and waits; `None` where nobody answers any more or too many wait already.
    pub async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Option<T> {
        let (sender, answer) = smol::channel::bounded(1);
        match self.requests.try_send(request(Answer(sender))) {
            Ok(()) => answer.recv().await.ok(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }

    /// The node's state now.
    pub fn state(&self) -> State {
        State::from_id(self.state.load(Ordering::Relaxed)).unwrap_or(State::Unknown)
    }

    /// What the node tells next; `None` where it has ended.
    pub async fn told(&self) -> Option<Told> {
        self.told.recv().await.ok()
    }
}

impl Answering {
    /// What is asked.
    pub fn requests(&self) -> &Receiver<Request> {
        &self.requests
    }

    /// The node has gone into another state.
    pub fn changed(&self, now: Stamp, transition: Transition) {
        self.state.store(transition.goal.id(), Ordering::Relaxed);
        self.tell(Told::Changed(now, transition));
    }

    /// Tells whoever listens, without waiting.
    pub fn tell(&self, told: Told) {
        if self.told.try_send(told).is_err() {
            tracing::warn!("the ros thread is stuck or gone, something is not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::lifecycle::{Lifecycle, Outcome};

    #[test]
    fn who_asks_gets_the_answer_to_its_own_request() {
        let (asking, answering) = line();
        let node = std::thread::spawn(move || {
            for request in answering.requests().iter().take(2) {
                match request {
                    Request::Cancel { goal, answer } => answer.give(goal == GoalId([7; 16])),
                    other => panic!("{other:?}"),
                }
            }
        });
        let cancel =
            |name: u8| smol::block_on(asking.ask(|answer| Request::Cancel { goal: GoalId([name; 16]), answer }));
        assert_eq!((cancel(7), cancel(8)), (Some(true), Some(false)));
        node.join().unwrap();
        assert_eq!(cancel(7), None, "nobody answers any more");
    }

    #[test]
    fn a_change_is_seen_and_told() {
        let (asking, answering) = line();
        let mut lifecycle = Lifecycle::default();
        for way in [lifecycle.begin(1, ""), lifecycle.end(Outcome::Success)] {
            answering.changed(Stamp::from_nanos(5), way.unwrap());
        }
        assert_eq!(asking.state(), State::Inactive);
        let told = smol::block_on(asking.told());
        assert!(matches!(told, Some(Told::Changed(_, way)) if way.goal == State::Configuring), "{told:?}");
    }
}

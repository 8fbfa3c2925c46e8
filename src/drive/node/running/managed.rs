//! What others ask of the node: its lifecycle, start and stop, runs of the policy.

use super::Running;
use crate::deploy::RunParameters;
use crate::drive::control::{Answer, Answering, Request, Told, Trigger};
use crate::drive::lifecycle::{Lifecycle, Outcome, State, Transition};
use crate::drive::node::NodeError;
use crate::drive::node::inbox::Arrived;
use crate::drive::node::inference::NotAsked;
use crate::drive::runs::{Ended, GoalId, Runs};
use crate::interlock::{Authority, Input, Reason};
use crate::time::{Span, Stamp};
use crate::types::{Sample, Value};

/// Numbers of the transitions by which a node starts itself.
const CONFIGURE: u8 = 1;
const ACTIVATE: u8 = 3;

/// How far the node is, and for whom it runs.
pub(in crate::drive::node) struct Managed {
    answering: Answering,
    lifecycle: Lifecycle,
    /// Who waits for the end of the transition that was begun.
    changing: Option<Answer<bool>>,
    /// Whether it is still on its own way to activity.
    starts_itself: bool,
    runs: Runs,
}

impl Managed {
    /// Unconfigured; with `autostart` it goes on by itself.
    pub fn new(answering: Answering, parameters: &RunParameters) -> Self {
        let (lifecycle, runs) = (Lifecycle::default(), Runs::default());
        Self { answering, lifecycle, changing: None, starts_itself: parameters.autostart(), runs }
    }

    /// What is asked.
    pub fn requests(&self) -> &crossbeam::channel::Receiver<Request> {
        self.answering.requests()
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.lifecycle.state()
    }

    fn end(&mut self, ended: Option<Ended>) -> bool {
        let is_over = ended.is_some();
        if let Some(ended) = ended {
            tracing::info!(reason = ended.reason, status = ?ended.status, "run ended");
            self.answering.tell(Told::Ended(ended));
        }
        is_over
    }
}

impl Running {
    /// Begins its own way to activity, where it is to go there.
    pub(super) fn start_itself(&mut self) -> Result<(), NodeError> {
        if self.managed.starts_itself { self.change((CONFIGURE, ""), None) } else { Ok(()) }
    }

    /// Does what somebody asks, or refuses.
    pub(super) fn asked(&mut self, request: Request) -> Result<(), NodeError> {
        match request {
            Request::Change { id, label, answer } => return self.change((id, &label), Some(answer)),
            Request::Trigger { trigger, answer } => answer.give(self.pull(trigger)),
            Request::Run { goal, prompt, max_duration, answer } => {
                answer.give(self.begin_run(goal, &prompt, max_duration));
            }
            Request::Cancel { goal, answer } => {
                let ended = self.managed.runs.cancel(goal);
                answer.give(self.end_run(ended));
            }
        }
        Ok(())
    }

    /// Begins a transition; its end may come later.
    fn change(&mut self, (id, label): (u8, &str), answer: Option<Answer<bool>>) -> Result<(), NodeError> {
        let Some(transition) = self.managed.lifecycle.begin(id, label) else {
            let state = self.managed.state().label();
            tracing::warn!(id, label, state, "no such transition from here");
            if let Some(answer) = answer {
                answer.give(false);
            }
            return Ok(());
        };
        self.managed.changing = answer;
        self.told_change(transition);
        let asked = match transition.goal {
            State::Configuring => self.inference.load(),
            State::Activating => {
                self.interlock_silently(Input::Activate);
                return self.changed(Outcome::Success);
            }
            State::Deactivating => {
                self.interlock_silently(Input::Deactivate);
                return self.changed(Outcome::Success);
            }
            // Cleaning up and shutting down: first nothing moves any more, then the policy goes.
            _ => {
                self.interlock_silently(Input::Deactivate);
                self.inference.unload()
            }
        };
        asked.map_err(|NotAsked| NodeError::Died("inference"))
    }

    /// The policy is loaded and warm, or it is not.
    pub(super) fn loaded(&mut self, result: Result<Span, String>) -> Result<(), NodeError> {
        match result {
            Ok(took) => {
                tracing::info!(%took, "policy loaded and warm");
                self.changed(Outcome::Success)
            }
            Err(reason) if self.managed.starts_itself => Err(NodeError::Policy(reason)),
            Err(reason) => {
                tracing::error!(reason, "the policy cannot be loaded");
                self.changed(Outcome::Failure)
            }
        }
    }

    /// There is no policy any more.
    pub(super) fn unloaded(&mut self) -> Result<(), NodeError> {
        self.changed(Outcome::Success)
    }

    /// Ends the transition that was begun.
    fn changed(&mut self, outcome: Outcome) -> Result<(), NodeError> {
        if let Some(transition) = self.managed.lifecycle.end(outcome) {
            self.told_change(transition);
        }
        if let Some(answer) = self.managed.changing.take() {
            answer.give(outcome == Outcome::Success);
        }
        match self.managed.state() {
            State::Inactive if self.managed.starts_itself => {
                self.managed.starts_itself = false;
                self.change((ACTIVATE, ""), None)
            }
            _ => Ok(()),
        }
    }

    fn told_change(&mut self, transition: Transition) {
        tracing::info!(from = transition.start.label(), to = transition.goal.label(), "lifecycle");
        self.managed.answering.changed(self.now(), transition);
    }

    fn pull(&mut self, trigger: Trigger) -> Result<String, String> {
        let input = match trigger {
            Trigger::Start => Input::Start,
            Trigger::Stop => Input::Stop,
            Trigger::EStopReset => Input::EStopReset,
        };
        let taken = self.interlock(input).map_err(|reason| reason.to_string());
        tracing::info!(service = trigger.service(), refused = taken.as_ref().err(), "asked");
        taken?;
        Ok(match self.engine.authority(self.now()) {
            Authority::Moves => "the robot may move".to_owned(),
            Authority::Stopped(reason) => reason.to_string(),
        })
    }

    /// A run never undoes a stop: that is for a person to do.
    fn begin_run(&mut self, goal: GoalId, prompt: &str, max_duration: Span) -> bool {
        let now = self.now();
        let refusal = match self.engine.authority(now) {
            _ if prompt.is_empty() => Some("the prompt is empty".to_owned()),
            Authority::Stopped(reason) if !Runs::waits_for_end_of(reason) => Some(reason.to_string()),
            Authority::Stopped(_) | Authority::Moves => None,
        };
        if let Some(reason) = refusal {
            tracing::warn!(reason, "a run is refused");
            return false;
        }
        let preempted = self.managed.runs.begin(now, goal, max_duration);
        self.managed.end(preempted);
        tracing::info!(task = prompt, "run begins");
        self.instruct(prompt);
        true
    }

    /// Ends a run, and with it what it had the robot do; whether there was one.
    fn end_run(&mut self, ended: Option<Ended>) -> bool {
        let is_over = self.managed.end(ended);
        if is_over {
            self.instruct("");
        }
        is_over
    }

    /// Looks whether the run is over.
    pub(super) fn look_at_run(&mut self) {
        let now = self.now();
        let ended = self.managed.runs.look(now, self.engine.authority(now));
        self.end_run(ended);
    }

    /// An instruction that no run has given takes the place of the run.
    pub(super) fn note_sample(&mut self, sample: &Sample) {
        if matches!(sample.value, Value::Instruction(_)) {
            let ended = self.managed.runs.instructed();
            self.managed.end(ended);
        }
    }

    /// Tells whoever runs the policy what became of a chunk.
    pub(super) fn note_decision(managed: &mut Managed, authority: Authority) {
        if let Some(progress) = managed.runs.decided(authority) {
            managed.answering.tell(Told::Progress(progress));
        }
    }

    /// The node ends, and nobody waits for a run any more.
    pub(super) fn end_runs(&mut self) {
        let ended = self.managed.runs.abort("the node ends");
        self.managed.end(ended);
    }

    fn instruct(&mut self, task: &str) {
        let now = self.now();
        let sample = Sample { stamp: now, received: now, value: Value::Instruction(task.into()) };
        self.handle_sample(Arrived { sample, original: None });
    }

    /// Takes an input of the interlocks now.
    pub(super) fn interlock(&mut self, input: Input) -> Result<(), Reason> {
        self.handled = self.now();
        self.recorder.interlock(self.handled, input);
        self.engine.interlock(self.handled, input, &mut self.effects)
    }

    /// The same, for inputs that are never refused.
    pub(super) fn interlock_silently(&mut self, input: Input) {
        // Only a start and a reset are.
        let _ = self.interlock(input);
    }

    fn now(&self) -> Stamp {
        self.clock.now().unwrap_or_default()
    }
}

//! The thread that owns the engine: events in, effects out, until it is told to stop.

mod managed;

use std::time::Duration;

use crossbeam::channel::{Receiver, tick};
use crossbeam::select;

use super::NodeError;
use super::diagnostics::{Diagnostics, Facts};
use super::inbox::{Arrived, Inbox};
use super::inference::{InferenceThread, Reply};
use super::publish::{Outgoing, PublishThread};
use crate::deploy::Deployment;
use crate::drive::TICK;
use crate::drive::clock::Clock;
use crate::drive::flight::{FlightRecorder, Trigger};
use crate::drive::ros::Session;
use crate::engine::{Decision, Effect, Engine, Event, Report, Verdict};
use crate::interlock::Input;
use crate::time::{Span, Stamp};

pub(super) use managed::Managed;

/// Between two diagnostics.
const REPORT: Duration = Duration::from_secs(1);

/// The engine and everything it talks to.
pub(super) struct Running {
    engine: Engine,
    inbox: Inbox,
    inference: InferenceThread,
    publish: PublishThread,
    recorder: FlightRecorder,
    diagnostics: Diagnostics,
    managed: Managed,
    facts: Facts,
    effects: Vec<Effect>,
    clock: Clock,
    /// When the engine was given what the effects follow from.
    handled: Stamp,
}

/// How it went, and the threads that are left.
pub(super) struct Ended {
    pub result: Result<(), NodeError>,
    pub threads: (InferenceThread, PublishThread, FlightRecorder),
}

impl Running {
    pub fn new(
        deployment: &Deployment,
        (inbox, diagnostics): (Inbox, Diagnostics),
        (inference, publish, recorder): (InferenceThread, PublishThread, FlightRecorder),
        managed: Managed,
    ) -> Self {
        let (engine, facts, effects) = (Engine::new(deployment), Facts::default(), Vec::new());
        let clock = inbox.clock();
        let handled = Stamp::default();
        Self { engine, inbox, inference, publish, recorder, diagnostics, managed, facts, effects, clock, handled }
    }

    /// Runs until `stop` says so, or a thread has died.
    pub fn until(mut self, stop: &Receiver<()>, session: &impl Session) -> Ended {
        let result = self.run(stop, session);
        self.end_runs();
        self.handle(Event::Stop);
        let result = result.and(self.apply());
        if let Err(error) = &result {
            self.recorder.trigger(self.handled, Trigger::new("node_ended", error));
        }
        Ended { result, threads: (self.inference, self.publish, self.recorder) }
    }

    fn run(&mut self, stop: &Receiver<()>, session: &impl Session) -> Result<(), NodeError> {
        let (ticks, reports) = (tick(Duration::from_nanos(TICK.nanos().unsigned_abs())), tick(REPORT));
        self.start_itself()?;
        self.recorder.state(self.clock.now().unwrap_or_default(), || self.engine.state());
        loop {
            select! {
                recv(stop) -> _ => return Ok(()),
                recv(self.inbox.woken()) -> _ => {
                    // Before the clock begins, nothing is fresh or stale: samples wait.
                    while self.clock.now().is_some() && let Some(arrived) = self.inbox.take() {
                        self.note_sample(&arrived.sample);
                        self.handle_sample(arrived);
                    }
                    self.handle(Event::Tick);
                }
                recv(self.inbox.frozen()) -> _ => {
                    tracing::warn!("dry run from now on, nothing will move");
                    self.interlock_silently(Input::DryRun);
                }
                recv(self.inference.replies()) -> reply => {
                    let Ok(reply) = reply else { return Err(NodeError::Died("inference")) };
                    self.replied(reply)?;
                }
                recv(self.managed.requests()) -> request => {
                    let Ok(request) = request else { return Err(NodeError::Died("ros")) };
                    self.asked(request)?;
                }
                recv(ticks) -> _ => self.handle(Event::Tick),
                recv(reports) -> _ => self.report(session)?,
            }
            self.apply()?;
            self.look_at_run();
            self.apply()?;
        }
    }

    fn replied(&mut self, reply: Reply) -> Result<(), NodeError> {
        match reply {
            Reply::Loaded(result) => return self.loaded(result),
            Reply::Unloaded => return self.unloaded(),
            Reply::Inferred { request, result } => {
                if let Ok(inferred) = &result {
                    self.facts.last_inference = inferred.inference_delay;
                    self.facts.slowest_inference = self.facts.slowest_inference.max(inferred.inference_delay);
                }
                self.handle(Event::Inferred { request, result });
            }
        }
        Ok(())
    }

    /// Lets the engine take a sample now.
    fn handle_sample(&mut self, Arrived { sample, original }: Arrived) {
        self.handled = self.clock.now().unwrap_or_default();
        self.recorder.sample(self.handled, &sample, original);
        self.engine.handle(self.handled, Event::Sample(sample), &mut self.effects);
    }

    /// Lets the engine take another event now.
    fn handle(&mut self, event: Event) {
        self.handled = self.clock.now().unwrap_or_default();
        self.recorder.event(self.handled, &event);
        self.engine.handle(self.handled, event, &mut self.effects);
    }

    fn apply(&mut self) -> Result<(), NodeError> {
        for effect in self.effects.drain(..) {
            self.recorder.effect(self.handled, &effect);
            match effect {
                Effect::Infer { request, observation } => {
                    if self.inference.ask(request, observation).is_err() {
                        return Err(NodeError::Died("inference"));
                    }
                }
                Effect::Decided(decision) => {
                    note(&decision, &mut self.facts);
                    let authority = self.engine.authority(self.clock.now().unwrap_or_default());
                    Self::note_decision(&mut self.managed, authority);
                    if !self.publish.send(Outgoing::Decision(Box::new(decision))) {
                        return Err(NodeError::Died("publish"));
                    }
                }
                Effect::Command(command) => {
                    if !self.publish.send(Outgoing::Command(command)) {
                        return Err(NodeError::Died("publish"));
                    }
                }
                Effect::Report(report) => tell(&report, &mut self.facts),
            }
        }
        Ok(())
    }

    /// Who is new on our topics and does not fit is told at once; diagnostics go on telling.
    fn look_around(&mut self, session: &impl Session) {
        let mismatches = session.mismatches();
        for mismatch in mismatches.iter().filter(|mismatch| !self.facts.mismatches.contains(mismatch)) {
            tracing::warn!("{mismatch}");
        }
        self.facts.mismatches = mismatches;
    }

    fn report(&mut self, session: &impl Session) -> Result<(), NodeError> {
        if !session.is_alive() {
            return Err(NodeError::Died("ros"));
        }
        let now = self.clock.now().unwrap_or_default();
        self.facts.waits_for_clock = self.clock.now().is_none();
        self.facts.unsent = self.publish.unsent();
        self.recorder.state(now, || self.engine.state());
        self.facts.recorder = self.recorder.status();
        self.facts.state = Some(self.managed.state());
        self.look_around(session);
        let array = self.diagnostics.report(&self.engine.health(now), &self.facts, now);
        self.facts.slowest_inference = Span::ZERO;
        if self.publish.send(Outgoing::Diagnostics(array)) { Ok(()) } else { Err(NodeError::Died("publish")) }
    }
}

fn note(decision: &Decision, facts: &mut Facts) {
    tracing::debug!(chunk = decision.chunk_id.0, verdict = %decision.verdict, delay = %decision.inference_delay, "decided");
    if let Verdict::Rejected(rejection) = &decision.verdict {
        let reason = rejection.to_string();
        if facts.rejection != reason {
            tracing::warn!(chunk = decision.chunk_id.0, reason, "rejected");
            facts.rejection = reason;
        }
    }
}

fn tell(report: &Report, facts: &mut Facts) {
    match report {
        Report::InferenceFailed { reason, .. } => {
            tracing::error!("{report}");
            facts.failure.clone_from(reason);
        }
        Report::ClockWentBack { .. } => {
            tracing::warn!("{report}");
            facts.clock_back += 1;
        }
        Report::StoodStill { .. } => tracing::warn!("{report}"),
        Report::Stopped(_) => tracing::warn!("{report}"),
        Report::NotReady(_) => tracing::info!("{report}"),
        Report::Dropped(_) | Report::Outdated { .. } => tracing::debug!("{report}"),
    }
}

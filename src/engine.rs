//! The state machine between samples and commands: events in, effects out, time as an argument.
//!
//! It owns no clock, thread, tensor or topic; node, replay and bench drive the same one.

mod event;
mod health;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::deploy::{Deployment, Motion};
use crate::execute::Schedule;
use crate::geometry::Pose;
use crate::noise::Noise;
use crate::safety::{Basis, Gate};
use crate::sync::{NotReady, Sync};
use crate::time::{Span, Stamp};
use crate::types::{Chunk, Inferred, Measured, Robot};

pub use event::{Decision, Effect, Event, Rejection, Report, RequestId, Verdict};
pub use health::{Counts, Health};

/// One policy on one robot.
///
/// Invariant: an `Effect::Decided` holds a command only where motion is live and the gate passed it.
#[derive(Debug)]
pub struct Engine {
    sync: Sync,
    gate: Gate,
    motion: Motion,
    action_dt: Span,
    n_action_steps: usize,
    max_skew: Span,
    inference_period: Span,
    /// When the next inference may start.
    due: Option<Stamp>,
    pending: Option<Pending>,
    /// Measured joints and end effector at the pending observation.
    at_observation: (Vec<f64>, Option<Pose>),
    next_request: u64,
    noise_seed: u64,
    reported: Option<NotReady>,
    counts: Counts,
}

/// The inference that is running.
#[derive(Debug)]
struct Pending {
    request: RequestId,
    stamp: Stamp,
    frame_id: String,
    task: Arc<str>,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(deployment: &Deployment) -> Self {
        Self {
            sync: Sync::new(deployment),
            gate: Gate::new(deployment),
            motion: deployment.motion(),
            action_dt: deployment.action_dt(),
            n_action_steps: deployment.n_action_steps(),
            max_skew: deployment.max_skew(),
            inference_period: deployment.inference_period(),
            due: None,
            pending: None,
            at_observation: (Vec::new(), None),
            next_request: 0,
            noise_seed: deployment.noise_seed(),
            reported: None,
            counts: Counts::default(),
        }
    }

    /// Takes an event at `now` and appends what follows from it to `effects`, in order.
    pub fn handle(&mut self, now: Stamp, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Sample(sample) => {
                if let Err(dropped) = self.sync.accept(now, sample) {
                    effects.push(Effect::Report(Report::Dropped(dropped)));
                }
            }
            Event::Inferred { request, result } => self.take_result(now, request, result, effects),
            Event::DryRun => {
                self.motion = Motion::DryRun;
                effects.push(Effect::Halt);
            }
            Event::Tick => self.report_readiness(now, effects),
        }
        self.start_inference(now, effects);
    }

    /// What came in, what came of it, and what is missing.
    pub fn health(&self, now: Stamp) -> Health {
        let waiting = self.sync.ready(now).err().filter(|reason| *reason != NotReady::NoNewFrame);
        Health {
            streams: self.sync.health(now),
            waiting,
            inferring: self.pending.as_ref().map(|pending| pending.request),
            counts: self.counts.clone(),
        }
    }

    /// Starts an inference where the model is idle, the rate allows it and a new observation is complete.
    fn start_inference(&mut self, now: Stamp, effects: &mut Vec<Effect>) {
        if self.pending.is_some() || self.due.is_some_and(|due| now < due && due.since(now) <= self.inference_period) {
            return;
        }
        let Ok(measured) = self.sync.measured(now) else { return };
        let (joints, eef) = &mut self.at_observation;
        joints.clear();
        joints.extend_from_slice(measured.joints);
        *eef = measured.eef;
        let Ok(mut observation) = self.sync.observe(now) else { return };
        observation.noise = Noise::Seeded { seed: self.noise_seed, stream: self.next_request };
        // On time, the beat is kept, so that a frame's jitter costs no period; late, it starts anew.
        let on_time = self.due.filter(|due| now.since(*due) < self.inference_period && *due <= now);
        self.due = Some(on_time.unwrap_or(now) + self.inference_period);
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.counts.inferences += 1;
        self.reported = None;
        let (stamp, frame_id) = (observation.stamp, observation.frame_id.clone());
        self.pending = Some(Pending { request, stamp, frame_id, task: Arc::clone(&observation.task) });
        effects.push(Effect::Infer { request, observation });
    }

    fn take_result(
        &mut self,
        now: Stamp,
        request: RequestId,
        result: Result<Inferred, String>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(pending) = self.pending.take_if(|pending| pending.request == request) else {
            self.counts.outdated += 1;
            effects.push(Effect::Report(Report::Outdated { request }));
            return;
        };
        let inferred = match result {
            Ok(inferred) => inferred,
            Err(reason) => {
                self.counts.failed += 1;
                effects.push(Effect::Report(Report::InferenceFailed { request, reason }));
                return;
            }
        };
        let verdict = self.decide(now, &pending, &inferred.chunk);
        self.counts.add(&verdict);
        effects.push(Effect::Decided(Decision {
            chunk_id: request,
            stamp: pending.stamp,
            frame_id: pending.frame_id,
            task: pending.task,
            chunk: Arc::new(inferred.chunk),
            inference_delay: inferred.inference_delay,
            kept_tokens: inferred.kept_tokens,
            verdict,
        }));
    }

    fn decide(&mut self, now: Stamp, pending: &Pending, chunk: &Chunk<Robot>) -> Verdict {
        let command = match self.command(now, pending, chunk) {
            Ok(command) => command,
            Err(rejection) => return Verdict::Rejected(rejection),
        };
        match self.motion {
            Motion::DryRun => Verdict::DryRun,
            Motion::Live => {
                let command = Arc::new(command);
                self.gate.sent(Arc::clone(&command));
                Verdict::Sent(command)
            }
        }
    }

    fn command(
        &self,
        now: Stamp,
        pending: &Pending,
        chunk: &Chunk<Robot>,
    ) -> Result<crate::safety::SafeCommand, Rejection> {
        if self.sync.task() != Ok(&pending.task) {
            return Err(Rejection::InstructionChanged);
        }
        // No observation is ahead of the clock when its inference starts.
        let ahead = pending.stamp.since(now);
        if ahead > self.max_skew {
            return Err(Rejection::ClockWentBack { ahead });
        }
        let (action_dt, n_action_steps) = (self.action_dt, self.n_action_steps);
        let schedule = Schedule { stamp: pending.stamp, action_dt, n_action_steps };
        let rows = schedule.rows(now).map_err(Rejection::Late)?;
        let measured = self.sync.measured(now).map_err(Rejection::NotMeasured)?;
        let (joints, eef) = &self.at_observation;
        let basis = Basis { now, at_observation: Measured { joints, eef: *eef }, measured };
        self.gate.pass(chunk, schedule, rows, basis).map_err(Rejection::Unsafe)
    }

    /// Says once per cause what an inference waits for.
    fn report_readiness(&mut self, now: Stamp, effects: &mut Vec<Effect>) {
        let Err(reason) = self.sync.ready(now) else { return };
        let is_known = self.reported.as_ref().is_some_and(|known| known.is_same_cause(&reason));
        if reason != NotReady::NoNewFrame && !is_known {
            self.reported = Some(reason.clone());
            effects.push(Effect::Report(Report::NotReady(reason)));
        }
    }
}

//! The state machine between samples and commands: events in, effects out, time as an argument.
//!
//! It owns no clock, thread, tensor or topic; node, replay and bench drive the same one.

mod event;
mod health;
#[cfg(test)]
mod property;
mod state;
mod stops;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::deploy::Deployment;
use crate::execute::{Execution, Late, Left, Schedule, Timeline};
use crate::interlock::{Authority, Input, Interlocks, Reason};
use crate::noise::Noise;
use crate::safety::{Basis, Drive, Gate, Motion, Targets};
use crate::sync::{NotReady, Sync};
use crate::time::{Span, Stamp};
use crate::types::{Chunk, Inferred, Measured, Robot, Value};

pub use event::{Decision, Effect, Event, Rejection, Report, RequestId, Verdict};
pub use health::{Counts, Health};
pub use state::{Foreign, State};

/// One policy on one robot.
///
/// Invariant: an [`Effect::Command`] exists only where motion is live, and only for rows that the gate passed.
#[derive(Debug)]
pub struct Engine {
    sync: Sync,
    execution: Execution,
    timeline: Timeline,
    gate: Gate,
    motion: Motion,
    interlocks: Interlocks,
    /// What was true when somebody looked last.
    authority: Authority,
    action_dt: Span,
    n_action_steps: usize,
    actuation_latency: Span,
    max_observation_age: Span,
    longest_gap: Span,
    max_skew: Span,
    inference_period: Span,
    /// When the next inference may start.
    due: Option<Stamp>,
    pending: Option<Pending>,
    next_request: u64,
    noise_seed: u64,
    reported: Option<NotReady>,
    /// The last time that was seen.
    latest: Option<Stamp>,
    counts: Counts,
}

/// The inference that is running.
#[derive(Debug)]
struct Pending {
    request: RequestId,
    stamp: Stamp,
    /// What had been executed at `stamp`.
    executed: Span,
    frame_id: String,
    task: Arc<str>,
    /// Why nothing of it moves the robot: a stop since it began.
    stopped: Option<Reason>,
}

/// The pace of a robot that nothing slows down.
const FULL_PACE: f64 = 1.0;

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(deployment: &Deployment) -> Self {
        let motion = Motion::new(deployment);
        Self {
            sync: Sync::new(deployment),
            execution: deployment.execution(),
            timeline: Timeline::new(motion.layout(), deployment.action_dt()),
            gate: Gate::new(deployment),
            motion,
            interlocks: Interlocks::new(deployment),
            authority: Authority::Stopped(Reason::Inactive),
            action_dt: deployment.action_dt(),
            n_action_steps: deployment.n_action_steps(),
            actuation_latency: deployment.actuation_latency(),
            max_observation_age: deployment.max_observation_age(),
            longest_gap: deployment.longest_gap(),
            max_skew: deployment.max_skew(),
            inference_period: deployment.inference_period(),
            due: None,
            pending: None,
            next_request: 0,
            noise_seed: deployment.noise_seed(),
            reported: None,
            latest: None,
            counts: Counts::default(),
        }
    }

    /// Takes an event at `now` and appends what follows from it to `effects`, in order.
    pub fn handle(&mut self, now: Stamp, event: Event, effects: &mut Vec<Effect>) {
        self.pass(now, effects);
        self.enforce(now, effects);
        match event {
            Event::Sample(sample) => {
                if let Value::Switch { switch, on } = sample.value {
                    // A switch starts and resets nothing, so nothing is refused.
                    let _ = self.interlocks.handle(sample.received, Input::Switch { switch, on });
                    self.enforce(now, effects);
                }
                if let Err(dropped) = self.sync.accept(now, sample) {
                    effects.push(Effect::Report(Report::Dropped(dropped)));
                }
            }
            Event::Inferred { request, result } => self.take_result(now, request, result, effects),
            Event::Stop => self.stop(now, effects),
            Event::Tick => {
                self.report_readiness(now, effects);
                self.go_on(now, effects);
            }
        }
        self.start_inference(now, effects);
    }

    /// Where the clock jumped, nobody knows any more when the rest of the running command is due: the robot stops.
    fn pass(&mut self, now: Stamp, effects: &mut Vec<Effect>) {
        let Some(latest) = self.latest.replace(now) else { return };
        let passed = now.since(latest);
        if passed < Span::ZERO {
            effects.push(Effect::Report(Report::ClockWentBack { by: -passed }));
            self.sync.forget();
            self.motion.shift(passed);
            self.gate.shift(passed);
            self.interlocks.shift(passed);
            self.timeline.clear();
            self.brake(now, effects);
        } else if passed > self.longest_gap && !self.motion.is_at_rest(latest) {
            // Whether the clock jumped or this process slept, the stop of the last command is behind the robot, or is not.
            effects.push(Effect::Report(Report::StoodStill { passed }));
            self.timeline.clear();
            self.motion.let_go(latest, now);
        }
    }

    /// Renews the running command in time; where the robot does not know any more where it is, it stops.
    fn go_on(&mut self, now: Stamp, effects: &mut Vec<Effect>) {
        if self.timeline.end().is_none() {
            return;
        }
        if self.sync.measured(now).is_err() {
            self.stop(now, effects);
            return;
        }
        if now >= self.motion.renewal() {
            let drive = Drive::Follow { timeline: &self.timeline, pace: FULL_PACE, is_new: false };
            command(&mut self.motion, &mut self.gate, (now, drive), Measured::default(), effects);
        }
        if self.timeline.end().is_some_and(|end| self.motion.executed(now) >= end) || self.motion.is_at_rest(now) {
            self.timeline.clear();
        }
    }

    /// Comes to rest, and forgets what was to come; without a timeline it does already.
    fn stop(&mut self, now: Stamp, effects: &mut Vec<Effect>) {
        if self.timeline.end().is_some() {
            self.timeline.clear();
            self.brake(now, effects);
        }
    }

    fn brake(&mut self, now: Stamp, effects: &mut Vec<Effect>) {
        if !self.motion.is_at_rest(now) {
            command(&mut self.motion, &mut self.gate, (now, Drive::Stop), Measured::default(), effects);
        }
    }

    /// What came in, what came of it, and what is missing.
    pub fn health(&self, now: Stamp) -> Health {
        let waiting = self.sync.ready(now).err().filter(|reason| *reason != NotReady::NoNewFrame);
        Health {
            authority: self.interlocks.authority(now),
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
        // There need not even be a policy.
        if self.authority == Authority::Stopped(Reason::Inactive) {
            return;
        }
        let left = Left {
            rows: self.timeline.left(self.motion.executed(now)),
            n_action_steps: self.n_action_steps,
            is_at_rest: self.motion.is_at_rest(now),
        };
        if !self.execution.wants_chunk(left) {
            return;
        }
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
        // What is stamped ahead of the clock has not been reached yet.
        let executed = self.motion.executed(stamp.min(now)) + stamp.since(now).max(Span::ZERO);
        let (task, stopped) = (Arc::clone(&observation.task), stop_of(self.authority));
        self.pending = Some(Pending { request, stamp, executed, frame_id, task, stopped });
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
        let mut commands = Vec::new();
        let verdict = self.decide(now, &pending, &inferred.chunk, &mut commands);
        self.counts.add(&verdict);
        effects.push(Effect::Decided(Decision {
            chunk_id: request,
            stamp: pending.stamp,
            frame_id: pending.frame_id,
            task: pending.task,
            chunk: Arc::new(inferred.chunk),
            inference_delay: inferred.inference_delay,
            kept_tokens: inferred.kept_tokens,
            inputs: self.sync.ages().to_vec(),
            verdict,
        }));
        effects.append(&mut commands);
    }

    fn decide(&mut self, now: Stamp, pending: &Pending, chunk: &Chunk<Robot>, effects: &mut Vec<Effect>) -> Verdict {
        let targets = match self.targets(now, pending, chunk) {
            Ok(targets) => targets,
            Err(rejection) => return Verdict::Rejected(rejection),
        };
        match pending.stopped.or(stop_of(self.authority)) {
            Some(Reason::DryRun) => return Verdict::DryRun,
            Some(reason) => return Verdict::Rejected(Rejection::Stopped(reason)),
            None => {}
        }
        let executed = self.motion.executed(now);
        let execution = self.execution;
        self.timeline.splice(executed, targets.first, &targets.values, |predictions| execution.blend(predictions));
        let drive = Drive::Follow { timeline: &self.timeline, pace: FULL_PACE, is_new: true };
        let measured = self.sync.measured(now).unwrap_or_default();
        command(&mut self.motion, &mut self.gate, (now, drive), measured, effects);
        Verdict::Sent
    }

    fn targets(&self, now: Stamp, pending: &Pending, chunk: &Chunk<Robot>) -> Result<Targets, Rejection> {
        if self.sync.task() != Ok(&pending.task) {
            return Err(Rejection::InstructionChanged);
        }
        // No observation is ahead of the clock when its inference starts.
        let ahead = pending.stamp.since(now);
        if ahead > self.max_skew {
            return Err(Rejection::ClockWentBack { ahead });
        }
        let age = -ahead;
        if age > self.max_observation_age {
            let by = age - self.max_observation_age;
            return Err(Rejection::Late(Late { rows: self.n_action_steps, by }));
        }
        let (action_dt, n_action_steps, executed) = (self.action_dt, self.n_action_steps, self.motion.executed(now));
        let anchor = self.execution.anchor(pending.executed, executed) - self.actuation_latency;
        let schedule = Schedule { anchor, action_dt, n_action_steps };
        let rows = schedule.rows(executed).map_err(Rejection::Late)?;
        let measured = self.sync.measured(now).map_err(Rejection::NotMeasured)?;
        self.motion.settled(now).map_err(|left| Rejection::Unsettled { left })?;
        let start = now + (schedule.due(rows.start) - executed);
        let mut followed = vec![0.0; self.timeline.width()];
        let following = self.timeline.sample(executed, &mut followed).then_some(&*followed);
        let basis = Basis { now, at_observation: self.sync.seen(), measured, start, following };
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

/// Tells the robot what to do from now on.
fn command(
    motion: &mut Motion,
    gate: &mut Gate,
    (now, drive): (Stamp, Drive<'_>),
    measured: Measured<'_>,
    effects: &mut Vec<Effect>,
) {
    if let Some(command) = motion.command(now, drive, measured, gate.last()) {
        let command = Arc::new(command);
        gate.sent(Arc::clone(&command));
        effects.push(Effect::Command(command));
    }
}

/// Why it may not move; `None` where it may.
fn stop_of(authority: Authority) -> Option<Reason> {
    match authority {
        Authority::Moves => None,
        Authority::Stopped(reason) => Some(reason),
    }
}

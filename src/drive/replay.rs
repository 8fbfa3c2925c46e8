//! Runs the engine over a bag: the same engine as the node's, with the bag's time in the place of a clock.
//!
//! An inference takes as long as the bag recorded for its observation, else `assumed_latency_ms`; how long it takes on
//! this machine is measured and changes no decision. So two runs of one bundle decide the same, byte for byte.

mod difference;
mod expect;
mod notes;
mod record;
mod recorded;
mod report;
mod retrace;
mod streams;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::bag::{BagError, BagReader, RawMessage};
use crate::deploy::Deployment;
use crate::engine::{Decision, Effect, Engine, Event, Report, RequestId};
use crate::profile::OutputKind;
use crate::safety::SafeCommand;
use crate::time::{Span, Stamp};
use crate::types::{Inferred, Observation};

use super::TICK;
use super::answer::{Answer, Answered};
use super::flight::LOG_TOPIC;
use super::ros_args::{NameError, RosArgs};
use super::stages::StageLengths;

pub use expect::{Changes, chunks};
pub use record::{action_chunks, record};
pub use report::report;

use notes::Notes;
use recorded::Recorded;
use retrace::Retrace;
use streams::Streams;

/// Everything that a replay came to.
#[derive(Debug)]
pub struct Run {
    /// Every decision, in order.
    pub steps: Vec<Step>,
    /// Every command and when it was given, in order.
    pub commands: Vec<(Stamp, Arc<SafeCommand>)>,
    /// Log time of the first and the last message that the deployment listens to.
    covered: Option<[Stamp; 2]>,
    notes: Notes,
    recorded: Recorded,
}

/// One decision.
#[derive(Debug)]
pub struct Step {
    /// When it was made, in the bag's time.
    pub at: Stamp,
    /// What was decided.
    pub decision: Decision,
    /// What each stage took on this machine.
    pub stages: StageLengths,
}

/// Why a bag cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The bag cannot be read or written.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// A topic name that ROS forbids.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A flight recorder's log that cannot be followed.
    #[error("flight record at {at_nanos} ns: {reason}")]
    Flight {
        /// Log time of the entry.
        at_nanos: i64,
        /// Why.
        reason: String,
    },
    /// Inputs that the bag does not have.
    #[error("bag lacks {missing}; it has {has}; `--ros-args -r name:=topic` gives an input another topic")]
    Topics {
        /// What is missing and what for.
        missing: String,
        /// What there is, with types.
        has: String,
    },
}

/// Where messages are further apart than this, time is not passed tick by tick.
const LONGEST_SILENCE: Span = Span::from_nanos(10_000_000_000);

/// A bag with everything that a deployment listens to.
pub struct Prepared<'a> {
    bag: &'a BagReader,
    deployment: &'a Deployment,
    streams: Streams,
    /// Where the log of an engine stands, which a flight recorder has written.
    log_topic: Option<String>,
    run: Run,
}

impl<'a> Prepared<'a> {
    /// Looks for the topics of `deployment` in `bag`, where `names` resolves them as the node would.
    ///
    /// # Errors
    /// Topics that are missing, or a bag that is damaged.
    pub fn new(bag: &'a BagReader, deployment: &'a Deployment, names: &RosArgs) -> Result<Self, ReplayError> {
        let streams = Streams::find(deployment, names, bag)?;
        let chunk_topic = names.resolve(deployment.action_chunk_topic())?;
        let trajectories = deployment.outputs().iter().filter(|output| output.kind == OutputKind::JointTrajectory);
        let trajectories = trajectories.map(|output| names.resolve(&output.topic)).collect::<Result<Vec<_>, _>>()?;
        let mut notes = Notes::default();
        let recorded = Recorded::read(bag, &chunk_topic, &trajectories, &mut notes)?;
        let log_topic = Some(names.resolve(LOG_TOPIC)?).filter(|topic| bag.topic(topic).is_ok());
        let is_known = |topic: &String| *topic == chunk_topic || Some(topic) == log_topic.as_ref();
        for topic in bag.topics() {
            if !is_known(&topic.name) && !trajectories.contains(&topic.name) && !streams.listen_to(&topic.name) {
                notes.not_needed(topic.count);
            }
        }
        let run = Run { steps: Vec::new(), commands: Vec::new(), covered: None, notes, recorded };
        Ok(Self { bag, deployment, streams, log_topic, run })
    }

    /// Replays the bag through an engine; what a flight recorder has written, event by event as it was.
    ///
    /// # Errors
    /// A bag that is damaged, or the record of another robot's flight. A failed inference is no error: the run goes on,
    /// as the node does.
    pub fn run(self, answer: &mut dyn Answer) -> Result<Run, ReplayError> {
        let (engine, assumed) = (Engine::activated(self.deployment), self.deployment.assumed_latency());
        let mut player = Player { engine, answer, assumed, running: None, next_tick: None, run: self.run };
        let mut retrace = self.log_topic.as_ref().map(|_| Retrace::default());
        for message in self.bag.messages() {
            match message {
                Ok(message) if self.log_topic.as_deref() == Some(message.topic) => {
                    retrace.get_or_insert_default().follow(&message, &mut player)?;
                }
                Ok(message) => match &mut retrace {
                    Some(retrace) => retrace.take(&message, &self.streams, &mut player),
                    None => player.take(&message, &self.streams),
                },
                Err(BagError::Message { topic, log_time_nanos, reason }) => {
                    let damaged = BagError::Message { topic: topic.clone(), log_time_nanos, reason };
                    player.run.notes.unusable(&topic, damaged.to_string());
                }
                Err(damaged) => return Err(damaged.into()),
            }
        }
        if retrace.is_none() {
            player.finish();
        }
        Ok(player.run)
    }
}

/// An inference between its start and its result.
struct Running {
    request: RequestId,
    until: Stamp,
    result: Result<Inferred, String>,
    stages: StageLengths,
}

struct Player<'a> {
    engine: Engine,
    answer: &'a mut dyn Answer,
    assumed: Span,
    /// The engine asks for one inference at a time.
    running: Option<Running>,
    /// When the engine is told next that time has passed; `None` before the first message.
    next_tick: Option<Stamp>,
    run: Run,
}

impl Player<'_> {
    /// A message that somebody listens to becomes samples.
    fn take(&mut self, message: &RawMessage, streams: &Streams) {
        let samples = streams.samples(message, message.log_time);
        if samples.is_empty() {
            return;
        }
        let now = message.log_time;
        self.pass_time(now);
        for sample in samples {
            match sample {
                Ok(sample) => self.handle(now, Event::Sample(sample)),
                Err(reason) => self.run.notes.unusable(message.topic, reason),
            }
        }
        self.cover(now);
    }

    /// A message of `now` was one that the deployment listens to.
    fn cover(&mut self, now: Stamp) {
        let first = self.run.covered.map_or(now, |[first, _]| first);
        self.run.covered = Some([first, now]);
    }

    /// Everything that happens before the message of `now`: results and ticks, in order of time.
    fn pass_time(&mut self, now: Stamp) {
        let mut tick = self.next_tick.unwrap_or(now + TICK);
        if now.since(tick) > LONGEST_SILENCE {
            // Whatever could start or end without a message has done so by then.
            self.tick_until(tick + LONGEST_SILENCE, &mut tick);
            tick = now;
        }
        self.tick_until(now, &mut tick);
        self.finish_inference(now);
        self.next_tick = Some(tick);
    }

    fn tick_until(&mut self, end: Stamp, tick: &mut Stamp) {
        while *tick <= end {
            self.finish_inference(*tick);
            self.handle(*tick, Event::Tick);
            *tick = *tick + TICK;
        }
    }

    /// Hands over the result that is due by `now`; it may lead to the next inference.
    fn finish_inference(&mut self, now: Stamp) {
        while let Some(done) = self.running.take_if(|running| running.until <= now) {
            let event = Event::Inferred { request: done.request, result: done.result };
            self.apply(done.until, event, done.stages);
        }
    }

    /// Waits for the inferences that still run when the bag ends.
    fn finish(&mut self) {
        while let Some(until) = self.running.as_ref().map(|running| running.until) {
            self.finish_inference(until);
        }
    }

    fn handle(&mut self, now: Stamp, event: Event) {
        self.apply(now, event, Vec::new());
    }

    /// Lets the engine take one event; `stages` belong to the decision that it may lead to.
    fn apply(&mut self, now: Stamp, event: Event, stages: StageLengths) {
        let mut effects = Vec::new();
        self.engine.handle(now, event, &mut effects);
        self.note(now, effects, stages);
    }

    fn note(&mut self, now: Stamp, effects: Vec<Effect>, mut stages: StageLengths) {
        for effect in effects {
            match effect {
                Effect::Infer { request, observation } => self.infer(now, request, &observation),
                Effect::Decided(decision) => {
                    self.run.steps.push(Step { at: now, decision, stages: std::mem::take(&mut stages) });
                }
                Effect::Report(Report::InferenceFailed { reason, .. }) => self.run.notes.failed(reason),
                Effect::Report(Report::NotReady(reason)) => self.run.notes.not_ready(reason),
                Effect::Report(Report::Dropped(dropped)) => self.run.notes.dropped(&dropped),
                Effect::Command(command) => self.run.commands.push((now, command)),
                Effect::Report(
                    Report::ClockWentBack { .. }
                    | Report::StoodStill { .. }
                    | Report::Outdated { .. }
                    | Report::Stopped(_),
                ) => {}
            }
        }
    }

    fn infer(&mut self, now: Stamp, request: RequestId, observation: &Observation) {
        let inference_delay = self.run.recorded.delay(observation.stamp).unwrap_or(self.assumed);
        let (result, stages) = match self.answer.answer(observation) {
            Ok(Answered { chunk, kept_tokens, stages }) => {
                (Ok(Inferred { chunk, kept_tokens, inference_delay }), stages)
            }
            Err(reason) => (Err(reason), Vec::new()),
        };
        self.running = Some(Running { request, until: now + inference_delay, result, stages });
    }
}

impl ReplayError {
    fn missing(missing: &[String], bag: &BagReader) -> Self {
        let has: Vec<_> = bag.topics().map(|topic| format!("`{}` ({})", topic.name, topic.type_name)).collect();
        let has = if has.is_empty() { "no topic".to_owned() } else { has.join(", ") };
        Self::Topics { missing: missing.join(", "), has }
    }
}

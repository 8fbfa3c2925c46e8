//! `/diagnostics`: how inputs, inference, output and safety did since the last message.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::inbox::Stream;
use crate::drive::flight::Status;
use crate::drive::lifecycle::State;
use crate::drive::ros::Mismatch;
use crate::engine::{Counts, Health};
use crate::interlock::{Authority, Reason};
use crate::msg::{DiagnosticArray, DiagnosticStatus, Header, KeyValue, Level};
use crate::sync::StreamHealth;
use crate::time::{Span, Stamp};

/// What the node knows beyond the engine.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Duration of the last inference.
    pub last_inference: Span,
    /// Longest inference since the last report.
    pub slowest_inference: Span,
    /// Messages that did not leave, since the start.
    pub unsent: u64,
    /// Words of the last failed inference.
    pub failure: String,
    /// Words of the last rejection.
    pub rejection: String,
    /// Whether a simulation's clock has not begun yet: nothing arrived on `/clock`.
    pub waits_for_clock: bool,
    /// How often the clock went back, since the start.
    pub clock_back: u64,
    /// Where the node is in its life.
    pub state: Option<State>,
    /// Others on our topics whom we cannot understand, now.
    pub mismatches: Vec<Mismatch>,
    /// How the flight recorder did; `None` where it is off.
    pub recorder: Option<Status>,
}

/// Turns health into messages.
pub(super) struct Diagnostics {
    node: String,
    inputs: Vec<Input>,
    counts: Counts,
    unsent: u64,
    recorder: Status,
    reported: Option<Stamp>,
}

struct Input {
    stream: Arc<Stream>,
    accepted: u64,
    refused: u64,
    error: Option<String>,
}

impl Diagnostics {
    pub fn new(node: &str, streams: &[Arc<Stream>]) -> Self {
        let input = |stream: &Arc<Stream>| Input { stream: Arc::clone(stream), accepted: 0, refused: 0, error: None };
        let inputs = streams.iter().map(input).collect();
        Self {
            node: node.to_owned(),
            inputs,
            counts: Counts::default(),
            unsent: 0,
            recorder: Status::default(),
            reported: None,
        }
    }

    /// The message for now; rates and changes are over the time since the previous call.
    pub fn report(&mut self, health: &Health, facts: &Facts, now: Stamp) -> DiagnosticArray {
        let period = self.reported.replace(now).map(|before| now.since(before).secs());
        let mut parts: Vec<Part> = self.inputs.iter_mut().map(|input| input.part(health, period)).collect();
        parts.extend([self.inference(health, facts), self.output(health, facts), self.safety(health, facts)]);
        parts.extend([interlock(health, facts), topics(&facts.mismatches)]);
        parts.extend(facts.recorder.as_ref().map(|status| recorder(status, &self.recorder)));
        self.counts = health.counts.clone();
        self.unsent = facts.unsent;
        self.recorder = facts.recorder.clone().unwrap_or_default();
        let status = parts.into_iter().map(|part| part.status(&self.node)).collect();
        DiagnosticArray { header: Header::new(now, ""), status }
    }

    fn inference(&self, health: &Health, facts: &Facts) -> Part {
        let (counts, before) = (&health.counts, &self.counts);
        let (level, message) = match &health.waiting {
            _ if counts.failed > before.failed => (Level::Error, facts.failure.clone()),
            _ if facts.waits_for_clock => (Level::Warn, "waiting: nothing arrived on /clock yet".to_owned()),
            Some(reason) => (Level::Warn, format!("waiting: {reason}")),
            None if counts.inferences > before.inferences => (Level::Ok, "running".to_owned()),
            None => (Level::Warn, "waiting for a new frame".to_owned()),
        };
        let values = vec![
            value("inference_count", &counts.inferences),
            value("failed_count", &counts.failed),
            value("outdated_count", &counts.outdated),
            value("last_ms", &millis(facts.last_inference)),
            value("clock_back_count", &facts.clock_back),
            value("slowest_ms", &millis(facts.slowest_inference)),
        ];
        Part { name: "inference".to_owned(), level, message, values }
    }

    fn output(&self, health: &Health, facts: &Facts) -> Part {
        let (counts, before) = (&health.counts, &self.counts);
        let (level, message) = if facts.unsent > self.unsent {
            (Level::Error, "messages did not leave")
        } else if counts.sent > before.sent {
            (Level::Ok, "commands leave")
        } else if counts.dry_run > before.dry_run {
            (Level::Ok, "dry run: commands are computed and do not leave")
        } else {
            (Level::Warn, "no command")
        };
        let values = vec![
            value("sent_count", &counts.sent),
            value("dry_run_count", &counts.dry_run),
            value("unsent_count", &facts.unsent),
        ];
        Part { name: "output".to_owned(), level, message: message.to_owned(), values }
    }

    fn safety(&self, health: &Health, facts: &Facts) -> Part {
        let total = |counts: &Counts| counts.rejected.values().sum::<u64>();
        let (level, message) = if total(&health.counts) > total(&self.counts) {
            (Level::Error, format!("rejected: {}", facts.rejection))
        } else {
            (Level::Ok, "nothing rejected".to_owned())
        };
        let mut values = vec![value("rejected_count", &total(&health.counts))];
        values.extend(by_class("rejected", &health.counts.rejected));
        Part { name: "safety".to_owned(), level, message, values }
    }
}

impl Input {
    fn part(&mut self, health: &Health, period: Option<f64>) -> Part {
        match health.streams.iter().find(|stream| *stream.name == *self.stream.name()) {
            Some(stream) => self.watched(stream, period),
            None => self.occasional(),
        }
    }

    /// A stream that may be silent: the instruction.
    fn occasional(&mut self) -> Part {
        let (received, unusable) = (self.stream.received(), self.stream.unusable());
        let new_error = self.stream.take_error().filter(|_| unusable > self.refused);
        let (level, message) = match new_error {
            Some(error) => (Level::Warn, error.to_string()),
            None if received == 0 => (Level::Ok, "nothing arrived yet".to_owned()),
            None => (Level::Ok, "arrived".to_owned()),
        };
        self.refused = unusable;
        let values = vec![value("received_count", &received), value("unusable_count", &unusable)];
        Part { name: format!("input {}", self.stream.name()), level, message, values }
    }

    /// A stream that the engine wants fresh.
    fn watched(&mut self, stream: &StreamHealth, period: Option<f64>) -> Part {
        let refused = self.stream.unusable() + stream.dropped.values().sum::<u64>();
        self.error = self.stream.take_error().map(|error| error.to_string()).or_else(|| self.error.take());
        let (level, message) = self.words(stream, refused);
        let mut values = vec![
            value("received_count", &self.stream.received()),
            value("accepted_count", &stream.accepted),
            value("unusable_count", &self.stream.unusable()),
            value("max_age_ms", &millis(stream.max_age)),
        ];
        values.extend(stream.age.map(|age| value("age_ms", &millis(age))));
        let rate = period.filter(|period| *period > 0.0);
        values.extend(rate.map(|period| {
            value("rate_hz", &format!("{:.1}", stream.accepted.saturating_sub(self.accepted) as f64 / period))
        }));
        values.extend(by_class("dropped", &stream.dropped));
        (self.accepted, self.refused) = (stream.accepted, refused);
        Part { name: format!("input {}", stream.name), level, message, values }
    }

    fn words(&self, stream: &StreamHealth, refused: u64) -> (Level, String) {
        match (&self.error, stream.age) {
            (Some(error), _) if refused > self.refused => (Level::Warn, error.clone()),
            _ if refused > self.refused => (Level::Warn, "some messages were dropped".to_owned()),
            (_, None) => (Level::Stale, "nothing arrived".to_owned()),
            (_, Some(age)) if age > stream.max_age => (Level::Stale, format!("the newest is {age} old")),
            _ => (Level::Ok, "arriving".to_owned()),
        }
    }
}

struct Part {
    name: String,
    level: Level,
    message: String,
    values: Vec<KeyValue>,
}

impl Part {
    fn status(self, node: &str) -> DiagnosticStatus {
        DiagnosticStatus {
            level: self.level as u8,
            name: format!("{node}: {}", self.name),
            message: self.message,
            hardware_id: String::new(),
            values: self.values,
        }
    }
}

/// Whether the robot may move.
fn interlock(health: &Health, facts: &Facts) -> Part {
    let (level, message, class) = match health.authority {
        Authority::Moves => (Level::Ok, "the robot may move".to_owned(), "moves"),
        Authority::Stopped(reason @ (Reason::DryRun | Reason::Inactive)) => {
            (Level::Ok, reason.to_string(), reason.class())
        }
        Authority::Stopped(reason) => (Level::Warn, reason.to_string(), reason.class()),
    };
    let state = facts.state.map_or("unconfigured", State::label);
    let values = vec![value("authority", &class), value("lifecycle", &state)];
    Part { name: "interlock".to_owned(), level, message, values }
}

/// Who else speaks on our topics.
fn topics(mismatches: &[Mismatch]) -> Part {
    let (level, message) = match mismatches {
        [] => (Level::Ok, "everybody on our topics fits".to_owned()),
        [first, ..] => (Level::Warn, first.to_string()),
    };
    let values = mismatches.iter().map(|mismatch| value(&mismatch.topic, &mismatch.reason)).collect();
    Part { name: "topics".to_owned(), level, message, values }
}

/// What the flight recorder did since the report before.
fn recorder(status: &Status, before: &Status) -> Part {
    let (level, message) = if status.failed > before.failed {
        (Level::Error, format!("no file: {}", status.last))
    } else if status.lost > before.lost {
        (Level::Warn, "events are lost: the recorder cannot keep up".to_owned())
    } else if status.files > before.files {
        (Level::Warn, format!("wrote {}", status.last))
    } else {
        (Level::Ok, "nothing to write".to_owned())
    };
    let values = vec![
        value("trigger_count", &status.triggers),
        value("file_count", &status.files),
        value("failed_count", &status.failed),
        value("lost_count", &status.lost),
        value("last", &status.last),
    ];
    Part { name: "flight recorder".to_owned(), level, message, values }
}

fn value(key: &str, value: &impl ToString) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value.to_string() }
}

fn millis(span: Span) -> String {
    format!("{:.1}", span.millis())
}

fn by_class<'a>(what: &'a str, counts: &'a BTreeMap<&'static str, u64>) -> impl Iterator<Item = KeyValue> + 'a {
    counts.iter().map(move |(class, count)| value(&format!("{what}_{class}_count"), count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::clock::Clock;
    use crate::drive::node::inbox::Inbox;
    use crate::drive::ros::{InputError, Stamped, Text};
    use crate::sync::NotReady;
    use crate::types::JointSample;

    fn seen(array: &DiagnosticArray, part: usize) -> (u8, &str, &str) {
        let status = &array.status[part];
        (status.level, &status.name, &status.message)
    }

    fn value_of<'a>(array: &'a DiagnosticArray, part: usize, key: &str) -> &'a str {
        &array.status[part].values.iter().find(|pair| pair.key == key).unwrap().value
    }

    fn health(accepted: u64, age: Option<Span>) -> Health {
        let stream = StreamHealth {
            name: "joint_states".into(),
            accepted,
            dropped: BTreeMap::new(),
            age,
            silence: age,
            max_age: Span::from_millis(50.0),
        };
        let (authority, counts) = (Authority::Moves, Counts::default());
        Health { streams: vec![stream], waiting: None, inferring: None, authority, counts }
    }

    #[test]
    fn every_part_says_how_it_did_since_the_last_report() {
        let mut inbox = Inbox::new(Clock::system());
        let mut joints = inbox.joints("joint_states");
        let mut diagnostics = Diagnostics::new("/vla", inbox.streams());
        let array = diagnostics.report(&health(0, None), &Facts::default(), Stamp::from_ros(10, 0));
        assert_eq!(seen(&array, 0), (3, "/vla: input joint_states", "nothing arrived"));
        assert_eq!(seen(&array, 1), (1, "/vla: inference", "waiting for a new frame"));
        assert_eq!(seen(&array, 2), (1, "/vla: output", "no command"));
        assert_eq!(seen(&array, 3), (0, "/vla: safety", "nothing rejected"));

        let mut busy = health(3, Some(Span::from_millis(20.0)));
        busy.counts = Counts { inferences: 4, dry_run: 2, rejected: [("limit", 1)].into(), ..Counts::default() };
        let last_inference = Span::from_millis(81.26);
        let facts = Facts { last_inference, rejection: "joint 2 is 9 rad".to_owned(), ..Facts::default() };
        let array = diagnostics.report(&busy, &facts, Stamp::from_ros(12, 0));
        assert_eq!(seen(&array, 0), (0, "/vla: input joint_states", "arriving"));
        assert_eq!((value_of(&array, 0, "rate_hz"), value_of(&array, 0, "age_ms")), ("1.5", "20.0"));
        assert_eq!(seen(&array, 1), (0, "/vla: inference", "running"));
        assert_eq!(value_of(&array, 1, "last_ms"), "81.3");
        assert_eq!(seen(&array, 2).2, "dry run: commands are computed and do not leave");
        assert_eq!(seen(&array, 3), (2, "/vla: safety", "rejected: joint 2 is 9 rad"));
        assert_eq!(value_of(&array, 3, "rejected_limit_count"), "1");

        joints(Ok(Stamped { stamp: Stamp::from_ros(12, 0), value: JointSample::default() }));
        joints(Err(InputError::Bytes("short".to_owned())));
        busy.waiting = Some(NotReady::NoInstruction);
        let facts = Facts { unsent: 1, ..facts };
        let array = diagnostics.report(&busy, &facts, Stamp::from_ros(13, 0));
        assert_eq!(seen(&array, 0), (1, "/vla: input joint_states", "short"));
        assert_eq!((value_of(&array, 0, "received_count"), value_of(&array, 0, "accepted_count")), ("1", "3"));
        assert_eq!(value_of(&array, 0, "unusable_count"), "1");
        assert_eq!(seen(&array, 1).2, format!("waiting: {}", NotReady::NoInstruction));
        assert_eq!(seen(&array, 2), (2, "/vla: output", "messages did not leave"));
        assert_eq!(seen(&array, 3), (0, "/vla: safety", "nothing rejected"));
    }

    #[test]
    fn the_flight_recorder_tells_what_it_wrote_and_what_it_could_not() {
        let inbox = Inbox::new(Clock::system());
        let mut diagnostics = Diagnostics::new("/vla", inbox.streams());
        let mut status = Status::default();
        let mut words = |status: &Status| {
            let facts = Facts { recorder: Some(status.clone()), ..Facts::default() };
            let array = diagnostics.report(&health(0, None), &facts, Stamp::from_ros(10, 0));
            let last = array.status.len() - 1;
            let (level, name, message) = seen(&array, last);
            assert_eq!(
                (name, value_of(&array, last, "lost_count")),
                ("/vla: flight recorder", &*status.lost.to_string())
            );
            (level, message.to_owned())
        };
        assert_eq!(words(&status), (0, "nothing to write".to_owned()));
        (status.triggers, status.files, status.last) = (3, 1, "/flights/a.mcap".to_owned());
        assert_eq!(words(&status), (1, "wrote /flights/a.mcap".to_owned()));
        assert_eq!(words(&status), (0, "nothing to write".to_owned()));
        (status.failed, status.lost, status.last) = (1, 40, "no space left".to_owned());
        assert_eq!(words(&status), (2, "no file: no space left".to_owned()));
        status.lost = 41;
        assert_eq!(words(&status), (1, "events are lost: the recorder cannot keep up".to_owned()));
    }

    #[test]
    fn an_instruction_may_be_silent() {
        let mut inbox = Inbox::new(Clock::system());
        let mut text = inbox.instructions("instruction");
        let mut diagnostics = Diagnostics::new("/vla", inbox.streams());
        let mut words = |seconds| {
            let array = diagnostics.report(&health(0, None), &Facts::default(), Stamp::from_ros(seconds, 0));
            (array.status[0].level, array.status[0].message.clone())
        };
        assert_eq!(words(1), (0, "nothing arrived yet".to_owned()));
        text(Ok(Text::Fresh("go".to_owned())));
        assert_eq!(words(2), (0, "arrived".to_owned()));
        text(Err(InputError::Bytes("short".to_owned())));
        assert_eq!((words(3), words(4)), ((1, "short".to_owned()), (0, "arrived".to_owned())));
    }

    #[test]
    fn a_stream_that_fell_silent_is_stale() {
        let mut inbox = Inbox::new(Clock::system());
        let _joints = inbox.joints("joint_states");
        let mut diagnostics = Diagnostics::new("/vla", inbox.streams());
        let silent = health(3, Some(Span::from_millis(51.0)));
        let array = diagnostics.report(&silent, &Facts::default(), Stamp::from_ros(10, 0));
        assert_eq!(seen(&array, 0), (3, "/vla: input joint_states", "the newest is 51.000 ms old"));
    }
}

//! What has arrived and waits for the engine: newest wins, on every stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::queue::ArrayQueue;

use super::burst::Burst;
use crate::drive::clock::Clock;
use crate::drive::parameters::{Apply, Change};
use crate::drive::ros::{InputError, Original, Originals, Sink, Stamped, Text};
use crate::time::Stamp;
use crate::types::{Frame, JointSample, Optics, PoseSample, Sample, Switch, Transform, Value};

/// Joint states, poses or arrays between two rounds of the engine; a full queue forgets the oldest.
const JOINT_STATES: usize = 64;
/// Messages of transforms between two rounds; one that is forgotten may hold what no later one repeats.
const TRANSFORMS: usize = 1024;
/// Instructions between two rounds; a latched one must not push out a fresh one.
const INSTRUCTIONS: usize = 8;
/// States of one switch between two rounds; each may be the one that stops.
const SWITCHES: usize = 256;
/// Pictures: only the newest counts.
const NEWEST: usize = 1;

/// All streams of the node.
pub(super) struct Inbox {
    clock: Clock,
    originals: Option<Originals>,
    streams: Vec<Arc<Stream>>,
    wake: Sender<()>,
    woken: Receiver<()>,
    freeze: Sender<()>,
    frozen: Receiver<()>,
}

/// A sample, and the message that it was, where messages are kept.
pub(super) struct Arrived {
    pub sample: Sample,
    pub original: Option<Original>,
}

/// One subscription.
pub(super) struct Stream {
    name: String,
    arrived: ArrayQueue<Arrived>,
    error: ArrayQueue<InputError>,
    received: AtomicU64,
    unusable: AtomicU64,
}

impl Inbox {
    pub fn new(clock: Clock) -> Self {
        // One waiting signal is as good as many: the engine empties every stream when it wakes.
        let (wake, woken) = bounded(1);
        // Likewise: to stop moving twice is to stop moving.
        let (freeze, frozen) = bounded(1);
        Self { clock, originals: None, streams: Vec::new(), wake, woken, freeze, frozen }
    }

    /// Samples of the streams that follow come with the messages that the middleware puts there.
    pub fn keep_originals(&mut self) -> Originals {
        self.originals.get_or_insert_default().clone()
    }

    /// A camera's stream, and where to put its pictures; `camera` is its index in the deployment's list.
    pub fn frames(&mut self, name: &str, camera: usize) -> Sink<Stamped<Frame>> {
        let mut burst = Burst::new(name);
        self.sink(name, NEWEST, move |Stamped { stamp, value: frame }: Stamped<Frame>, received| {
            burst.note(frame.data.len());
            sample(stamp, received, Value::Frame { camera, frame: Arc::new(frame) })
        })
    }

    /// What a camera's infos say, and where to put it; `camera` is its index in the deployment's list.
    pub fn optics(&mut self, name: &str, camera: usize) -> Sink<Optics> {
        let value = move |optics| Value::Optics { camera, optics: Arc::new(optics) };
        self.sink(name, NEWEST, move |optics, received| sample(received, received, value(optics)))
    }

    /// The stream of joint states, and where to put them.
    pub fn joints(&mut self, name: &str) -> Sink<Stamped<JointSample>> {
        self.sink(name, JOINT_STATES, |got: Stamped<JointSample>, received| {
            sample(got.stamp, received, Value::Joints(got.value))
        })
    }

    /// The stream of the end effector's poses, and where to put them.
    pub fn poses(&mut self, name: &str) -> Sink<Stamped<PoseSample>> {
        self.sink(name, JOINT_STATES, |got: Stamped<PoseSample>, received| {
            sample(got.stamp, received, Value::Pose(got.value))
        })
    }

    /// A stream of transforms, each with a stamp of its own, and where to put them.
    pub fn transforms(&mut self, name: &str) -> Sink<Vec<Transform>> {
        self.sink(name, TRANSFORMS, |got, received| sample(received, received, Value::Transforms(got)))
    }

    /// The stream of state values, and where to put them; they have no stamp and count from when they arrive.
    pub fn arrays(&mut self, name: &str) -> Sink<Vec<f64>> {
        self.sink(name, JOINT_STATES, |got, received| sample(received, received, Value::Array(got)))
    }

    /// The stream of a person's switch, and where to put it; it counts from when it arrives.
    pub fn switch(&mut self, name: &str, switch: Switch) -> Sink<bool> {
        self.sink(name, SWITCHES, move |on, received| sample(received, received, Value::Switch { switch, on }))
    }

    /// The stream of instructions, and where to put them; they have no stamp and count from when they arrive.
    pub fn instructions(&mut self, name: &str) -> Sink<Text> {
        let value = |text| match text {
            Text::Fresh(text) => Value::Instruction(text.into()),
            Text::Latched(text) => Value::LatchedInstruction(text.into()),
        };
        self.sink(name, INSTRUCTIONS, move |text, received| sample(received, received, value(text)))
    }

    fn sink<T: 'static>(
        &mut self,
        name: &str,
        capacity: usize,
        mut to_sample: impl FnMut(T, Stamp) -> Sample + Send + 'static,
    ) -> Sink<T> {
        let stream = Arc::new(Stream {
            name: name.to_owned(),
            arrived: ArrayQueue::new(capacity),
            error: ArrayQueue::new(1),
            received: AtomicU64::new(0),
            unusable: AtomicU64::new(0),
        });
        self.streams.push(Arc::clone(&stream));
        let (wake, clock, originals) = (self.wake.clone(), self.clock.clone(), self.originals.clone());
        let mut last_error = None;
        Box::new(move |message| {
            // Taken in any case: what was not used must not pass for the next one.
            let original = originals.as_ref().and_then(Originals::take);
            match message {
                Ok(message) => {
                    stream.received.fetch_add(1, Ordering::Relaxed);
                    // What comes before a simulation's first time came at its beginning.
                    let sample = to_sample(message, clock.now().unwrap_or_default());
                    stream.arrived.force_push(Arrived { sample, original });
                    // Full means that the engine is about to look anyway.
                    let _ = wake.try_send(());
                }
                Err(error) => {
                    stream.unusable.fetch_add(1, Ordering::Relaxed);
                    if last_error.as_ref() != Some(&error) {
                        tracing::warn!(input = %stream.name, %error, "message not used");
                        last_error = Some(error.clone());
                    }
                    stream.error.force_push(error);
                }
            }
        })
    }

    /// Where to put the times of a simulation; each wakes the engine.
    pub fn times(&self) -> Sink<Stamp> {
        let (wake, clock) = (self.wake.clone(), self.clock.clone());
        Box::new(move |time| {
            if let Ok(time) = time {
                clock.set(time);
                // Full means that the engine is about to look anyway.
                let _ = wake.try_send(());
            }
        })
    }

    /// What changed parameters do.
    pub fn changes(&mut self) -> Apply {
        let (mut task, freeze) = (self.instructions("parameter task"), self.freeze.clone());
        Box::new(move |change| match change {
            Change::Task(text) => task(Ok(Text::Fresh(text))),
            // Full means that the engine is about to stop moving anyway.
            Change::DryRun => drop(freeze.try_send(())),
        })
    }

    /// Signals that from now on nothing may move.
    pub fn frozen(&self) -> &Receiver<()> {
        &self.frozen
    }

    /// Signals that something arrived.
    pub fn woken(&self) -> &Receiver<()> {
        &self.woken
    }

    /// Takes one of those that wait, stream by stream, oldest first within each.
    pub fn take(&self) -> Option<Arrived> {
        self.streams.iter().find_map(|stream| stream.arrived.pop())
    }

    /// What the samples' times of arrival are read from.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// The streams, for diagnostics.
    pub fn streams(&self) -> &[Arc<Stream>] {
        &self.streams
    }
}

fn sample(stamp: Stamp, received: Stamp, value: Value) -> Sample {
    Sample { stamp, received, value }
}

impl Stream {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Messages that could be read, since the start.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Messages that could not be used, since the start.
    pub fn unusable(&self) -> u64 {
        self.unusable.load(Ordering::Relaxed)
    }

    /// The last reason why a message could not be used, once.
    pub fn take_error(&self) -> Option<InputError> {
        self.error.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_keep_their_order_and_whether_they_are_fresh() {
        let mut inbox = Inbox::new(Clock::system());
        let mut sink = inbox.instructions("instruction");
        sink(Ok(Text::Fresh("open".to_owned())));
        sink(Ok(Text::Latched("close".to_owned())));
        assert!(inbox.woken().try_recv().is_ok() && inbox.woken().try_recv().is_err());
        let waiting: Vec<Value> = std::iter::from_fn(|| inbox.take()).map(|arrived| arrived.sample.value).collect();
        assert_eq!(waiting, [Value::Instruction("open".into()), Value::LatchedInstruction("close".into())]);
        assert_eq!((inbox.streams()[0].received(), std::iter::from_fn(|| inbox.take()).count()), (2, 0));
    }

    #[test]
    fn joint_states_keep_their_order_and_their_stamps() {
        let mut inbox = Inbox::new(Clock::system());
        let mut sink = inbox.joints("joints");
        for nanos in [5, 9] {
            sink(Ok(Stamped { stamp: Stamp::from_nanos(nanos), value: JointSample::default() }));
        }
        let stamps: Vec<i64> =
            std::iter::from_fn(|| inbox.take()).map(|arrived| arrived.sample.stamp.nanos()).collect();
        assert_eq!(stamps, [5, 9]);
    }

    #[test]
    fn a_message_that_cannot_be_used_is_counted_and_wakes_nobody() {
        let mut inbox = Inbox::new(Clock::system());
        let mut sink = inbox.joints("joints");
        sink(Err(InputError::Bytes("short".to_owned())));
        let stream = &inbox.streams()[0];
        assert_eq!(stream.unusable(), 1);
        assert_eq!(stream.take_error(), Some(InputError::Bytes("short".to_owned())));
        assert!(stream.take_error().is_none() && inbox.woken().try_recv().is_err());
    }
}

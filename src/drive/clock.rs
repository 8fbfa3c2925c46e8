//! The only file that reads a clock.

#![expect(clippy::disallowed_methods, reason = "the one place that may")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, after};

use crate::time::{Span, Stamp};

/// The system's clock: Unix time.
pub fn now() -> Stamp {
    let nanos = |length: Duration| i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Stamp::from_nanos(nanos(since)),
        Err(before) => Stamp::from_nanos(-nanos(before.duration())),
    }
}

/// The clock of a node: the system's, or a simulation's that somebody sets. Copies show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Simulated(Arc<AtomicI64>),
}

/// What a simulated clock shows before it was set.
const NOT_YET: i64 = i64::MIN;

/// So often a simulated clock is looked at for what may have become due.
const LOOK: Duration = Duration::from_millis(1);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows what [`Self::set`] says.
    pub fn simulated() -> Self {
        Self(Source::Simulated(Arc::new(AtomicI64::new(NOT_YET))))
    }

    /// The time; `None` where a simulated clock was not set yet.
    pub fn now(&self) -> Option<Stamp> {
        match &self.0 {
            Source::System => Some(now()),
            Source::Simulated(nanos) => match nanos.load(Ordering::Relaxed) {
                NOT_YET => None,
                nanos => Some(Stamp::from_nanos(nanos)),
            },
        }
    }

    /// Sets a simulated clock; the system's is not ours to set.
    pub fn set(&self, now: Stamp) {
        if let Source::Simulated(nanos) = &self.0 {
            nanos.store(now.nanos(), Ordering::Relaxed);
        }
    }

    /// A message when it is time to look whether `due` has come: at `due` on the system's clock, every millisecond on a
    /// simulated one, whose pace nobody knows.
    pub fn timer(&self, due: Stamp) -> Receiver<Instant> {
        let left = due.since(now()).nanos();
        match self.0 {
            Source::System => after(Duration::from_nanos(u64::try_from(left).unwrap_or(0))),
            Source::Simulated(_) => after(LOOK),
        }
    }
}

/// Measures lengths of time; setting the system's clock does not disturb it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Span {
        Span::from_nanos(i64::try_from(self.0.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_clock_shows_what_was_said_and_nothing_before() {
        let clock = Clock::simulated();
        let copy = clock.clone();
        assert_eq!(copy.now(), None);
        clock.set(Stamp::from_nanos(7));
        assert_eq!(copy.now(), Some(Stamp::from_nanos(7)));
        Clock::system().set(Stamp::from_nanos(7));
        assert!(Clock::system().now() > Some(Stamp::from_ros(1_700_000_000, 0)));
    }
}

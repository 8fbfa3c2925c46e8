//! The only file that reads a clock.

#![expect(clippy::disallowed_methods, reason = "the one place that may")]

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

/// A message at `due`; at once where that has passed.
pub fn timer(due: Stamp) -> Receiver<Instant> {
    let left = due.since(now()).nanos();
    after(Duration::from_nanos(u64::try_from(left).unwrap_or(0)))
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

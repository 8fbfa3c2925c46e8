//! One stream: its newest samples, and what came of the others.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{DropReason, Dropped, NotReady};
use crate::deploy::Align;
use crate::time::{Span, Stamp};

/// A sample that may be used.
#[derive(Debug)]
pub(super) struct Held<T> {
    pub stamp: Stamp,
    pub received: Stamp,
    pub value: T,
}

/// More than any sensor sends in the time that is looked back; beyond, the oldest go, so that nobody can fill the memory.
const MOST: usize = 4096;

/// The newest samples of a stream, as far back as a picture may lie.
#[derive(Debug)]
pub(super) struct Stream<T> {
    name: Arc<str>,
    max_age: Span,
    align: Align,
    look_back: Span,
    /// Stamps rise; the newest is last.
    samples: VecDeque<Held<T>>,
    accepted: u64,
    dropped: BTreeMap<&'static str, u64>,
}

/// What came in on one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamHealth {
    /// `images.<camera>`, `joint_states`, `eef_pose`, `tf` or `state`.
    pub name: Arc<str>,
    /// Samples taken in.
    pub accepted: u64,
    /// Samples that were not usable, by [`DropReason::class`].
    pub dropped: BTreeMap<&'static str, u64>,
    /// Time since the newest sample's stamp; `None` before the first.
    pub age: Option<Span>,
    /// Time since the newest sample reached us; `None` before the first.
    pub silence: Option<Span>,
    /// Oldest sample that may be used.
    pub max_age: Span,
}

impl<T> Stream<T> {
    pub fn new(name: &str, max_age: Span, align: Align, look_back: Span) -> Self {
        let (name, samples, dropped) = (name.into(), VecDeque::new(), BTreeMap::new());
        Self { name, max_age, align, look_back, samples, accepted: 0, dropped }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub fn newest(&self) -> Option<&Held<T>> {
        self.samples.back()
    }

    /// Makes a sample the newest, unless the one at hand is as new. One from beyond `horizon` (a clock that jumped
    /// ahead and came back) does not stand in the way.
    pub fn put(&mut self, sample: Held<T>, horizon: Stamp) -> Result<(), Dropped> {
        self.forget_from(horizon + Span::from_nanos(1));
        if let Some(newest) = self.newest()
            && sample.stamp <= newest.stamp
        {
            let by = newest.stamp.since(sample.stamp);
            return Err(self.refuse(DropReason::NotNewer { by }));
        }
        self.push(sample, horizon);
        Ok(())
    }

    /// Makes a sample the newest, whatever the ones at hand are.
    pub fn replace(&mut self, sample: Held<T>, horizon: Stamp) {
        self.forget_from(sample.stamp);
        self.push(sample, horizon);
    }

    fn push(&mut self, sample: Held<T>, horizon: Stamp) {
        self.accepted += 1;
        let oldest = sample.stamp.min(horizon) - self.look_back;
        self.samples.push_back(sample);
        // What was true at `oldest` is kept too, and the newest always is.
        while self.samples.get(1).is_some_and(|second| second.stamp <= oldest) || self.samples.len() > MOST {
            self.samples.pop_front();
        }
    }

    /// Forgets all samples.
    pub fn forget(&mut self) {
        self.samples.clear();
    }

    /// Forgets all samples that are stamped `from` or later.
    fn forget_from(&mut self, from: Stamp) {
        while self.newest().is_some_and(|newest| newest.stamp >= from) {
            self.samples.pop_back();
        }
    }

    /// Counts a sample that is not usable.
    pub fn refuse(&mut self, reason: DropReason) -> Dropped {
        *self.dropped.entry(reason.class()).or_default() += 1;
        Dropped { stream: Arc::clone(&self.name), reason }
    }

    /// The newest sample, neither old nor from the future, by its stamp and by when it reached us.
    pub fn fresh(&self, now: Stamp, max_skew: Span) -> Result<&Held<T>, NotReady> {
        let stream = || Arc::clone(&self.name);
        let held = self.newest().ok_or_else(|| NotReady::NeverSeen { stream: stream() })?;
        let (age, silence, max_age) = (now.since(held.stamp), now.since(held.received), self.max_age);
        let behind = held.received.since(held.stamp);
        if age > max_age && behind > max_age {
            return Err(NotReady::Behind { stream: stream(), behind, max_age });
        }
        if age > max_age {
            return Err(NotReady::Stale { stream: stream(), age, max_age });
        }
        if silence > max_age {
            return Err(NotReady::Silent { stream: stream(), silence, max_age });
        }
        if -age > max_skew {
            return Err(NotReady::Ahead { stream: stream(), ahead: -age, max_skew });
        }
        Ok(held)
    }

    /// The sample that belongs to an anchor of this stamp.
    pub fn at(&self, anchor: Stamp, max_skew: Span) -> Result<&Held<T>, NotReady> {
        let stream = || Arc::clone(&self.name);
        let newest = self.newest().ok_or_else(|| NotReady::NeverSeen { stream: stream() })?;
        let after = self.samples.partition_point(|held| held.stamp <= anchor);
        let before = after.checked_sub(1).and_then(|index| self.samples.get(index));
        let next = self.samples.get(after);
        let held = match (self.align, before, next) {
            (Align::Hold, _, _) => return Ok(newest),
            (Align::AsOf, None, next) => {
                let by = next.unwrap_or(newest).stamp.since(anchor);
                return Err(NotReady::Later { stream: stream(), by });
            }
            (Align::Nearest, Some(before), Some(next)) if next.stamp.since(anchor) < anchor.since(before.stamp) => next,
            (Align::AsOf | Align::Nearest, Some(before), _) => before,
            (Align::Nearest, None, next) => next.unwrap_or(newest),
        };
        let skew = held.stamp.since(anchor);
        if skew.abs() > max_skew {
            return Err(NotReady::Apart { stream: stream(), skew, max_skew });
        }
        Ok(held)
    }

    pub fn health(&self, now: Stamp) -> StreamHealth {
        StreamHealth {
            name: Arc::clone(&self.name),
            accepted: self.accepted,
            dropped: self.dropped.clone(),
            age: self.newest().map(|held| now.since(held.stamp)),
            silence: self.newest().map(|held| now.since(held.received)),
            max_age: self.max_age,
        }
    }
}

//! One stream: its newest sample, and what came of the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{DropReason, Dropped, NotReady};
use crate::time::{Span, Stamp};

/// A sample that may be used.
#[derive(Debug)]
pub(super) struct Held<T> {
    pub stamp: Stamp,
    pub received: Stamp,
    pub value: T,
}

/// The newest sample of a stream.
#[derive(Debug)]
pub(super) struct Stream<T> {
    name: Arc<str>,
    max_age: Span,
    newest: Option<Held<T>>,
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
    pub fn new(name: &str, max_age: Span) -> Self {
        Self { name: name.into(), max_age, newest: None, accepted: 0, dropped: BTreeMap::new() }
    }

    pub fn newest(&self) -> Option<&Held<T>> {
        self.newest.as_ref()
    }

    /// Makes a sample the newest, unless the one at hand is as new. One from beyond `horizon` (a clock that jumped
    /// ahead and came back) does not stand in the way.
    pub fn put(&mut self, sample: Held<T>, horizon: Stamp) -> Result<(), Dropped> {
        if let Some(newest) = &self.newest
            && newest.stamp <= horizon
            && sample.stamp <= newest.stamp
        {
            let by = newest.stamp.since(sample.stamp);
            return Err(self.refuse(DropReason::NotNewer { by }));
        }
        self.accepted += 1;
        self.newest = Some(sample);
        Ok(())
    }

    /// Makes a sample the newest, whatever the one at hand is.
    pub fn replace(&mut self, sample: Held<T>) {
        self.accepted += 1;
        self.newest = Some(sample);
    }

    /// Counts a sample that is not usable.
    pub fn refuse(&mut self, reason: DropReason) -> Dropped {
        *self.dropped.entry(reason.class()).or_default() += 1;
        Dropped { stream: Arc::clone(&self.name), reason }
    }

    /// The newest sample, neither old nor from the future, by its stamp and by when it reached us.
    pub fn fresh(&self, now: Stamp, max_skew: Span) -> Result<&Held<T>, NotReady> {
        let stream = || Arc::clone(&self.name);
        let held = self.newest.as_ref().ok_or_else(|| NotReady::NeverSeen { stream: stream() })?;
        let (age, silence, max_age) = (now.since(held.stamp), now.since(held.received), self.max_age);
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

    /// The newest sample is of about the time of the anchor.
    pub fn near(&self, anchor: Stamp, max_skew: Span) -> Result<(), NotReady> {
        match &self.newest {
            Some(held) if held.stamp.since(anchor).abs() > max_skew => {
                let (stream, skew) = (Arc::clone(&self.name), held.stamp.since(anchor));
                Err(NotReady::Apart { stream, skew, max_skew })
            }
            Some(_) => Ok(()),
            None => Err(NotReady::NeverSeen { stream: Arc::clone(&self.name) }),
        }
    }

    pub fn health(&self, now: Stamp) -> StreamHealth {
        StreamHealth {
            name: Arc::clone(&self.name),
            accepted: self.accepted,
            dropped: self.dropped.clone(),
            age: self.newest.as_ref().map(|held| now.since(held.stamp)),
            silence: self.newest.as_ref().map(|held| now.since(held.received)),
            max_age: self.max_age,
        }
    }
}

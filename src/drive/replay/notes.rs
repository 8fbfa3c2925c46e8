//! What did not become a decision, counted by cause with the first of each in words.

use std::collections::BTreeMap;

use crate::sync::{Dropped, NotReady};

/// Causes and how often each came.
#[derive(Debug, Default)]
pub(super) struct Notes {
    not_ready: Vec<(NotReady, u64)>,
    counted: BTreeMap<(&'static str, String), (u64, String)>,
    /// Messages and topics.
    not_needed: (u64, usize),
}

impl Notes {
    /// An inference had to wait.
    pub fn not_ready(&mut self, reason: NotReady) {
        match self.not_ready.iter_mut().find(|(known, _)| known.is_same_cause(&reason)) {
            Some((_, count)) => *count += 1,
            None => self.not_ready.push((reason, 1)),
        }
    }

    /// The engine refused a sample.
    pub fn dropped(&mut self, dropped: &Dropped) {
        let cause = format!("{} {}", dropped.stream, dropped.reason.class());
        self.count("dropped", cause, dropped.to_string());
    }

    /// A message made no sample.
    pub fn unusable(&mut self, topic: &str, reason: String) {
        self.count("unusable", topic.to_owned(), reason);
    }

    /// An inference gave no chunk.
    pub fn failed(&mut self, reason: String) {
        self.count("failed", String::new(), reason);
    }

    /// A topic on which nobody listens has so many messages.
    pub fn not_needed(&mut self, messages: u64) {
        self.not_needed = (self.not_needed.0 + messages, self.not_needed.1 + 1);
    }

    /// One line per cause: word, count, first reason.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, u64, String)> {
        let waits = self.not_ready.iter().map(|(reason, count)| ("not ready", *count, reason.to_string()));
        let counted = self.counted.iter().map(|((word, _), (count, first))| (*word, *count, first.clone()));
        let (messages, topics) = self.not_needed;
        let others =
            (topics > 0).then(|| ("not needed", messages, format!("on topics without a listener, {topics} of them")));
        waits.chain(counted).chain(others)
    }

    fn count(&mut self, word: &'static str, cause: String, first: String) {
        self.counted.entry((word, cause)).or_insert((0, first)).0 += 1;
    }
}

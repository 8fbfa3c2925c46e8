//! What the recorder's thread does: it fills the ring, and writes it when something went wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::{Receiver, TryRecvError};
use crossbeam::queue::ArrayQueue;

use super::file::{Step, Template, Writing};
use super::ring::{Bounds, Item, Ring, What};
use super::{Entry, Status, Trigger};
use crate::time::{Span, Stamp};

/// So long after a trigger its file is written, so that what became of it is in it.
const AFTER: Span = Span::from_nanos(1_000_000_000);

/// So often at least the engine's state is told.
const BETWEEN_STATES: Span = Span::from_nanos(1_000_000_000);

/// What both ends know.
#[derive(Debug)]
pub(super) struct Shared {
    pub triggers: AtomicU64,
    pub files: AtomicU64,
    pub failed: AtomicU64,
    pub lost: AtomicU64,
    /// The last file, or why there is none.
    pub last: ArrayQueue<String>,
}

/// Something for the ring, with its number: where one is missing, something was lost.
pub(super) struct Numbered {
    pub number: u64,
    pub at: Stamp,
    pub told: Told,
}

pub(super) enum Told {
    What(What),
    Entry(Entry),
}

/// The thread's state.
pub(super) struct Recording {
    ring: Ring,
    /// How far back a file goes.
    length: Span,
    template: Template,
    shared: Arc<Shared>,
    next_number: u64,
    due: Option<Due>,
    /// When the last file was due; the next one is `length` later at least, so that files meet and repeat little.
    last_due: Option<Stamp>,
    writing: Option<Box<Writing>>,
}

/// A file that is to be written: when, and what for.
struct Due {
    when: Stamp,
    class: String,
    at: Stamp,
}

impl Default for Shared {
    fn default() -> Self {
        let [triggers, files, failed, lost] = [0; 4].map(AtomicU64::new);
        Self { triggers, files, failed, lost, last: ArrayQueue::new(1) }
    }
}

impl Shared {
    /// How it did; `last` is what was last told about a file.
    pub fn status(&self, last: String) -> Status {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            triggers: count(&self.triggers),
            files: count(&self.files),
            failed: count(&self.failed),
            lost: count(&self.lost),
            last: self.last.pop().unwrap_or(last),
        }
    }
}

impl Recording {
    pub fn new(bounds: Bounds, template: Template, shared: Arc<Shared>) -> Self {
        let length = bounds.length;
        // A file begins with a state behind the oldest samples that count, and goes on after the trigger.
        let ring = Ring::new(Bounds { length: length + AFTER + bounds.look_back + BETWEEN_STATES, ..bounds });
        Self { ring, length, template, shared, next_number: 0, due: None, last_due: None, writing: None }
    }

    /// Takes everything that comes until nobody hands over any more, and writes what is still to be written.
    pub fn run(&mut self, waiting: &Receiver<Numbered>) {
        loop {
            let next = match self.writing {
                // There is always something to do, and what waits comes first.
                Some(_) => waiting.try_recv(),
                None => waiting.recv().map_err(|_ended| TryRecvError::Disconnected),
            };
            match next {
                Ok(numbered) => self.take(numbered),
                Err(TryRecvError::Empty) => self.write(),
                Err(TryRecvError::Disconnected) => break,
            }
        }
        self.cut();
    }

    fn take(&mut self, Numbered { number, at, told }: Numbered) {
        let goes_back = self.ring.newest().is_some_and(|newest| at < newest);
        if number != self.next_number || goes_back {
            // What follows is not what happened next, or happens in another time.
            self.cut();
        }
        self.next_number = number + 1;
        let what = match told {
            Told::What(what) => what,
            Told::Entry(entry) => {
                if let Entry::Trigger(trigger) = &entry {
                    self.trigger(at, trigger);
                }
                text(&entry)
            }
        };
        self.ring.push(Item { at, what });
        if let Some(due) = self.due.take_if(|due| due.when <= at) {
            // It is a ring's length old, and its disk is slow.
            self.write_all();
            self.begin(&due);
        }
    }

    fn trigger(&mut self, at: Stamp, trigger: &Trigger) {
        self.shared.triggers.fetch_add(1, Ordering::Relaxed);
        if self.due.is_none() {
            let soon = at + AFTER;
            let when = self.last_due.map_or(soon, |last| soon.max(last + self.length));
            self.due = Some(Due { when, class: trigger.class.clone(), at });
        }
    }

    /// Writes what is due, whatever the time, and begins anew.
    fn cut(&mut self) {
        self.write_all();
        if let Some(due) = self.due.take() {
            self.begin(&due);
            self.write_all();
        }
        self.last_due = None;
        self.ring.clear();
    }

    fn write_all(&mut self) {
        while self.writing.is_some() {
            self.write();
        }
    }

    fn begin(&mut self, due: &Due) {
        self.last_due = Some(due.when);
        tracing::warn!(trigger = due.class, "the flight recorder writes a file");
        match self.template.begin((&due.class, due.at), self.ring.snapshot()) {
            Ok(writing) => self.writing = Some(Box::new(writing)),
            Err(reason) => self.fail(reason),
        }
    }

    fn write(&mut self) {
        let Some(writing) = self.writing.take() else { return };
        match writing.step() {
            Ok(Step::More(writing)) => self.writing = Some(writing),
            Ok(Step::Done(path)) => {
                self.shared.files.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(file = %path.display(), "flight recorded");
                self.shared.last.force_push(path.display().to_string());
            }
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn fail(&self, reason: String) {
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(reason, "no flight record");
        self.shared.last.force_push(reason);
    }
}

fn text(entry: &Entry) -> What {
    // Numbers that JSON cannot hold do not get past the gate.
    let text = serde_json::to_string(entry).unwrap_or_default().into();
    if matches!(entry, Entry::State(_)) { What::State(text) } else { What::Entry(text) }
}

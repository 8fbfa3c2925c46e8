//! Messages as they came, for whoever keeps them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::msg::{Message, TypeName, to_cdr};

/// A message as it came over the wire, every field of it, little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Absolute topic name.
    pub topic: Arc<str>,
    /// Its type.
    pub kind: TypeName,
    /// CDR bytes with their encapsulation header.
    pub cdr: Arc<[u8]>,
}

/// The message that the middleware is about to hand to a sink; put there and taken on the middleware's one thread.
#[derive(Clone, Debug, Default)]
pub struct Originals(Arc<Mutex<Slot>>);

#[derive(Debug, Default)]
struct Slot {
    /// Those that have a keeper.
    topics: BTreeSet<Arc<str>>,
    original: Option<Original>,
}

/// Where the messages of one topic are put.
#[derive(Clone, Debug)]
pub struct Keeper {
    topic: Arc<str>,
    originals: Originals,
}

impl Original {
    /// A message on a topic.
    pub fn of<M: Message + Serialize>(topic: &Arc<str>, message: &M) -> Self {
        Self { topic: Arc::clone(topic), kind: M::TYPE, cdr: to_cdr(message).into() }
    }
}

impl Originals {
    /// For the messages of `topic`; `None` where it has one: streams that share a topic get the same messages.
    pub fn keeper(&self, topic: &str) -> Option<Keeper> {
        let topic: Arc<str> = topic.into();
        let is_new = self.0.lock().ok()?.topics.insert(Arc::clone(&topic));
        is_new.then(|| Keeper { topic, originals: self.clone() })
    }

    /// The message that is being handed over, once.
    pub fn take(&self) -> Option<Original> {
        // Poisoned after a panic of the middleware's thread, which ends the node.
        self.0.lock().ok()?.original.take()
    }
}

impl Keeper {
    /// Keeps a message until the sink has taken it.
    pub fn put<M: Message + Serialize>(&self, message: &M) {
        if let Ok(mut slot) = self.originals.0.lock() {
            slot.original = Some(Original::of(&self.topic, message));
        }
    }
}

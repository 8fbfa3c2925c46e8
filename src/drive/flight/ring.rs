//! The last seconds, bounded in time and in bytes; of what is said only once, the last word from before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::drive::ros::Original;
use crate::engine::Decision;
use crate::safety::{SafeCommand, SafeOutput};
use crate::time::{Span, Stamp};

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// When the engine was given it, or gave it.
    pub at: Stamp,
    pub what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// A message that the engine took.
    Message {
        original: Original,
        received: Stamp,
        /// Under which name it holds until another one comes; `None` where it grows old.
        holds_as: Option<Arc<str>>,
    },
    /// An entry of the engine's log, as JSON.
    Entry(Arc<str>),
    /// The same, of the engine's state.
    State(Arc<str>),
    Decision(Arc<Decision>),
    Command(Arc<SafeCommand>),
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// From the oldest to the newest.
    pub length: Span,
    /// Bytes of memory, about.
    pub bytes: usize,
    /// How far back samples count for the engine: so much stands before the state from which a replay goes on.
    pub look_back: Span,
}

/// Items in the order in which they happened.
#[derive(Debug)]
pub(super) struct Ring {
    bounds: Bounds,
    items: VecDeque<Item>,
    bytes: usize,
    /// The last message of each name that has left the ring.
    holding: BTreeMap<Arc<str>, Item>,
}

/// What an item takes beside its texts and numbers.
const ITEM_BYTES: usize = size_of::<Item>() + 64;

impl Ring {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, items: VecDeque::new(), bytes: 0, holding: BTreeMap::new() }
    }

    /// When the newest happened.
    pub fn newest(&self) -> Option<Stamp> {
        self.items.back().map(|item| item.at)
    }

    /// Takes one that happened after the others.
    pub fn push(&mut self, item: Item) {
        let oldest = item.at - self.bounds.length;
        self.bytes += item.bytes();
        self.items.push_back(item);
        while self.bytes > self.bounds.bytes || self.items.front().is_some_and(|item| item.at < oldest) {
            let Some(item) = self.items.pop_front() else { break };
            self.leave(item);
        }
    }

    /// Forgets everything but what holds.
    pub fn clear(&mut self) {
        while let Some(item) = self.items.pop_front() {
            self.leave(item);
        }
    }

    /// What a file holds: messages from before the engine's state, the state, and everything behind it. Without a state,
    /// everything.
    pub fn snapshot(&self) -> Vec<Item> {
        let Some(first) = self.items.front().map(|item| item.at) else { return Vec::new() };
        let states = || self.items.iter().enumerate().filter(|(_, item)| matches!(item.what, What::State(_)));
        let late = states().find(|(_, item)| item.at >= first + self.bounds.look_back);
        let begin = late.or_else(|| states().next()).map_or(0, |(index, _)| index);
        let before = self.items.iter().take(begin).filter(|item| matches!(item.what, What::Message { .. }));
        let held = self.holding.values().map(|item| Item { at: first, what: item.what.clone() });
        held.chain(before.cloned()).chain(self.items.iter().skip(begin).cloned()).collect()
    }

    fn leave(&mut self, item: Item) {
        self.bytes -= item.bytes();
        if let What::Message { holds_as: Some(name), .. } = &item.what {
            self.holding.insert(Arc::clone(name), item);
        }
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Item {
    fn bytes(&self) -> usize {
        ITEM_BYTES
            + match &self.what {
                What::Message { original, .. } => original.cdr.len(),
                What::Entry(text) | What::State(text) => text.len(),
                What::Decision(decision) => size_of_val(decision.chunk.values()) + size_of::<Decision>(),
                What::Command(command) => command.outputs().iter().map(SafeOutput::bytes).sum(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::samples::arm::at;
    use crate::msg::StringMessage;

    const BOUNDS: Bounds =
        Bounds { length: Span::from_nanos(100_000_000), bytes: 20_000, look_back: Span::from_nanos(30_000_000) };

    /// A message whose text says when it came.
    fn message(ms: f64, holds_as: Option<&str>) -> Item {
        let original = Original::of(&"/said".into(), &StringMessage { data: ms.to_string() });
        Item { at: at(ms), what: What::Message { original, received: at(ms), holds_as: holds_as.map(Into::into) } }
    }

    fn state(ms: f64) -> Item {
        Item { at: at(ms), what: What::State("{}".into()) }
    }

    /// When each item of a snapshot arrived, or happened where it is no message.
    fn told(ring: &Ring) -> Vec<f64> {
        let when = |item: Item| match item.what {
            What::Message { received, .. } => received,
            _ => item.at,
        };
        ring.snapshot().into_iter().map(|item| when(item).since(at(0.0)).millis()).collect()
    }

    #[test]
    fn nothing_older_than_its_length_is_kept_but_what_still_holds() {
        let mut ring = Ring::new(BOUNDS);
        for ms in [0.0, 10.0] {
            ring.push(message(ms, Some("task")));
        }
        ring.push(message(20.0, None));
        ring.push(message(115.0, None));
        assert_eq!(told(&ring), [10.0, 20.0, 115.0]);
        // It comes first, and as old as the oldest.
        assert_eq!(ring.snapshot()[0].at, at(20.0));
        ring.push(message(121.0, None));
        assert_eq!(told(&ring), [10.0, 115.0, 121.0]);
    }

    #[test]
    fn its_bytes_are_bounded_whatever_comes() {
        let mut ring = Ring::new(BOUNDS);
        for i in 0..2000 {
            ring.push(message(f64::from(i) / 100.0, None));
            assert!(ring.bytes() <= BOUNDS.bytes);
        }
        assert!(ring.bytes() > BOUNDS.bytes / 2);
        let mut huge = message(20.0, None);
        if let What::Message { original, .. } = &mut huge.what {
            original.cdr = vec![0; BOUNDS.bytes].into();
        }
        ring.push(huge);
        assert_eq!((ring.bytes(), told(&ring).len()), (0, 0));
    }

    #[test]
    fn a_file_begins_with_a_state_that_has_enough_samples_before_it_and_nothing_else() {
        let mut ring = Ring::new(BOUNDS);
        let tick = |ms: f64| Item { at: at(ms), what: What::Entry("\"tick\"".into()) };
        for item in [message(0.0, None), state(10.0), tick(20.0), message(25.0, None), state(31.0), tick(40.0)] {
            ring.push(item);
        }
        assert_eq!(told(&ring), [0.0, 25.0, 31.0, 40.0]);
    }

    #[test]
    fn where_no_state_is_late_enough_the_first_one_has_to_do() {
        let mut ring = Ring::new(BOUNDS);
        for item in [message(0.0, None), state(10.0), state(20.0), message(25.0, None)] {
            ring.push(item);
        }
        assert_eq!(told(&ring), [0.0, 10.0, 20.0, 25.0]);
    }
}

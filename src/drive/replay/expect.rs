//! What changed between two runs, chunk by chunk: the question of whoever changes a bundle or this code.

use std::collections::BTreeMap;
use std::fmt;

use crate::bag::{BagError, BagReader};
use crate::msg::ActionChunk;
use crate::time::Stamp;

/// Stamps that are listed before the rest is only counted.
const LISTED: usize = 5;

/// How a run differs from an earlier one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    compared: usize,
    missing: Vec<Stamp>,
    extra: Vec<Stamp>,
    /// Other dimensions, steps or verdicts, in words.
    reshaped: Vec<String>,
    largest: Option<Difference>,
}

/// One value of a chunk in both runs.
#[derive(Clone, Debug, PartialEq)]
struct Difference {
    chunk: Stamp,
    step: usize,
    name: String,
    earlier: f64,
    now: f64,
}

impl Difference {
    fn size(&self) -> f64 {
        if self.earlier.to_bits() == self.now.to_bits() { 0.0 } else { (self.now - self.earlier).abs() }
    }
}

/// The chunks that a run wrote.
pub fn chunks(run: &BagReader, topic: &str) -> Result<Vec<ActionChunk>, BagError> {
    run.topic(topic)?;
    let mut chunks = Vec::new();
    for message in run.messages() {
        let message = message?;
        if message.topic == topic {
            chunks.push(message.decode()?);
        }
    }
    Ok(chunks)
}

impl Changes {
    /// Compares chunks of the same observation.
    pub fn between(earlier: &[ActionChunk], now: &[ActionChunk]) -> Self {
        let mut left: BTreeMap<Stamp, &ActionChunk> = earlier.iter().map(|chunk| (stamp(chunk), chunk)).collect();
        let mut changes = Self::default();
        for chunk in now {
            match left.remove(&stamp(chunk)) {
                Some(before) => changes.compare(before, chunk),
                None => changes.extra.push(stamp(chunk)),
            }
        }
        changes.missing = left.into_keys().collect();
        changes
    }

    /// Whether both runs decided the same and no value differs by more than `tolerance`, in the data set's units.
    pub fn within(&self, tolerance: f64) -> bool {
        self.missing.is_empty()
            && self.extra.is_empty()
            && self.reshaped.is_empty()
            && self.largest.as_ref().is_none_or(|difference| difference.size() <= tolerance)
    }

    fn compare(&mut self, earlier: &ActionChunk, now: &ActionChunk) {
        self.compared += 1;
        let at = seconds(stamp(now));
        if (&earlier.names, earlier.actions.len()) != (&now.names, now.actions.len()) {
            let shape = |chunk: &ActionChunk| format!("{} steps of {}", chunk.chunk_size, chunk.names.join(" "));
            self.reshaped.push(format!("chunk {at} was {}, now it is {}", shape(earlier), shape(now)));
            return;
        }
        if class(&earlier.verdict) != class(&now.verdict) {
            self.reshaped.push(format!("chunk {at} was `{}`, now it is `{}`", earlier.verdict, now.verdict));
        }
        for (i, (before, after)) in earlier.actions.iter().zip(&now.actions).enumerate() {
            let (step, dim) = (i / now.names.len(), i % now.names.len());
            let name = now.names[dim].clone();
            let found = Difference { chunk: stamp(now), step, name, earlier: *before, now: *after };
            // In this order NaN is larger than any number.
            if self.largest.as_ref().is_none_or(|largest| found.size().total_cmp(&largest.size()).is_gt()) {
                self.largest = Some(found);
            }
        }
    }
}

/// `rejected: reason` without the reason: that one holds numbers, which may differ within the tolerance.
fn class(verdict: &str) -> &str {
    verdict.split_once(':').map_or(verdict, |(class, _)| class)
}

fn stamp(chunk: &ActionChunk) -> Stamp {
    chunk.header.stamp.into()
}

fn seconds(stamp: Stamp) -> String {
    let (sec, nanosec) = stamp.to_ros();
    format!("{sec}.{nanosec:09}")
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} chunks compared", self.compared)?;
        for (word, stamps) in [("missing", &self.missing), ("extra", &self.extra)] {
            if !stamps.is_empty() {
                let listed: Vec<_> = stamps.iter().take(LISTED).map(|stamp| seconds(*stamp)).collect();
                let more = if stamps.len() > LISTED { ", ..." } else { "" };
                write!(f, "; {} {word} (observed at {}{more})", stamps.len(), listed.join(", "))?;
            }
        }
        if let Some(first) = self.reshaped.first() {
            write!(f, "; {} decided otherwise, first: {first}", self.reshaped.len())?;
        }
        match &self.largest {
            Some(d) if d.size() != 0.0 => write!(
                f,
                "; largest difference {:e}: chunk {} step {} `{}` was {}, now it is {}",
                d.size(),
                seconds(d.chunk),
                d.step,
                d.name,
                d.earlier,
                d.now
            ),
            _ => write!(f, "; no value differs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::Header;

    fn chunk(sec: i32, actions: [f64; 4], verdict: &str) -> ActionChunk {
        ActionChunk {
            header: Header::new(Stamp::from_ros(sec, 250_000_000), "front"),
            names: vec!["shoulder".into(), "gripper".into()],
            chunk_size: 2,
            actions: actions.to_vec(),
            verdict: verdict.into(),
            ..ActionChunk::default()
        }
    }

    #[test]
    fn the_same_chunks_are_within_no_tolerance_at_all() {
        let run = [chunk(3, [0.5, -1.0, f64::NAN, 2.0], "dry_run")];
        let changes = Changes::between(&run, &run);
        assert!(changes.within(0.0));
        assert_eq!(changes.to_string(), "1 chunks compared; no value differs");
    }

    #[test]
    fn the_largest_difference_says_where_it_is() {
        let earlier = [chunk(3, [0.5, -1.0, 1.5, 2.0], "sent"), chunk(4, [0.0; 4], "sent")];
        let now = [chunk(3, [0.5, -1.25, 1.5, 2.0], "sent"), chunk(4, [0.0, 0.0, 0.0, 0.125], "sent")];
        let changes = Changes::between(&earlier, &now);
        assert!(changes.within(0.25) && !changes.within(0.2));
        assert_eq!(
            changes.to_string(),
            "2 chunks compared; largest difference 2.5e-1: chunk 3.250000000 step 0 `gripper` was -1, now it is -1.25"
        );
    }

    #[test]
    fn a_value_that_became_nan_is_beyond_every_tolerance() {
        let earlier = [chunk(3, [0.5, -1.0, 1.5, 2.0], "sent")];
        let now = [chunk(3, [9.5, -1.0, f64::NAN, 2.0], "sent")];
        let changes = Changes::between(&earlier, &now);
        assert!(!changes.within(f64::INFINITY));
        assert!(changes.to_string().ends_with("step 1 `shoulder` was 1.5, now it is NaN"), "{changes}");
    }

    #[test]
    fn missing_and_extra_chunks_are_never_within_the_tolerance() {
        let [one, two, three] = [1, 2, 3].map(|sec| chunk(sec, [0.5; 4], "sent"));
        assert!(!Changes::between(&[one.clone(), two.clone()], std::slice::from_ref(&two)).within(1e9));
        assert!(!Changes::between(std::slice::from_ref(&two), &[two.clone(), three.clone()]).within(1e9));
        let changes = Changes::between(&[one, two.clone()], &[two, three]);
        assert_eq!(
            changes.to_string(),
            "1 chunks compared; 1 missing (observed at 1.250000000); 1 extra (observed at 3.250000000); no value differs"
        );
    }

    #[test]
    fn another_verdict_counts_and_another_reason_does_not() {
        let earlier = [chunk(3, [0.5; 4], "rejected: joint 1 at 2.0001")];
        assert!(Changes::between(&earlier, &[chunk(3, [0.5; 4], "rejected: joint 1 at 2.0002")]).within(0.0));
        let changes = Changes::between(&earlier, &[chunk(3, [0.5; 4], "dry_run")]);
        assert!(!changes.within(0.0));
        assert_eq!(
            changes.to_string(),
            "1 chunks compared; 1 decided otherwise, first: chunk 3.250000000 was `rejected: joint 1 at 2.0001`, \
             now it is `dry_run`; no value differs"
        );
    }

    #[test]
    fn chunks_of_another_shape_are_not_compared_value_by_value() {
        let mut wide = chunk(3, [0.5; 4], "sent");
        wide.names[1] = "wrist".into();
        let changes = Changes::between(&[chunk(3, [0.5; 4], "sent")], &[wide]);
        assert!(!changes.within(1e9));
        let want = "chunk 3.250000000 was 2 steps of shoulder gripper, now it is 2 steps of shoulder wrist";
        assert!(changes.to_string().contains(want), "{changes}");
    }
}

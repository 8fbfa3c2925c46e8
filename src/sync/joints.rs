//! Joint positions, merged joint by joint: robots spread their joints over several messages and publishers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::stream::{Held, Stream};
use super::{DropReason, Dropped, NotReady, StreamHealth};
use crate::deploy::JointsInput;
use crate::time::{Span, Stamp};
use crate::types::JointSample;

const NAME: &str = "joint_states";

/// The newest positions of every joint, each of its own time.
#[derive(Debug)]
pub(super) struct Joints {
    name: Arc<str>,
    members: Vec<Joint>,
    /// The newest, in the order of `members`; what stands for a joint that was never seen is not used.
    positions: Vec<f64>,
    max_age: Span,
    /// Messages that brought something new.
    accepted: u64,
    dropped: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
struct Joint {
    name: Arc<str>,
    stream: Stream<f64>,
}

impl Joints {
    pub fn new(input: &JointsInput, look_back: Span) -> Self {
        let joint = |name: &Arc<str>| Joint {
            name: Arc::clone(name),
            stream: Stream::new(&format!("{NAME}.{name}"), input.max_age, input.align, look_back),
        };
        Self {
            name: NAME.into(),
            members: input.names.iter().map(joint).collect(),
            positions: vec![0.0; input.names.len()],
            max_age: input.max_age,
            accepted: 0,
            dropped: BTreeMap::new(),
        }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Takes the wanted joints of a message, all of them or none; joints that nobody asked for may say anything.
    pub fn accept(
        &mut self,
        sample: &JointSample,
        [stamp, received]: [Stamp; 2],
        horizon: Stamp,
    ) -> Result<(), Dropped> {
        let taken = self.check(sample).and_then(|()| self.take(sample, [stamp, received], horizon));
        match taken {
            Ok(new) => {
                self.accepted += new;
                Ok(())
            }
            Err(reason) => {
                *self.dropped.entry(reason.class()).or_default() += 1;
                Err(Dropped { stream: Arc::clone(&self.name), reason })
            }
        }
    }

    /// Forgets all samples.
    pub fn forget(&mut self) {
        self.members.iter_mut().for_each(|joint| joint.stream.forget());
    }

    /// The newest positions in the deployment's order, each joint's fresh.
    pub fn fresh(&self, now: Stamp, max_skew: Span) -> Result<&[f64], NotReady> {
        for joint in &self.members {
            joint.stream.fresh(now, max_skew)?;
        }
        Ok(&self.positions)
    }

    /// Every joint has a position that belongs to an anchor of this stamp; `found` gets them in the deployment's order.
    pub fn at(&self, anchor: Stamp, max_skew: Span, mut found: impl FnMut(&Held<f64>)) -> Result<(), NotReady> {
        self.members.iter().try_for_each(|joint| joint.stream.at(anchor, max_skew).map(&mut found))
    }

    /// Messages, and the ages of the joint that was silent for longest; none where one was never seen.
    pub fn health(&self, now: Stamp) -> StreamHealth {
        let oldest = |time: fn(&Held<f64>) -> Stamp| {
            let times = self.members.iter().map(|joint| joint.stream.newest().map(time));
            times.collect::<Option<Vec<_>>>()?.into_iter().min().map(|oldest| now.since(oldest))
        };
        StreamHealth {
            name: Arc::clone(&self.name),
            accepted: self.accepted,
            dropped: self.dropped.clone(),
            age: oldest(|held| held.stamp),
            silence: oldest(|held| held.received),
            max_age: self.max_age,
        }
    }

    fn check(&self, sample: &JointSample) -> Result<(), DropReason> {
        let (names, given) = (sample.names.len(), sample.positions.len());
        if names != given {
            return Err(DropReason::Lengths { names, positions: given });
        }
        for Joint { name, .. } in &self.members {
            let mut found = positions_of(sample, name);
            let Some(value) = found.next() else { continue };
            if found.next().is_some() {
                return Err(DropReason::DoubledJoint { joint: Arc::clone(name) });
            }
            if !value.is_finite() {
                return Err(DropReason::NotFinite { joint: Arc::clone(name), value });
            }
        }
        Ok(())
    }

    /// 1 where the message brought something, 0 where it holds no wanted joint.
    fn take(&mut self, sample: &JointSample, [stamp, received]: [Stamp; 2], horizon: Stamp) -> Result<u64, DropReason> {
        let (mut taken, mut refused) = (0, None);
        for (joint, position) in self.members.iter_mut().zip(&mut self.positions) {
            let Some(value) = positions_of(sample, &joint.name).next() else { continue };
            match joint.stream.put(Held { stamp, received, value }, horizon) {
                Ok(()) => (taken, *position) = (1, value),
                Err(dropped) => refused = Some(dropped.reason),
            }
        }
        match refused {
            Some(reason) if taken == 0 => Err(reason),
            _ => Ok(taken),
        }
    }
}

fn positions_of<'a>(sample: &'a JointSample, name: &'a str) -> impl Iterator<Item = f64> + 'a {
    sample.names.iter().zip(&sample.positions).filter(move |(known, _)| *known == name).map(|(_, position)| *position)
}

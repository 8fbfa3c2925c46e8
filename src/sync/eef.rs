//! The end effector's pose, from its own topic or along a chain of frames.

use std::sync::Arc;

use super::stream::{Held, Stream};
use super::transforms::Transforms;
use super::{DropReason, Dropped};
use crate::deploy::{EefInput, EefSource};
use crate::geometry::Pose;
use crate::time::{Span, Stamp};
use crate::types::{PoseSample, Transform};

/// The newest poses and where they come from.
#[derive(Debug)]
pub(super) struct Eef {
    origin: Origin,
    pub stream: Stream<Pose>,
}

#[derive(Debug)]
enum Origin {
    /// Poses seen from this frame.
    Topic { frame: Arc<str> },
    /// The pose of `tip` seen from `base`.
    Frames { base: Arc<str>, tip: Arc<str>, transforms: Transforms },
}

impl Eef {
    pub fn new(input: &EefInput, look_back: Span) -> Self {
        let (name, origin) = match &input.source {
            EefSource::Topic { frame, .. } => ("eef_pose", Origin::Topic { frame: Arc::clone(frame) }),
            EefSource::Frames { base, tip } => {
                let (base, tip, transforms) = (Arc::clone(base), Arc::clone(tip), Transforms::default());
                ("tf", Origin::Frames { base, tip, transforms })
            }
        };
        Self { origin, stream: Stream::new(name, input.max_age, input.align, look_back) }
    }

    /// Forgets all samples.
    pub fn forget(&mut self) {
        self.stream.forget();
        if let Origin::Frames { transforms, .. } = &mut self.origin {
            transforms.forget();
        }
    }

    /// Takes a pose in; one that is seen from another frame is refused.
    pub fn pose(&mut self, sample: PoseSample, [stamp, received]: [Stamp; 2], horizon: Stamp) -> Result<(), Dropped> {
        let Origin::Topic { frame } = &self.origin else { return Ok(()) };
        if sample.frame_id != **frame {
            let (got, wanted) = (sample.frame_id, Arc::clone(frame));
            return Err(self.stream.refuse(DropReason::Frame { got, wanted }));
        }
        self.stream.put(Held { stamp, received, value: sample.pose }, horizon)
    }

    /// Takes transforms in and looks the pose up anew; those of frames outside the chain may say anything.
    pub fn transforms(&mut self, sample: Vec<Transform>, received: Stamp, horizon: Stamp) -> Result<(), Dropped> {
        let Origin::Frames { base, tip, transforms } = &mut self.origin else { return Ok(()) };
        let mut refused = None;
        for transform in sample {
            let child = transform.child.clone();
            match transforms.put(transform, received, horizon) {
                Err(reason) if transforms.is_between(base, tip, &child) => refused = Some(reason),
                Ok(()) | Err(_) => {}
            }
        }
        if let Some(found) = transforms.look_up(base, tip) {
            self.stream.replace(found, horizon);
        }
        refused.map_or(Ok(()), |reason| Err(self.stream.refuse(reason)))
    }
}

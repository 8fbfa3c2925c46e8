//! A camera's stream: pictures of the size that the deployment knows, stamped with when they were taken.

use std::sync::Arc;

use super::stream::{Held, Stream};
use super::{DropReason, Dropped};
use crate::deploy::CameraInput;
use crate::time::{Span, Stamp};
use crate::types::Frame;

#[derive(Debug)]
pub(super) struct Camera {
    pub stream: Stream<Arc<Frame>>,
    size: Option<[u32; 2]>,
    latency: Span,
}

impl Camera {
    pub fn new(input: &CameraInput) -> Self {
        let stream = Stream::new(&format!("images.{}", input.name), input.max_age);
        Self { stream, size: input.size, latency: input.latency }
    }

    /// Takes a frame in as the newest, unless it is not usable; `held` has the message's stamp.
    pub fn accept(&mut self, held: Held<Arc<Frame>>, horizon: Stamp) -> Result<(), Dropped> {
        let frame = &held.value;
        if frame.data.is_empty() {
            return Err(self.stream.refuse(DropReason::Empty));
        }
        let got = [frame.width, frame.height];
        if let Some(wanted) = self.size.filter(|wanted| *wanted != got) {
            return Err(self.stream.refuse(DropReason::PictureSize { got, wanted }));
        }
        self.stream.put(Held { stamp: held.stamp - self.latency, ..held }, horizon)
    }
}

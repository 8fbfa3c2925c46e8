//! A camera's stream: pictures of the size that the deployment knows, stamped with when they were taken.

use std::sync::Arc;

use super::stream::{Held, Stream};
use super::{DropReason, Dropped, NotReady};
use crate::deploy::CameraInput;
use crate::time::{Span, Stamp};
use crate::types::{Frame, Optics};

#[derive(Debug)]
pub(super) struct Camera {
    pub stream: Stream<Arc<Frame>>,
    size: Option<[u32; 2]>,
    latency: Span,
    /// How long the same picture may come; `None` where it may for ever.
    longest_still: Option<Span>,
    /// When the newest picture came for the first time, bit for bit, without another one since.
    pub unchanged_since: Stamp,
    info: Info,
}

/// What a camera info says.
#[derive(Debug)]
enum Info {
    Unwanted,
    /// It does not grow old: a camera stays what it is.
    Wanted {
        stream: Arc<str>,
        optics: Option<Arc<Optics>>,
    },
}

impl Camera {
    pub fn new(input: &CameraInput, look_back: Span) -> Self {
        let stream = Stream::new(&format!("images.{}", input.name), input.max_age, input.align, look_back);
        let longest_still = (!input.may_stand_still).then_some(input.max_age);
        let info = match &input.camera_info {
            Some(_) => Info::Wanted { stream: format!("camera_info.{}", input.name).into(), optics: None },
            None => Info::Unwanted,
        };
        let (size, latency, unchanged_since) = (input.size, input.latency, Stamp::default());
        Self { stream, size, latency, longest_still, unchanged_since, info }
    }

    /// Takes optics in as the newest.
    pub fn accept_optics(&mut self, new: Arc<Optics>) {
        if let Info::Wanted { optics, .. } = &mut self.info {
            *optics = Some(new);
        }
    }

    /// The optics; `None` where nobody asked for them.
    pub fn optics(&self) -> Option<&Arc<Optics>> {
        match &self.info {
            Info::Unwanted => None,
            Info::Wanted { optics, .. } => optics.as_ref(),
        }
    }

    /// The newest picture may be used: it is fresh, it is not a frozen camera's, and what it is seen through is known.
    pub fn usable(&self, now: Stamp, max_skew: Span) -> Result<(), NotReady> {
        let newest = self.stream.fresh(now, max_skew)?;
        let still = newest.stamp.since(self.unchanged_since);
        if let Some(longest) = self.longest_still.filter(|longest| still > *longest) {
            return Err(NotReady::Frozen { stream: Arc::clone(self.stream.name()), still, longest });
        }
        self.seen_through()
    }

    /// Optics that are wanted have come, and are those of the newest picture.
    fn seen_through(&self) -> Result<(), NotReady> {
        let Info::Wanted { stream, optics } = &self.info else { return Ok(()) };
        let wanted = optics.as_ref().ok_or_else(|| NotReady::NeverSeen { stream: Arc::clone(stream) })?.size();
        let got = self.stream.newest().map(|held| [held.value.width, held.value.height]);
        match got {
            Some(got) if got != wanted => Err(NotReady::OtherSize { stream: Arc::clone(stream), wanted, got }),
            _ => Ok(()),
        }
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
        let is_same = self.stream.newest().is_some_and(|newest| newest.value.data == frame.data);
        let stamp = held.stamp - self.latency;
        self.stream.put(Held { stamp, ..held }, horizon)?;
        if !is_same || stamp < self.unchanged_since {
            self.unchanged_since = stamp;
        }
        Ok(())
    }
}

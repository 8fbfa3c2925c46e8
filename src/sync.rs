//! The samples of every stream that belong together -> [`Observation`], or why there is none yet.
//!
//! Nothing is filled in: a stream that is missing, old, ahead of us or apart from the anchor means no observation.

mod camera;
mod eef;
mod joints;
mod memory;
mod reason;
mod seen;
mod stream;
#[cfg(test)]
mod tests;
mod transforms;

use std::sync::Arc;

use crate::deploy::{ArrayInput, Deployment, StateValue};
use crate::noise::Noise;
use crate::time::{Span, Stamp};
use crate::types::{Frame, Measured, Observation, Sample, Value};

pub use memory::Memory;
pub use reason::{DropReason, Dropped, NotReady};
pub use seen::InputAge;
pub use stream::StreamHealth;

use camera::Camera;
use eef::Eef;
use joints::Joints;
use seen::Seen;
use stream::{Held, Stream};

/// The newest samples of every stream. Its first camera is the anchor: its stamp is the observation's.
#[derive(Debug)]
pub struct Sync {
    cameras: Vec<Camera>,
    joints: Option<Joints>,
    eef: Option<Eef>,
    array: Option<Array>,
    state: Option<Vec<StateValue>>,
    task: Option<Arc<str>>,
    /// An instruction from before we listened; it is shown and starts nothing.
    latched: Option<Arc<str>>,
    max_skew: Span,
    /// Stamp of the anchor frame that was observed last.
    observed: Option<Stamp>,
    seen: Seen,
}

/// State values by their index.
#[derive(Debug)]
struct Array {
    input: ArrayInput,
    stream: Stream<Vec<f64>>,
}

impl Sync {
    /// No sample yet; the instruction is the deployment's.
    pub fn new(deployment: &Deployment) -> Self {
        let look_back = deployment.longest_look_back();
        Self {
            cameras: deployment.cameras().iter().map(|camera| Camera::new(camera, look_back)).collect(),
            joints: deployment.joints().map(|joints| Joints::new(joints, look_back)),
            eef: deployment.eef().map(|eef| Eef::new(eef, look_back)),
            array: deployment.array().map(|array| Array::new(array, look_back)),
            state: deployment.state().map(<[StateValue]>::to_vec),
            task: deployment.task().map(Arc::from),
            latched: None,
            max_skew: deployment.max_skew(),
            observed: None,
            seen: Seen::default(),
        }
    }

    /// Takes a sample in, as the newest of its stream.
    ///
    /// # Errors
    /// [`Dropped`] where it is not usable; the stream keeps what it had.
    pub fn accept(&mut self, now: Stamp, sample: Sample) -> Result<(), Dropped> {
        let Sample { stamp, received, value } = sample;
        let horizon = now + self.max_skew;
        match value {
            Value::Frame { camera, frame } => {
                self.camera(camera, "images")?.accept(Held { stamp, received, value: frame }, horizon)
            }
            Value::Optics { camera, optics } => {
                self.camera(camera, "camera_info")?.accept_optics(optics);
                Ok(())
            }
            Value::Joints(sample) => match &mut self.joints {
                Some(joints) => joints.accept(&sample, [stamp, received], horizon),
                None => Ok(()),
            },
            Value::Pose(sample) => match &mut self.eef {
                Some(eef) => eef.pose(sample, [stamp, received], horizon),
                None => Ok(()),
            },
            Value::Transforms(sample) => match &mut self.eef {
                Some(eef) => eef.transforms(sample, received, horizon),
                None => Ok(()),
            },
            Value::Array(value) => match &mut self.array {
                Some(array) => array.accept(Held { stamp, received, value }, horizon),
                None => Ok(()),
            },
            Value::Instruction(task) => {
                self.task = Some(task);
                Ok(())
            }
            Value::LatchedInstruction(task) => {
                self.latched = Some(task);
                Ok(())
            }
            // They say whether the robot moves, not what the policy sees.
            Value::Switch { .. } => Ok(()),
        }
    }

    /// Forgets all samples: after the clock went back nobody knows how old they are.
    pub fn forget(&mut self) {
        self.cameras.iter_mut().for_each(|camera| camera.stream.forget());
        self.joints.iter_mut().for_each(Joints::forget);
        self.eef.iter_mut().for_each(Eef::forget);
        self.array.iter_mut().for_each(|array| array.stream.forget());
    }

    /// Everything the policy needs, of an anchor frame that was not observed before.
    ///
    /// # Errors
    /// [`NotReady`] with the first stream that is not usable.
    pub fn observe(&mut self, now: Stamp) -> Result<Observation, NotReady> {
        let anchor = self.anchor(now)?;
        let (stamp, frame_id) = (anchor.stamp, anchor.value.frame_id.clone());
        let task = Arc::clone(self.task()?);
        let mut seen = Seen::default();
        let mut frames = Vec::with_capacity(self.cameras.len());
        for (index, stream) in self.streams().enumerate() {
            let held = if index == 0 { anchor } else { stream.at(stamp, self.max_skew)? };
            frames.push(Arc::clone(&held.value));
            seen.note(stream.name(), now, held.stamp);
        }
        if let Some(joints) = &self.joints {
            let mut oldest = stamp;
            joints.at(stamp, self.max_skew, |held| {
                seen.joints.push(held.value);
                oldest = oldest.min(held.stamp);
            })?;
            seen.note(joints.name(), now, oldest);
        }
        if let Some(Eef { stream, .. }) = &self.eef {
            let held = stream.at(stamp, self.max_skew)?;
            seen.eef = Some(held.value);
            seen.note(stream.name(), now, held.stamp);
        }
        if let Some(Array { stream, .. }) = &self.array {
            let held = stream.at(stamp, self.max_skew)?;
            seen.array.extend_from_slice(&held.value);
            seen.note(stream.name(), now, held.stamp);
        }
        let value = |state: &StateValue| seen.value(state.from).map(|value| state.line.at(value));
        let state = self.state.as_ref().map(|state| state.iter().filter_map(value).collect());
        let optics = self.cameras.iter().map(|camera| camera.optics().cloned()).collect();
        let observation = Observation { stamp, frame_id, frames, optics, state, task, noise: Noise::default() };
        (self.observed, self.seen) = (Some(stamp), seen);
        Ok(observation)
    }

    /// Where the robot was at the last observation, as far as the deployment measures it.
    pub fn seen(&self) -> Measured<'_> {
        Measured { joints: &self.seen.joints, eef: self.seen.eef }
    }

    /// How old each input of the last observation was when it was observed.
    pub fn ages(&self) -> &[InputAge] {
        &self.seen.ages
    }

    /// Whether [`Self::observe`] would succeed now.
    ///
    /// # Errors
    /// [`NotReady`] with the first stream that is not usable.
    pub fn ready(&self, now: Stamp) -> Result<(), NotReady> {
        self.anchor(now).map(drop)
    }

    /// Where the robot is, as far as the deployment measures it, fresh.
    ///
    /// # Errors
    /// [`NotReady`] where something of it is missing or old.
    pub fn measured(&self, now: Stamp) -> Result<Measured<'_>, NotReady> {
        let joints = self.joints.as_ref().map_or(Ok(&[][..]), |joints| joints.fresh(now, self.max_skew))?;
        let eef = self.eef.as_ref().map(|eef| eef.stream.fresh(now, self.max_skew)).transpose()?;
        Ok(Measured { joints, eef: eef.map(|held| held.value) })
    }

    /// The instruction, not empty.
    ///
    /// # Errors
    /// [`NotReady`] where there is none.
    pub fn task(&self) -> Result<&Arc<str>, NotReady> {
        let absent = || match &self.latched {
            Some(task) => NotReady::LatchedInstruction { task: Arc::clone(task) },
            None => NotReady::NoInstruction,
        };
        let task = self.task.as_ref().ok_or_else(absent)?;
        if task.trim().is_empty() { Err(NotReady::EmptyInstruction) } else { Ok(task) }
    }

    /// What came in on each stream, and how old its newest sample is.
    pub fn health(&self, now: Stamp) -> Vec<StreamHealth> {
        let cameras = self.streams().map(|stream| stream.health(now));
        let joints = self.joints.iter().map(|joints| joints.health(now));
        let eef = self.eef.iter().map(|eef| eef.stream.health(now));
        let array = self.array.iter().map(|array| array.stream.health(now));
        cameras.chain(joints).chain(eef).chain(array).collect()
    }

    fn camera(&mut self, index: usize, stream: &str) -> Result<&mut Camera, Dropped> {
        let unknown = || Dropped { stream: stream.into(), reason: DropReason::UnknownCamera { index } };
        self.cameras.get_mut(index).ok_or_else(unknown)
    }

    /// The cameras' streams; the first is the anchor's.
    fn streams(&self) -> impl Iterator<Item = &Stream<Arc<Frame>>> {
        self.cameras.iter().map(|camera| &camera.stream)
    }

    /// The anchor's newest frame, after every check of every stream.
    fn anchor(&self, now: Stamp) -> Result<&Held<Arc<Frame>>, NotReady> {
        self.task()?;
        for camera in &self.cameras {
            camera.usable(now, self.max_skew)?;
        }
        self.measured(now)?;
        if let Some(array) = &self.array {
            array.stream.fresh(now, self.max_skew)?;
        }
        let anchor = self.streams().next().and_then(Stream::newest).ok_or(NotReady::NoNewFrame)?;
        if self.observed == Some(anchor.stamp) {
            return Err(NotReady::NoNewFrame);
        }
        for stream in self.streams().skip(1) {
            stream.at(anchor.stamp, self.max_skew)?;
        }
        if let Some(joints) = &self.joints {
            joints.at(anchor.stamp, self.max_skew, |_| {})?;
        }
        if let Some(eef) = &self.eef {
            eef.stream.at(anchor.stamp, self.max_skew)?;
        }
        if let Some(array) = &self.array {
            array.stream.at(anchor.stamp, self.max_skew)?;
        }
        Ok(anchor)
    }
}

impl Array {
    fn new(input: &ArrayInput, look_back: Span) -> Self {
        Self { input: input.clone(), stream: Stream::new("state", input.max_age, input.align, look_back) }
    }

    /// Values that nobody asked for may be anything.
    fn accept(&mut self, sample: Held<Vec<f64>>, horizon: Stamp) -> Result<(), Dropped> {
        let (got, wanted) = (sample.value.len(), self.input.size);
        if got != wanted {
            return Err(self.stream.refuse(DropReason::Size { got, wanted }));
        }
        let used = self.input.used.iter().filter_map(|index| Some((*index, *sample.value.get(*index)?)));
        if let Some((index, value)) = used.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(self.stream.refuse(DropReason::ElementNotFinite { index, value }));
        }
        self.stream.put(sample, horizon)
    }
}

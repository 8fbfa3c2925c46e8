//! Newest usable sample per stream -> [`Observation`], or why there is none yet.
//!
//! Nothing is filled in: a stream that is missing, old, ahead of us or apart from the anchor means no observation.

mod camera;
mod eef;
mod joints;
mod reason;
mod stream;
#[cfg(test)]
mod tests;
mod transforms;

use std::sync::Arc;

use crate::deploy::{ArrayInput, Deployment, Measure, StateValue};
use crate::noise::Noise;
use crate::time::{Span, Stamp};
use crate::types::{Frame, Measured, Observation, Sample, Value};

pub use reason::{DropReason, Dropped, NotReady};
pub use stream::StreamHealth;

use camera::Camera;
use eef::Eef;
use joints::Joints;
use stream::{Held, Stream};

/// The newest sample of every stream. Its first camera is the anchor: its stamp is the observation's.
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
        Self {
            cameras: deployment.cameras().iter().map(Camera::new).collect(),
            joints: deployment.joints().map(Joints::new),
            eef: deployment.eef().map(Eef::new),
            array: deployment.array().map(Array::new),
            state: deployment.state().map(<[StateValue]>::to_vec),
            task: deployment.task().map(Arc::from),
            latched: None,
            max_skew: deployment.max_skew(),
            observed: None,
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

    /// Everything the policy needs, of an anchor frame that was not observed before.
    ///
    /// # Errors
    /// [`NotReady`] with the first stream that is not usable.
    pub fn observe(&mut self, now: Stamp) -> Result<Observation, NotReady> {
        let anchor = self.anchor(now)?;
        let (stamp, frame_id) = (anchor.stamp, anchor.value.frame_id.clone());
        let task = self.task()?;
        let frames = self.streams().filter_map(Stream::newest).map(|held| Arc::clone(&held.value)).collect();
        let optics = self.cameras.iter().map(|camera| camera.optics().cloned()).collect();
        let measured = self.measured(now)?;
        let value = |state: &StateValue| self.measure(state.from, measured).map(|value| state.line.at(value));
        let state = self.state.as_ref().map(|state| state.iter().filter_map(value).collect());
        let observation =
            Observation { stamp, frame_id, frames, optics, state, task: Arc::clone(task), noise: Noise::default() };
        self.observed = Some(stamp);
        Ok(observation)
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
        let eef = self.eef.as_ref().map(|eef| eef.fresh(now, self.max_skew)).transpose()?;
        Ok(Measured { joints, eef })
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
        let eef = self.eef.iter().map(|eef| eef.health(now));
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
            camera.stream.fresh(now, self.max_skew)?;
            camera.seen_through()?;
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
            stream.near(anchor.stamp, self.max_skew)?;
        }
        if let Some(joints) = &self.joints {
            joints.near(anchor.stamp, self.max_skew)?;
        }
        if let Some(eef) = &self.eef {
            eef.near(anchor.stamp, self.max_skew)?;
        }
        if let Some(array) = &self.array {
            array.stream.near(anchor.stamp, self.max_skew)?;
        }
        Ok(anchor)
    }

    fn measure(&self, from: Measure, measured: Measured<'_>) -> Option<f64> {
        match from {
            Measure::Joint(joint) => measured.joints.get(joint).copied(),
            Measure::EefPosition(axis) => measured.eef?.position.get(axis).copied(),
            Measure::EefRotation(convention, component) => measured.eef?.rotation.component(convention, component),
            Measure::Element(index) => self.array.as_ref()?.stream.newest()?.value.get(index).copied(),
        }
    }
}

impl Array {
    fn new(input: &ArrayInput) -> Self {
        Self { input: input.clone(), stream: Stream::new("state", input.max_age) }
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

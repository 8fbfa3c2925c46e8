//! The values that flow from the robot to the policy and back. No decisions here.
//!
//! One word per stage: [`Sample`] -> [`Observation`] -> tensors -> [`Chunk<Normalized>`] -> [`Chunk<Robot>`]
//! -> action -> `SafeCommand` (which only `safety` can build).

mod frame;
mod lens;
mod pinhole;
mod view;

use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::geometry::{Pose, PoseError};
use crate::noise::Noise;
use crate::time::{Span, Stamp};

pub use frame::{Encoding, Frame, Layout, LayoutError, Mosaic};
pub use lens::{Arrives, Calibration, Lens, LensError, Optics, Readout};
pub use pinhole::Pinhole;
pub use view::{Flip, Region, Rotation, View};

/// One message of one stream, as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When it was true: the message's header stamp.
    pub stamp: Stamp,
    /// When it reached us.
    pub received: Stamp,
    /// What it says.
    pub value: Value,
}

/// Content of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A picture of the camera with this index in the deployment's list.
    Frame {
        /// Index into the deployment's cameras.
        camera: usize,
        /// The picture.
        frame: Arc<Frame>,
    },
    /// How the camera with this index sees.
    Optics {
        /// Index into the deployment's cameras.
        camera: usize,
        /// What its camera info says.
        optics: Arc<Optics>,
    },
    /// Joint positions by name.
    Joints(JointSample),
    /// Where the end effector is.
    Pose(PoseSample),
    /// Where frames are in their parents.
    Transforms(Vec<Transform>),
    /// State values in an order that the robot profile knows.
    Array(Vec<f64>),
    /// What the robot is asked to do.
    Instruction(Arc<str>),
    /// What it was asked to do before anybody listened.
    LatchedInstruction(Arc<str>),
    /// What a switch of a person is.
    Switch {
        /// Which one.
        switch: Switch,
        /// Whether it is on: pressed, held, taken over.
        on: bool,
    },
}

/// What a person has in the hand to stop the robot, or to let it move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Switch {
    /// An e-stop, by its index in the deployment's list; on where it is pressed.
    EStop(usize),
    /// On while it is held.
    Deadman,
    /// On while a person drives.
    Takeover,
}

/// Joint positions by name, rad or m as the robot reports them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JointSample {
    /// Joint names, unique.
    pub names: Vec<String>,
    /// One per name.
    pub positions: Vec<f64>,
}

/// A pose and the frame from which it is seen.
#[derive(Clone, Debug, PartialEq)]
pub struct PoseSample {
    /// Frame id of the message's header.
    pub frame_id: String,
    /// The pose.
    pub pose: Pose,
}

/// Where one frame is in another.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// The frame from which `child` is seen.
    pub parent: String,
    /// The frame that is placed.
    pub child: String,
    /// When it was true; `None` for a frame that never moves.
    pub stamp: Option<Stamp>,
    /// Where, or why the numbers are no pose.
    pub pose: Result<Pose, PoseError>,
}

/// Where the robot is, as it measures itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured<'a> {
    /// Joint positions in the deployment's order; empty where it measures none.
    pub joints: &'a [f64],
    /// The end effector's pose; `None` where the deployment does not measure it.
    pub eef: Option<Pose>,
}

/// Everything the policy needs for one inference, all of it fresh. Built by `sync` only when nothing is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Stamp of the anchor camera's frame: the time that step 0 of the chunk belongs to.
    pub stamp: Stamp,
    /// Frame id of the anchor camera.
    pub frame_id: String,
    /// One per camera, in the manifest's order.
    pub frames: Vec<Arc<Frame>>,
    /// One per frame, or none: what a `sensor_msgs/CameraInfo` says about its camera; `None` where nobody asked for it.
    pub optics: Vec<Option<Arc<Optics>>>,
    /// The state vector in the manifest's order and units; `None` where the policy takes none.
    pub state: Option<Vec<f64>>,
    /// The instruction.
    pub task: Arc<str>,
    /// Where a policy that denoises starts.
    pub noise: Noise,
}

/// Unit of a chunk straight from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalized {}

/// Unit of a chunk in the data set's units, as the manifest's `io` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Robot {}

/// The actions of one inference: `[chunk_size, action_dim]`, row-major, in `Unit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk<Unit> {
    actions: Vec<f64>,
    action_dim: usize,
    unit: PhantomData<Unit>,
}

impl<Unit> Chunk<Unit> {
    /// A chunk from row-major values; `None` where they do not fill whole rows or there is no row.
    pub fn new(actions: Vec<f64>, action_dim: usize) -> Option<Self> {
        let fits = action_dim > 0 && !actions.is_empty() && actions.len().is_multiple_of(action_dim);
        fits.then_some(Self { actions, action_dim, unit: PhantomData })
    }

    /// Steps.
    pub fn chunk_size(&self) -> usize {
        self.actions.len() / self.action_dim
    }

    /// Values per step.
    pub fn action_dim(&self) -> usize {
        self.action_dim
    }

    /// All values, row-major.
    pub fn values(&self) -> &[f64] {
        &self.actions
    }

    /// The steps in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.actions.chunks_exact(self.action_dim)
    }
}

/// What an inference came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Inferred {
    /// The actions in the data set's units.
    pub chunk: Chunk<Robot>,
    /// Picture tokens that survived pruning; 0 where the policy does not prune.
    pub kept_tokens: u32,
    /// Time from the start of the inference to its result.
    pub inference_delay: Span,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_does_not_fill_its_last_row_is_no_chunk() {
        assert_eq!(Chunk::<Robot>::new(vec![1.0, 2.0, 3.0], 2), None);
        assert_eq!(Chunk::<Robot>::new(vec![], 2), None);
        let chunk = Chunk::<Robot>::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2).unwrap();
        assert_eq!(chunk.chunk_size(), 3);
        assert_eq!(chunk.rows().nth(2), Some(&[5.0, 6.0][..]));
    }
}

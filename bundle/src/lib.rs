//! What a policy is: the bundle, a directory that the exporter writes and the runtime reads.
//!
//! `manifest.json` holds raw serde types ([`Manifest`]); [`Bundle::load`] checks them.
//! Holding a [`Bundle`] is the proof that its parts fit together, so nobody checks again.

mod bundle;
mod check;
mod digest;
mod error;
mod io;
mod manifest;
mod plan;
mod steps;

pub use bundle::{Bundle, Integrity, MANIFEST_FILE};
pub use digest::{Digest, file_digest};
pub use error::BundleError;
pub use io::{
    ActionDim, ActionKind, Delta, EefFrame, GripperRule, Io, IoFile, Reference, RotationConvention, StateDim,
    StateSource, Unit,
};
pub use manifest::{
    Actions, CameraModel, CameraStream, Checkpoint, Dim, Dtype, FORMAT_VERSION, FileEntry, Golden, GoldenKind, Graph,
    Input, Manifest, Merged, Orientation, Range, Source, StatePiece, StateStream, Streams, TensorSpec, Unnormalize,
};
pub use plan::{
    Autoregress, Cadence, Carry, Denoise, Denominator, FlowTarget, NoiseSource, Rule, SinusoidOrder, Stage,
    TimeEncoding, TimeGrid, TimeInput,
};
pub use steps::{
    ActionStep, Border, Idct, ImageStep, OutputStep, ResizeKernel, StateBins, StateStep, Subsampling, TextStep,
};

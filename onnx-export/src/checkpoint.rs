//! Reads training checkpoints as data: tensors by mmap, JSON files, statistics.
//!
//! Reads name the shape they want, and [`Weights::finish`] fails on a tensor that nobody asked for.

mod adapted;
mod digest;
mod error;
mod files;
mod lora;
mod mapped;
mod safetensors;
mod statistics;
mod stored;
mod torch;
mod transposed;
mod weight;
mod weights;

pub use adapted::Adapted;
pub use digest::identity;
pub use error::CheckpointError;
pub use files::{component, read_json};
pub use lora::LoraConfig;
pub use statistics::{Bounds, Norm, Statistics, StatisticsSource};
pub use weight::{FloatType, Weight};
pub use weights::{Scope, Weights};

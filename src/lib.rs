//! Runs Vision-Language-Action policies on robots.
//!
//! The engine knows time and no tensors. Inference knows tensors and no time. Drivers own clocks, threads and I/O.
//! ARCHITECTURE.md has the picture; `tests/layers.rs` keeps it true.

pub mod bag;
pub mod cli;
pub mod deploy;
pub mod drive;
pub mod engine;
pub mod execute;
pub mod inference;
pub mod msg;
pub mod policy;
pub mod postprocess;
pub mod preprocess;
pub mod profile;
pub mod safety;
pub mod sync;
pub mod tensor;
pub mod time;
pub mod types;

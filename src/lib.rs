//! Runs Vision-Language-Action policies on robots.
//!
//! The engine knows time and no tensors. Inference knows tensors and no time. Drivers own clocks, threads and I/O.
//! ARCHITECTURE.md has the picture; `tests/layers.rs` keeps it true.

#[cfg(all(feature = "humble", feature = "jazzy"))]
compile_error!(
    "features `humble` and `jazzy` are both on: identifiers in the ROS graph have 24 bytes in one and 16 in the other; \
     for Humble build with --no-default-features --features humble"
);
#[cfg(not(any(feature = "humble", feature = "jazzy")))]
compile_error!("neither feature `humble` nor `jazzy` is on: the ROS graph wants one of them");

pub mod bag;
pub mod cli;
pub mod controller;
pub mod deploy;
pub mod drive;
pub mod engine;
pub mod execute;
pub mod geometry;
pub mod inference;
pub mod interlock;
pub mod kinematics;
pub mod motion;
pub mod msg;
pub mod noise;
pub mod policy;
pub mod postprocess;
pub mod preprocess;
pub mod profile;
pub mod safety;
pub mod sync;
pub mod tensor;
pub mod time;
pub mod types;

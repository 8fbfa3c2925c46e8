//! Turns a training checkpoint into a bundle of ONNX graphs, without Python.

pub mod checkpoint;
pub mod graph;

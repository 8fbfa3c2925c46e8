//! Turns a training checkpoint into a bundle of ONNX graphs, without Python.

pub mod blocks;
mod bundle_writer;
pub mod checkpoint;
pub mod cost;
mod error;
pub mod graph;
mod request;
mod systems;

use vla_bundle::{Bundle, Dtype};

pub use bundle_writer::attach_golden;
pub use checkpoint::Norm;
pub use error::ExportError;
pub use request::{Adapter, Camera, CenterCrop, Head, ImagePipeline, Request, System, delta_mask};

/// How far an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Graph whose weights are being written.
    pub graph: &'a str,
    /// Bytes of weights written so far, of all graphs.
    pub written_bytes: u64,
    /// Bytes of weights of all graphs.
    pub total_bytes: u64,
}

/// A finished export.
#[derive(Debug)]
pub struct Exported {
    /// The bundle, without a golden run.
    pub bundle: Bundle,
    /// What a person should know about it, one sentence each.
    pub warnings: Vec<String>,
}

/// Exports a checkpoint; `progress` is called after every tensor that was written.
///
/// # Errors
/// A target that is there already, a request that lacks something or does not fit the checkpoint, a checkpoint that is
/// not of the asked system or of a kind that is not supported, tensors that are absent, of another shape or unread, and
/// whatever the operating system says. Nothing is left at the target then.
pub fn export(request: &Request, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Exported, ExportError> {
    bundle_writer::check_target(&request.out)?;
    check_request(request)?;
    systems::with_draft(request, |draft| bundle_writer::write(draft, request, progress))
}

fn check_request(request: &Request) -> Result<(), ExportError> {
    let mut lacks = request::Lacks::default();
    if request.precision != Dtype::Fp32 {
        lacks.note(format!("`--precision {}` is not supported yet, only fp32", request.precision));
    }
    if request.opset != graph::OPSET {
        lacks.note(format!("`--opset {}` is not supported yet, only {}", request.opset, graph::OPSET));
    }
    if request.cameras.is_empty() {
        lacks.note("`--cameras` is missing".to_owned());
    }
    let mut names = std::collections::BTreeSet::new();
    for camera in &request.cameras {
        if !names.insert(&camera.name) {
            lacks.note(format!("camera `{}` is listed twice", camera.name));
        }
    }
    lacks.finish()
}

//! One file per model system: from its checkpoint's files to a draft of its bundle.

mod cogvla;
mod deep_fusion;
mod dit_layerwise;
mod flow;
#[cfg(test)]
mod half_precision;
mod late_fusion;
mod lightvla;
mod llava;
mod openpi;
mod openvla;
mod openvla_oft;
mod pi0;
mod pi05;
mod prismatic;
mod smolvla;

use crate::ExportError;
use crate::bundle_writer::Draft;
use crate::request::{Request, System};
use openpi::config::Generation;

/// Reads the request's checkpoint and hands the draft of its bundle to `write`: graphs borrow the mapped checkpoint.
pub(crate) fn with_draft<T>(
    request: &Request,
    write: impl FnOnce(Draft<'_>) -> Result<T, ExportError>,
) -> Result<T, ExportError> {
    match request.system {
        System::Openvla => {
            let policy = prismatic::Prismatic::open(request, prismatic::Decoding::Autoregressive)?;
            write(openvla::draft(&policy)?)
        }
        System::OpenvlaOft => {
            let policy = prismatic::Prismatic::open(request, openvla_oft::DECODING)?;
            write(openvla_oft::draft(&policy)?)
        }
        System::Lightvla => {
            let policy = prismatic::Prismatic::open(request, lightvla::DECODING)?;
            write(lightvla::draft(&policy)?)
        }
        System::Cogvla => {
            let policy = cogvla::Cogvla::open(request)?;
            write(policy.draft()?)
        }
        System::Pi0 => {
            let policy = openpi::Openpi::open(request, Generation::Pi0)?;
            write(pi0::draft(&policy)?)
        }
        System::Pi05 => {
            let policy = openpi::Openpi::open(request, Generation::Pi05)?;
            write(pi05::draft(&policy)?)
        }
        System::Smolvla => {
            let policy = smolvla::Smolvla::open(request)?;
            write(policy.draft()?)
        }
        System::LateFusion => {
            let policy = late_fusion::LateFusion::open(request)?;
            write(policy.draft()?)
        }
        System::DeepFusion => {
            let policy = deep_fusion::DeepFusion::open(request)?;
            write(policy.draft()?)
        }
        System::DitLayerwise => {
            let policy = dit_layerwise::DitLayerwise::open(request)?;
            write(policy.draft()?)
        }
    }
}

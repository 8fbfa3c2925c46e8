//! Why a checkpoint cannot be exported.

use std::path::PathBuf;

use vla_bundle::BundleError;

use crate::checkpoint::CheckpointError;
use crate::graph::GraphError;

/// Why a checkpoint cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file or tensor of the checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The bundle that was written, or its manifest.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// What was asked for does not suffice or does not fit the checkpoint; every mismatch is listed.
    #[error("{}", .0.join("; "))]
    Request(Vec<String>),
    /// The checkpoint is of a kind that this build cannot export.
    #[error("{what} is not supported yet: {path}")]
    Unsupported {
        /// The kind, and how it was recognised.
        what: String,
        /// The checkpoint, or the file that says so.
        path: PathBuf,
    },
    /// Two files of the checkpoint, or a file and a shape, contradict each other.
    #[error("{what}: got {got}, wanted {wanted}: {path}")]
    Mismatch {
        /// What was compared.
        what: String,
        /// Value found.
        got: String,
        /// Value wanted, and why.
        wanted: String,
        /// The file.
        path: PathBuf,
    },
    /// A folder or file of the bundle.
    #[error("cannot write {what}: {source}: {path}")]
    Write {
        /// What it is for.
        what: &'static str,
        /// Reason of the operating system.
        source: std::io::Error,
        /// The file or folder.
        path: PathBuf,
    },
    /// The target of the export is already there.
    #[error("{what} is already there, remove it first: {path}")]
    Exists {
        /// `a bundle`, or what else was found.
        what: &'static str,
        /// The target.
        path: PathBuf,
    },
}

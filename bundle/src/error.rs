//! Why a bundle or an IO file is refused.

use std::path::PathBuf;

/// Why a bundle or an IO file is refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file could not be read.
    #[error("cannot read {what}: {source}: {path}")]
    Read {
        /// What the file is for.
        what: &'static str,
        /// Reason of the operating system.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The manifest is not what serde expects.
    #[error("manifest: {reason}: {path}")]
    Parse {
        /// serde's message with line and column.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A newer (or older) format.
    #[error("manifest: format version is {got}, this build reads {wanted}: {path}")]
    Version {
        /// Version in the file.
        got: u64,
        /// Version of this build.
        wanted: u32,
        /// The file.
        path: PathBuf,
    },
    /// Parts of the manifest do not fit together; every mismatch is listed.
    #[error("manifest: {}", .0.join("; "))]
    Inconsistent(Vec<String>),
    /// A file of the bundle is not the one that was exported.
    #[error("file `{name}`: {what} is {got}, the manifest wants {wanted}: {path}")]
    Changed {
        /// Name in the bundle.
        name: String,
        /// `size` or `sha256`.
        what: &'static str,
        /// Value found.
        got: String,
        /// Value in the manifest.
        wanted: String,
        /// The file.
        path: PathBuf,
    },
    /// An IO file or the manifest's `io` contradicts itself.
    #[error("{origin}: {reason}")]
    Io {
        /// File the text came from.
        origin: String,
        /// What is wrong.
        reason: String,
    },
}

//! Why a checkpoint is refused.

use std::path::PathBuf;

/// Why a checkpoint is refused.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system does not hand the file out.
    #[error("cannot read {what}: {source}: {path}")]
    Read {
        /// What the file is for.
        what: &'static str,
        /// Reason of the operating system.
        source: std::io::Error,
        /// The file or folder.
        path: PathBuf,
    },
    /// A file is not what its name promises.
    #[error("{what}: {reason}: {path}")]
    File {
        /// What the file is for.
        what: &'static str,
        /// What was found, and what was wanted.
        reason: String,
        /// The file or folder.
        path: PathBuf,
    },
    /// A tensor's description contradicts itself, its file or another tensor.
    #[error("tensor `{name}`: {reason}: {path}")]
    Tensor {
        /// Full name in the file.
        name: String,
        /// What was found, and what was wanted.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A tensor that the system needs is absent.
    #[error("tensor `{name}`: not in the checkpoint, wanted {wanted:?}: {path}")]
    Missing {
        /// Full name.
        name: String,
        /// Shape that was asked for.
        wanted: Vec<u64>,
        /// The file or folder that was searched.
        path: PathBuf,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor `{name}`: got {got:?}, wanted {wanted:?}: {path}")]
    Shape {
        /// Full name.
        name: String,
        /// Shape in the file.
        got: Vec<u64>,
        /// Shape that was asked for.
        wanted: Vec<u64>,
        /// The file.
        path: PathBuf,
    },
    /// Tensors that the export would have lost silently.
    #[error("{} neither read nor declared droppable: {}: {path}", are(.names.len()), first(.names))]
    Unread {
        /// Full names, sorted.
        names: Vec<String>,
        /// The file or folder.
        path: PathBuf,
    },
}

/// Names that a message shows before it only counts.
const SHOWN: usize = 5;

fn are(count: usize) -> String {
    if count == 1 { "1 tensor is".to_owned() } else { format!("{count} tensors are") }
}

fn first(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let rest = names.len().saturating_sub(SHOWN);
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}

//! What can be wrong with a bag.

use std::path::PathBuf;

use crate::msg::{CdrError, TypeName};

/// Why a bag cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BagError {
    /// The file system said no.
    #[error("{what}: {source}: {}", path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder without a bag in it.
    #[error("folder has neither metadata.yaml nor an .mcap or .db3 file: {}", path.display())]
    NoBag {
        /// The folder.
        path: PathBuf,
    },
    /// `metadata.yaml` is not what rosbag2 writes.
    #[error("bag metadata: {reason}: {}", path.display())]
    Metadata {
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// The first bytes are of no format that is read.
    #[error("not a bag: the first bytes are {got:02x?}, wanted those of an MCAP file or an SQLite database: {}", path.display())]
    NoBagFile {
        /// At most sixteen bytes.
        got: Vec<u8>,
        /// The file.
        path: PathBuf,
    },
    /// A record inside a chunk is longer than the chunk.
    #[error("MCAP chunk is cut off: its record at byte {at} wants {wanted} bytes, {got} are left: {}", path.display())]
    Truncated {
        /// Position of the record in the unpacked chunk; in the file where the chunk is not packed.
        at: usize,
        /// Length that the record claims.
        wanted: u64,
        /// Bytes behind its header.
        got: usize,
        /// The file.
        path: PathBuf,
    },
    /// SQLite cannot make sense of its file, or it is no bag.
    #[error("SQLite bag: {reason}: {}", path.display())]
    Sqlite {
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A record whose content does not parse.
    #[error("MCAP record at byte {at}: {reason}: {}", path.display())]
    Record {
        /// Position as in [`BagError::Truncated`].
        at: usize,
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A chunk in a compression that MCAP does not define.
    #[error("MCAP chunk at byte {at} is compressed with `{got}`, supported are none, zstd and lz4: {}", path.display())]
    Compression {
        /// Position of the chunk.
        at: usize,
        /// What it says.
        got: String,
        /// The file.
        path: PathBuf,
    },
    /// No such topic in the bag.
    #[error("bag has no topic `{topic}`; it has {has}")]
    NoTopic {
        /// What was asked for.
        topic: String,
        /// What there is, with types.
        has: String,
    },
    /// A topic of another type than the reader wants.
    #[error("topic `{topic}` is {got}, wanted {wanted}")]
    Type {
        /// The topic.
        topic: String,
        /// Type in the bag.
        got: String,
        /// Type of the caller.
        wanted: TypeName,
    },
    /// A message whose bytes do not decode.
    #[error("topic `{topic}`, message logged at {log_time_nanos} ns: {reason}")]
    Message {
        /// The topic.
        topic: String,
        /// When it was logged, nanoseconds since the epoch.
        log_time_nanos: i64,
        /// What is wrong with it.
        reason: MessageFault,
    },
    /// The bag could not be written.
    #[error("bag cannot be written: {reason}: {}", path.display())]
    Write {
        /// Why.
        reason: String,
        /// The file.
        path: PathBuf,
    },
}

/// What is wrong with one message.
#[derive(Debug, thiserror::Error)]
pub enum MessageFault {
    /// Its fields do not fit its bytes.
    #[error(transparent)]
    Cdr(#[from] CdrError),
    /// Its own compression is damaged.
    #[error("zstd payload: {0}")]
    Zstd(std::io::Error),
}

//! One file of a bag, whatever its format: told by its first bytes, not by its name.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use tempfile::NamedTempFile;

use super::BagError;
use super::mcap_file::McapFile;
use super::payload::{Payload, ZSTD_MAGIC};
use super::sqlite_file::SqliteFile;
use crate::time::Stamp;

/// The longest of the magics below.
const HEAD_BYTES: usize = SQLITE_MAGIC.len();
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
/// Pictures of a still scene compress well, but a file that grows more than this is made to fill the disk.
const MAX_GROWTH: u64 = 256;
/// Small files may grow more.
const ALWAYS_UNPACKED_BYTES: u64 = 1 << 30;

/// Messages of one file in segments, the smallest parts that are loaded at once; any of them at any time.
pub(super) trait Storage {
    /// Log time of the first message of each segment.
    fn starts(&self) -> Vec<Stamp>;

    /// The messages of one segment, by its place among the starts.
    fn load(&self, segment: usize) -> Result<Vec<Logged<'_>>, BagError>;

    /// Every channel with its number of messages.
    fn channels(&self) -> Vec<(&Channel, u64)>;

    /// What the file held and nobody can read any more, in words.
    fn losses(&self) -> &[String];
}

/// What a message is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    /// Topic name.
    pub topic: String,
    /// Message type; followed by its encoding where that is not CDR, so that no reader of CDR takes it.
    pub type_name: String,
}

impl Channel {
    /// Of a topic whose messages are in `encoding`.
    pub fn new(topic: String, mut type_name: String, encoding: &str) -> Self {
        if encoding != "cdr" {
            type_name = format!("{type_name} in {encoding}");
        }
        Self { topic, type_name }
    }
}

/// One message of a segment.
pub(super) struct Logged<'a> {
    /// What it is said to be.
    pub channel: &'a Channel,
    /// When it was recorded.
    pub log_time: Stamp,
    /// When it was sent; the log time where the format does not say.
    pub publish_time: Stamp,
    /// Its bytes.
    pub payload: Payload<'a>,
}

/// Opens an MCAP file or an SQLite database, plain or compressed as a whole.
pub(super) fn open(path: &Path) -> Result<Box<dyn Storage>, BagError> {
    let failed = |source| BagError::File { what: "bag file", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    if !head(&mut file).map_err(failed)?.starts_with(&ZSTD_MAGIC) {
        return open_plain(path, path);
    }
    let packed_bytes = file.metadata().map_err(failed)?.len();
    let limit = packed_bytes.saturating_mul(MAX_GROWTH).saturating_add(ALWAYS_UNPACKED_BYTES);
    let unpacked = unpack(&file, limit).map_err(|source| BagError::File {
        what: "compressed bag file",
        path: path.to_owned(),
        source,
    })?;
    // Its name vanishes here, its bytes when the bag is closed, however this process ends.
    open_plain(unpacked.path(), path)
}

/// Opens what stands at `stored` and calls it `path` in errors.
fn open_plain(stored: &Path, path: &Path) -> Result<Box<dyn Storage>, BagError> {
    let failed = |source| BagError::File { what: "bag file", path: path.to_owned(), source };
    let mut file = File::open(stored).map_err(failed)?;
    let head = head(&mut file).map_err(failed)?;
    if head.starts_with(mcap::MAGIC) {
        return Ok(Box::new(McapFile::open(&file, path)?));
    }
    if head == SQLITE_MAGIC {
        return Ok(Box::new(SqliteFile::open(stored, path)?));
    }
    Err(BagError::NoBagFile { got: head, path: path.to_owned() })
}

fn head(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}

fn unpack(packed: &File, limit: u64) -> io::Result<NamedTempFile> {
    let mut unpacked = NamedTempFile::new()?;
    let mut source = zstd::stream::read::Decoder::new(packed)?.take(limit);
    io::copy(&mut source, &mut unpacked)?;
    if source.into_inner().read(&mut [0])? > 0 {
        return Err(io::Error::other(format!("it unpacks to more than {limit} bytes")));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_unpacks_to_more_than_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.zstd");
        std::fs::write(&path, zstd::encode_all(&[7; 5000][..], 3).unwrap()).unwrap();
        let packed = || File::open(&path).unwrap();
        assert_eq!(unpack(&packed(), 5000).unwrap().as_file().metadata().unwrap().len(), 5000);
        assert_eq!(unpack(&packed(), 4999).unwrap_err().to_string(), "it unpacks to more than 4999 bytes");
    }
}

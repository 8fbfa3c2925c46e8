//! Bytes of messages, borrowed where the bag holds them as they are.

use std::io::{self, Read};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// First bytes of everything that zstd compressed.
pub(super) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes inside a block.
#[derive(Clone)]
pub(super) struct Payload<'a> {
    block: Block<'a>,
    range: Range<usize>,
}

/// The mapped file, or a chunk or message that lives as long as one of its messages.
#[derive(Clone)]
pub(super) enum Block<'a> {
    Mapped(&'a [u8]),
    Owned(Arc<Vec<u8>>),
}

impl<'a> Payload<'a> {
    /// The part of `block` at `range`, which lies inside.
    pub fn part(block: Block<'a>, range: Range<usize>) -> Self {
        Self { block, range }
    }

    /// All of `bytes`.
    pub fn whole(bytes: Vec<u8>) -> Self {
        Self { range: 0..bytes.len(), block: Block::Owned(Arc::new(bytes)) }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block[self.range.clone()]
    }
}

impl Deref for Block<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Block::Mapped(bytes) => bytes,
            Block::Owned(bytes) => bytes,
        }
    }
}

/// What `packed` holds, at most `bytes` of it.
pub(super) fn unzstd(packed: &[u8], bytes: u64) -> io::Result<Vec<u8>> {
    zstd::stream::read::Decoder::new(packed).and_then(|source| read_up_to(source, bytes))
}

/// As [`unzstd`], for the frame format of lz4.
pub(super) fn unlz4(packed: &[u8], bytes: u64) -> io::Result<Vec<u8>> {
    lz4::Decoder::new(packed).and_then(|source| read_up_to(source, bytes))
}

/// Grows with what arrives, never with what a header promises.
fn read_up_to(source: impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    source.take(bytes).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

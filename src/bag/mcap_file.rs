//! One MCAP file as segments that can be loaded in any order (<https://mcap.dev/spec>).
//!
//! The framing is walked here, so that pictures are borrowed from the mapped file and damaged lengths end in an error;
//! the content of records is parsed by the `mcap` crate.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcap::records::{Record, op};
use memmap2::Mmap;

use super::BagError;
use crate::time::Stamp;

/// No recorder makes larger ones; a damaged size must not take the machine's memory.
const MAX_CHUNK_BYTES: u64 = 1 << 30;
/// Opcode and length in front of every record.
const FRAME_BYTES: usize = 9;
/// Fields of a chunk record in front of its records, where the name of the compression is empty.
const PLAIN_CHUNK_HEADER_BYTES: usize = 40;

/// An opened file.
pub(super) struct McapFile {
    path: PathBuf,
    map: Mmap,
    names: Names,
    segments: Vec<Segment>,
}

/// Channels and their numbers of messages, by id.
#[derive(Default)]
struct Names {
    channels: BTreeMap<u16, Channel>,
    counts: BTreeMap<u16, u64>,
}

/// What a message is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    /// Topic name.
    pub topic: String,
    /// Message type; followed by its encoding where that is not CDR, so that no reader of CDR takes it.
    pub type_name: String,
}

/// The smallest part of a file that is loaded at once: a chunk, or a message outside of chunks.
pub(super) struct Segment {
    /// Log time of its first message.
    pub start: Stamp,
    frame: Frame,
}

/// One message of a segment.
pub(super) struct Logged<'a> {
    /// Key for [`McapFile::channel`], defined.
    pub channel: u16,
    /// When it was recorded.
    pub log_time: Stamp,
    /// When it was sent.
    pub publish_time: Stamp,
    /// Its bytes.
    pub payload: Payload<'a>,
}

/// Bytes inside a block.
#[derive(Clone)]
pub(super) struct Payload<'a> {
    block: Block<'a>,
    range: Range<usize>,
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block[self.range.clone()]
    }
}

impl Payload<'_> {
    /// What a payload compressed on its own holds, at most `bytes` of it.
    pub fn unzstd(&self, bytes: u64) -> io::Result<Self> {
        let unpacked = unzstd(self, bytes)?;
        Ok(Self { range: 0..unpacked.len(), block: Block::Unpacked(Arc::new(unpacked)) })
    }
}

/// The mapped file, or an unpacked chunk or message that lives as long as one of its messages.
#[derive(Clone)]
enum Block<'a> {
    Mapped(&'a [u8]),
    Unpacked(Arc<Vec<u8>>),
}

impl Deref for Block<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Block::Mapped(bytes) => bytes,
            Block::Unpacked(bytes) => bytes,
        }
    }
}

impl McapFile {
    /// Maps the file and looks at every record outside of chunks; inside, only where the file has no statistics.
    pub fn open(path: &Path) -> Result<Self, BagError> {
        let failed = |source| BagError::File { what: "bag file", path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() == 0 {
            return Err(BagError::NotMcap { got: Vec::new(), path: path.to_owned() });
        }
        #[expect(unsafe_code, reason = "bags are larger than memory should hold twice")]
        // SAFETY: the map is only read. A process that shortens the file meanwhile ends us with SIGBUS, as with any
        // mapped file; recordings are finished before they are replayed.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let mut opened = Self { path: path.to_owned(), map, names: Names::default(), segments: Vec::new() };
        opened.index()?;
        Ok(opened)
    }

    /// In the order of the file.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Every channel with its number of messages.
    pub fn channels(&self) -> impl Iterator<Item = (&Channel, u64)> {
        self.names.channels.iter().map(|(id, channel)| (channel, self.names.counts.get(id).copied().unwrap_or(0)))
    }

    /// The channel of a loaded message.
    pub fn channel(&self, message: &Logged) -> &Channel {
        &self.names.channels[&message.channel]
    }

    /// The messages of a segment in the order of the file.
    pub fn load(&self, segment: &Segment) -> Result<Vec<Logged<'_>>, BagError> {
        let (block, frames) = self.unpack(segment)?;
        let mut messages = Vec::new();
        for frame in frames {
            if let Record::Message { header, data } = self.parse(&frame, &block)? {
                if !self.names.channels.contains_key(&header.channel_id) {
                    return Err(self.bad(&frame, format!("message of unknown channel {}", header.channel_id)));
                }
                messages.push(Logged {
                    channel: header.channel_id,
                    log_time: stamp(header.log_time),
                    publish_time: stamp(header.publish_time),
                    payload: Payload { block: block.clone(), range: frame.body.end - data.len()..frame.body.end },
                });
            }
        }
        Ok(messages)
    }

    fn index(&mut self) -> Result<(), BagError> {
        if !self.map.starts_with(mcap::MAGIC) {
            let got = self.map[..self.map.len().min(mcap::MAGIC.len())].to_vec();
            return Err(BagError::NotMcap { got, path: self.path.clone() });
        }
        let (mut definitions, mut statistics, mut segments) = (Definitions::default(), None, Vec::new());
        let mut walk = Walk { bytes: &self.map, at: mcap::MAGIC.len() };
        let no_end = |at| BagError::NoEnd { at, path: self.path.clone() };
        loop {
            let frame = walk.step().ok_or_else(|| no_end(walk.at))?.map_err(|gap| self.truncated(&gap))?;
            match frame.opcode {
                op::FOOTER if self.map[walk.at..].starts_with(mcap::MAGIC) => break,
                op::FOOTER => return Err(no_end(walk.at)),
                op::MESSAGE | op::CHUNK | op::SCHEMA | op::CHANNEL | op::STATISTICS => {}
                _ => continue,
            }
            match self.parse(&frame, &self.map)? {
                Record::Message { header, .. } => segments.push(Segment { start: stamp(header.log_time), frame }),
                Record::Chunk { header, .. } => {
                    segments.push(Segment { start: stamp(header.message_start_time), frame })
                }
                Record::Statistics(found) => statistics = Some(found),
                other => definitions.add(other),
            }
        }
        self.segments = segments;
        self.names = match statistics.filter(|s| definitions.explain(&s.channel_message_counts, s.message_count)) {
            Some(found) => Names { channels: definitions.channels, counts: found.channel_message_counts },
            None => self.scan(definitions)?,
        };
        Ok(())
    }

    /// Finds channels and counts where the file does not say them at its end.
    fn scan(&self, mut definitions: Definitions) -> Result<Names, BagError> {
        let mut counts = BTreeMap::<u16, u64>::new();
        for segment in &self.segments {
            let (block, frames) = self.unpack(segment)?;
            for frame in frames {
                match self.parse(&frame, &block)? {
                    Record::Message { header, .. } => *counts.entry(header.channel_id).or_default() += 1,
                    other => definitions.add(other),
                }
            }
        }
        Ok(Names { channels: definitions.channels, counts })
    }

    /// The block that a segment's records stand in, and the records worth parsing.
    fn unpack(&self, segment: &Segment) -> Result<(Block<'_>, Vec<Frame>), BagError> {
        let chunk = &segment.frame;
        let Record::Chunk { header, data } = self.parse(chunk, &self.map)? else {
            return Ok((Block::Mapped(&self.map), vec![chunk.clone()]));
        };
        let size = header.uncompressed_size;
        if size > MAX_CHUNK_BYTES {
            return Err(self.bad(chunk, format!("chunk claims {size} bytes, the limit is {MAX_CHUNK_BYTES}")));
        }
        let unpacked = match header.compression.as_str() {
            "" => {
                let at = chunk.body.start + PLAIN_CHUNK_HEADER_BYTES;
                let frames = frames(&self.map[..at + data.len()], at).map_err(|gap| self.truncated(&gap))?;
                return Ok((Block::Mapped(&self.map), frames));
            }
            "zstd" => unzstd(&data, size),
            "lz4" => lz4::Decoder::new(&data[..]).and_then(|source| read_up_to(source, size)),
            other => {
                let got = other.to_owned();
                return Err(BagError::Compression { at: chunk.at, got, path: self.path.clone() });
            }
        };
        let unpacked = unpacked.map_err(|e| self.bad(chunk, format!("chunk does not unpack: {e}")))?;
        let frames = frames(&unpacked, 0).map_err(|gap| self.truncated(&gap))?;
        Ok((Block::Unpacked(Arc::new(unpacked)), frames))
    }

    fn parse<'b>(&self, frame: &Frame, block: &'b [u8]) -> Result<Record<'b>, BagError> {
        let body = &block[frame.body.clone()];
        mcap::read::parse_record(frame.opcode, body).map_err(|e| self.bad(frame, e.to_string()))
    }

    fn bad(&self, frame: &Frame, reason: String) -> BagError {
        BagError::Record { at: frame.at, reason, path: self.path.clone() }
    }

    fn truncated(&self, gap: &Gap) -> BagError {
        BagError::Truncated { at: gap.at, wanted: gap.wanted, got: gap.got, path: self.path.clone() }
    }
}

/// Names that the file gives to its channels.
#[derive(Default)]
struct Definitions {
    schemas: BTreeMap<u16, String>,
    channels: BTreeMap<u16, Channel>,
}

impl Definitions {
    fn add(&mut self, record: Record) {
        match record {
            Record::Schema { header, .. } => {
                self.schemas.insert(header.id, header.name);
            }
            Record::Channel(channel) => {
                let mut type_name = self.schemas.get(&channel.schema_id).cloned().unwrap_or_default();
                if channel.message_encoding != "cdr" {
                    type_name = format!("{type_name} in {}", channel.message_encoding);
                }
                self.channels.insert(channel.id, Channel { topic: channel.topic, type_name });
            }
            _ => {}
        }
    }

    /// Whether statistics account for every message and every channel is defined outside of chunks.
    fn explain(&self, counts: &BTreeMap<u16, u64>, messages: u64) -> bool {
        counts.keys().all(|id| self.channels.contains_key(id))
            && counts.values().try_fold(0_u64, |sum, n| sum.checked_add(*n)) == Some(messages)
    }
}

/// Position of one record.
#[derive(Clone)]
struct Frame {
    at: usize,
    opcode: u8,
    body: Range<usize>,
}

/// A record that is longer than the bytes it stands in.
struct Gap {
    at: usize,
    wanted: u64,
    got: usize,
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    /// The next record; `None` at the end of the bytes.
    fn step(&mut self) -> Option<Result<Frame, Gap>> {
        let at = self.at;
        let rest = self.bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let Some(&[opcode, ref length @ ..]) = rest.first_chunk::<FRAME_BYTES>() else {
            return Some(Err(Gap { at, wanted: FRAME_BYTES as u64, got: rest.len() }));
        };
        let (wanted, got) = (u64::from_le_bytes(*length), rest.len() - FRAME_BYTES);
        if wanted > got as u64 {
            return Some(Err(Gap { at, wanted, got }));
        }
        let start = at + FRAME_BYTES;
        self.at = start + wanted as usize;
        Some(Ok(Frame { at, opcode, body: start..self.at }))
    }
}

/// The records of a chunk that are worth parsing.
fn frames(bytes: &[u8], at: usize) -> Result<Vec<Frame>, Gap> {
    let mut walk = Walk { bytes, at };
    let mut frames = Vec::new();
    while let Some(frame) = walk.step() {
        let frame = frame?;
        if matches!(frame.opcode, op::MESSAGE | op::SCHEMA | op::CHANNEL) {
            frames.push(frame);
        }
    }
    Ok(frames)
}

fn unzstd(data: &[u8], bytes: u64) -> io::Result<Vec<u8>> {
    zstd::stream::read::Decoder::new(data).and_then(|source| read_up_to(source, bytes))
}

fn read_up_to(source: impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    source.take(bytes).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

/// Log times are unsigned in the file; those beyond the year 2262 are as far as our stamps go.
fn stamp(nanos: u64) -> Stamp {
    Stamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

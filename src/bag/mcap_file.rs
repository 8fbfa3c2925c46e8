//! One MCAP file as segments that can be loaded in any order (<https://mcap.dev/spec>).
//!
//! The framing is walked here, so that pictures are borrowed from the mapped file and damaged lengths end in an error;
//! the content of records is parsed by the `mcap` crate.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcap::records::{Record, op};
use memmap2::Mmap;

use super::BagError;
use super::payload::{Block, Payload, unlz4, unzstd};
use super::storage::{Channel, Logged, Storage};
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
    losses: Vec<String>,
}

/// Channels and their numbers of messages, by id.
#[derive(Default)]
struct Names {
    channels: BTreeMap<u16, Channel>,
    counts: BTreeMap<u16, u64>,
}

/// A chunk, or a message outside of chunks.
struct Segment {
    start: Stamp,
    frame: Frame,
}

impl McapFile {
    /// Maps the file and looks at every record outside of chunks; inside, only where the file has no statistics.
    pub fn open(file: &File, path: &Path) -> Result<Self, BagError> {
        #[expect(unsafe_code, reason = "bags are larger than memory should hold twice")]
        // SAFETY: the map is only read. A process that shortens the file meanwhile ends us with SIGBUS, as with any
        // mapped file; recordings are finished before they are replayed.
        let map = unsafe { Mmap::map(file) }.map_err(|source| BagError::File {
            what: "bag file",
            path: path.to_owned(),
            source,
        })?;
        let (path, names, segments, losses) = (path.to_owned(), Names::default(), Vec::new(), Vec::new());
        let mut opened = Self { path, map, names, segments, losses };
        opened.index()?;
        Ok(opened)
    }

    fn index(&mut self) -> Result<(), BagError> {
        let (mut definitions, mut statistics, mut segments) = (Definitions::default(), None, Vec::new());
        let mut walk = Walk { bytes: &self.map, at: mcap::MAGIC.len() };
        let ended = loop {
            // Nothing, half a record, or the zeros that a file system left: those end without a footer as well.
            let Some(Ok(frame)) = walk.step() else { break false };
            match frame.opcode {
                op::FOOTER => break self.map[walk.at..].starts_with(mcap::MAGIC),
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
        };
        if !ended {
            self.losses.push(self.cut_off(segments.last()));
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
                self.check(chunk, &data, header.uncompressed_crc)?;
                let frames = frames(&self.map[..at + data.len()], at).map_err(|gap| self.truncated(&gap))?;
                return Ok((Block::Mapped(&self.map), frames));
            }
            "zstd" => unzstd(&data, size),
            "lz4" => unlz4(&data, size),
            other => {
                let got = other.to_owned();
                return Err(BagError::Compression { at: chunk.at, got, path: self.path.clone() });
            }
        };
        let unpacked = unpacked.map_err(|e| self.bad(chunk, format!("chunk does not unpack: {e}")))?;
        self.check(chunk, &unpacked, header.uncompressed_crc)?;
        let frames = frames(&unpacked, 0).map_err(|gap| self.truncated(&gap))?;
        Ok((Block::Owned(Arc::new(unpacked)), frames))
    }

    /// An error and no warning: a policy would answer to pictures that the robot never saw. 0 means that there is none.
    fn check(&self, chunk: &Frame, unpacked: &[u8], wanted: u32) -> Result<(), BagError> {
        let got = crc32fast::hash(unpacked);
        if wanted == 0 || got == wanted {
            return Ok(());
        }
        Err(self.bad(chunk, format!("chunk has the checksum {got:08x}, wanted {wanted:08x}")))
    }

    /// What is missing behind the last record that is whole.
    fn cut_off(&self, last: Option<&Segment>) -> String {
        let whole = last.map_or(mcap::MAGIC.len(), |segment| segment.frame.body.end);
        format!(
            "the recorder was interrupted: the file ends without its closing records, and what stood behind byte {whole} \
             of {} is lost: {}",
            self.map.len(),
            self.path.display()
        )
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

impl Storage for McapFile {
    fn starts(&self) -> Vec<Stamp> {
        self.segments.iter().map(|segment| segment.start).collect()
    }

    fn load(&self, segment: usize) -> Result<Vec<Logged<'_>>, BagError> {
        let (block, frames) = self.unpack(&self.segments[segment])?;
        let mut messages = Vec::new();
        for frame in frames {
            if let Record::Message { header, data } = self.parse(&frame, &block)? {
                let unknown = || self.bad(&frame, format!("message of unknown channel {}", header.channel_id));
                messages.push(Logged {
                    channel: self.names.channels.get(&header.channel_id).ok_or_else(unknown)?,
                    log_time: stamp(header.log_time),
                    publish_time: stamp(header.publish_time),
                    payload: Payload::part(block.clone(), frame.body.end - data.len()..frame.body.end),
                });
            }
        }
        Ok(messages)
    }

    fn channels(&self) -> Vec<(&Channel, u64)> {
        let count = |id| self.names.counts.get(id).copied().unwrap_or(0);
        self.names.channels.iter().map(|(id, channel)| (channel, count(id))).collect()
    }

    fn losses(&self) -> &[String] {
        &self.losses
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
                let type_name = self.schemas.get(&channel.schema_id).cloned().unwrap_or_default();
                let named = Channel::new(channel.topic, type_name, &channel.message_encoding);
                self.channels.insert(channel.id, named);
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

/// Log times are unsigned in the file; those beyond the year 2262 are as far as our stamps go.
fn stamp(nanos: u64) -> Stamp {
    Stamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

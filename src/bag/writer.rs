//! Writes an MCAP file as rosbag2 does: profile `ros2`, CDR, message definitions beside the types.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use mcap::records::MessageHeader;
use serde::Serialize;

use super::{BagError, definitions};
use crate::msg::{Message, TypeName, to_cdr};
use crate::time::Stamp;

/// A bag that is being written; it appears under its name when it is finished, and not at all when it is dropped before.
pub struct BagWriter {
    path: PathBuf,
    unfinished: PathBuf,
    out: mcap::Writer<BufWriter<File>>,
    channels: BTreeMap<String, u16>,
    sequence: u32,
}

impl BagWriter {
    /// Starts a bag that will stand at `path`; a file that stands there is replaced when this one is finished.
    pub fn create(path: &Path) -> Result<Self, BagError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let unfinished = path.with_file_name(name);
        let file = File::create(&unfinished).map_err(|source| BagError::File {
            what: "new bag file",
            path: unfinished.clone(),
            source,
        })?;
        let options = mcap::WriteOptions::new().compression(None).profile("ros2").library("vla-runtime");
        let out = options.create(BufWriter::new(file)).map_err(|e| failed(path, &e))?;
        Ok(Self { path: path.to_owned(), unfinished, out, channels: BTreeMap::new(), sequence: 0 })
    }

    /// Appends one message; `at` is its log time and its publish time.
    ///
    /// # Errors
    /// The file system says no.
    pub fn write<M: Message + Serialize>(&mut self, topic: &str, at: Stamp, message: &M) -> Result<(), BagError> {
        self.write_bytes((topic, M::TYPE), [at, at], &to_cdr(message))
    }

    /// Appends one message as its CDR bytes with their encapsulation header, with its log time and its publish time.
    ///
    /// # Errors
    /// The file system says no.
    pub fn write_bytes(
        &mut self,
        (topic, kind): (&str, TypeName),
        times: [Stamp; 2],
        cdr: &[u8],
    ) -> Result<(), BagError> {
        let channel_id = match self.channels.get(topic) {
            Some(id) => *id,
            None => self.add_channel(topic, kind)?,
        };
        let [log_time, publish_time] = times.map(|time| time.nanos().max(0) as u64);
        let header = MessageHeader { channel_id, sequence: self.sequence, log_time, publish_time };
        self.sequence = self.sequence.wrapping_add(1);
        self.out.write_to_known_channel(&header, cdr).map_err(|e| failed(&self.path, &e))
    }

    /// Closes the file and gives it its name.
    pub fn finish(mut self) -> Result<(), BagError> {
        self.out.finish().map_err(|e| failed(&self.path, &e))?;
        std::fs::rename(&self.unfinished, &self.path).map_err(|source| BagError::File {
            what: "finished bag file",
            path: self.path.clone(),
            source,
        })
    }

    fn add_channel(&mut self, topic: &str, kind: TypeName) -> Result<u16, BagError> {
        let definition = definitions::ros2msg(kind).unwrap_or_default();
        let id = self
            .out
            .add_schema(&kind.to_string(), "ros2msg", definition.as_bytes())
            .and_then(|schema| self.out.add_channel(schema, topic, "cdr", &BTreeMap::new()))
            .map_err(|e| failed(&self.path, &e))?;
        self.channels.insert(topic.to_owned(), id);
        Ok(id)
    }
}

impl Drop for BagWriter {
    fn drop(&mut self) {
        // Gone already after `finish`; nobody can be told when the file system refuses here.
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

fn failed(path: &Path, error: &mcap::McapError) -> BagError {
    // What the file system says stands behind it.
    let (mut reason, mut behind) = (error.to_string(), error.source());
    while let Some(source) = behind {
        reason = format!("{reason}: {source}");
        behind = source.source();
    }
    BagError::Write { reason, path: path.to_owned() }
}

//! A bag as topics and as messages in the order in which they were logged, however many files it has.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::{BagError, MessageFault};
use super::folder::{self, Folder};
use super::payload::{Payload, ZSTD_MAGIC, unzstd};
use super::storage::{self, Logged, Storage};
use crate::msg::{Message, from_cdr};
use crate::time::Stamp;

/// A message is a picture at most.
const MAX_MESSAGE_BYTES: u64 = 1 << 28;

/// An opened bag.
pub struct BagReader {
    files: Vec<Box<dyn Storage>>,
    topics: BTreeMap<String, Topic>,
    warnings: Vec<String>,
}

/// One topic of a bag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Absolute name.
    pub name: String,
    /// Message type as the bag writes it, `sensor_msgs/msg/Image`; the encoding follows where it is not CDR.
    pub type_name: String,
    /// Number of messages.
    pub count: u64,
}

/// One message, not decoded.
pub struct RawMessage<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Message type as the bag writes it.
    pub type_name: &'a str,
    /// When it was recorded.
    pub log_time: Stamp,
    /// When it was sent, where the recorder knew; else the log time.
    pub publish_time: Stamp,
    payload: Payload<'a>,
}

impl BagReader {
    /// Opens a folder with `metadata.yaml`, a folder of `.mcap` or `.db3` files, or one such file; each may be
    /// compressed with zstd as a whole.
    pub fn open(path: &Path) -> Result<Self, BagError> {
        let Folder { files, message_count, mut warnings } = folder::find(path)?;
        let files = files.iter().map(|file| storage::open(file)).collect::<Result<Vec<_>, _>>()?;
        let mut topics = BTreeMap::<String, Topic>::new();
        for (channel, count) in files.iter().flat_map(|file| file.channels()) {
            let (name, type_name) = (channel.topic.clone(), channel.type_name.clone());
            topics.entry(name.clone()).or_insert(Topic { name, type_name, count: 0 }).count += count;
        }
        warnings.extend(files.iter().flat_map(|file| file.losses()).cloned());
        let found: u64 = topics.values().map(|topic| topic.count).sum();
        if let Some(wanted) = message_count.filter(|wanted| *wanted != found) {
            warnings.push(format!("the bag's metadata counts {wanted} messages, its files hold {found}"));
        }
        Ok(Self { files, topics, warnings })
    }

    /// What is strange about the bag or missing from it, although it can be read; one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Every topic, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// One topic; the error lists what there is.
    pub fn topic(&self, name: &str) -> Result<&Topic, BagError> {
        self.topics.get(name).ok_or_else(|| {
            let has: Vec<_> = self.topics().map(|topic| format!("{} ({})", topic.name, topic.type_name)).collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            BagError::NoTopic { topic: name.to_owned(), has }
        })
    }

    /// Every message in order of log time; messages of the same time in the order of the files.
    ///
    /// After a damaged chunk the iterator ends.
    pub fn messages(&self) -> Messages<'_> {
        let mut segments = Vec::new();
        for file in &self.files {
            let starts = file.starts().into_iter().enumerate();
            segments.extend(starts.map(|(index, start)| Segment { start, file: file.as_ref(), index }));
        }
        segments.sort_by_key(|segment| segment.start);
        Messages { segments: segments.into_iter(), ready: BTreeMap::new(), loaded: 0 }
    }
}

/// Messages of a bag in order of log time; see [`BagReader::messages`].
pub struct Messages<'a> {
    segments: std::vec::IntoIter<Segment<'a>>,
    ready: BTreeMap<(Stamp, u64), Logged<'a>>,
    loaded: u64,
}

#[derive(Clone, Copy)]
struct Segment<'a> {
    start: Stamp,
    file: &'a dyn Storage,
    index: usize,
}

impl Messages<'_> {
    /// Loads every segment that may hold an earlier message than the earliest one that is ready.
    fn load_what_comes_first(&mut self) -> Result<(), BagError> {
        while let Some(segment) = self.segments.as_slice().first().copied() {
            if self.ready.first_key_value().is_some_and(|((log_time, _), _)| *log_time < segment.start) {
                break;
            }
            self.segments.next();
            for message in segment.file.load(segment.index)? {
                self.ready.insert((message.log_time, self.loaded), message);
                self.loaded += 1;
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<RawMessage<'a>, BagError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(e) = self.load_what_comes_first() {
            (self.segments, self.ready) = (Vec::new().into_iter(), BTreeMap::new());
            return Some(Err(e));
        }
        let (_, message) = self.ready.pop_first()?;
        let mut raw = RawMessage {
            topic: &message.channel.topic,
            type_name: &message.channel.type_name,
            log_time: message.log_time,
            publish_time: message.publish_time,
            payload: message.payload,
        };
        // CDR starts with 0x00, so that nothing but a message compressed on its own starts like this.
        if raw.payload.starts_with(&ZSTD_MAGIC) {
            match unzstd(&raw.payload, MAX_MESSAGE_BYTES) {
                Ok(unpacked) => raw.payload = Payload::whole(unpacked),
                Err(e) => return Some(Err(raw.fault(MessageFault::Zstd(e)))),
            }
        }
        Some(Ok(raw))
    }
}

impl RawMessage<'_> {
    /// CDR bytes with their encapsulation header.
    pub fn data(&self) -> &[u8] {
        &self.payload
    }

    /// Reads the message as the type that the caller wants and the topic has.
    pub fn decode<'d, M: Message + Deserialize<'d>>(&'d self) -> Result<M, BagError> {
        if !M::TYPE.matches(self.type_name) {
            let (topic, got) = (self.topic.to_owned(), self.type_name.to_owned());
            return Err(BagError::Type { topic, got, wanted: M::TYPE });
        }
        from_cdr(&self.payload).map_err(|e| self.fault(MessageFault::Cdr(e)))
    }

    fn fault(&self, reason: MessageFault) -> BagError {
        BagError::Message { topic: self.topic.to_owned(), log_time_nanos: self.log_time.nanos(), reason }
    }
}

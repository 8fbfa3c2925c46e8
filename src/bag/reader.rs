//! A bag as topics and as messages in the order in which they were logged, however many files it has.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::{BagError, MessageFault};
use super::folder;
use super::mcap_file::{Logged, McapFile, Payload, Segment};
use crate::msg::{Message, from_cdr};
use crate::time::Stamp;

/// Unpacked CDR starts with 0x00, so a payload that starts like this was compressed on its own.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A message is a picture at most.
const MAX_MESSAGE_BYTES: u64 = 1 << 28;

/// An opened bag.
pub struct BagReader {
    files: Vec<McapFile>,
    topics: BTreeMap<String, Topic>,
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
    /// Opens a folder with `metadata.yaml`, a folder of `.mcap` files, or one `.mcap` file.
    pub fn open(path: &Path) -> Result<Self, BagError> {
        let files = folder::files(path)?.iter().map(|file| McapFile::open(file)).collect::<Result<Vec<_>, _>>()?;
        let mut topics = BTreeMap::<String, Topic>::new();
        for (channel, count) in files.iter().flat_map(McapFile::channels) {
            let (name, type_name) = (channel.topic.clone(), channel.type_name.clone());
            topics.entry(name.clone()).or_insert(Topic { name, type_name, count: 0 }).count += count;
        }
        Ok(Self { files, topics })
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
        let mut segments: Vec<_> =
            self.files.iter().flat_map(|file| file.segments().iter().map(move |segment| (file, segment))).collect();
        segments.sort_by_key(|(_, segment)| segment.start);
        Messages { segments: segments.into_iter(), ready: BTreeMap::new(), loaded: 0 }
    }
}

/// Messages of a bag in order of log time; see [`BagReader::messages`].
pub struct Messages<'a> {
    segments: std::vec::IntoIter<(&'a McapFile, &'a Segment)>,
    ready: BTreeMap<(Stamp, u64), (&'a McapFile, Logged<'a>)>,
    loaded: u64,
}

impl Messages<'_> {
    /// Loads every segment that may hold an earlier message than the earliest one that is ready.
    fn load_what_comes_first(&mut self) -> Result<(), BagError> {
        while let Some((file, segment)) = self.segments.as_slice().first().copied() {
            if self.ready.first_key_value().is_some_and(|((log_time, _), _)| *log_time < segment.start) {
                break;
            }
            self.segments.next();
            for message in file.load(segment)? {
                self.ready.insert((message.log_time, self.loaded), (file, message));
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
        let (_, (file, message)) = self.ready.pop_first()?;
        let channel = file.channel(&message);
        let mut raw = RawMessage {
            topic: &channel.topic,
            type_name: &channel.type_name,
            log_time: message.log_time,
            publish_time: message.publish_time,
            payload: message.payload,
        };
        if raw.payload.starts_with(&ZSTD_MAGIC) {
            match raw.payload.unzstd(MAX_MESSAGE_BYTES) {
                Ok(payload) => raw.payload = payload,
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

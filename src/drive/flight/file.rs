//! A file being written, a few messages at a time, so that its thread goes on taking what comes in.

use std::path::{Path, PathBuf};
use std::vec;

use super::LOG_TOPIC;
use super::ring::{Item, What};
use crate::bag::{BagError, BagWriter};
use crate::deploy::Deployment;
use crate::drive::chunk_messages::{ChunkMessages, Source};
use crate::drive::command_log::CommandLog;
use crate::drive::ros_args::{NameError, RosArgs};
use crate::msg::StringMessage;
use crate::time::{Span, Stamp};

/// Items that are written between two looks at what has come in.
const AT_ONCE: usize = 16;

/// What every file of a node needs.
pub(super) struct Template {
    deployment: Deployment,
    names: RosArgs,
    folder: PathBuf,
    chunk_topic: String,
    log_topic: String,
}

/// A file that has begun.
pub(super) struct Writing {
    bag: BagWriter,
    path: PathBuf,
    items: vec::IntoIter<Item>,
    commands: CommandLog,
    chunks: ChunkMessages,
    topics: [String; 2],
    last: Stamp,
}

impl Template {
    pub fn new(deployment: &Deployment, names: &RosArgs, folder: &Path) -> Result<Self, NameError> {
        Ok(Self {
            deployment: deployment.clone(),
            names: names.clone(),
            folder: folder.to_owned(),
            chunk_topic: names.resolve(deployment.action_chunk_topic())?,
            log_topic: names.resolve(LOG_TOPIC)?,
        })
    }

    /// Begins a file for something of `class` that happened at `at`.
    ///
    /// # Errors
    /// In words, why there is none.
    pub fn begin(&self, (class, at): (&str, Stamp), items: Vec<Item>) -> Result<Writing, String> {
        let failed = |error: &dyn ToString| error.to_string();
        std::fs::create_dir_all(&self.folder).map_err(|e| format!("{e}: {}", self.folder.display()))?;
        let path = self.free_path(class, at);
        let last = items.last().map_or(at, |item| item.at);
        Ok(Writing {
            bag: BagWriter::create(&path).map_err(|e| failed(&e))?,
            path,
            items: items.into_iter(),
            commands: CommandLog::new(&self.deployment, &self.names).map_err(|e| failed(&e))?,
            chunks: ChunkMessages::new(&self.deployment, Source::Live),
            topics: [self.chunk_topic.clone(), self.log_topic.clone()],
            last,
        })
    }

    /// A name that no file has: a simulation may come to the same time again.
    fn free_path(&self, class: &str, at: Stamp) -> PathBuf {
        let (sec, nanosec) = at.to_ros();
        let name =
            |suffix: &str| self.folder.join(format!("flight-{sec}.{:03}-{class}{suffix}.mcap", nanosec / 1_000_000));
        let others = (2..).map(|number| name(&format!("-{number}")));
        std::iter::once(name("")).chain(others).find(|path| !path.exists()).unwrap_or_else(|| name(""))
    }
}

impl Writing {
    /// Writes a few items; gives the finished file's path after the last one.
    ///
    /// # Errors
    /// The file system says no; then there is no file.
    pub fn step(mut self: Box<Self>) -> Result<Step, BagError> {
        for _ in 0..AT_ONCE {
            let Some(item) = self.items.next() else {
                self.commands.write_until(self.last + Span::from_nanos(1), &mut self.bag)?;
                self.bag.finish()?;
                return Ok(Step::Done(self.path));
            };
            self.write(&item)?;
        }
        Ok(Step::More(self))
    }

    fn write(&mut self, Item { at, what }: &Item) -> Result<(), BagError> {
        let [chunk_topic, log_topic] = &self.topics;
        match what {
            What::Message { original, received, .. } => {
                self.bag.write_bytes((&original.topic, original.kind), [*at, *received], &original.cdr)
            }
            What::Entry(text) | What::State(text) => {
                self.bag.write(log_topic, *at, &StringMessage { data: text.to_string() })
            }
            What::Decision(decision) => self.bag.write(chunk_topic, *at, &self.chunks.message(decision)),
            What::Command(command) => self.commands.start(*at, command, &mut self.bag),
        }
    }
}

/// How far a file is.
pub(super) enum Step {
    /// There is more to write.
    More(Box<Writing>),
    /// It stands under this path.
    Done(PathBuf),
}

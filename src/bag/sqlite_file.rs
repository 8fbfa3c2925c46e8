//! One SQLite database of rosbag2's `sqlite3` storage: tables `topics` and `messages`, the same in all versions of its
//! schema. It is opened as a file that nobody writes: the folder may be read-only, and nothing is left in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, Row};

use super::BagError;
use super::payload::Payload;
use super::storage::{Channel, Logged, Storage};
use crate::time::Stamp;

/// A message is a picture at most.
const MAX_VALUE_BYTES: i32 = 1 << 28;
/// Fewer than any row takes; damaged pages that name each other would give rows without end.
const MIN_ROW_BYTES: u64 = 4;
/// Where SQLite keeps what a recorder wrote last, until it closes the database.
const LEFTOVERS: [&str; 2] = ["-wal", "-journal"];

/// An opened database.
pub(super) struct SqliteFile {
    path: PathBuf,
    database: Connection,
    max_rows: usize,
    /// By id, with their numbers of messages.
    channels: BTreeMap<i64, (Channel, u64)>,
    /// In the order in which they were recorded.
    messages: Vec<Place>,
    losses: Vec<String>,
}

/// Where one message stands.
#[derive(Clone, Copy)]
struct Place {
    log_time: Stamp,
    row: i64,
    /// Defined.
    channel: i64,
}

impl SqliteFile {
    /// Opens the database that stands at `stored` and looks at every message's time; `path` is its name in errors.
    pub fn open(stored: &Path, path: &Path) -> Result<Self, BagError> {
        let failed = |source| BagError::File { what: "bag file", path: path.to_owned(), source };
        let max_rows = (std::fs::metadata(stored).map_err(failed)?.len() / MIN_ROW_BYTES) as usize;
        let absolute = std::path::absolute(stored).map_err(failed)?;
        let database =
            connect(&absolute).map_err(|e| BagError::Sqlite { reason: e.to_string(), path: path.to_owned() })?;
        let (path, losses) = (path.to_owned(), leftovers(path));
        let mut opened = Self { path, database, max_rows, channels: BTreeMap::new(), messages: Vec::new(), losses };
        opened.check_tables()?;
        opened.index()?;
        Ok(opened)
    }

    /// Real tables only: a view or a virtual table could compute for ever.
    fn check_tables(&self) -> Result<(), BagError> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0";
        let found: Vec<String> = self.rows(sql, |row| row.get(0))?;
        match ["topics", "messages"].into_iter().find(|wanted| !found.iter().any(|name| name == wanted)) {
            Some(missing) => Err(self.broken(format!("it is no bag, table `{missing}` is missing"))),
            None => Ok(()),
        }
    }

    fn index(&mut self) -> Result<(), BagError> {
        let topic = |row: &Row| {
            let encoding: String = row.get(3)?;
            Ok((row.get(0)?, (Channel::new(row.get(1)?, row.get(2)?, &encoding), 0)))
        };
        let topics = self.rows("SELECT id, name, type, serialization_format FROM topics", topic)?;
        self.channels = topics.into_iter().collect();
        let place =
            |row: &Row| Ok(Place { log_time: Stamp::from_nanos(row.get(0)?), row: row.get(1)?, channel: row.get(2)? });
        self.messages = self.rows("SELECT timestamp, rowid, topic_id FROM messages", place)?;
        for Place { row, channel, .. } in &self.messages {
            match self.channels.get_mut(channel) {
                Some((_, count)) => *count += 1,
                None => return Err(self.broken(format!("message {row} is of unknown topic {channel}"))),
            }
        }
        Ok(())
    }

    fn rows<T>(&self, sql: &str, read: impl FnMut(&Row) -> rusqlite::Result<T>) -> Result<Vec<T>, BagError> {
        let wrong = |e: rusqlite::Error| self.broken(e.to_string());
        let mut statement = self.database.prepare(sql).map_err(wrong)?;
        let rows = statement.query_map([], read).map_err(wrong)?;
        let rows: Vec<T> = rows.take(self.max_rows + 1).collect::<Result<_, _>>().map_err(wrong)?;
        if rows.len() > self.max_rows {
            return Err(self.broken("it gives more rows than its bytes can hold".to_owned()));
        }
        Ok(rows)
    }

    fn broken(&self, reason: String) -> BagError {
        BagError::Sqlite { reason, path: self.path.clone() }
    }
}

impl Storage for SqliteFile {
    fn starts(&self) -> Vec<Stamp> {
        self.messages.iter().map(|place| place.log_time).collect()
    }

    fn load(&self, segment: usize) -> Result<Vec<Logged<'_>>, BagError> {
        let Place { log_time, row, channel } = self.messages[segment];
        let data = self
            .database
            .query_row("SELECT data FROM messages WHERE rowid = ?1", [row], |row| row.get(0))
            .map_err(|e| self.broken(format!("message {row}: {e}")))?;
        let (channel, _) = &self.channels[&channel];
        Ok(vec![Logged { channel, log_time, publish_time: log_time, payload: Payload::whole(data) }])
    }

    fn channels(&self) -> Vec<(&Channel, u64)> {
        self.channels.values().map(|(channel, count)| (channel, *count)).collect()
    }

    fn losses(&self) -> &[String] {
        &self.losses
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // A path may hold what means something in a URI.
    let escaped: String = path.as_os_str().as_encoded_bytes().iter().map(|byte| format!("%{byte:02x}")).collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)?;
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)?;
    // What SQLite recommends for files from strangers (<https://www.sqlite.org/security.html>).
    database.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")?;
    Ok(database)
}

/// What a recorder that was killed left beside the database; a reader that changes nothing cannot take it in.
fn leftovers(path: &Path) -> Vec<String> {
    let beside = LEFTOVERS.iter().map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    });
    let full = beside.filter(|file| std::fs::metadata(file).is_ok_and(|found| found.len() > 0));
    full.map(|file| format!("the recorder was interrupted: messages that are still in {} are left out", file.display()))
        .collect()
}

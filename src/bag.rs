//! Log bytes <-> messages: bags are read by message, in the order in which they were logged, and written.
//!
//! [`BagReader`] hides how a bag is stored: MCAP or SQLite, in one file or many, compressed by file, chunk or message, or
//! not. Payloads are borrowed from the mapped file, or from their chunk where that was compressed.
//! Nothing here knows what a message means.

mod definitions;
mod error;
mod folder;
mod mcap_file;
mod payload;
mod reader;
mod sqlite_file;
mod storage;
mod writer;

pub use error::{BagError, MessageFault};
pub use reader::{BagReader, Messages, RawMessage, Topic};
pub use writer::BagWriter;

#[cfg(test)]
mod tests;

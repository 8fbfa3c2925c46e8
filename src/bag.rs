//! Log bytes <-> messages: bags are read by message, in the order in which they were logged, and written.
//!
//! [`BagReader`] hides how a bag is stored; payloads are borrowed from the mapped file, or from their chunk where that
//! was compressed. Nothing here knows what a message means.

mod definitions;
mod error;
mod folder;
mod mcap_file;
mod reader;
mod writer;

pub use error::{BagError, MessageFault};
pub use reader::{BagReader, Messages, RawMessage, Topic};
pub use writer::BagWriter;

#[cfg(test)]
mod tests;

//! What the flight recorder keeps, and where it writes.

use std::path::PathBuf;

use super::parameters::Reader;
use crate::time::Span;

/// How much of the past is kept, and where it is written when something goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct FlightRules {
    /// Folder of the files.
    pub folder: PathBuf,
    /// How far back a file goes.
    pub length: Span,
    /// Bytes of memory that the past may take.
    pub bytes: usize,
}

/// Longer than most things that go wrong take.
const LENGTH_S: f64 = 20.0;
/// Compressed pictures of three cameras at 30 Hz, or raw ones of 640 x 480 at 10 Hz from one.
const MIB: usize = 256;

impl FlightRules {
    /// What the parameters say; `None` where no folder is named.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let folder = reader.string("flight_recorder").filter(|folder| !folder.is_empty());
        let length = Span::from_secs(reader.above_zero("flight_recorder_s").unwrap_or(LENGTH_S));
        let bytes = reader.count("flight_recorder_mib").unwrap_or(MIB).saturating_mul(1 << 20);
        folder.map(|folder| Self { folder: folder.into(), length, bytes })
    }
}

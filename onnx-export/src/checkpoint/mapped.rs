//! A file's bytes by mmap: read where they are used, given back once they are written.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, UncheckedAdvice};

use super::CheckpointError;

/// The bytes of a file that is larger than memory should hold.
#[derive(Debug)]
pub(super) struct Mapped {
    map: Mmap,
    path: PathBuf,
}

impl Mapped {
    /// Maps a whole file.
    pub fn open(path: &Path, what: &'static str) -> Result<Self, CheckpointError> {
        let refuse = |source| CheckpointError::Read { what, source, path: path.to_owned() };
        let file = File::open(path).map_err(refuse)?;
        #[expect(
            unsafe_code,
            reason = "a checkpoint is larger than memory should hold, and only mmap gives slices of it"
        )]
        // SAFETY: the map is private and never written through; like every reader of weights by mmap we rely on
        // nobody changing or cutting the checkpoint while it is being exported.
        let map = unsafe { Mmap::map(&file) }.map_err(refuse)?;
        Ok(Self { map, path: path.to_owned() })
    }

    /// All of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells the kernel that this part of [`Mapped::bytes`] is done with, so that resident memory does not grow with
    /// the checkpoint; a later read loads it again.
    pub fn release(&self, part: &[u8]) {
        let Some(offset) = (part.as_ptr() as usize).checked_sub(self.map.as_ptr() as usize) else { return };
        #[expect(unsafe_code, reason = "pages that were read count as resident memory until they are given back")]
        // SAFETY: the map is read-only and backed by the file, so a dropped page comes back with the same content.
        let advised = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, part.len()) };
        // Advice that the kernel does not take costs memory, never correctness.
        let _ = advised;
    }
}

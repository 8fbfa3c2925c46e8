//! The zip archive around a state dict: `<folder>/data.pkl`, `<folder>/byteorder`, `<folder>/data/<storage>`.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

const PICKLE: &str = "data.pkl";

/// Where the entries of the archive lie in the file.
pub(super) struct Archive {
    pickle: Range<usize>,
    storages: BTreeMap<String, Range<usize>>,
}

impl Archive {
    /// Finds the entries; all of them must be stored without compression.
    pub fn read(file: &[u8]) -> Result<Self, String> {
        if file.starts_with(&[0x80]) {
            return Err("written by a torch older than 1.6, load and save it once with a current one".to_owned());
        }
        let mut entries = entries(file)?;
        let mut pickles = entries.keys().filter_map(|name| name.strip_suffix(PICKLE));
        let folder = match (pickles.next(), pickles.next()) {
            (Some(folder), None) if folder.ends_with('/') => folder.to_owned(),
            (None, _) => return Err(format!("no {PICKLE} in the archive")),
            _ => return Err(format!("wanted one {PICKLE} in a folder of the archive")),
        };
        if let Some(order) = entries.get(&format!("{folder}byteorder"))
            && &file[order.clone()] != b"little"
        {
            return Err("byte order is not little".to_owned());
        }
        let pickle = entries.remove(&format!("{folder}{PICKLE}")).ok_or("no pickle")?;
        let data = format!("{folder}data/");
        let storages =
            entries.into_iter().filter_map(|(name, range)| Some((name.strip_prefix(&data)?.to_owned(), range)));
        Ok(Self { pickle, storages: storages.collect() })
    }

    /// Bytes of the pickle in the same file.
    pub fn pickle<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        &file[self.pickle.clone()]
    }

    /// Bytes of a storage in the file.
    pub fn storage(&self, key: &str) -> Option<Range<usize>> {
        self.storages.get(key).cloned()
    }
}

fn entries(file: &[u8]) -> Result<BTreeMap<String, Range<usize>>, String> {
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(|e| format!("not a zip archive: {e}"))?;
    let mut entries = BTreeMap::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(|e| format!("entry {i} of the archive: {e}"))?;
        let name = entry.name().map_err(|e| format!("entry {i} of the archive: {e}"))?.into_owned();
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(format!("entry `{name}` is compressed or encrypted, wanted stored"));
        }
        let range = entry.data_start().and_then(|start| {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(usize::try_from(entry.compressed_size()).ok()?)?;
            (end <= file.len()).then_some(start..end)
        });
        let range = range.ok_or_else(|| format!("entry `{name}` ends after the file's {} bytes", file.len()))?;
        entries.insert(name, range);
    }
    Ok(entries)
}

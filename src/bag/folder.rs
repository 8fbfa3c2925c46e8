//! From the path that a user gives to the files of the bag.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::BagError;

const METADATA_FILE: &str = "metadata.yaml";

/// The part of rosbag2's `metadata.yaml` that reading needs; versions differ in the rest.
#[derive(Deserialize)]
struct Metadata {
    rosbag2_bagfile_information: Information,
}

#[derive(Deserialize)]
struct Information {
    storage_identifier: String,
    #[serde(default)]
    compression_mode: String,
    relative_file_paths: Vec<PathBuf>,
}

/// The files of the bag at `path`, in the order in which they were recorded.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, BagError> {
    let found = std::fs::metadata(path).map_err(|source| BagError::File { what: "bag", path: path.into(), source })?;
    if !found.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    match std::fs::read_to_string(path.join(METADATA_FILE)) {
        Ok(text) => listed(path, &text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => unlisted(path),
        Err(source) => Err(BagError::File { what: "bag metadata", path: path.join(METADATA_FILE), source }),
    }
}

fn listed(folder: &Path, text: &str) -> Result<Vec<PathBuf>, BagError> {
    let path = folder.join(METADATA_FILE);
    let parsed = serde_saphyr::from_str::<Metadata>(text)
        .map_err(|e| BagError::Metadata { reason: e.to_string(), path: path.clone() })?;
    let info = parsed.rosbag2_bagfile_information;
    if info.storage_identifier != "mcap" {
        return Err(BagError::Storage { got: info.storage_identifier, path: folder.to_owned() });
    }
    if info.compression_mode.eq_ignore_ascii_case("file") {
        return Err(BagError::Storage { got: "mcap compressed as whole files".into(), path: folder.to_owned() });
    }
    if info.relative_file_paths.is_empty() {
        return Err(BagError::Metadata { reason: "`relative_file_paths` is empty".into(), path });
    }
    Ok(info.relative_file_paths.iter().map(|file| folder.join(file)).collect())
}

/// A bag that lost its metadata: rosbag2 numbers its files, so names (shorter first) give the order.
fn unlisted(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    let failed = |source| BagError::File { what: "bag folder", path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "mcap") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(BagError::NoBag { path: folder.to_owned() });
    }
    files.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        folder
    }

    #[test]
    fn without_metadata_the_tenth_file_comes_after_the_second() {
        let folder = folder_with(&["run_10.mcap", "run_2.mcap", "notes.txt"]);
        let want = ["run_2.mcap", "run_10.mcap"].map(|name| folder.path().join(name));
        assert_eq!(files(folder.path()).unwrap(), want);
    }

    #[test]
    fn a_folder_without_a_bag_is_named() {
        let folder = folder_with(&["notes.txt"]);
        let want = format!("folder has neither metadata.yaml nor an .mcap file: {}", folder.path().display());
        assert_eq!(files(folder.path()).unwrap_err().to_string(), want);
    }

    #[test]
    fn storages_that_are_not_read_are_named() {
        for (field, got) in [
            ("storage_identifier: sqlite3", "sqlite3"),
            ("storage_identifier: mcap\n  compression_mode: FILE", "mcap compressed as whole files"),
        ] {
            let text = format!("rosbag2_bagfile_information:\n  {field}\n  relative_file_paths: [a.mcap]\n");
            let want =
                format!("bag is stored as {got}, only mcap with compressed chunks or messages is read: /bags/pick");
            assert_eq!(listed(Path::new("/bags/pick"), &text).unwrap_err().to_string(), want);
        }
    }
}

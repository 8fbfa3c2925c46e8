//! From the path that a user gives to the files of the bag.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::BagError;

const METADATA_FILE: &str = "metadata.yaml";
/// Far beyond the topics of any robot.
const MAX_METADATA_BYTES: u64 = 1 << 26;
/// Versions of `metadata.yaml` from Foxy to Kilted; what reading needs is the same in all of them.
const VERSIONS: std::ops::RangeInclusive<i64> = 4..=9;
/// Names of files that a folder without metadata may hold; behind each may stand `.zstd`.
const EXTENSIONS: [&str; 2] = ["mcap", "db3"];

/// What a path leads to.
#[derive(Debug, PartialEq)]
pub(super) struct Folder {
    /// In the order in which they were recorded.
    pub files: Vec<PathBuf>,
    /// How many messages the recorder says to have written.
    pub message_count: Option<u64>,
    /// What is strange, in words.
    pub warnings: Vec<String>,
}

/// The part of rosbag2's `metadata.yaml` that reading needs; the formats of files are told by their first bytes.
#[derive(Deserialize)]
struct Metadata {
    rosbag2_bagfile_information: Information,
}

#[derive(Deserialize)]
struct Information {
    version: i64,
    relative_file_paths: Vec<PathBuf>,
    #[serde(default)]
    message_count: Option<u64>,
}

/// The files of the bag at `path`.
pub(super) fn find(path: &Path) -> Result<Folder, BagError> {
    let found = std::fs::metadata(path).map_err(|source| BagError::File { what: "bag", path: path.into(), source })?;
    if !found.is_dir() {
        return Ok(Folder { files: vec![path.to_owned()], message_count: None, warnings: Vec::new() });
    }
    let metadata = path.join(METADATA_FILE);
    let text = std::fs::metadata(&metadata).and_then(|found| match found.len() {
        ..=MAX_METADATA_BYTES => std::fs::read_to_string(&metadata),
        bytes => Err(std::io::Error::other(format!("{bytes} bytes, the limit is {MAX_METADATA_BYTES}"))),
    });
    match text {
        Ok(text) => listed(path, &text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => unlisted(path),
        Err(source) => Err(BagError::File { what: "bag metadata", path: metadata, source }),
    }
}

fn listed(folder: &Path, text: &str) -> Result<Folder, BagError> {
    let path = folder.join(METADATA_FILE);
    let parsed = serde_saphyr::from_str::<Metadata>(text)
        .map_err(|e| BagError::Metadata { reason: e.to_string(), path: path.clone() })?;
    let Information { version, relative_file_paths, message_count } = parsed.rosbag2_bagfile_information;
    if relative_file_paths.is_empty() {
        return Err(BagError::Metadata { reason: "`relative_file_paths` is empty".into(), path });
    }
    let mut warnings = Vec::new();
    if !VERSIONS.contains(&version) {
        warnings.push(format!(
            "bag metadata has version {version}, known are {} to {}; it is read as they are: {}",
            VERSIONS.start(),
            VERSIONS.end(),
            path.display()
        ));
    }
    let files = relative_file_paths.iter().map(|file| folder.join(file)).collect();
    Ok(Folder { files, message_count, warnings })
}

/// A bag that lost its metadata: rosbag2 numbers its files, so names (shorter first) give the order.
fn unlisted(folder: &Path) -> Result<Folder, BagError> {
    let failed = |source| BagError::File { what: "bag folder", path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_bag_file(&path) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(BagError::NoBag { path: folder.to_owned() });
    }
    files.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(Folder { files, message_count: None, warnings: Vec::new() })
}

fn is_bag_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".zstd").unwrap_or(&name);
    EXTENSIONS.iter().any(|extension| name.strip_suffix(extension).is_some_and(|stem| stem.ends_with('.')))
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

    fn metadata(version: i64, files: &str) -> Result<Folder, BagError> {
        let text = format!("rosbag2_bagfile_information:\n  version: {version}\n  relative_file_paths: {files}\n");
        listed(Path::new("/bags/pick"), &text)
    }

    #[test]
    fn without_metadata_the_tenth_file_comes_after_the_second() {
        let folder = folder_with(&["run_10.mcap", "run_2.mcap", "notes.txt", "run_2.db3-wal", "mcap"]);
        let want = ["run_2.mcap", "run_10.mcap"].map(|name| folder.path().join(name));
        assert_eq!(find(folder.path()).unwrap().files, want);
    }

    #[test]
    fn every_name_that_a_recorder_gives_is_taken() {
        let names = ["a.db3", "a.mcap", "a.db3.zstd", "a.mcap.zstd"];
        let folder = folder_with(&names);
        assert_eq!(find(folder.path()).unwrap().files, names.map(|name| folder.path().join(name)));
    }

    #[test]
    fn a_folder_without_a_bag_is_named() {
        let folder = folder_with(&["notes.txt"]);
        let want = format!("folder has neither metadata.yaml nor an .mcap or .db3 file: {}", folder.path().display());
        assert_eq!(find(folder.path()).unwrap_err().to_string(), want);
    }

    #[test]
    fn listed_files_keep_their_order() {
        let found = metadata(4, "[run_7.db3.zstd, run_6.db3.zstd]").unwrap();
        let files = ["run_7.db3.zstd", "run_6.db3.zstd"].map(|name| Path::new("/bags/pick").join(name)).to_vec();
        assert_eq!(found, Folder { files, message_count: None, warnings: vec![] });
        let error = metadata(9, "[]").unwrap_err().to_string();
        assert_eq!(error, "bag metadata: `relative_file_paths` is empty: /bags/pick/metadata.yaml");
    }

    #[test]
    fn an_unknown_version_is_read_with_a_warning() {
        for version in [3, 10] {
            let found = metadata(version, "[a.mcap]").unwrap();
            let want = format!(
                "bag metadata has version {version}, known are 4 to 9; it is read as they are: /bags/pick/metadata.yaml"
            );
            assert_eq!((found.files.len(), found.warnings), (1, vec![want]));
        }
    }
}

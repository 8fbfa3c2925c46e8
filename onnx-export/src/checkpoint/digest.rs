//! Which checkpoint it was: the manifest's entry about the files that were read.

use std::path::{Path, PathBuf};

use vla_bundle::{Checkpoint, Digest, file_digest};

use super::CheckpointError;

/// The manifest's entry for a checkpoint folder of which `files` were read.
///
/// Its sha256 is over one line `name size sha256` per file, sorted; names are relative to `dir`, so that the entry does
/// not depend on where the folder stands, and plain file names for files elsewhere.
///
/// # Errors
/// A file that cannot be read.
pub fn identity(
    dir: &Path,
    files: &[PathBuf],
    unnorm_key: Option<String>,
    mut dropped: Vec<String>,
) -> Result<Checkpoint, CheckpointError> {
    let read = |path: &Path, source| CheckpointError::Read { what: "checkpoint", source, path: path.to_owned() };
    let mut lines = vec![];
    for path in files {
        let (bytes, sha256) = file_digest(path).map_err(|source| read(path, source))?;
        let name = path.strip_prefix(dir).ok().or_else(|| path.file_name().map(Path::new)).unwrap_or(path);
        lines.push(format!("{} {bytes} {sha256}\n", name.display()));
    }
    lines.sort();
    lines.dedup();
    let mut digest = Digest::default();
    for line in &lines {
        digest.update(line.as_bytes());
    }
    // `.` and `..` have no name of their own.
    let full = dir.canonicalize().map_err(|source| read(dir, source))?;
    let name = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
    dropped.sort();
    Ok(Checkpoint { name, sha256: digest.hex(), unnorm_key, dropped, merged: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_that_of_the_files_and_not_of_their_place() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("libero");
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::write(dir.join("b.json"), "abc").unwrap();
        std::fs::write(dir.join("sub/a.pt"), "de").unwrap();
        let files = [dir.join("sub/a.pt"), dir.join("b.json"), dir.join("b.json")];
        let found = identity(&dir, &files, Some("key".to_owned()), vec!["y".to_owned(), "x".to_owned()]).unwrap();
        let wanted = Checkpoint {
            name: "libero".to_owned(),
            // for f in b.json sub/a.pt; do echo $f $(stat -c%s $f) $(sha256sum $f | cut -d' ' -f1); done | sha256sum
            sha256: "5b05ac0a4bb74fc1bed4a186ebb49c57fa4bbf0810e0e186e3b7f938b62cf7e4".to_owned(),
            unnorm_key: Some("key".to_owned()),
            dropped: vec!["x".to_owned(), "y".to_owned()],
            merged: None,
        };
        assert_eq!(found, wanted);
    }
}

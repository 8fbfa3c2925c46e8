//! A checked bundle on disk.

use std::path::{Path, PathBuf};

use crate::{BundleError, Digest, FORMAT_VERSION, Manifest, check::problems, file_digest};

/// Name of the manifest in a bundle's folder.
pub const MANIFEST_FILE: &str = "manifest.json";

/// How much of a bundle's files is looked at when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// Sizes: enough at a desk.
    Sizes,
    /// Every sha256: what a robot does before it moves.
    Digests,
}

/// A policy whose manifest fits together and whose files are there.
#[derive(Clone, Debug)]
pub struct Bundle {
    dir: PathBuf,
    digest: String,
    manifest: Manifest,
}

impl Bundle {
    /// Reads and checks the bundle in `dir`.
    ///
    /// # Errors
    /// Manifest absent, of another version, or with unknown fields; parts that do not fit together (all of them are
    /// listed); files absent, of another size or, with [`Integrity::Digests`], of another content.
    pub fn load(dir: &Path, integrity: Integrity) -> Result<Self, BundleError> {
        let path = dir.join(MANIFEST_FILE);
        let text = std::fs::read(&path).map_err(|source| BundleError::Read {
            what: "bundle manifest",
            source,
            path: path.clone(),
        })?;
        let manifest = parse(&text, &path)?;
        let problems = problems(&manifest);
        if !problems.is_empty() {
            return Err(BundleError::Inconsistent(problems));
        }
        if let Some(io) = &manifest.io {
            io.check("manifest `io`")?;
        }
        check_files(dir, &manifest, integrity)?;
        let mut digest = Digest::default();
        digest.update(&text);
        Ok(Self { dir: dir.to_owned(), digest: digest.hex(), manifest })
    }

    /// Lower-case hex sha256 of `manifest.json`: the identity of the policy.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What the policy is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where a file of the bundle stands.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }
}

fn parse(text: &[u8], path: &Path) -> Result<Manifest, BundleError> {
    let refuse = |e: serde_json::Error| BundleError::Parse { reason: e.to_string(), path: path.to_owned() };
    // The version first: a newer manifest may well have fields this build has never heard of.
    let raw: serde_json::Value = serde_json::from_slice(text).map_err(refuse)?;
    if let Some(got) = raw.get("format_version").and_then(serde_json::Value::as_u64)
        && got != u64::from(FORMAT_VERSION)
    {
        return Err(BundleError::Version { got, wanted: FORMAT_VERSION, path: path.to_owned() });
    }
    serde_json::from_slice(text).map_err(refuse)
}

fn check_files(dir: &Path, manifest: &Manifest, integrity: Integrity) -> Result<(), BundleError> {
    for (name, entry) in &manifest.files {
        let path = dir.join(name);
        let read = |source| BundleError::Read { what: "bundle file", source, path: path.clone() };
        let changed =
            |what, got, wanted| BundleError::Changed { name: name.clone(), what, got, wanted, path: path.clone() };
        let bytes = std::fs::metadata(&path).map_err(read)?.len();
        if bytes != entry.bytes {
            return Err(changed("size", bytes.to_string(), entry.bytes.to_string()));
        }
        if integrity == Integrity::Digests {
            let (_, sha256) = file_digest(&path).map_err(read)?;
            if sha256 != entry.sha256 {
                return Err(changed("sha256", sha256, entry.sha256.clone()));
            }
        }
    }
    Ok(())
}

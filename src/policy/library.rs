//! Finds and loads ONNX Runtime, once per process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::error::LibraryError;
use super::native::Native;

/// Oldest usable release is 1.this: the first whose CPU provider has every operator of opset 23 that we emit.
pub(super) const OLDEST_MINOR: u32 = 23;

/// First release 1.this that says which provider runs which node.
const PLACEMENT_MINOR: u32 = 24;

const FILE_NAME: &str = "libonnxruntime.so";

/// Which ONNX Runtime was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// The library file.
    pub path: PathBuf,
    /// Its version, `1.31.1`.
    pub version: String,
}

/// Loads ONNX Runtime where no policy has done so yet, and says which one it is.
///
/// # Errors
/// It is not found, cannot be loaded, or is too old.
pub fn runtime_info() -> Result<&'static RuntimeInfo, LibraryError> {
    Ok(&runtime()?.info)
}

/// The loaded library and its one environment: ONNX Runtime allows no second one, even after the first is gone.
pub(super) struct Runtime {
    pub info: RuntimeInfo,
    pub environment: Environment,
    native: Native,
}

impl Runtime {
    /// The native interface where the library can tell node placement.
    pub fn placement_interface(&self) -> Option<&Native> {
        minor(&self.info.version).is_some_and(|minor| minor >= PLACEMENT_MINOR).then_some(&self.native)
    }
}

/// The process's runtime, loaded on first use.
pub(super) fn runtime() -> Result<&'static Runtime, LibraryError> {
    static RUNTIME: OnceLock<Result<Runtime, LibraryError>> = OnceLock::new();
    let load = || open(&find(std::env::var_os("ORT_DYLIB_PATH"), std::env::current_exe().ok().as_deref())?);
    RUNTIME.get_or_init(load).as_ref().map_err(Clone::clone)
}

/// The variable decides; else the executable's surroundings, then the checkout that it was built from.
fn find(variable: Option<OsString>, executable: Option<&Path>) -> Result<PathBuf, LibraryError> {
    let beside = executable.and_then(Path::parent).into_iter().flat_map(|bin| [bin.to_owned(), bin.join("../lib")]);
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party/ort");
    let looked_at: Vec<_> = match variable {
        Some(path) if !path.is_empty() => vec![PathBuf::from(path)],
        _ => beside.chain([checkout]).map(|folder| folder.join(FILE_NAME)).collect(),
    };
    match looked_at.iter().find(|path| path.exists()) {
        // Absolute, because `ort` would look for a relative path beside the executable first.
        Some(path) => Ok(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
        None => Err(LibraryError::Missing { looked_at }),
    }
}

fn open(path: &Path) -> Result<Runtime, LibraryError> {
    let unusable = |reason: String| LibraryError::Unusable { reason, path: path.to_owned() };
    let native = Native::load(path).map_err(unusable)?;
    let version = native.version().map_err(unusable)?;
    check_version(&version, path)?;
    let environment = ort::init_from(path)
        .map_err(|e| unusable(e.to_string()))?
        .with_name("vla")
        .with_telemetry(false)
        .build()
        .map_err(|e| unusable(e.to_string()))?;
    environment.set_log_level(LogLevel::Warning);
    tracing::info!(version, path = %path.display(), "onnx runtime loaded");
    Ok(Runtime { info: RuntimeInfo { path: path.to_owned(), version }, environment, native })
}

fn check_version(version: &str, path: &Path) -> Result<(), LibraryError> {
    match minor(version) {
        Some(minor) if minor >= OLDEST_MINOR => Ok(()),
        _ => Err(LibraryError::TooOld { version: version.to_owned(), path: path.to_owned() }),
    }
}

/// `y` of `1.y.z`; a later major release counts as newest.
fn minor(version: &str) -> Option<u32> {
    let mut parts = version.split('.').map(str::parse);
    match (parts.next()?, parts.next()?) {
        (Ok(1), Ok(minor)) => Some(minor),
        (Ok(major), Ok(_)) if major > 1 => Some(u32::MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_and_a_missing_file_behind_it_names_the_remedy() {
        let error = find(Some("/nowhere/libonnxruntime.so".into()), Some(Path::new("/opt/vla/bin/vla"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ONNX Runtime was not found; run scripts/setup or set ORT_DYLIB_PATH; looked at /nowhere/libonnxruntime.so"
        );
    }

    #[test]
    fn without_the_variable_a_library_beside_the_executable_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join(FILE_NAME);
        std::fs::write(&library, "").unwrap();
        assert_eq!(find(Some(OsString::new()), Some(&dir.path().join("vla"))), Ok(library));
    }

    #[test]
    fn a_file_that_is_no_library_is_one_sentence_with_the_remedy() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "not a library").unwrap();
        let message = open(file.path()).err().unwrap().to_string();
        assert!(message.starts_with("ONNX Runtime cannot be loaded ("), "{message}");
        assert!(message.contains("; run scripts/setup or set ORT_DYLIB_PATH: "), "{message}");
    }

    #[test]
    fn a_release_before_1_23_is_too_old() {
        let path = Path::new("/lib/libonnxruntime.so");
        assert_eq!(check_version("1.23.0", path), Ok(()));
        assert_eq!(
            check_version("1.22.1", path).unwrap_err().to_string(),
            "ONNX Runtime is 1.22.1, the graphs need 1.23 or later; run scripts/setup or set ORT_DYLIB_PATH: \
             /lib/libonnxruntime.so"
        );
    }
}

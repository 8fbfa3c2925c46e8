//! From a draft to a folder on disk: graphs and manifest into a temporary folder, checked, then renamed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vla_bundle::{
    Actions, Bundle, BundleError, Checkpoint, FORMAT_VERSION, FileEntry, Golden, GoldenKind, Input, Integrity,
    MANIFEST_FILE, Manifest, Range, Stage, Streams, file_digest,
};

use crate::graph::{Graph, OPSET};
use crate::request::{Lacks, Request};
use crate::{ExportError, Exported, Progress};

/// A bundle that is not written yet.
pub(crate) struct Draft<'w> {
    /// Name of the system.
    pub system: &'static str,
    /// Identity of the checkpoint.
    pub checkpoint: Checkpoint,
    /// What the robot must supply.
    pub streams: Streams,
    /// Tensors made from the streams.
    pub inputs: Vec<Input>,
    /// Graphs in the order in which they are written.
    pub graphs: Vec<Graph<'w>>,
    /// The order in which they run.
    pub plan: Vec<Stage>,
    /// Ranges of the symbolic dimensions.
    pub dims: BTreeMap<String, Range>,
    /// The result.
    pub actions: Actions,
    /// Files that go into the bundle as they are.
    pub copies: Vec<(String, PathBuf)>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Writes the bundle to the request's target.
pub(crate) fn write(
    draft: Draft<'_>,
    request: &Request,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Exported, ExportError> {
    check_io(&draft, request)?;
    let scratch = Scratch::beside(&request.out)?;
    let warnings = draft.warnings.clone();
    let manifest = write_files(draft, request, &scratch.0, progress)?;
    write_manifest(&scratch.0, &manifest)?;
    Bundle::load(&scratch.0, Integrity::Sizes)?;
    let failed = |source| ExportError::Write { what: "bundle", source, path: request.out.clone() };
    for name in manifest.files.keys() {
        to_disk(&scratch.0.join(name)).map_err(failed)?;
    }
    fs::rename(&scratch.0, &request.out).map_err(failed)?;
    to_disk(parent(&request.out)).map_err(failed)?;
    let bundle = Bundle::load(&request.out, Integrity::Sizes)?;
    Ok(Exported { bundle, warnings })
}

/// Refuses a target that is already there.
pub(crate) fn check_target(out: &Path) -> Result<(), ExportError> {
    let what = match (out.join(MANIFEST_FILE).exists(), out.exists()) {
        (_, false) => return Ok(()),
        (true, _) => "a bundle",
        (false, _) => "something that is no bundle",
    };
    Err(ExportError::Exists { what, path: out.to_owned() })
}

/// Refuses an IO file of another width now, and not after gigabytes were written.
fn check_io(draft: &Draft<'_>, request: &Request) -> Result<(), ExportError> {
    let Some(io) = &request.io else { return Ok(()) };
    let mut lacks = Lacks::default();
    let (named, wanted) = (io.actions.len(), draft.actions.action_dim);
    if named != wanted {
        lacks.note(format!("`--io` names {named} action dimensions, the policy has {wanted}"));
    }
    let (named, wanted) = (io.state.len(), draft.streams.state.as_ref().map_or(0, |state| state.dim));
    if named != wanted {
        lacks.note(format!("`--io` names {named} state dimensions, the policy takes {wanted}"));
    }
    lacks.finish()
}

fn write_files(
    draft: Draft<'_>,
    request: &Request,
    dir: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Manifest, ExportError> {
    let mut manifest = Manifest {
        format_version: FORMAT_VERSION,
        system: draft.system.to_owned(),
        exporter: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
        checkpoint: draft.checkpoint,
        precision: request.precision,
        opset: OPSET,
        files: BTreeMap::new(),
        streams: draft.streams,
        inputs: draft.inputs,
        graphs: BTreeMap::new(),
        dims: draft.dims,
        plan: draft.plan,
        actions: draft.actions,
        io: request.io.clone(),
        golden: None,
    };
    for (name, from) in draft.copies {
        let failed = |source| ExportError::Write { what: "file", source, path: from.clone() };
        fs::copy(&from, dir.join(&name)).map_err(failed)?;
        manifest.files.insert(name.clone(), entry(&dir.join(&name))?);
    }
    let total_bytes = draft.graphs.iter().map(Graph::external_bytes).sum();
    let mut written_bytes = 0;
    for graph in draft.graphs {
        let name = graph.name().to_owned();
        let saved = graph.save(dir, &mut |bytes| {
            written_bytes += bytes;
            progress(Progress { graph: &name, written_bytes, total_bytes });
        })?;
        manifest.files.extend(saved.files);
        manifest.graphs.insert(name, saved.graph);
    }
    Ok(manifest)
}

/// Lists the golden run `file`, which stands in the bundle's folder already, in the manifest; `task` is its instruction.
///
/// # Errors
/// No bundle in `dir`, a file that cannot be read, or a manifest that cannot be replaced.
pub fn attach_golden(dir: &Path, file: &str, task: &str) -> Result<Bundle, ExportError> {
    let mut manifest = Bundle::load(dir, Integrity::Sizes)?.manifest().clone();
    let path = dir.join(file);
    manifest.files.insert(file.to_owned(), entry(&path)?);
    to_disk(&path).map_err(|source| ExportError::Write { what: "golden run", source, path })?;
    let golden = Golden { file: file.to_owned(), kind: GoldenKind::Regression, task: task.to_owned() };
    manifest.golden = Some(golden);
    write_manifest(dir, &manifest)?;
    Ok(Bundle::load(dir, Integrity::Sizes)?)
}

/// Replaces the manifest in one step, so that a reader sees the old one or the new one.
fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<(), ExportError> {
    let path = dir.join(MANIFEST_FILE);
    let failed = |source: std::io::Error| ExportError::Write { what: "manifest", source, path: path.clone() };
    let mut text = serde_json::to_vec_pretty(manifest).map_err(|e| failed(e.into()))?;
    text.push(b'\n');
    let new = dir.join(format!("{MANIFEST_FILE}.new"));
    fs::write(&new, text).map_err(failed)?;
    to_disk(&new).map_err(failed)?;
    fs::rename(&new, &path).map_err(failed)?;
    to_disk(dir).map_err(failed)
}

/// Waits until a file's content, or a folder's list of names, would survive a power cut: a bundle that is there under
/// its name is whole.
fn to_disk(path: &Path) -> std::io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn entry(path: &Path) -> Result<FileEntry, ExportError> {
    let read = |source| BundleError::Read { what: "file", source, path: path.to_owned() };
    let (bytes, sha256) = file_digest(path).map_err(read)?;
    Ok(FileEntry { bytes, sha256 })
}

/// A folder that is gone when the export fails.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(out: &Path) -> Result<Self, ExportError> {
        let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = out.with_file_name(format!(".{name}.export-{}", std::process::id()));
        let failed = |source| ExportError::Write { what: "folder beside the bundle", source, path: path.clone() };
        fs::create_dir(&path).map_err(failed)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After the rename it is gone already; after an error nobody is left to report a second one to.
        let _ = fs::remove_dir_all(&self.0);
    }
}

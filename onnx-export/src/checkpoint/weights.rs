//! The named tensors of one checkpoint, and the record of which of them were used.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::read_json;
use super::mapped::Mapped;
use super::{CheckpointError, FloatType, Weight, safetensors, torch};

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
const WHAT: &str = "safetensors file";

/// Tensors of one set of files, read as data only; the numbers stay on disk until they are written.
#[derive(Debug)]
pub struct Weights {
    /// What the user named: a folder or a file.
    origin: PathBuf,
    sources: Vec<PathBuf>,
    files: Vec<Mapped>,
    tensors: BTreeMap<String, Tensor>,
}

/// A place in the name tree of [`Weights`], so that a block reads its tensors by their local names.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
}

/// What a file says about one tensor, checked against the file's size.
#[derive(Debug)]
pub(super) struct Described {
    pub name: String,
    pub dtype: ElementType,
    pub shape: Vec<u64>,
    /// In elements; `None` is row-major without holes.
    pub strides: Option<Vec<u64>>,
    /// Bytes of the file, from the first element to the last one.
    pub range: Range<usize>,
}

/// Element type of a stored tensor; only floats can be weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    Float(FloatType),
    Other { name: &'static str, bytes: u64 },
}

#[derive(Debug)]
struct Tensor {
    described: Described,
    file: usize,
    fate: Cell<Fate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unread,
    Droppable,
    Read,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// The model's tensors in `dir`: the shards that `model.safetensors.index.json` names, or `model.safetensors`, or
    /// the only `*.safetensors` file.
    ///
    /// # Errors
    /// No such file or several candidates, a shard or a tensor of the index that is not there, a tensor in two
    /// shards, a file that is cut off or whose header lies.
    pub fn open_safetensors(dir: &Path) -> Result<Self, CheckpointError> {
        match (dir.join(INDEX).exists(), dir.join(SINGLE).exists()) {
            (true, true) => Err(CheckpointError::File {
                what: "checkpoint",
                reason: format!("got both {INDEX} and {SINGLE}, wanted one of them"),
                path: dir.to_owned(),
            }),
            (true, false) => Self::open_shards(dir),
            (false, true) => Self::open_files(dir, vec![dir.join(SINGLE)]),
            (false, false) => Self::open_files(dir, vec![only_safetensors(dir)?]),
        }
    }

    /// The tensors of a torch `.pt` state dict; where every name starts with `module.`, that prefix is left out.
    ///
    /// # Errors
    /// A file that is no zip archive of a state dict, that names anything but tensors and dicts, or whose tensors do
    /// not lie in its storages.
    pub fn open_torch(path: &Path) -> Result<Self, CheckpointError> {
        let mut weights =
            Self { origin: path.to_owned(), sources: vec![path.to_owned()], files: vec![], tensors: BTreeMap::new() };
        let file = Mapped::open(path, "torch file")?;
        let described = torch::describe(file.bytes(), path)?;
        weights.add(file, described)?;
        Ok(weights)
    }

    fn open_shards(dir: &Path) -> Result<Self, CheckpointError> {
        let index: Index = read_json(dir, INDEX)?;
        let mut shards: Vec<&String> = index.weight_map.values().collect();
        shards.sort();
        shards.dedup();
        if let Some(shard) = shards.iter().find(|shard| Path::new(shard).file_name() != Some(shard.as_ref())) {
            let reason = format!("shard `{shard}` is not a plain file name");
            return Err(CheckpointError::File { what: WHAT, reason, path: dir.join(INDEX) });
        }
        let mut weights = Self::open_files(dir, shards.iter().map(|shard| dir.join(shard)).collect())?;
        for (name, shard) in &index.weight_map {
            let path = dir.join(shard);
            let found = weights.tensors.get(name).is_some_and(|tensor| weights.files[tensor.file].path() == path);
            if !found {
                let reason = format!("{INDEX} says it is in this file, and it is not");
                return Err(CheckpointError::Tensor { name: name.clone(), reason, path });
            }
        }
        weights.sources.push(dir.join(INDEX));
        Ok(weights)
    }

    fn open_files(origin: &Path, sources: Vec<PathBuf>) -> Result<Self, CheckpointError> {
        let mut weights = Self { origin: origin.to_owned(), sources, files: vec![], tensors: BTreeMap::new() };
        for path in weights.sources.clone() {
            let file = Mapped::open(&path, WHAT)?;
            let described = safetensors::describe(file.bytes(), &path)?;
            weights.add(file, described)?;
        }
        Ok(weights)
    }

    fn add(&mut self, file: Mapped, described: Vec<Described>) -> Result<(), CheckpointError> {
        let path = file.path().to_owned();
        self.files.push(file);
        for described in described {
            let name = described.name.clone();
            let tensor = Tensor { described, file: self.files.len() - 1, fate: Cell::new(Fate::Unread) };
            if let Some(first) = self.tensors.insert(name.clone(), tensor) {
                let reason =
                    format!("a second one of this name, the first is in {}", self.files[first.file].path().display());
                return Err(CheckpointError::Tensor { name, reason, path });
            }
        }
        Ok(())
    }

    /// The tensor of this full name and shape, and marks it as read.
    ///
    /// # Errors
    /// No such tensor, another shape, or elements that are no floats.
    pub fn read<'a>(&'a self, name: &str, shape: &[u64]) -> Result<Weight<'a>, CheckpointError> {
        let Some((name, tensor)) = self.tensors.get_key_value(name) else {
            let (name, wanted) = (name.to_owned(), shape.to_owned());
            return Err(CheckpointError::Missing { name, wanted, path: self.origin.clone() });
        };
        let file = &self.files[tensor.file];
        let Described { shape: got, strides, range, dtype, .. } = &tensor.described;
        if got != shape {
            let (name, got, wanted) = (name.clone(), got.clone(), shape.to_owned());
            return Err(CheckpointError::Shape { name, got, wanted, path: file.path().to_owned() });
        }
        let dtype = match *dtype {
            ElementType::Float(dtype) => dtype,
            ElementType::Other { name: dtype, .. } => {
                let (name, reason) = (name.clone(), format!("got elements of type {dtype}, wanted floats"));
                return Err(CheckpointError::Tensor { name, reason, path: file.path().to_owned() });
            }
        };
        tensor.fate.set(Fate::Read);
        let bytes = &file.bytes()[range.clone()];
        Ok(Weight { name, shape: got, strides: strides.as_deref(), dtype, bytes, file })
    }

    /// Shape of the tensor of this full name, without marking it as read: for cross-checks of sizes.
    pub fn shape(&self, name: &str) -> Option<&[u64]> {
        self.tensors.get(name).map(|tensor| tensor.described.shape.as_slice())
    }

    /// Full names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensors whose full names start with `path.`; all of them where `path` is empty.
    pub fn at(&self, path: &str) -> Scope<'_> {
        Scope { weights: self, prefix: String::new() }.at(path)
    }

    /// Declares that inference does not need the tensors whose full names satisfy `unused`.
    pub fn drop_where(&self, unused: impl Fn(&str) -> bool) {
        for (name, tensor) in &self.tensors {
            if tensor.fate.get() == Fate::Unread && unused(name) {
                tensor.fate.set(Fate::Droppable);
            }
        }
    }

    /// Names of the tensors that were declared droppable and never read, sorted.
    ///
    /// # Errors
    /// Tensors that were neither read nor declared droppable; all of them are named in the error.
    pub fn finish(&self) -> Result<Vec<String>, CheckpointError> {
        let left = |fate| self.tensors.iter().filter(move |(_, tensor)| tensor.fate.get() == fate);
        let names: Vec<String> = left(Fate::Unread).map(|(name, _)| name.clone()).collect();
        if !names.is_empty() {
            return Err(CheckpointError::Unread { names, path: self.origin.clone() });
        }
        Ok(left(Fate::Droppable).map(|(name, _)| name.clone()).collect())
    }

    /// Every file that was read, for the checkpoint's digest.
    pub fn sources(&self) -> &[PathBuf] {
        &self.sources
    }
}

impl<'a> Scope<'a> {
    /// The tensors below `path`, as `self_attn` or `layers.3`.
    #[must_use]
    pub fn at(&self, path: &str) -> Scope<'a> {
        let prefix = if path.is_empty() { self.prefix.clone() } else { format!("{}{path}.", self.prefix) };
        Scope { weights: self.weights, prefix }
    }

    /// [`Weights::read`] by local name.
    ///
    /// # Errors
    /// As [`Weights::read`].
    pub fn read(&self, name: &str, shape: &[u64]) -> Result<Weight<'a>, CheckpointError> {
        self.weights.read(&format!("{}{name}", self.prefix), shape)
    }

    /// [`Weights::shape`] by local name.
    pub fn shape(&self, name: &str) -> Option<&'a [u64]> {
        self.weights.shape(&format!("{}{name}", self.prefix))
    }
}

impl ElementType {
    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            ElementType::Float(float) => float.bytes(),
            ElementType::Other { bytes, .. } => bytes,
        }
    }
}

fn only_safetensors(dir: &Path) -> Result<PathBuf, CheckpointError> {
    let found = super::files::files_where(dir, |name| name.ends_with(".safetensors"))?;
    let reason = match found.as_slice() {
        [only] => return Ok(dir.join(only)),
        [] => format!("no {INDEX}, {SINGLE} or other *.safetensors file"),
        several => format!("no {INDEX} or {SINGLE}, and several others: {}", several.join(", ")),
    };
    Err(CheckpointError::File { what: "checkpoint", reason, path: dir.to_owned() })
}

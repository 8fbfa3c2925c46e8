//! The named tensors of one checkpoint, and the record of which of them were used.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::{files_where, read_json};
use super::lora::LowRank;
use super::mapped::Mapped;
use super::stored::Stored;
use super::{CheckpointError, FloatType, LoraConfig, Weight, safetensors, torch};

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
    place: Place,
    adapter: Option<Adapter>,
    fate: Cell<Fate>,
}

/// A tensor's description and the index of its file.
#[derive(Debug)]
struct Place {
    described: Described,
    file: usize,
}

/// The factors that are added to a tensor, as in [`LowRank`].
#[derive(Debug)]
struct Adapter {
    down: Place,
    up: Place,
    scale: f32,
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

    /// Whether `dir` holds a model's tensors, in whatever number of files.
    pub(super) fn is_model(dir: &Path) -> Result<bool, CheckpointError> {
        Ok(dir.join(INDEX).exists() || !files_where(dir, |name| name.ends_with(".safetensors"))?.is_empty())
    }

    /// The tensors of this safetensors file.
    ///
    /// # Errors
    /// A file that is absent, cut off, or whose header lies.
    pub fn open_file(path: &Path) -> Result<Self, CheckpointError> {
        Self::open_files(path, vec![path.to_owned()])
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
            let found = weights.tensors.get(name).is_some_and(|tensor| weights.path_of(&tensor.place) == path);
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
            let place = Place { described, file: self.files.len() - 1 };
            let tensor = Tensor { place, adapter: None, fate: Cell::new(Fate::Unread) };
            if let Some(first) = self.tensors.insert(name.clone(), tensor) {
                let first = self.path_of(&first.place).display();
                let reason = format!("a second one of this name, the first is in {first}");
                return Err(CheckpointError::Tensor { name, reason, path });
            }
        }
        Ok(())
    }

    /// Takes the tensors of `other` in, each under the name that `rename` gives it.
    pub(super) fn join(&mut self, other: Self, rename: impl Fn(&str) -> String) -> Result<(), CheckpointError> {
        let files = self.files.len();
        self.files.extend(other.files);
        self.sources.extend(other.sources);
        for (name, mut tensor) in other.tensors {
            let adapter = tensor.adapter.iter_mut().flat_map(|adapter| [&mut adapter.down, &mut adapter.up]);
            for place in adapter.chain([&mut tensor.place]) {
                place.file += files;
            }
            let path = self.path_of(&tensor.place).to_owned();
            let name = rename(&name);
            if let Some(first) = self.tensors.insert(name.clone(), tensor) {
                let first = self.path_of(&first.place).display();
                let reason = format!("a second one of this name, the first is in {first}");
                return Err(CheckpointError::Tensor { name, reason, path });
            }
        }
        Ok(())
    }

    /// Takes the tensors whose full names satisfy `unwanted` off the list; gives their names, sorted.
    pub(super) fn take_where(&mut self, unwanted: impl Fn(&str) -> bool) -> Vec<String> {
        let names: Vec<String> = self.names().filter(|name| unwanted(name)).map(str::to_owned).collect();
        self.tensors.retain(|name, _| !unwanted(name));
        names
    }

    /// Names of the tensors that were read with an adapter merged into them, and its scale.
    pub fn merged(&self) -> impl Iterator<Item = (&str, f32)> {
        let read = |tensor: &Tensor| tensor.fate.get() == Fate::Read;
        self.tensors.iter().filter_map(move |(name, tensor)| {
            tensor.adapter.as_ref().filter(|_| read(tensor)).map(|adapter| (name.as_str(), adapter.scale))
        })
    }

    /// Gives the tensor `from` the name `to`.
    ///
    /// # Errors
    /// A tensor that has that name already.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), CheckpointError> {
        let Some(tensor) = self.tensors.remove(from) else { return Ok(()) };
        let path = self.path_of(&tensor.place).to_owned();
        if self.tensors.insert(to.to_owned(), tensor).is_some() {
            let reason = format!("`{from}` is the same tensor, wanted one of them");
            return Err(CheckpointError::Tensor { name: to.to_owned(), reason, path });
        }
        Ok(())
    }

    /// Takes the factors `[down, up]` off the list and adds their product to the tensor `name` wherever it is read.
    pub(super) fn adapt(
        &mut self,
        name: &str,
        [down, up]: &[String; 2],
        LoraConfig { rank, scale }: LoraConfig,
    ) -> Result<(), CheckpointError> {
        let [down_tensor, up_tensor] = [down, up].map(|factor| self.tensors.remove(factor));
        let (Some(down_tensor), Some(base)) = (down_tensor, self.tensors.get(name)) else {
            let reason = format!("there is no `{name}` that it could be added to");
            return Err(CheckpointError::Tensor { name: down.clone(), reason, path: self.origin.clone() });
        };
        let Some(up_tensor) = up_tensor else {
            let reason = format!("there is no `{up}` beside it");
            return Err(CheckpointError::Tensor { name: down.clone(), reason, path: self.origin.clone() });
        };
        let shape = &base.place.described.shape;
        let [rows, columns @ ..] = shape.as_slice() else {
            let reason = format!("got {shape:?}, an adapter wants rows and columns");
            return Err(CheckpointError::Tensor { name: name.to_owned(), reason, path: self.origin.clone() });
        };
        let mut wanted_up = vec![1; shape.len().max(2)];
        wanted_up[..2].copy_from_slice(&[*rows, rank]);
        let wanted_down = [&[rank], columns].concat();
        for (tensor, wanted) in [(&down_tensor, wanted_down), (&up_tensor, wanted_up)] {
            self.stored(&tensor.place, &wanted)?;
        }
        let adapter = Adapter { down: down_tensor.place, up: up_tensor.place, scale };
        if let Some(base) = self.tensors.get_mut(name)
            && base.adapter.replace(adapter).is_some()
        {
            let reason = format!("`{down}` is a second adapter of it, wanted one");
            return Err(CheckpointError::Tensor { name: name.to_owned(), reason, path: self.origin.clone() });
        }
        Ok(())
    }

    /// Adds a file to those that count for the checkpoint's digest.
    pub(super) fn note_source(&mut self, path: PathBuf) {
        self.sources.push(path);
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
        let stored = self.stored(&tensor.place, shape)?;
        let adapter = match &tensor.adapter {
            None => None,
            Some(Adapter { down, up, scale }) => Some(LowRank {
                down: self.stored(down, &down.described.shape)?,
                up: self.stored(up, &up.described.shape)?,
                scale: *scale,
            }),
        };
        tensor.fate.set(Fate::Read);
        Ok(Weight { name, stored, adapter })
    }

    /// The floats at `place`, which must have this shape.
    fn stored<'a>(&'a self, place: &'a Place, shape: &[u64]) -> Result<Stored<'a>, CheckpointError> {
        let path = || self.path_of(place).to_owned();
        let Described { name, shape: got, strides, range, dtype } = &place.described;
        if got != shape {
            let (name, got, wanted) = (name.clone(), got.clone(), shape.to_owned());
            return Err(CheckpointError::Shape { name, got, wanted, path: path() });
        }
        let dtype = match *dtype {
            ElementType::Float(dtype) => dtype,
            ElementType::Other { name: dtype, .. } => {
                let (name, reason) = (name.clone(), format!("got elements of type {dtype}, wanted floats"));
                return Err(CheckpointError::Tensor { name, reason, path: path() });
            }
        };
        let file = &self.files[place.file];
        Ok(Stored { shape: got, strides: strides.as_deref(), dtype, bytes: &file.bytes()[range.clone()], file })
    }

    fn path_of(&self, place: &Place) -> &Path {
        self.files[place.file].path()
    }

    /// Shape of the tensor of this full name, without marking it as read: for cross-checks of sizes.
    pub fn shape(&self, name: &str) -> Option<&[u64]> {
        self.tensors.get(name).map(|tensor| tensor.place.described.shape.as_slice())
    }

    /// How many of the names of 0, 1, .. are there, without a gap.
    pub fn count(&self, name: impl Fn(u64) -> String) -> u64 {
        let mut count = 0;
        while self.tensors.contains_key(&name(count)) {
            count += 1;
        }
        count
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

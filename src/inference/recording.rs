//! Everything that one inference computed, as a safetensors file.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype as FileDtype, View};
use vla_bundle::Manifest;

use super::Outcome;
use crate::policy::Observer;
use crate::preprocess::picture::Picture;
use crate::tensor::{Tensor, TensorData};
use crate::types::{Observation, Optics, Pinhole};

/// An observer that keeps every tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    tensors: Vec<(String, Tensor)>,
}

/// Why a recording was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the tensors ({reason}): {path}")]
pub struct RecordingError {
    reason: String,
    path: PathBuf,
}

impl Observer for Recording {
    fn wants_tensors(&self) -> bool {
        true
    }

    fn tensor(&mut self, name: &str, value: &Tensor) {
        self.tensors.push((name.to_owned(), value.clone()));
    }
}

impl Recording {
    /// Name of the first tensor that is not the same in both, bit for bit; `None` where all are.
    pub fn difference(&self, other: &Self) -> Option<&str> {
        let same = |name: &str, tensor: &Tensor| {
            let twin = other.tensors.iter().find(|(other, _)| other == name);
            twin.is_some_and(|(_, twin)| twin.shape() == tensor.shape() && bytes(twin) == bytes(tensor))
        };
        self.tensors.iter().find(|(name, tensor)| !same(name, tensor)).map(|(name, _)| name.as_str())
    }

    /// Writes the tensors under their names in the plan, the observation as `input.images.<camera>` (`[h, w, 3]`, u8),
    /// `input.intrinsics.<camera>` (fx, fy, cx and cy in pixels, f64, where pictures arrive straight) and `input.state`
    /// (f64), and the un-normalised actions as `output.actions` (`[chunk_size, action_dim]`, f64).
    ///
    /// # Errors
    /// The file cannot be written, or a frame is no picture.
    pub fn write(
        &self,
        observation: &Observation,
        outcome: &Outcome,
        manifest: &Manifest,
        path: &Path,
    ) -> Result<(), RecordingError> {
        let fail = |reason: String| RecordingError { reason, path: path.to_owned() };
        let mut entries = Vec::new();
        for (camera, frame) in manifest.streams.cameras.iter().zip(&observation.frames) {
            let mut picture = Picture::default();
            picture.decode(frame).map_err(|e| fail(e.to_string()))?;
            let shape = vec![picture.height as usize, picture.width as usize, 3];
            let name = format!("input.images.{}", camera.name);
            entries.push((name, Entry { dtype: FileDtype::U8, shape, data: picture.rgb }));
        }
        for (camera, optics) in manifest.streams.cameras.iter().zip(&observation.optics) {
            if let Some(Optics::Straight(Pinhole { focal: [fx, fy], center: [cx, cy], .. })) = optics.as_deref() {
                let name = format!("input.intrinsics.{}", camera.name);
                entries.push((name, doubles(vec![4], &[*fx, *fy, *cx, *cy])));
            }
        }
        if let Some(state) = &observation.state {
            entries.push(("input.state".to_owned(), doubles(vec![state.len()], state)));
        }
        entries.extend(self.tensors.iter().map(|(name, tensor)| (name.clone(), Entry::from(tensor))));
        let chunk = &outcome.chunk;
        let shape = vec![chunk.chunk_size(), chunk.action_dim()];
        entries.push(("output.actions".to_owned(), doubles(shape, chunk.values())));
        let bytes = safetensors::serialize(entries, None).map_err(|e| fail(e.to_string()))?;
        std::fs::write(path, bytes).map_err(|e| fail(e.to_string()))
    }
}

/// One tensor of the file.
struct Entry {
    dtype: FileDtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl View for Entry {
    fn dtype(&self) -> FileDtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.data).into()
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

impl From<&Tensor> for Entry {
    fn from(tensor: &Tensor) -> Self {
        let dtype = match tensor.data() {
            TensorData::F32(_) => FileDtype::F32,
            TensorData::I64(_) => FileDtype::I64,
            TensorData::Bool(_) => FileDtype::BOOL,
        };
        Self { dtype, shape: tensor.shape().to_vec(), data: bytes(tensor) }
    }
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    match tensor.data() {
        TensorData::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        TensorData::I64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        TensorData::Bool(values) => values.iter().map(|value| u8::from(*value)).collect(),
    }
}

fn doubles(shape: Vec<usize>, values: &[f64]) -> Entry {
    Entry { dtype: FileDtype::F64, shape, data: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(values: [f32; 2], mask: [bool; 1]) -> Recording {
        let mut recording = Recording::default();
        recording.tensor("hidden", &Tensor::new(vec![1, 2], TensorData::F32(values.to_vec())));
        recording.tensor("kept", &Tensor::new(vec![1], TensorData::Bool(mask.to_vec())));
        recording
    }

    #[test]
    fn the_first_tensor_that_differs_in_any_bit_is_named() {
        let first = recording([0.5, 0.0], [true]);
        assert_eq!(first.difference(&first.clone()), None);
        assert_eq!(first.difference(&recording([0.5, -0.0], [false])), Some("hidden"));
        assert_eq!(first.difference(&recording([0.5, 0.0], [false])), Some("kept"));
        assert_eq!(first.difference(&Recording::default()), Some("hidden"));
    }
}

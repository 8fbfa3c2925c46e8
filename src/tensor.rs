//! Host tensors at the borders of the graphs: a shape and its numbers, row-major.

use vla_bundle::Dtype;

/// A dense row-major tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

/// The numbers of a tensor.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TensorData {
    F32(Vec<f32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
}

impl Tensor {
    /// A tensor of `shape`.
    ///
    /// # Panics
    /// Where the number of values is not the product of `shape`: a bug in our own code.
    pub fn new(shape: Vec<usize>, data: TensorData) -> Self {
        let want: usize = shape.iter().product();
        assert_eq!(data.len(), want, "a tensor of shape {shape:?} holds {want} values");
        Self { shape, data }
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// Dimensions and numbers, given away.
    pub fn into_parts(self) -> (Vec<usize>, TensorData) {
        (self.shape, self.data)
    }

    /// The numbers, to be overwritten in place.
    pub fn data_mut(&mut self) -> &mut TensorData {
        &mut self.data
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        match self.data {
            TensorData::F32(_) => Dtype::Fp32,
            TensorData::I64(_) => Dtype::Int64,
            TensorData::Bool(_) => Dtype::Bool,
        }
    }

    /// The values of an f32 tensor; `None` for another type.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            TensorData::F32(values) => Some(values),
            TensorData::I64(_) | TensorData::Bool(_) => None,
        }
    }
}

impl TensorData {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            TensorData::F32(v) => v.len(),
            TensorData::I64(v) => v.len(),
            TensorData::Bool(v) => v.len(),
        }
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

//! Host tensors to ONNX Runtime's values and back.

use half::{bf16, f16};
use ort::memory::Allocator;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor as OrtTensor, TensorElementType};
use vla_bundle::Dtype;

use super::error::PolicyError;
use crate::tensor::{Tensor, TensorData};

/// Gives a tensor's memory to ONNX Runtime, without a copy.
///
/// Lending it instead would not do: `ort` 2.0.0-rc.15 waits for itself forever where a lent tensor is bound to a device.
pub(super) fn from_host(name: &str, tensor: Tensor) -> Result<DynValue, PolicyError> {
    let (shape, data) = tensor.into_parts();
    let value = match data {
        TensorData::F32(values) => OrtTensor::from_array((shape, values)).map(OrtTensor::into_dyn),
        TensorData::I64(values) => OrtTensor::from_array((shape, values)).map(OrtTensor::into_dyn),
        TensorData::Bool(values) => OrtTensor::from_array((shape, values)).map(OrtTensor::into_dyn),
    };
    value.map_err(|e| PolicyError::Value { name: name.to_owned(), reason: e.to_string() })
}

/// A tensor of `shape` whose numbers are not written yet.
pub(super) fn unwritten(allocator: &Allocator, dtype: Dtype, shape: &[usize]) -> ort::Result<DynValue> {
    Ok(match dtype {
        Dtype::Fp32 => OrtTensor::<f32>::new(allocator, shape)?.into_dyn(),
        Dtype::Fp16 => OrtTensor::<f16>::new(allocator, shape)?.into_dyn(),
        Dtype::Bf16 => OrtTensor::<bf16>::new(allocator, shape)?.into_dyn(),
        Dtype::Int64 => OrtTensor::<i64>::new(allocator, shape)?.into_dyn(),
        Dtype::Bool => OrtTensor::<bool>::new(allocator, shape)?.into_dyn(),
    })
}

/// Overwrites a value on the host with the numbers of a tensor of its type and length.
pub(super) fn overwrite(name: &str, value: &mut DynValue, tensor: &Tensor) -> Result<(), PolicyError> {
    let written = match tensor.data() {
        TensorData::F32(numbers) => value.try_extract_tensor_mut().map(|(_, into)| into.copy_from_slice(numbers)),
        TensorData::I64(numbers) => value.try_extract_tensor_mut().map(|(_, into)| into.copy_from_slice(numbers)),
        TensorData::Bool(numbers) => value.try_extract_tensor_mut().map(|(_, into)| into.copy_from_slice(numbers)),
    };
    written.map_err(|e| PolicyError::Value { name: name.to_owned(), reason: e.to_string() })
}

/// Copies a value to the host; fp16 and bf16 become f32.
pub(super) fn to_host(name: &str, value: &DynValue) -> Result<Tensor, PolicyError> {
    let read = match value.dtype().tensor_type() {
        Some(TensorElementType::Int64) => extract(value, |values: &[i64]| TensorData::I64(values.to_vec())),
        Some(TensorElementType::Bool) => extract(value, |values: &[bool]| TensorData::Bool(values.to_vec())),
        Some(TensorElementType::Float16) => {
            extract(value, |values: &[f16]| TensorData::F32(values.iter().map(|v| v.to_f32()).collect()))
        }
        Some(TensorElementType::Bfloat16) => {
            extract(value, |values: &[bf16]| TensorData::F32(values.iter().map(|v| v.to_f32()).collect()))
        }
        _ => extract(value, |values: &[f32]| TensorData::F32(values.to_vec())),
    };
    read.map_err(|e| PolicyError::Value { name: name.to_owned(), reason: e.to_string() })
}

fn extract<T: PrimitiveTensorElementType>(
    value: &DynValue,
    convert: impl FnOnce(&[T]) -> TensorData,
) -> ort::Result<Tensor> {
    let (shape, values) = value.try_extract_tensor::<T>()?;
    let shape = shape.iter().map(|length| length.unsigned_abs() as usize).collect();
    Ok(Tensor::new(shape, convert(values)))
}

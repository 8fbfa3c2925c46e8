//! Host tensors to ONNX Runtime's values and back.

use half::{bf16, f16};
use ort::value::{DynValue, DynValueRef, PrimitiveTensorElementType, TensorElementType, TensorRef};

use super::error::PolicyError;
use crate::tensor::{Tensor, TensorData};

/// Lends a tensor's memory to ONNX Runtime, without a copy.
pub(super) fn lend<'t>(name: &str, tensor: &'t Tensor) -> Result<DynValueRef<'t>, PolicyError> {
    let shape = tensor.shape();
    let value = match tensor.data() {
        TensorData::F32(values) => TensorRef::from_array_view((shape, &values[..])).map(TensorRef::into_dyn),
        TensorData::I64(values) => TensorRef::from_array_view((shape, &values[..])).map(TensorRef::into_dyn),
        TensorData::Bool(values) => TensorRef::from_array_view((shape, &values[..])).map(TensorRef::into_dyn),
    };
    value.map_err(|e| PolicyError::Value { name: name.to_owned(), reason: e.to_string() })
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

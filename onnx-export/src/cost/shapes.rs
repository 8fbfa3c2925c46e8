//! Lengths of what each operator makes. Only the operators that the exporter writes; what others make is not known.

use super::{Choice, Lengths, attribute, int};
use crate::graph::proto::NodeProto;

/// Lengths per axis; `None` where the data decide.
pub type Shape = Lengths;

/// What is known about a value before it is computed.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Its lengths; none where not even the number of axes is known.
    pub shape: Option<Shape>,
    /// Its numbers, for the few integers that lengths are made of.
    pub ints: Option<Vec<i64>>,
}

impl Known {
    /// A value of these lengths.
    pub fn of(shape: Shape) -> Self {
        Self { shape: Some(shape), ints: None }
    }

    fn list(ints: Option<Vec<i64>>, length: Option<u64>) -> Self {
        Self { shape: Some(vec![length]), ints }
    }
}

/// What is known about the outputs of a node.
pub fn outputs(node: &NodeProto, inputs: &[Known], choice: Choice) -> Vec<Known> {
    let several = match node.op_type.as_str() {
        "Split" => split(node, inputs),
        "TopK" => top_k(node, inputs, choice).map(|known| vec![known.clone(), known]),
        _ => one(node, inputs, choice).map(|known| vec![known]),
    };
    several.unwrap_or_default()
}

fn one(node: &NodeProto, inputs: &[Known], choice: Choice) -> Option<Known> {
    let shape = |index: usize| inputs.get(index)?.shape.clone();
    let made = match node.op_type.as_str() {
        "Identity" | "Cast" => return inputs.first().cloned(),
        "Add" | "Sub" | "Mul" | "Div" => return arithmetic(node, inputs),
        "Reshape" => return reshape(inputs),
        "Concat" => return concat(node, inputs),
        "Shape" => return lengths_of(node, &shape(0)?),
        "Gather" => return gather(node, inputs),
        "Range" => {
            let limits = inputs.iter().map(|input| input.ints.as_ref()?.first().copied()).collect::<Option<Vec<_>>>();
            vec![limits.and_then(|limits| Some(limits.get(1)?.checked_sub(limits[0])?.unsigned_abs()))]
        }
        "Expand" => broadcast(&shape(0)?, &known_lengths(inputs.get(1)?)?)?,
        "ConstantOfShape" => known_lengths(inputs.first()?)?,
        "MatMul" => matmul(&shape(0)?, &shape(1)?)?,
        "Conv" => conv(node, &shape(0)?, &shape(1)?)?,
        "Attention" => attention(&shape(0)?, &shape(2)?)?,
        "Transpose" => {
            let from = shape(0)?;
            attribute(node, "perm")?.ints.iter().map(|axis| from.get(*axis as usize).copied()).collect::<Option<_>>()?
        }
        "Slice" => slice(inputs)?,
        "ArgMax" => reduced(shape(0)?, &[int(node, "axis").unwrap_or(0)], int(node, "keepdims"))?,
        "ReduceMean" | "ReduceSum" => reduced(shape(0)?, inputs.get(1)?.ints.as_ref()?, int(node, "keepdims"))?,
        "NonZero" => {
            let from = shape(0)?;
            let all = from.iter().copied().product();
            vec![Some(from.len() as u64), if choice == Choice::Everything { all } else { None }]
        }
        "Relu" | "Sigmoid" | "Gelu" | "Tanh" | "Cos" | "Sin" | "Exp" | "Sqrt" | "Neg" | "Reciprocal" | "Not"
        | "Clip" | "Softmax" | "LayerNormalization" | "RMSNormalization" | "RotaryEmbedding" | "ScatterElements"
        | "ScatterND" => shape(0)?,
        "Pow" | "Where" | "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "And" | "Or" | "Min"
        | "Max" => {
            let shapes: Vec<Shape> = (0..inputs.len()).map(shape).collect::<Option<_>>()?;
            shapes.iter().skip(1).try_fold(shapes.first()?.clone(), |all, next| broadcast(&all, next))?
        }
        _ => return None,
    };
    Some(Known::of(made))
}

fn known_lengths(list: &Known) -> Option<Shape> {
    Some(list.ints.as_ref()?.iter().map(|length| Some(length.unsigned_abs())).collect())
}

fn broadcast(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let from_end =
        |dims: &Shape, axis: usize| (axis + dims.len()).checked_sub(rank).map_or(Some(1), |index| dims[index]);
    (0..rank)
        .map(|axis| match (from_end(a, axis), from_end(b, axis)) {
            (a, b) if a == b => Some(a),
            (Some(1), other) | (other, Some(1)) => Some(other),
            // Equal wherever the graph runs at all.
            (None, known) | (known, None) => Some(known),
            _ => None,
        })
        .collect()
}

fn arithmetic(node: &NodeProto, inputs: &[Known]) -> Option<Known> {
    let [a, b] = inputs else { return None };
    let shape = broadcast(a.shape.as_ref()?, b.shape.as_ref()?)?;
    let apply = |a: i64, b: i64| match node.op_type.as_str() {
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        _ => a.checked_div(b),
    };
    let ints = a.ints.as_ref().zip(b.ints.as_ref()).and_then(|(a, b)| {
        let at = |list: &[i64], index: usize| if list.len() == 1 { list.first() } else { list.get(index) }.copied();
        (0..a.len().max(b.len())).map(|index| apply(at(a, index)?, at(b, index)?)).collect()
    });
    Some(Known { shape: Some(shape), ints })
}

fn reshape(inputs: &[Known]) -> Option<Known> {
    let (from, wanted) = (inputs.first()?, inputs.get(1)?.ints.as_ref()?);
    let source = from.shape.as_ref()?;
    let mut shape = Vec::with_capacity(wanted.len());
    for (axis, length) in wanted.iter().enumerate() {
        shape.push(match length {
            -1 => None,
            0 => *source.get(axis)?,
            length => Some(length.unsigned_abs()),
        });
    }
    if let Some(open) = wanted.iter().position(|length| *length == -1) {
        let others: Option<u64> =
            shape.iter().enumerate().filter(|(axis, _)| *axis != open).map(|(_, length)| *length).product();
        let all: Option<u64> = source.iter().copied().product();
        shape[open] = all.zip(others).and_then(|(all, others)| all.checked_div(others));
    }
    Some(Known { shape: Some(shape), ints: from.ints.clone() })
}

fn concat(node: &NodeProto, inputs: &[Known]) -> Option<Known> {
    let mut shape = inputs.first()?.shape.clone()?;
    let axis = place(int(node, "axis")?, shape.len())?;
    shape[axis] = inputs.iter().map(|input| *input.shape.as_ref()?.get(axis)?).sum();
    let ints = inputs.iter().map(|input| input.ints.as_deref()).collect::<Option<Vec<_>>>().map(|lists| lists.concat());
    Some(Known { shape: Some(shape), ints })
}

fn lengths_of(node: &NodeProto, shape: &Shape) -> Option<Known> {
    let axes = int(node, "start").unwrap_or(0) as usize..int(node, "end").map_or(shape.len(), |end| end as usize);
    let part = shape.get(axes)?;
    let ints = part.iter().map(|length| length.map(|length| length as i64)).collect();
    Some(Known::list(ints, Some(part.len() as u64)))
}

fn gather(node: &NodeProto, inputs: &[Known]) -> Option<Known> {
    let (data, indices) = (inputs.first()?, inputs.get(1)?);
    let shape = data.shape.as_ref()?;
    let axis = place(int(node, "axis").unwrap_or(0), shape.len())?;
    let ints = data.ints.as_ref().zip(indices.ints.as_ref()).and_then(|(data, indices)| {
        indices.iter().map(|index| data.get(place(*index, data.len())?).copied()).collect()
    });
    let made = [&shape[..axis], indices.shape.as_ref()?, &shape[axis + 1..]].concat();
    Some(Known { shape: Some(made), ints: ints.filter(|_| shape.len() == 1) })
}

fn matmul(a: &Shape, b: &Shape) -> Option<Shape> {
    let ([lead_a @ .., rows, _], [lead_b @ .., _, columns]) = (a.as_slice(), b.as_slice()) else { return None };
    let mut shape = broadcast(&lead_a.to_vec(), &lead_b.to_vec())?;
    shape.extend([*rows, *columns]);
    Some(shape)
}

/// Kernels without padding.
fn conv(node: &NodeProto, x: &Shape, kernel: &Shape) -> Option<Shape> {
    let strides = &attribute(node, "strides")?.ints;
    let mut shape = vec![*x.first()?, *kernel.first()?];
    for ((length, side), stride) in x.iter().zip(kernel).skip(2).zip(strides) {
        let steps = |length: u64, side: u64| Some(length.checked_sub(side)?.checked_div(stride.unsigned_abs())? + 1);
        shape.push(length.zip(*side).and_then(|(length, side)| steps(length, side)));
    }
    Some(shape)
}

/// Queries' lengths, the width that the values' heads make.
fn attention(queries: &Shape, values: &Shape) -> Option<Shape> {
    (queries.len() == values.len() || values.is_empty()).then(|| queries.clone())
}

fn slice(inputs: &[Known]) -> Option<Shape> {
    let ints = |index: usize| inputs.get(index)?.ints.as_ref();
    let mut shape = inputs.first()?.shape.clone()?;
    let (starts, ends, axes) = (ints(1)?, ints(2)?, ints(3)?);
    for ((start, end), axis) in starts.iter().zip(ends).zip(axes) {
        let axis = place(*axis, shape.len())?;
        let Some(length) = shape[axis] else {
            // From a known start to a known end of a longer axis.
            shape[axis] = (*start >= 0 && *end > *start && *end < i64::MAX).then(|| (end - start).unsigned_abs());
            continue;
        };
        let length = length as i64;
        let at = |position: i64| if position < 0 { (length + position).max(0) } else { position.min(length) };
        shape[axis] = Some((at(*end) - at(*start)).max(0).unsigned_abs());
    }
    Some(shape)
}

fn reduced(mut shape: Shape, axes: &[i64], keep: Option<i64>) -> Option<Shape> {
    let mut axes = axes.iter().map(|axis| place(*axis, shape.len())).collect::<Option<Vec<_>>>()?;
    axes.sort_unstable();
    for axis in axes.into_iter().rev() {
        if keep == Some(0) {
            shape.remove(axis);
        } else {
            shape[axis] = Some(1);
        }
    }
    Some(shape)
}

fn split(node: &NodeProto, inputs: &[Known]) -> Option<Vec<Known>> {
    let shape = inputs.first()?.shape.as_ref()?;
    let axis = place(int(node, "axis").unwrap_or(0), shape.len())?;
    let lengths = inputs.get(1)?.ints.as_ref()?;
    let piece = |length: &i64| {
        let mut shape = shape.clone();
        shape[axis] = Some(length.unsigned_abs());
        Known::of(shape)
    };
    Some(lengths.iter().map(piece).collect())
}

fn top_k(node: &NodeProto, inputs: &[Known], choice: Choice) -> Option<Known> {
    let mut shape = inputs.first()?.shape.clone()?;
    let axis = place(int(node, "axis").unwrap_or(-1), shape.len())?;
    if choice == Choice::AsExported {
        shape[axis] = inputs.get(1)?.ints.as_ref()?.first().map(|count| count.unsigned_abs());
    }
    Some(Known::of(shape))
}

/// An axis or index that may be counted from the end.
fn place(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index + length as i64 } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

//! The elementary operators. Each one states the shape it gives or says why it cannot.

use vla_bundle::{Dim, Dtype};

use super::proto::{AttributeProto, TensorProto};
use super::{Builder, GraphError, Node, Value, fixed, list, save};

/// A piece of one axis.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Axis that is cut.
    pub axis: usize,
    /// First index kept.
    pub start: u64,
    /// Length of what is kept: up to the end of the axis where it is a symbol; an axis of unknown length must have it.
    pub length: Dim,
}

impl Builder<'_, '_> {
    /// `a + b`, shapes broadcast as in numpy.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    pub fn add(&mut self, label: &str, a: &Value, b: &Value) -> Result<Value, GraphError> {
        self.elementwise(label, "Add", a, b)
    }

    /// `a * b`, shapes broadcast as in numpy.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    pub fn mul(&mut self, label: &str, a: &Value, b: &Value) -> Result<Value, GraphError> {
        self.elementwise(label, "Mul", a, b)
    }

    /// `a - b`, shapes broadcast as in numpy.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    pub fn sub(&mut self, label: &str, a: &Value, b: &Value) -> Result<Value, GraphError> {
        self.elementwise(label, "Sub", a, b)
    }

    pub(super) fn elementwise(
        &mut self,
        label: &str,
        op: &'static str,
        a: &Value,
        b: &Value,
    ) -> Result<Value, GraphError> {
        let dims = broadcast(&a.dims, &b.dims).ok_or_else(|| {
            self.refuse(label, op, format!("{} and {} do not broadcast", list(&a.dims), list(&b.dims)))
        })?;
        self.emit(label, Node::plain(op, &[a, b]), a.dtype, dims)
    }

    /// An operator that changes no shape.
    pub(super) fn unary(&mut self, label: &str, op: &'static str, x: &Value) -> Result<Value, GraphError> {
        self.emit(label, Node::plain(op, &[x]), x.dtype, x.dims.clone())
    }

    /// Element by element into another type.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn cast(&mut self, label: &str, x: &Value, dtype: Dtype) -> Result<Value, GraphError> {
        let to = AttributeProto::int("to", save::onnx_type(dtype).into());
        self.emit(label, Node::plain("Cast", &[x]).with(to), dtype, x.dims.clone())
    }

    /// `[.., m, k] x [.., k, n] -> [.., m, n]`, leading axes broadcast.
    ///
    /// # Errors
    /// Inner lengths that differ, or leading axes that do not broadcast.
    pub fn matmul(&mut self, label: &str, a: &Value, b: &Value) -> Result<Value, GraphError> {
        let dims = match (a.dims.as_slice(), b.dims.as_slice()) {
            ([lead_a @ .., m, inner_a], [lead_b @ .., inner_b, n]) if inner_a == inner_b => broadcast(lead_a, lead_b)
                .map(|mut dims| {
                    dims.extend([m.clone(), n.clone()]);
                    dims
                }),
            _ => None,
        };
        let dims = dims.ok_or_else(|| {
            self.refuse(label, "MatMul", format!("{} and {} do not multiply", list(&a.dims), list(&b.dims)))
        })?;
        self.emit(label, Node::plain("MatMul", &[a, b]), a.dtype, dims)
    }

    /// The same elements in other dimensions, of which at most one may be a symbol.
    ///
    /// # Errors
    /// Another number of elements, or two symbols.
    pub fn reshape(&mut self, label: &str, x: &Value, dims: &[Dim]) -> Result<Value, GraphError> {
        let fits = match (elements(&x.dims), elements(dims)) {
            ((n, from), (m, to)) if from == to => n == m,
            // A symbol that becomes another one, or none: its length is not known here.
            (_, (_, to)) => to.len() == 1,
        };
        let symbols = dims.iter().filter(|d| matches!(d, Dim::Symbol(_))).count();
        if !fits || symbols > 1 {
            return Err(self.refuse(label, "Reshape", format!("{} cannot become {}", list(&x.dims), list(dims))));
        }
        let lengths: Vec<i64> = dims.iter().map(|d| if let Dim::Fixed(n) = d { *n as i64 } else { -1 }).collect();
        let shape = self.ints(&format!("{label}.shape"), &lengths, &[lengths.len() as u64])?;
        self.emit(label, Node::plain("Reshape", &[x, &shape]), x.dtype, dims.to_vec())
    }

    /// Axes in another order.
    ///
    /// # Errors
    /// An order that does not name every axis once.
    pub fn transpose(&mut self, label: &str, x: &Value, order: &[usize]) -> Result<Value, GraphError> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if sorted != (0..x.dims.len()).collect::<Vec<_>>() {
            return Err(self.refuse(label, "Transpose", format!("{} in the order {order:?}", list(&x.dims))));
        }
        let dims = order.iter().map(|axis| x.dims[*axis].clone()).collect();
        let perm = AttributeProto::ints("perm", order.iter().map(|axis| *axis as i64).collect());
        self.emit(label, Node::plain("Transpose", &[x]).with(perm), x.dtype, dims)
    }

    /// `parts` one after the other along `axis`; `length` is the sum of their lengths there.
    ///
    /// # Errors
    /// Other axes that differ, or lengths that are all known and do not sum up to `length`.
    pub fn concat(&mut self, label: &str, axis: usize, parts: &[&Value], length: &Dim) -> Result<Value, GraphError> {
        let stated = |dims: &[Dim]| {
            let mut dims = dims.to_vec();
            if let Some(dim) = dims.get_mut(axis) {
                *dim = length.clone();
            }
            dims
        };
        let dims = parts.first().map(|p| stated(&p.dims)).unwrap_or_default();
        let same = axis < dims.len() && parts.iter().all(|p| stated(&p.dims) == dims);
        let known: Option<u64> =
            parts.iter().map(|p| if let Some(Dim::Fixed(n)) = p.dims.get(axis) { Some(*n) } else { None }).sum();
        let sums_up = known.is_none_or(|n| *length == Dim::Fixed(n)) && (known.is_some() || symbolic(length));
        if !same || !sums_up {
            let shapes: Vec<String> = parts.iter().map(|p| list(&p.dims)).collect();
            let reason = format!("{} along axis {axis} do not give length {length}", shapes.join(", "));
            return Err(self.refuse(label, "Concat", reason));
        }
        let along = AttributeProto::int("axis", axis as i64);
        self.emit(label, Node::plain("Concat", parts).with(along), parts[0].dtype, dims)
    }

    /// `N` pieces of the given lengths along `axis`.
    ///
    /// # Errors
    /// Lengths that do not sum up to the axis.
    pub fn split<const N: usize>(
        &mut self,
        label: &str,
        x: &Value,
        axis: usize,
        lengths: [u64; N],
    ) -> Result<[Value; N], GraphError> {
        if x.dims.get(axis) != Some(&fixed(lengths.iter().sum())) {
            let reason = format!("{} along axis {axis} has no pieces {lengths:?}", list(&x.dims));
            return Err(self.refuse(label, "Split", reason));
        }
        let sizes = self.ints(&format!("{label}.lengths"), &lengths.map(|n| n as i64), &[N as u64])?;
        let pieces: [Value; N] = std::array::from_fn(|index| {
            let mut dims = x.dims.clone();
            dims[axis] = fixed(lengths[index]);
            Value { name: self.name_of(&format!("{label}.{index}")), dtype: x.dtype, dims }
        });
        for piece in &pieces {
            self.graph.claim(&piece.name)?;
        }
        let names = pieces.iter().map(|p| p.name.clone()).collect();
        let along = AttributeProto::int("axis", axis as i64);
        self.push(label, Node::plain("Split", &[x, &sizes]).with(along), names);
        Ok(pieces)
    }

    /// The piece `cut` of `x`.
    ///
    /// # Errors
    /// A piece that reaches past a known length.
    pub fn slice(&mut self, label: &str, x: &Value, cut: &Cut) -> Result<Value, GraphError> {
        let end = match (x.dims.get(cut.axis), &cut.length) {
            (Some(Dim::Fixed(n)), Dim::Fixed(length)) if cut.start + length <= *n => (cut.start + length) as i64,
            (Some(Dim::Symbol(_)), Dim::Fixed(length)) => (cut.start + length) as i64,
            (Some(Dim::Symbol(_)), Dim::Symbol(_)) => i64::MAX,
            _ => {
                let reason =
                    format!("{} along axis {} has no {} from {}", list(&x.dims), cut.axis, cut.length, cut.start);
                return Err(self.refuse(label, "Slice", reason));
            }
        };
        let start = self.ints(&format!("{label}.start"), &[cut.start as i64], &[1])?;
        let end = self.ints(&format!("{label}.end"), &[end], &[1])?;
        let axis = self.ints(&format!("{label}.axis"), &[cut.axis as i64], &[1])?;
        let mut dims = x.dims.clone();
        dims[cut.axis] = cut.length.clone();
        self.emit(label, Node::plain("Slice", &[x, &start, &end, &axis]), x.dtype, dims)
    }

    /// Entries of `axis` by index: the axis is replaced by the axes of `indices`.
    ///
    /// # Errors
    /// Indices that are not i64, or an axis that is not there.
    pub fn gather(&mut self, label: &str, x: &Value, axis: usize, indices: &Value) -> Result<Value, GraphError> {
        if indices.dtype != Dtype::Int64 || axis >= x.dims.len() {
            let reason = format!("axis {axis} of {} by {} {}", list(&x.dims), indices.dtype, list(&indices.dims));
            return Err(self.refuse(label, "Gather", reason));
        }
        let dims = [&x.dims[..axis], &indices.dims, &x.dims[axis + 1..]].concat();
        let along = AttributeProto::int("axis", axis as i64);
        self.emit(label, Node::plain("Gather", &[x, indices]).with(along), x.dtype, dims)
    }

    /// Lengths of the axes `first..end` at run time: `[end - first]`, i64.
    ///
    /// # Errors
    /// Axes that are not there.
    pub fn lengths(&mut self, label: &str, x: &Value, axes: std::ops::Range<usize>) -> Result<Value, GraphError> {
        if axes.is_empty() || axes.end > x.dims.len() {
            return Err(self.refuse(label, "Shape", format!("{} has no axes {axes:?}", list(&x.dims))));
        }
        let node = Node::plain("Shape", &[x])
            .with(AttributeProto::int("start", axes.start as i64))
            .with(AttributeProto::int("end", axes.end as i64));
        self.emit(label, node, Dtype::Int64, vec![fixed(axes.len() as u64)])
    }

    /// `x` repeated along its first axis, whose length is 1, as often as `like` is long there.
    ///
    /// # Errors
    /// A first axis that is not 1.
    pub fn repeat_like(&mut self, label: &str, x: &Value, like: &Value) -> Result<Value, GraphError> {
        let (Some(Dim::Fixed(1)), Some(first)) = (x.dims.first(), like.dims.first().cloned()) else {
            return Err(self.refuse(label, "Expand", format!("{} like {}", list(&x.dims), list(&like.dims))));
        };
        let count = self.lengths(&format!("{label}.count"), like, 0..1)?;
        let rank = x.dims.len() as u64;
        let rest = self.ints(&format!("{label}.rest"), &vec![1; x.dims.len() - 1], &[rank - 1])?;
        let shape = self.concat(&format!("{label}.shape"), 0, &[&count, &rest], &fixed(rank))?;
        let mut dims = x.dims.clone();
        dims[0] = first;
        self.emit(label, Node::plain("Expand", &[x, &shape]), x.dtype, dims)
    }

    /// `0, 1, .., n - 1` for `n` in a tensor of one element: `[length]`, i64.
    ///
    /// # Errors
    /// A count that is not one i64.
    pub fn count_up(&mut self, label: &str, n: &Value, length: Dim) -> Result<Value, GraphError> {
        let limit = self.reshape(&format!("{label}.limit"), n, &[])?;
        let start = self.ints(&format!("{label}.start"), &[0], &[])?;
        let step = self.ints(&format!("{label}.step"), &[1], &[])?;
        self.emit(label, Node::plain("Range", &[&start, &limit, &step]), Dtype::Int64, vec![length])
    }

    /// A tensor of zeros (f32) of the given dimensions; it costs no space in the file.
    ///
    /// # Errors
    /// A symbol among the dimensions.
    pub fn zeros(&mut self, label: &str, lengths: &[u64]) -> Result<Value, GraphError> {
        let shape: Vec<i64> = lengths.iter().map(|n| *n as i64).collect();
        let shape = self.ints(&format!("{label}.shape"), &shape, &[shape.len() as u64])?;
        let node = Node::plain("ConstantOfShape", &[&shape]);
        self.emit(label, node, Dtype::Fp32, lengths.iter().map(|n| fixed(*n)).collect())
    }

    /// A bool tensor of run-time `shape` (i64) filled with one value; `dims` is what the shape means here.
    ///
    /// # Errors
    /// A shape of another rank.
    pub fn filled(&mut self, label: &str, shape: &Value, dims: &[Dim], value: Truth) -> Result<Value, GraphError> {
        if shape.dims != [fixed(dims.len() as u64)] {
            let reason = format!("shape {} for {}", list(&shape.dims), list(dims));
            return Err(self.refuse(label, "ConstantOfShape", reason));
        }
        let value = TensorProto {
            dims: vec![1],
            data_type: save::onnx_type(Dtype::Bool),
            raw_data: vec![u8::from(value == Truth::True)],
            ..TensorProto::default()
        };
        let node = Node::plain("ConstantOfShape", &[shape]).with(AttributeProto::tensor("value", value));
        self.emit(label, node, Dtype::Bool, dims.to_vec())
    }

    /// Integers kept between two bounds, both included.
    ///
    /// # Errors
    /// Numbers of another type than i64.
    pub fn clamp(&mut self, label: &str, x: &Value, [low, high]: [i64; 2]) -> Result<Value, GraphError> {
        if x.dtype != Dtype::Int64 {
            return Err(self.refuse(label, "Clip", format!("{} {}, wanted int64", x.dtype, list(&x.dims))));
        }
        let low = self.ints(&format!("{label}.low"), &[low], &[])?;
        let high = self.ints(&format!("{label}.high"), &[high], &[])?;
        self.emit(label, Node::plain("Clip", &[x, &low, &high]), Dtype::Int64, x.dims.clone())
    }

    /// Index of the largest entry of the last axis, the first one where several are equal: i64, that axis gone.
    ///
    /// # Errors
    /// A scalar.
    pub fn argmax_last(&mut self, label: &str, x: &Value) -> Result<Value, GraphError> {
        let Some((_, dims)) = x.dims.split_last() else {
            return Err(self.refuse(label, "ArgMax", "a scalar has no axis".to_owned()));
        };
        let node = Node::plain("ArgMax", &[x])
            .with(AttributeProto::int("axis", -1))
            .with(AttributeProto::int("keepdims", 0))
            .with(AttributeProto::int("select_last_index", 0));
        self.emit(label, node, Dtype::Int64, dims.to_vec())
    }

    /// Mean over `axis`, which is gone then.
    ///
    /// # Errors
    /// An axis that is not there.
    pub fn mean(&mut self, label: &str, x: &Value, axis: usize) -> Result<Value, GraphError> {
        let mut dims = x.dims.clone();
        if axis >= dims.len() {
            return Err(self.refuse(label, "ReduceMean", format!("{} has no axis {axis}", list(&x.dims))));
        }
        dims.remove(axis);
        let axes = self.ints(&format!("{label}.axis"), &[axis as i64], &[1])?;
        let node = Node::plain("ReduceMean", &[x, &axes]).with(AttributeProto::int("keepdims", 0));
        self.emit(label, node, x.dtype, dims)
    }

    /// `x` with the entries `indices` of the last axis replaced by `updates`, row by row.
    ///
    /// # Errors
    /// Indices and updates of different shapes, or another rank than `x`.
    pub fn scatter_last(
        &mut self,
        label: &str,
        x: &Value,
        indices: &Value,
        updates: &Value,
    ) -> Result<Value, GraphError> {
        if indices.dims != updates.dims || indices.dims.len() != x.dims.len() || x.dtype != updates.dtype {
            let shapes = [x, indices, updates].map(|v| list(&v.dims)).join(", ");
            return Err(self.refuse(label, "ScatterElements", format!("{shapes} do not fit")));
        }
        let along = AttributeProto::int("axis", -1);
        let node = Node::plain("ScatterElements", &[x, indices, updates]).with(along);
        self.emit(label, node, x.dtype, x.dims.clone())
    }

    /// Indices of the true entries of a bool vector, ascending: `[length]`, i64.
    ///
    /// # Errors
    /// Anything but a bool vector.
    pub fn true_indices(&mut self, label: &str, mask: &Value, length: Dim) -> Result<Value, GraphError> {
        if mask.dtype != Dtype::Bool || mask.dims.len() != 1 {
            return Err(self.refuse(label, "NonZero", format!("{} {} is no mask", mask.dtype, list(&mask.dims))));
        }
        let dims = vec![fixed(1), length.clone()];
        let rows = self.emit(&format!("{label}.rows"), Node::plain("NonZero", &[mask]), Dtype::Int64, dims)?;
        self.reshape(label, &rows, &[length])
    }

    /// Pictures `[n, channels, h, w]` cut into squares of the kernel `[width, channels, k, k]`: `[n, width, h/k, w/k]`.
    ///
    /// # Errors
    /// Other ranks or channels, or a kernel that does not tile the picture.
    pub fn patchify(&mut self, label: &str, x: &Value, kernel: &Value, bias: &Value) -> Result<Value, GraphError> {
        let ([n, channels, Dim::Fixed(h), Dim::Fixed(w)], [width, kernel_channels, Dim::Fixed(k), Dim::Fixed(k_x)]) =
            (x.dims.as_slice(), kernel.dims.as_slice())
        else {
            return Err(self.refuse(label, "Conv", format!("{} with {}", list(&x.dims), list(&kernel.dims))));
        };
        let tiles = channels == kernel_channels && k == k_x && h % k == 0 && w % k == 0;
        if !tiles || bias.dims != [width.clone()] {
            let shapes = [x, kernel, bias].map(|v| list(&v.dims)).join(", ");
            return Err(self.refuse(label, "Conv", format!("{shapes} do not tile the picture")));
        }
        let dims = vec![n.clone(), width.clone(), Dim::Fixed(h / k), Dim::Fixed(w / k)];
        let strides = AttributeProto::ints("strides", vec![*k as i64, *k as i64]);
        self.emit(label, Node::plain("Conv", &[x, kernel, bias]).with(strides), x.dtype, dims)
    }
}

/// A truth value to fill a mask with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Truth {
    True,
    False,
}

fn symbolic(dim: &Dim) -> bool {
    matches!(dim, Dim::Symbol(_))
}

/// Product of the known lengths, and the symbols, sorted.
fn elements(dims: &[Dim]) -> (u64, Vec<&str>) {
    let known = dims.iter().map(|d| if let Dim::Fixed(n) = d { *n } else { 1 }).product();
    let mut symbols: Vec<&str> =
        dims.iter().filter_map(|d| if let Dim::Symbol(s) = d { Some(s.as_str()) } else { None }).collect();
    symbols.sort_unstable();
    (known, symbols)
}

fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let one = Dim::Fixed(1);
    let rank = a.len().max(b.len());
    let from_end = |dims: &[Dim], axis: usize| {
        (axis + dims.len()).checked_sub(rank).map_or_else(|| one.clone(), |index| dims[index].clone())
    };
    (0..rank)
        .map(|axis| match (from_end(a, axis), from_end(b, axis)) {
            (a, b) if a == b || b == one => Some(a),
            (a, b) if a == one => Some(b),
            _ => None,
        })
        .collect()
}

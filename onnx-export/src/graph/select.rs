//! Rows chosen by their rank or counted from the end, and put back in their places.

use vla_bundle::{Dim, Dtype};

use super::proto::AttributeProto;
use super::{Builder, GraphError, Node, Value, fixed, list};

impl Builder<'_, '_> {
    /// Everything but the last `tail` entries of `axis`, of length `head`.
    ///
    /// # Errors
    /// An axis that is not there, or a known length that is not the sum of both.
    pub fn without_last(
        &mut self,
        label: &str,
        x: &Value,
        (axis, tail): (usize, u64),
        head: Dim,
    ) -> Result<Value, GraphError> {
        let fits = match (x.dims.get(axis), &head) {
            (Some(Dim::Fixed(n)), Dim::Fixed(head)) => head + tail == *n,
            (Some(Dim::Symbol(_)), Dim::Symbol(_)) => true,
            _ => false,
        };
        if !fits || tail == 0 {
            let reason = format!("{} along axis {axis} is not {head} before the last {tail}", list(&x.dims));
            return Err(self.refuse(label, "Slice", reason));
        }
        self.cut_at(label, (x, axis), [0, -(tail as i64)], head)
    }

    /// The last `count` entries of `axis`.
    ///
    /// # Errors
    /// An axis that is not there, or a known length below the count.
    pub fn last(&mut self, label: &str, x: &Value, (axis, count): (usize, u64)) -> Result<Value, GraphError> {
        let fits = match x.dims.get(axis) {
            Some(Dim::Fixed(n)) => count <= *n,
            Some(Dim::Symbol(_)) => true,
            None => false,
        };
        if !fits || count == 0 {
            let reason = format!("{} along axis {axis} has no last {count}", list(&x.dims));
            return Err(self.refuse(label, "Slice", reason));
        }
        self.cut_at(label, (x, axis), [-(count as i64), i64::MAX], fixed(count))
    }

    fn cut_at(
        &mut self,
        label: &str,
        (x, axis): (&Value, usize),
        [start, end]: [i64; 2],
        length: Dim,
    ) -> Result<Value, GraphError> {
        let start = self.ints(&format!("{label}.start"), &[start], &[1])?;
        let end = self.ints(&format!("{label}.end"), &[end], &[1])?;
        let along = self.ints(&format!("{label}.axis"), &[axis as i64], &[1])?;
        let mut dims = x.dims.clone();
        dims[axis] = length;
        self.emit(label, Node::plain("Slice", &[x, &start, &end, &along]), x.dtype, dims)
    }

    /// Indices of the `count` largest entries of a vector, ascending; of equal entries the first ones: `[count]`, i64.
    ///
    /// # Errors
    /// Anything but a vector of known length, or more entries than it has.
    pub fn largest(&mut self, label: &str, x: &Value, count: u64) -> Result<Value, GraphError> {
        let fits = matches!(x.dims.as_slice(), [Dim::Fixed(n)] if count <= *n);
        if !fits {
            return Err(self.refuse(label, "TopK", format!("{} has no {count} largest", list(&x.dims))));
        }
        let mut at = self.at(label);
        let [_, found] = at.top_k("by_value", x, count, 1)?;
        let [sorted, _] = at.top_k("by_index", &found, count, 0)?;
        Ok(sorted)
    }

    /// Values and indices; of equal entries the one of lower index comes first, as the operator's definition says.
    fn top_k(&mut self, label: &str, x: &Value, count: u64, largest: i64) -> Result<[Value; 2], GraphError> {
        let k = self.ints(&format!("{label}.count"), &[count as i64], &[1])?;
        let parts = [("values", x.dtype), ("indices", Dtype::Int64)].map(|(part, dtype)| Value {
            name: self.name_of(&format!("{label}.{part}")),
            dtype,
            dims: vec![fixed(count)],
        });
        for part in &parts {
            self.graph.claim(&part.name)?;
        }
        let node = Node::plain("TopK", &[x, &k])
            .with(AttributeProto::int("axis", -1))
            .with(AttributeProto::int("largest", largest))
            .with(AttributeProto::int("sorted", 1));
        self.push(label, node, parts.iter().map(|part| part.name.clone()).collect());
        Ok(parts)
    }

    /// `x [1, n, width]` with the rows `indices [k]` replaced by `updates [1, k, width]`.
    ///
    /// # Errors
    /// Other ranks or types, or lengths that do not agree.
    pub fn scatter_rows(
        &mut self,
        label: &str,
        x: &Value,
        indices: &Value,
        updates: &Value,
    ) -> Result<Value, GraphError> {
        let fits = match (x.dims.as_slice(), indices.dims.as_slice(), updates.dims.as_slice()) {
            ([Dim::Fixed(1), _, width], [k], [Dim::Fixed(1), rows, new]) => width == new && k == rows,
            _ => false,
        };
        if !fits || indices.dtype != Dtype::Int64 || x.dtype != updates.dtype {
            let shapes = [x, indices, updates].map(|v| list(&v.dims)).join(", ");
            return Err(self.refuse(label, "ScatterND", format!("{shapes} do not fit")));
        }
        let (n, width, k) = (x.dims[1].clone(), x.dims[2].clone(), indices.dims[0].clone());
        let mut at = self.at(label);
        let rows = at.reshape("rows", x, &[n, width.clone()])?;
        let places = at.reshape("places", indices, &[k.clone(), fixed(1)])?;
        let new = at.reshape("new", updates, &[k, width])?;
        let dims = rows.dims.clone();
        let rows = at.emit("scattered", Node::plain("ScatterND", &[&rows, &places, &new]), x.dtype, dims)?;
        at.reshape("batch", &rows, &x.dims)
    }
}

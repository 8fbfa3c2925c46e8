//! The vocabulary of neural networks, in operators of set 23: the only place that knows which set a graph is for.

use vla_bundle::{Dim, Dtype};

use super::proto::AttributeProto;
use super::{Builder, GraphError, Node, Value, fixed, list};

/// Cosine and sine per position, as [`Builder::rotary_tables`] makes them.
pub struct RotaryTables {
    cos: Value,
    sin: Value,
}

impl Builder<'_, '_> {
    /// `(x - mean) / sqrt(variance + eps) * scale + bias` over the last axis.
    ///
    /// # Errors
    /// Scale or bias of another length than that axis.
    pub fn layer_norm(
        &mut self,
        label: &str,
        x: &Value,
        (scale, bias): (&Value, &Value),
        eps: f32,
    ) -> Result<Value, GraphError> {
        self.want_last("LayerNormalization", label, x, &[scale, bias])?;
        let node = Node::plain("LayerNormalization", &[x, scale, bias])
            .with(AttributeProto::int("axis", -1))
            .with(AttributeProto::float("epsilon", eps));
        self.emit(label, node, x.dtype, x.dims.clone())
    }

    /// `x / sqrt(mean(x^2) + eps) * scale` over the last axis.
    ///
    /// # Errors
    /// A scale of another length than that axis.
    pub fn rms_norm(&mut self, label: &str, x: &Value, scale: &Value, eps: f32) -> Result<Value, GraphError> {
        self.want_last("RMSNormalization", label, x, &[scale])?;
        let node = Node::plain("RMSNormalization", &[x, scale])
            .with(AttributeProto::int("axis", -1))
            .with(AttributeProto::float("epsilon", eps));
        self.emit(label, node, x.dtype, x.dims.clone())
    }

    fn want_last(&self, op: &'static str, label: &str, x: &Value, parameters: &[&Value]) -> Result<(), GraphError> {
        match parameters.iter().find(|p| p.dims.len() != 1 || p.dims.last() != x.dims.last()) {
            None => Ok(()),
            Some(p) => Err(self.refuse(
                label,
                op,
                format!("{} does not scale the last axis of {}", list(&p.dims), list(&x.dims)),
            )),
        }
    }

    /// `exp(x) / sum(exp(x))` over the last axis.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn softmax_last(&mut self, label: &str, x: &Value) -> Result<Value, GraphError> {
        let node = Node::plain("Softmax", &[x]).with(AttributeProto::int("axis", -1));
        self.emit(label, node, x.dtype, x.dims.clone())
    }

    /// Gaussian error linear unit, exact: `x / 2 * (1 + erf(x / sqrt(2)))`.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn gelu(&mut self, label: &str, x: &Value) -> Result<Value, GraphError> {
        self.unary(label, "Gelu", x)
    }

    /// `max(x, 0)`.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn relu(&mut self, label: &str, x: &Value) -> Result<Value, GraphError> {
        self.unary(label, "Relu", x)
    }

    /// `x * sigmoid(x)`.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn silu(&mut self, label: &str, x: &Value) -> Result<Value, GraphError> {
        let gate = self.unary(&format!("{label}.sigmoid"), "Sigmoid", x)?;
        self.mul(label, x, &gate)
    }

    /// Softmax attention in which every query sees every key: `q [b, m, heads * d]`, `k`, `v [b, n, heads * d]` give
    /// `[b, m, heads * d]`; scale `1 / sqrt(d)`.
    ///
    /// # Errors
    /// Other ranks, widths that differ or that the heads do not divide, or keys and values of different lengths.
    pub fn attention(&mut self, label: &str, parts: [&Value; 3], heads: u64) -> Result<Value, GraphError> {
        let node = self.attention_node(label, parts, heads)?;
        self.emit(label, node, parts[0].dtype, parts[0].dims.clone())
    }

    /// [`Builder::attention`] in which a query sees its own and earlier keys; as many queries as keys.
    ///
    /// # Errors
    /// As [`Builder::attention`], or queries and keys of different lengths.
    pub fn causal_attention(&mut self, label: &str, parts: [&Value; 3], heads: u64) -> Result<Value, GraphError> {
        let [q, k, _] = parts;
        let node = self.attention_node(label, parts, heads)?.with(AttributeProto::int("is_causal", 1));
        if q.dims != k.dims {
            let reason = format!("causal {} and {} differ in length", list(&q.dims), list(&k.dims));
            return Err(self.refuse(label, "Attention", reason));
        }
        self.emit(label, node, q.dtype, q.dims.clone())
    }

    fn attention_node(&self, label: &str, [q, k, v]: [&Value; 3], heads: u64) -> Result<Node, GraphError> {
        let fits = match (q.dims.as_slice(), k.dims.as_slice(), v.dims.as_slice()) {
            ([b, _, Dim::Fixed(width)], [b_k, _, width_k], _) => {
                b == b_k && *width_k == Dim::Fixed(*width) && k.dims == v.dims && width.is_multiple_of(heads)
            }
            _ => false,
        };
        if !fits {
            let shapes = [q, k, v].map(|x| list(&x.dims)).join(", ");
            return Err(self.refuse(label, "Attention", format!("{shapes} with {heads} heads do not fit")));
        }
        Ok(Node::plain("Attention", &[q, k, v])
            .with(AttributeProto::int("q_num_heads", heads as i64))
            .with(AttributeProto::int("kv_num_heads", heads as i64)))
    }

    /// Angles `position * inverse_frequency` for [`Builder::rotate`]: `positions [b, n]` i64 and the inverse frequencies
    /// of half a head, in f32 whatever the graph computes in.
    ///
    /// # Errors
    /// Positions of another rank or type.
    pub fn rotary_tables(
        &mut self,
        label: &str,
        positions: &Value,
        inverse_frequencies: &[f32],
    ) -> Result<RotaryTables, GraphError> {
        let ([b, n], Dtype::Int64) = (positions.dims.as_slice(), positions.dtype) else {
            let reason = format!("positions are {} {}", positions.dtype, list(&positions.dims));
            return Err(self.refuse(label, "RotaryEmbedding", reason));
        };
        let mut at = self.at(label);
        let column = at.reshape("column", positions, &[b.clone(), n.clone(), fixed(1)])?;
        let column = at.cast("column.fp32", &column, Dtype::Fp32)?;
        let frequencies = at.floats("inverse_frequencies", inverse_frequencies)?;
        let angles = at.mul("angles", &column, &frequencies)?;
        Ok(RotaryTables { cos: at.unary("cos", "Cos", &angles)?, sin: at.unary("sin", "Sin", &angles)? })
    }

    /// The tables of all but the last `tail` positions, `head` in number.
    ///
    /// # Errors
    /// A length that is not the sum of both.
    pub fn earlier_positions(
        &mut self,
        label: &str,
        tables: &RotaryTables,
        (head, tail): (Dim, u64),
    ) -> Result<RotaryTables, GraphError> {
        let mut at = self.at(label);
        let cos = at.without_last("cos", &tables.cos, (1, tail), head.clone())?;
        let sin = at.without_last("sin", &tables.sin, (1, tail), head)?;
        Ok(RotaryTables { cos, sin })
    }

    /// Rotary position embedding of `x [b, n, heads * d]`: element `i` of a head turns with element `i + d / 2`.
    ///
    /// # Errors
    /// Tables of other positions or of another head width.
    pub fn rotate(&mut self, label: &str, x: &Value, tables: &RotaryTables, heads: u64) -> Result<Value, GraphError> {
        let fits = match (x.dims.as_slice(), tables.cos.dims.as_slice()) {
            ([b, n, Dim::Fixed(width)], [table_b, table_n, Dim::Fixed(half)]) => {
                b == table_b && n == table_n && *width == 2 * half * heads
            }
            _ => false,
        };
        if !fits {
            let reason = format!("{} with {heads} heads by {}", list(&x.dims), list(&tables.cos.dims));
            return Err(self.refuse(label, "RotaryEmbedding", reason));
        }
        let node = Node::plain("RotaryEmbedding", &[x, &tables.cos, &tables.sin])
            .with(AttributeProto::int("num_heads", heads as i64));
        self.emit(label, node, x.dtype, x.dims.clone())
    }
}

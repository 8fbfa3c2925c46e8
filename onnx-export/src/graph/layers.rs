//! The vocabulary of neural networks, in operators of set 23: the only place that knows which set a graph is for.

use vla_bundle::{Dim, Dtype};

use super::proto::AttributeProto;
use super::{Builder, GraphError, Node, Value, fixed, list};

/// Cosine and sine per position, as [`Builder::rotary_tables`] makes them.
pub struct RotaryTables {
    cos: Value,
    sin: Value,
}

/// Heads of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadGroups {
    /// Query heads.
    pub heads: u64,
    /// Key and value heads; as many neighbouring query heads share each of them.
    pub groups: u64,
}

impl HeadGroups {
    /// Width of keys and values where queries are `width` wide.
    fn width_of(self, width: u64) -> Option<Dim> {
        let divides = width.is_multiple_of(self.heads) && self.heads.is_multiple_of(self.groups);
        divides.then(|| fixed(width / self.heads * self.groups))
    }

    fn attributes(self, node: Node) -> Node {
        node.with(AttributeProto::int("q_num_heads", self.heads as i64))
            .with(AttributeProto::int("kv_num_heads", self.groups as i64))
    }
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

    /// Gaussian error linear unit, approximated: `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn gelu_tanh(&mut self, label: &str, x: &Value) -> Result<Value, GraphError> {
        let node = Node::plain("Gelu", &[x]).with(AttributeProto::string("approximate", "tanh"));
        self.emit(label, node, x.dtype, x.dims.clone())
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
    pub fn attention(&mut self, label: &str, qkv: [&Value; 3], heads: u64) -> Result<Value, GraphError> {
        self.grouped_attention(label, qkv, HeadGroups { heads, groups: heads })
    }

    /// [`Builder::attention`] in which a query sees its own and earlier keys; as many queries as keys.
    ///
    /// # Errors
    /// As [`Builder::attention`], or queries and keys of different lengths.
    pub fn causal_attention(&mut self, label: &str, qkv: [&Value; 3], heads: u64) -> Result<Value, GraphError> {
        self.grouped_causal_attention(label, qkv, HeadGroups { heads, groups: heads })
    }

    /// [`Builder::attention`] in which neighbouring query heads share a key and value head: `k`, `v [b, n, groups * d]`.
    ///
    /// # Errors
    /// As [`Builder::attention`], or heads that the groups do not divide.
    pub fn grouped_attention(&mut self, label: &str, qkv: [&Value; 3], heads: HeadGroups) -> Result<Value, GraphError> {
        let node = self.attention_node(label, qkv, heads)?;
        self.emit(label, node, qkv[0].dtype, qkv[0].dims.clone())
    }

    /// [`Builder::grouped_attention`] in which a query sees its own and earlier keys; as many queries as keys.
    ///
    /// # Errors
    /// As [`Builder::grouped_attention`], or queries and keys of different lengths.
    pub fn grouped_causal_attention(
        &mut self,
        label: &str,
        qkv: [&Value; 3],
        heads: HeadGroups,
    ) -> Result<Value, GraphError> {
        let [q, k, _] = qkv;
        let node = self.attention_node(label, qkv, heads)?;
        if q.dims[..2] != k.dims[..2] {
            let reason = format!("causal {} and {} differ in length", list(&q.dims), list(&k.dims));
            return Err(self.refuse(label, "Attention", reason));
        }
        self.emit(label, node.with(AttributeProto::int("is_causal", 1)), q.dtype, q.dims.clone())
    }

    fn attention_node(&self, label: &str, [q, k, v]: [&Value; 3], heads: HeadGroups) -> Result<Node, GraphError> {
        let fits = match (q.dims.as_slice(), k.dims.as_slice()) {
            ([b, _, Dim::Fixed(width)], [b_k, _, width_k]) => {
                b == b_k && heads.width_of(*width) == Some(width_k.clone()) && k.dims == v.dims
            }
            _ => false,
        };
        if !fits {
            return Err(self.refuse_attention(label, &[q, k, v], heads));
        }
        Ok(heads.attributes(Node::plain("Attention", &[q, k, v])))
    }

    /// [`Builder::grouped_attention`] of tokens that come after others: each sees the `past` keys and values
    /// `[b, n, groups * d]`, its own and those of the tokens between.
    ///
    /// # Errors
    /// As [`Builder::grouped_attention`]; queries and own keys of different lengths.
    pub fn attention_after(
        &mut self,
        label: &str,
        [q, k, v]: [&Value; 3],
        past: [&Value; 2],
        heads: HeadGroups,
    ) -> Result<Value, GraphError> {
        let ([b, m, Dim::Fixed(width)], [b_past, n, width_past]) = (q.dims.as_slice(), past[0].dims.as_slice()) else {
            return Err(self.refuse_attention(label, &[q, k, v, past[0], past[1]], heads));
        };
        let key_width = heads.width_of(*width);
        let fits = key_width.as_ref() == Some(width_past)
            && past[1].dims == past[0].dims
            && k.dims == [b.clone(), m.clone(), width_past.clone()]
            && v.dims == k.dims
            && b == b_past;
        if !fits {
            return Err(self.refuse_attention(label, &[q, k, v, past[0], past[1]], heads));
        }
        let (head_width, dtype, dims) = (width / heads.heads, q.dtype, q.dims.clone());
        let split = [b.clone(), n.clone(), fixed(heads.groups), fixed(head_width)];
        let mut by_head = |name: &str, x: &Value| {
            let split = self.reshape(&format!("{label}.{name}_heads"), x, &split)?;
            self.transpose(&format!("{label}.{name}"), &split, &[0, 2, 1, 3])
        };
        let past = [by_head("past_keys", past[0])?, by_head("past_values", past[1])?];
        let mut node = heads.attributes(Node::plain("Attention", &[q, k, v]));
        node.inputs.extend([String::new(), past[0].name.clone(), past[1].name.clone()]);
        let value = self.graph.declare(self.name_of(label), dtype, dims)?;
        let mut outputs = vec![value.name.clone()];
        // The operator gives the grown keys and values whenever it takes past ones.
        for name in ["all_keys", "all_values"] {
            let name = self.name_of(&format!("{label}.{name}"));
            self.graph.claim(&name)?;
            outputs.push(name);
        }
        self.push(label, node.with(AttributeProto::int("is_causal", 1)), outputs);
        Ok(value)
    }

    fn refuse_attention(&self, label: &str, values: &[&Value], HeadGroups { heads, groups }: HeadGroups) -> GraphError {
        let shapes = values.iter().map(|x| list(&x.dims)).collect::<Vec<_>>().join(", ");
        let heads =
            if heads == groups { format!("{heads} heads") } else { format!("{heads} heads in {groups} groups") };
        self.refuse(label, "Attention", format!("{shapes} with {heads} do not fit"))
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

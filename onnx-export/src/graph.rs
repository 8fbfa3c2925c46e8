//! Builds ONNX graphs: typed values, operators that state their output shape, weights as external data.
//!
//! `ops` holds the elementary operators, `layers` the vocabulary of neural networks; only `layers` decides
//! which operators of the operator set stand for a layer, so that another operator set is another `layers`.

mod elementwise;
mod error;
mod external;
mod layers;
mod ops;
pub(crate) mod proto;
mod save;
mod select;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use vla_bundle::{Dim, Dtype, TensorSpec};

pub use error::GraphError;
pub use external::Layout;
pub use layers::{HeadGroups, RotaryTables};
pub use ops::{Cut, Truth};
pub use save::Saved;

use crate::checkpoint::Weight;
use external::{External, WeightsFile};
use proto::{AttributeProto, NodeProto, TensorProto};

/// ONNX operator set of every graph.
pub const OPSET: u32 = 23;

/// A tensor of a graph: what an operator takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    name: String,
    dtype: Dtype,
    dims: Vec<Dim>,
}

impl Value {
    /// Unique name in its graph.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Dimensions; a symbol stands for a length that is known at run time only.
    pub fn dims(&self) -> &[Dim] {
        &self.dims
    }

    fn spec(&self) -> TensorSpec {
        TensorSpec { name: self.name.clone(), dtype: self.dtype, dims: self.dims.clone() }
    }
}

/// A dimension of known length.
pub fn fixed(length: u64) -> Dim {
    Dim::Fixed(length)
}

/// A dimension whose length is known at run time only.
pub fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.to_owned())
}

/// One ONNX graph in the making. Weights stay where they are (`'w`: the checkpoint) until [`Graph::save`].
pub struct Graph<'w> {
    name: String,
    names: BTreeSet<String>,
    nodes: Vec<NodeProto>,
    inline: Vec<TensorProto>,
    external: Vec<External<'w>>,
    /// Where the weights are, if they are in another graph's file.
    shared: Option<WeightsFile>,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

impl<'w> Graph<'w> {
    /// An empty graph; `name` is also the stem of its files.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            names: BTreeSet::new(),
            nodes: Vec::new(),
            inline: Vec::new(),
            external: Vec::new(),
            shared: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Stem of the graph's files and its key in the manifest.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that [`Graph::save`] will write as external data, padding included.
    pub fn external_bytes(&self) -> u64 {
        if self.shared.is_some() { 0 } else { self.external.iter().map(External::padded_bytes).sum() }
    }

    /// Takes the weights from the file of `other`, which holds all of them: they are on disk once.
    ///
    /// # Errors
    /// A weight that the other graph has not, or has in another layout.
    pub fn share_weights(&mut self, other: &Graph<'_>) -> Result<(), GraphError> {
        let file = WeightsFile::of(other);
        match self.external.iter().map(External::name).find(|name| !file.offsets.contains_key(name)) {
            None => self.shared = Some(file),
            Some(weight) => {
                let (graph, other) = (self.name.clone(), other.name.clone());
                return Err(GraphError::Share { graph, weight, other });
            }
        }
        Ok(())
    }

    /// Declares an input.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn input(&mut self, name: &str, dtype: Dtype, dims: &[Dim]) -> Result<Value, GraphError> {
        let value = self.declare(name.to_owned(), dtype, dims.to_vec())?;
        self.inputs.push(value.spec());
        Ok(value)
    }

    /// Makes `value` an output of the given name.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn output(&mut self, name: &str, value: &Value) -> Result<(), GraphError> {
        let out = self.declare(name.to_owned(), value.dtype, value.dims.clone())?;
        self.outputs.push(out.spec());
        self.nodes.push(NodeProto {
            input: vec![value.name.clone()],
            output: vec![out.name.clone()],
            name: out.name,
            op_type: "Identity".to_owned(),
            attribute: Vec::new(),
        });
        Ok(())
    }

    /// The place where operators are added; nested places come from [`Builder::at`].
    pub fn root(&mut self) -> Builder<'_, 'w> {
        Builder { graph: self, path: String::new() }
    }

    fn declare(&mut self, name: String, dtype: Dtype, dims: Vec<Dim>) -> Result<Value, GraphError> {
        self.claim(&name)?;
        Ok(Value { name, dtype, dims })
    }

    fn claim(&mut self, name: &str) -> Result<(), GraphError> {
        if self.names.insert(name.to_owned()) {
            Ok(())
        } else {
            Err(GraphError::Duplicate { graph: self.name.clone(), name: name.to_owned() })
        }
    }
}

/// A place in a graph: operators added through it carry its path in their names.
pub struct Builder<'g, 'w> {
    graph: &'g mut Graph<'w>,
    path: String,
}

impl<'w> Builder<'_, 'w> {
    /// The place `name` below this one.
    pub fn at(&mut self, name: &str) -> Builder<'_, 'w> {
        let path = self.name_of(name);
        Builder { graph: self.graph, path }
    }

    /// A tensor of the checkpoint as an initialiser, up-cast to f32, in external data.
    ///
    /// # Errors
    /// A weight that this graph already holds in this layout, or one to transpose that is no matrix.
    pub fn weight(&mut self, weight: Weight<'w>, layout: Layout) -> Result<Value, GraphError> {
        if layout == Layout::Transposed && weight.shape().len() != 2 {
            let reason = format!("`{}` {:?} is no matrix", weight.name(), weight.shape());
            return Err(self.refuse("weight", "Transpose", reason));
        }
        let external = External::new(weight, layout);
        let value = self.graph.declare(external.name(), Dtype::Fp32, external.dims())?;
        self.graph.external.push(external);
        Ok(value)
    }

    /// Numbers written into the graph itself: one axis, f32.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn floats(&mut self, label: &str, values: &[f32]) -> Result<Value, GraphError> {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(label, Dtype::Fp32, &[values.len() as u64], raw)
    }

    /// One number written into the graph itself, f32, without an axis.
    pub(super) fn float(&mut self, label: &str, value: f32) -> Result<Value, GraphError> {
        self.constant(label, Dtype::Fp32, &[], value.to_le_bytes().to_vec())
    }

    /// Numbers written into the graph itself, i64, with the given lengths (none: a scalar).
    ///
    /// # Errors
    /// A name that is taken.
    pub fn ints(&mut self, label: &str, values: &[i64], lengths: &[u64]) -> Result<Value, GraphError> {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(label, Dtype::Int64, lengths, raw)
    }

    fn constant(&mut self, label: &str, dtype: Dtype, lengths: &[u64], raw_data: Vec<u8>) -> Result<Value, GraphError> {
        let dims = lengths.iter().map(|n| fixed(*n)).collect();
        let value = self.graph.declare(self.name_of(label), dtype, dims)?;
        self.graph.inline.push(TensorProto {
            dims: lengths.iter().map(|n| *n as i64).collect(),
            data_type: save::onnx_type(dtype),
            name: value.name.clone(),
            raw_data,
            ..TensorProto::default()
        });
        Ok(value)
    }

    fn name_of(&self, label: &str) -> String {
        if self.path.is_empty() { label.to_owned() } else { format!("{}.{label}", self.path) }
    }

    fn emit(&mut self, label: &str, node: Node, dtype: Dtype, dims: Vec<Dim>) -> Result<Value, GraphError> {
        let value = self.graph.declare(self.name_of(label), dtype, dims)?;
        self.push(label, node, vec![value.name.clone()]);
        Ok(value)
    }

    fn push(&mut self, label: &str, node: Node, output: Vec<String>) {
        self.graph.nodes.push(NodeProto {
            input: node.inputs,
            output,
            name: self.name_of(label),
            op_type: node.op.to_owned(),
            attribute: node.attributes,
        });
    }

    fn refuse(&self, label: &str, op: &'static str, reason: String) -> GraphError {
        GraphError::Shape { graph: self.graph.name.clone(), path: self.name_of(label), op, reason }
    }
}

/// An operator and what it works on.
struct Node {
    op: &'static str,
    inputs: Vec<String>,
    attributes: Vec<AttributeProto>,
}

impl Node {
    fn plain(op: &'static str, inputs: &[&Value]) -> Self {
        Self { op, inputs: inputs.iter().map(|v| v.name.clone()).collect(), attributes: Vec::new() }
    }

    fn with(mut self, attribute: AttributeProto) -> Self {
        self.attributes.push(attribute);
        self
    }
}

fn list(dims: &[Dim]) -> String {
    let text = dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("[{text}]")
}

//! What a graph of a bundle computes: floating-point operations as executed, counted from the ONNX file itself with the
//! dynamic lengths filled in.

mod shapes;

use std::collections::BTreeMap;

use prost::Message;

use crate::graph::proto::{AttributeProto, GraphProto, ModelProto, NodeProto};
use shapes::{Known, Shape};

/// Lengths per axis; `None` where the data decide.
pub type Lengths = Vec<Option<u64>>;

/// What the places of a graph that choose among tokens are taken to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// What the graph says.
    AsExported,
    /// Everything there is: the same model without pruning.
    Everything,
}

/// What a graph computes in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiplications and additions of `MatMul`, `Gemm`, `Conv` and `Attention` (all pairs, whatever is masked).
    pub flops: u64,
    /// Nodes of those kinds whose lengths are not known, so that they are not in `flops`.
    pub uncounted: Vec<String>,
    /// Places that keep the best of several tokens, in order.
    pub kept: Vec<Kept>,
    /// Lengths of the outputs, by name.
    pub outputs: BTreeMap<String, Lengths>,
}

/// A place that keeps the best of several tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Path of the node, as `layers.8.kept.patches.by_value`.
    pub path: String,
    /// How many it keeps.
    pub count: u64,
    /// Of how many.
    pub of: u64,
}

/// What the graph in the file's content `onnx` computes when its inputs have these lengths.
///
/// # Errors
/// Bytes that are no ONNX graph, in words.
pub fn cost(onnx: &[u8], inputs: &BTreeMap<String, Lengths>, choice: Choice) -> Result<Cost, String> {
    let model = ModelProto::decode(onnx).map_err(|e| format!("no ONNX file: {e}"))?;
    let graph = model.graph.ok_or("an ONNX file without a graph")?;
    let mut counted = Counted { values: constants(&graph), cost: Cost::default(), choice };
    for (name, lengths) in inputs {
        counted.values.insert(name.clone(), Known::of(lengths.clone()));
    }
    for node in &graph.node {
        counted.visit(node);
    }
    let lengths = |name: &str| counted.values.get(name).and_then(|value| value.shape.clone());
    counted.cost.outputs =
        graph.output.iter().filter_map(|output| Some((output.name.clone(), lengths(&output.name)?))).collect();
    Ok(counted.cost)
}

/// Shapes of the initialisers, and the numbers of those that are written into the graph as i64.
fn constants(graph: &GraphProto) -> BTreeMap<String, Known> {
    const INT64: i32 = 7;
    let known = graph.initializer.iter().map(|tensor| {
        let shape = tensor.dims.iter().map(|length| Some(length.unsigned_abs())).collect();
        let ints = (tensor.data_type == INT64 && tensor.data_location == 0)
            .then(|| tensor.raw_data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect());
        (tensor.name.clone(), Known { shape: Some(shape), ints })
    });
    known.collect()
}

/// A walk through a graph.
struct Counted {
    values: BTreeMap<String, Known>,
    cost: Cost,
    choice: Choice,
}

impl Counted {
    fn visit(&mut self, node: &NodeProto) {
        let inputs: Vec<Known> =
            node.input.iter().map(|name| self.values.get(name).cloned().unwrap_or_default()).collect();
        let outputs = shapes::outputs(node, &inputs, self.choice);
        if COUNTED.contains(&node.op_type.as_str()) {
            match flops(node, &inputs, outputs.first()) {
                Some(flops) => self.cost.flops += flops,
                None => self.cost.uncounted.push(node.name.clone()),
            }
        }
        self.cost.kept.extend(kept(node, &inputs));
        for (name, known) in node.output.iter().zip(outputs) {
            self.values.insert(name.clone(), known);
        }
    }
}

/// A selection by value; sorting what was selected is none.
fn kept(node: &NodeProto, inputs: &[Known]) -> Option<Kept> {
    if node.op_type != "TopK" || int(node, "largest") == Some(0) {
        return None;
    }
    let of = (*inputs.first()?.shape.as_ref()?.last()?)?;
    let count = inputs.get(1)?.ints.as_ref()?.first()?.unsigned_abs();
    Some(Kept { path: node.name.clone(), count, of })
}

/// Operators that count; beside them the others are nothing.
const COUNTED: [&str; 4] = ["MatMul", "Gemm", "Conv", "Attention"];

/// Operations of a node that counts; none where lengths are not known.
fn flops(node: &NodeProto, inputs: &[Known], output: Option<&Known>) -> Option<u64> {
    let shape = |index: usize| inputs.get(index).and_then(|input| input.shape.as_ref());
    let made = output.and_then(|output| elements(output.shape.as_ref()?));
    let inner = match node.op_type.as_str() {
        "MatMul" => *shape(0)?.last()?,
        "Gemm" => *shape(0)?.get(usize::from(int(node, "transA").unwrap_or(0) == 0))?,
        "Conv" => shape(1)?.iter().skip(1).copied().product(),
        _ => {
            let keys = shape(1)?;
            let past = shape(4).map_or(Some(0), |past| *past.get(2)?);
            // Scores and mixtures: each query with each key, over its width, twice.
            return Some(4 * elements(shape(0)?)? * (keys.get(keys.len().checked_sub(2)?).copied()?? + past?));
        }
    };
    Some(2 * made? * inner?)
}

fn elements(shape: &Shape) -> Option<u64> {
    shape.iter().copied().product()
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn int(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name)?.i
}

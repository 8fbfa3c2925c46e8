//! Which provider runs which nodes.

use std::collections::BTreeMap;

use super::error::PolicyError;
use super::native::AssignedNode;
use super::provider::Provider;

/// Nodes of one graph on one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Graph name.
    pub graph: String,
    /// Execution provider in ONNX Runtime's words (`CPUExecutionProvider`).
    pub provider: String,
    /// Number of nodes after ONNX Runtime's own optimisation.
    pub nodes: usize,
    /// How many of each operator.
    pub op_types: BTreeMap<String, usize>,
}

const CPU: &str = "CPUExecutionProvider";

/// Operators that GPU providers leave on the CPU on purpose, because they compute shapes from shapes.
const SHAPE_OPS: &[&str] = &[
    "Add",
    "And",
    "Cast",
    "Concat",
    "ConstantOfShape",
    "Div",
    "Equal",
    "Expand",
    "Gather",
    "Greater",
    "Identity",
    "Less",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Range",
    "ReduceProd",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "Squeeze",
    "Sub",
    "Unsqueeze",
    "Where",
];

/// Counts nodes per provider, sorted by provider.
pub(super) fn count(graph: &str, nodes: &[AssignedNode]) -> Vec<Placement> {
    let mut by_provider: BTreeMap<&str, Placement> = BTreeMap::new();
    for node in nodes {
        let placement = by_provider.entry(&node.provider).or_insert_with(|| Placement {
            graph: graph.to_owned(),
            provider: node.provider.clone(),
            nodes: 0,
            op_types: BTreeMap::new(),
        });
        placement.nodes += 1;
        *placement.op_types.entry(node.op_type.clone()).or_default() += 1;
    }
    by_provider.into_values().collect()
}

/// Nothing that computes may be on the CPU where another provider was chosen.
pub(super) fn check_fallback(provider: &Provider, graph: &str, nodes: &[AssignedNode]) -> Result<(), PolicyError> {
    if *provider == Provider::Cpu {
        return Ok(());
    }
    let fallen: Vec<_> = nodes
        .iter()
        .filter(|node| node.provider == CPU && !SHAPE_OPS.contains(&node.op_type.as_str()))
        .map(|node| format!("{} ({})", node.name, node.op_type))
        .collect();
    if fallen.is_empty() {
        return Ok(());
    }
    Err(PolicyError::FellBack { provider: provider.name(), graph: graph.to_owned(), nodes: fallen.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::CudaOptions;

    fn node(provider: &str, name: &str, op_type: &str) -> AssignedNode {
        AssignedNode { provider: provider.into(), name: name.into(), op_type: op_type.into() }
    }

    #[test]
    fn a_computing_node_on_the_cpu_is_an_error_and_a_shape_node_is_not() {
        let cuda = Provider::Cuda(CudaOptions::default());
        let nodes = [
            node("CUDAExecutionProvider", "body/mlp", "MatMul"),
            node(CPU, "body/length", "Shape"),
            node(CPU, "prune/first", "Unique"),
        ];
        assert_eq!(
            check_fallback(&cuda, "body", &nodes).unwrap_err().to_string(),
            "provider `cuda`, graph `body`: nodes that would run on the CPU: prune/first (Unique)"
        );
        assert!(check_fallback(&cuda, "body", &nodes[..2]).is_ok());
        assert!(check_fallback(&Provider::Cpu, "body", &nodes).is_ok());
    }

    #[test]
    fn nodes_are_counted_per_provider_and_operator() {
        let nodes =
            [node(CPU, "a", "Shape"), node("X", "b", "MatMul"), node("X", "c", "MatMul"), node("X", "d", "Add")];
        let counted = count("body", &nodes);
        assert_eq!(counted.iter().map(|p| (p.provider.as_str(), p.nodes)).collect::<Vec<_>>(), [(CPU, 1), ("X", 3)]);
        assert_eq!(counted[1].op_types, BTreeMap::from([("Add".into(), 1), ("MatMul".into(), 2)]));
    }
}

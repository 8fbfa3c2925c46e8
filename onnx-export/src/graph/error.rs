//! Why a graph cannot be built or written.

use std::path::PathBuf;

/// Why a graph cannot be built or written.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// Two values of one graph with the same name.
    #[error("graph `{graph}`: the name `{name}` is used twice")]
    Duplicate {
        /// Graph.
        graph: String,
        /// The name.
        name: String,
    },
    /// An operator that does not take these shapes.
    #[error("graph `{graph}` node `{path}`: {op}: {reason}")]
    Shape {
        /// Graph.
        graph: String,
        /// Path of the node.
        path: String,
        /// Operator.
        op: &'static str,
        /// Both shapes and the rule they break.
        reason: String,
    },
    /// A weight that is to be taken from another graph's file, and is not there.
    #[error("graph `{graph}` weight `{weight}`: not in the file of graph `{other}`, where it should be")]
    Share {
        /// Graph.
        graph: String,
        /// Name of the weight, with its layout.
        weight: String,
        /// The other graph.
        other: String,
    },
    /// A file of the graph could not be written.
    #[error("cannot write graph `{graph}`: {source}: {path}")]
    Write {
        /// Graph.
        graph: String,
        /// Reason of the operating system.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
}

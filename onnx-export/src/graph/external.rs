//! Weights on their way from the checkpoint to a graph's weights file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use vla_bundle::Dim;

use crate::checkpoint::Weight;

use super::Graph;

/// Offsets of weights in the file are multiples of it, so that they can be mapped page by page.
const ALIGNMENT: u64 = 4096;

/// How a weight lies in the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As in the checkpoint.
    AsStored,
    /// A matrix `[out, in]` as `[in, out]`: the form a matrix product reads without a transpose at load time.
    Transposed,
}

/// A weight and the layout it gets.
pub(super) struct External<'w> {
    weight: Weight<'w>,
    layout: Layout,
}

impl<'w> External<'w> {
    pub fn new(weight: Weight<'w>, layout: Layout) -> Self {
        Self { weight, layout }
    }

    /// Name of the value in the graph.
    pub fn name(&self) -> String {
        match self.layout {
            Layout::AsStored => self.weight.name().to_owned(),
            Layout::Transposed => format!("{}.transposed", self.weight.name()),
        }
    }

    /// Shape in the bundle.
    pub fn dims(&self) -> Vec<Dim> {
        let mut shape: Vec<Dim> = self.weight.shape().iter().map(|n| Dim::Fixed(*n)).collect();
        if self.layout == Layout::Transposed {
            shape.reverse();
        }
        shape
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.weight.elements() * size_of::<f32>() as u64
    }

    /// Bytes in the file with the gap to the next weight.
    pub fn padded_bytes(&self) -> u64 {
        self.bytes().next_multiple_of(ALIGNMENT)
    }

    /// Writes the weight and the gap after it; holds one piece of it at a time.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self.layout {
            Layout::AsStored => self.weight.write_f32(out)?,
            Layout::Transposed => self.weight.write_f32_transposed(out)?,
        }
        let gap = self.padded_bytes() - self.bytes();
        io::copy(&mut io::Read::take(io::repeat(0), gap), out).map(|_| ())
    }
}

/// A file of weights, and where each of them begins.
pub(super) struct WeightsFile {
    pub name: String,
    /// By the weights' names in a graph, in bytes.
    pub offsets: BTreeMap<String, u64>,
}

impl WeightsFile {
    /// The file that a graph's weights are in.
    pub fn of(graph: &Graph<'_>) -> Self {
        let mut end = 0;
        let mut place = |external: &External<'_>| {
            let begin = end;
            end += external.padded_bytes();
            (external.name(), begin)
        };
        Self { name: format!("{}.weights", graph.name), offsets: graph.external.iter().map(&mut place).collect() }
    }
}

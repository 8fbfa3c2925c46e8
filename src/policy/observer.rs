//! What somebody who watches an inference gets to see.

use crate::tensor::Tensor;

/// Watches one inference; `()` watches nothing.
///
/// Time is the watcher's business: nothing below it reads a clock.
pub trait Observer {
    /// A stage begins and the one before it is over: `preprocess`, the name of each graph that runs, `postprocess`.
    fn stage(&mut self, _name: &str) {}

    /// The last stage is over.
    fn end(&mut self) {}

    /// Whether [`Observer::tensor`] is to be called; copying tensors to the host costs time.
    fn wants_tensors(&self) -> bool {
        false
    }

    /// A tensor of the plan's name space, in the order in which they are made; fp16 and bf16 arrive as f32.
    fn tensor(&mut self, _name: &str, _value: &Tensor) {}
}

impl Observer for () {}

//! What somebody who watches an inference gets to see.

use ort::value::DynValue;

use super::error::PolicyError;
use super::value;
use crate::tensor::Tensor;

/// Watches one inference; `()` watches nothing.
///
/// Time is the watcher's business: nothing below it reads a clock.
pub trait Observer {
    /// A stage begins and the one before it is over: `preprocess`, the name of each graph that runs, `postprocess`. A graph
    /// inside a loop begins once per step.
    fn stage(&mut self, _name: &str) {}

    /// The last stage is over.
    fn end(&mut self) {}

    /// Whether [`Observer::tensor`] is to be called; copying tensors to the host costs time.
    fn wants_tensors(&self) -> bool {
        false
    }

    /// A tensor of the plan's name space, in the order in which they are made; fp16 and bf16 arrive as f32. What step `k` of
    /// a loop makes is called `<name>.step<k>`.
    fn tensor(&mut self, _name: &str, _value: &Tensor) {}
}

impl Observer for () {}

/// Shows what a graph made, in step `step` of a loop, to an observer that wants it.
pub(super) fn observe(
    observer: &mut dyn Observer,
    made: &[(String, DynValue)],
    step: Option<u64>,
) -> Result<(), PolicyError> {
    if observer.wants_tensors() {
        for (name, value) in made {
            let tensor = value::to_host(name, value)?;
            match step {
                None => observer.tensor(name, &tensor),
                Some(step) => observer.tensor(&format!("{name}.step{step}"), &tensor),
            }
        }
    }
    Ok(())
}

//! One call from an observation to a chunk: preprocess, plan, postprocess. Knows tensors and no time.

mod recording;

use vla_bundle::Bundle;

use crate::policy::{Observer, Outputs, Placement, Policy, PolicyError, PolicyOptions};
use crate::postprocess::{PostprocessError, Postprocessor};
use crate::preprocess::{PreprocessError, Preprocessor};
use crate::tensor::{Tensor, TensorData};
use crate::types::{Chunk, Normalized, Observation, Robot, View};

pub use recording::{Recording, RecordingError};

/// A bundle, ready to answer observations.
pub struct Inference {
    preprocessor: Preprocessor,
    policy: Policy,
    postprocessor: Postprocessor,
    /// Values per step of the network's output.
    network_dim: usize,
}

/// The answer to one observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Actions in the data set's units.
    pub chunk: Chunk<Robot>,
    /// The same as the network gave them.
    pub normalized: Chunk<Normalized>,
    /// Picture tokens that survived pruning; 0 where the policy does not prune.
    pub kept_tokens: u32,
    /// Denoising steps that ran; 0 where the policy does not denoise.
    pub denoise_steps: u32,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each is one module's reason")]
pub enum InferenceError {
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Postprocess(#[from] PostprocessError),
}

impl Inference {
    /// Loads tokenizers and graphs.
    ///
    /// # Errors
    /// A tokenizer or a graph does not load, or the provider is not there.
    pub fn load(bundle: &Bundle, options: &PolicyOptions) -> Result<Self, InferenceError> {
        let manifest = bundle.manifest();
        let state_dim = manifest.streams.state.as_ref().map_or(0, |state| state.dim);
        Ok(Self {
            preprocessor: Preprocessor::new(bundle)?,
            policy: Policy::load(bundle, options)?,
            postprocessor: Postprocessor::new(&manifest.actions, state_dim),
            network_dim: manifest.actions.network_dim(),
        })
    }

    /// The same, looking at each camera's pictures through its view, in the manifest's camera order.
    #[must_use]
    pub fn through<'a>(mut self, views: impl IntoIterator<Item = &'a View>) -> Self {
        self.preprocessor.look_through(views);
        self
    }

    /// Answers one observation.
    ///
    /// # Errors
    /// A picture, state or instruction that the policy cannot take; a failure inside a graph; an action that is not a
    /// finite number.
    pub fn infer(&mut self, observation: &Observation, observer: &mut dyn Observer) -> Result<Outcome, InferenceError> {
        let Observation { frames, optics, state, task, noise, .. } = observation;
        observer.stage("preprocess");
        self.preprocessor.see(optics);
        let inputs = self.preprocessor.run(frames, state.as_deref(), task)?;
        if observer.wants_tensors() {
            for (name, tensor) in &inputs {
                observer.tensor(name, tensor);
            }
        }
        let outputs = self.policy.run(inputs, noise, observer)?;
        observer.stage("postprocess");
        let outcome = self.outcome(&outputs, state.as_deref())?;
        observer.end();
        Ok(outcome)
    }

    /// Which provider runs how many nodes of each graph; `None` where the library cannot tell.
    pub fn placement(&self) -> Option<&[Placement]> {
        self.policy.placement()
    }

    /// Makes the next inference compute again what depends on the instruction alone.
    pub fn forget_instruction(&mut self) {
        self.policy.forget_instruction();
    }

    fn outcome(&self, outputs: &Outputs, state: Option<&[f64]>) -> Result<Outcome, PostprocessError> {
        let values = outputs.actions.as_f32().unwrap_or_default();
        let chunk = self.postprocessor.apply(values, state)?;
        let normalized = values.iter().copied().map(f64::from).collect();
        let normalized =
            Chunk::new(normalized, self.network_dim).expect("the postprocessor checked the number of values");
        let kept_tokens = match outputs.kept_tokens.as_ref().map(Tensor::data) {
            Some(TensorData::Bool(mask)) => mask.iter().filter(|kept| **kept).count() as u32,
            _ => 0,
        };
        Ok(Outcome { chunk, normalized, kept_tokens, denoise_steps: outputs.denoise_steps })
    }
}

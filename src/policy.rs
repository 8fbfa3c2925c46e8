//! Runs the manifest's plan with ONNX Runtime. The only place that names `ort`.
//!
//! Tensors between graphs stay ONNX Runtime's own values: nothing is copied to the host that nobody asked for.

mod check;
mod error;
mod library;
mod native;
mod observer;
mod placement;
mod provider;
mod stage;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use ort::value::DynValue;
use vla_bundle::{Bundle, Cadence, Range, Source};

use crate::tensor::Tensor;
use check::Lengths;
use stage::Stage;

pub use error::{LibraryError, PolicyError, Side};
pub use library::{RuntimeInfo, runtime_info};
pub use observer::Observer;
pub use placement::Placement;
pub use provider::{CudaOptions, Provider, TensorRtOptions};

/// How the graphs of a bundle are to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyOptions {
    /// Where they run.
    pub provider: Provider,
    /// Threads that share one operator; absent means one per physical core.
    pub intra_op_threads: Option<NonZeroUsize>,
    /// What these threads do while they have no work.
    pub spinning: Spinning,
}

/// What ONNX Runtime's threads do while they have no work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spinning {
    /// They sleep and leave the core to others between inferences.
    #[default]
    Off,
    /// They spin: about 10 % faster, and the core is busy all the time.
    On,
}

/// The tensors that leave the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// `[chunk_size, action_dim]`, f32, normalised, not checked for finite values.
    pub actions: Tensor,
    /// Picture tokens that survive pruning, bool; `None` where the policy does not prune.
    pub kept_tokens: Option<Tensor>,
}

/// A bundle's graphs, loaded.
pub struct Policy {
    stages: Vec<Stage>,
    placement: Option<Vec<Placement>>,
    dims: BTreeMap<String, Range>,
    action_tensor: String,
    kept_tensor: Option<String>,
    /// Inputs that change only with the instruction.
    instruction_inputs: BTreeSet<String>,
    instruction: Option<Instruction>,
}

/// What the instruction alone decides, kept until another one comes.
struct Instruction {
    inputs: Vec<(String, Tensor)>,
    values: BTreeMap<String, DynValue>,
}

impl Policy {
    /// Loads one session per graph of the plan.
    ///
    /// # Errors
    /// ONNX Runtime is missing or too old, the provider is not there, a graph does not load or is not what the
    /// manifest says, or a node would silently run on the CPU.
    pub fn load(bundle: &Bundle, options: &PolicyOptions) -> Result<Self, PolicyError> {
        let runtime = library::runtime()?;
        options.provider.check_compiled_in(&runtime.info)?;
        let manifest = bundle.manifest();
        let (mut stages, mut placement) = (Vec::new(), Vec::new());
        for entry in &manifest.plan {
            let (stage, placed) = Stage::load(bundle, entry, options, runtime)?;
            stages.push(stage);
            placement.extend(placed);
        }
        let known = runtime.placement_interface().is_some();
        if !known && options.provider != Provider::Cpu {
            tracing::warn!("node placement is unknown: it needs ONNX Runtime 1.24");
        }
        let constant = |source: &Source| matches!(source, Source::Task { .. } | Source::Constant { .. });
        let instruction_inputs =
            manifest.inputs.iter().filter(|i| constant(&i.source)).map(|i| i.tensor.clone()).collect();
        Ok(Self {
            stages,
            placement: known.then_some(placement),
            dims: manifest.dims.clone(),
            action_tensor: manifest.actions.tensor.clone(),
            kept_tensor: manifest.actions.kept_tokens.clone(),
            instruction_inputs,
            instruction: None,
        })
    }

    /// Which provider runs how many nodes of each graph, in plan order; `None` where the library cannot tell (before
    /// ONNX Runtime 1.24).
    pub fn placement(&self) -> Option<&[Placement]> {
        self.placement.as_deref()
    }

    /// Runs the plan on the input tensors; graphs that depend on the instruction alone run only when it changed.
    ///
    /// # Errors
    /// A tensor that the manifest does not want in this form, or a failure inside ONNX Runtime.
    pub fn run(&mut self, inputs: Vec<(String, Tensor)>, observer: &mut dyn Observer) -> Result<Outputs, PolicyError> {
        // Taken out: a run that fails half-way leaves no half-made instruction behind.
        let kept = self.instruction.take().filter(|kept| kept.inputs.iter().all(|own| inputs.contains(own)));
        let is_new = kept.is_none();
        let mut instruction = kept.unwrap_or_else(|| self.new_instruction(&inputs));
        let mut values = BTreeMap::new();
        for (name, tensor) in inputs {
            let value = value::from_host(&name, tensor)?;
            values.insert(name, value);
        }
        let mut lengths = Lengths::new(&self.dims);
        let all = observer.wants_tensors();
        let (action, kept_tokens) = (self.action_tensor.as_str(), self.kept_tensor.as_deref());
        let on_host = |name: &str| all || name == action || Some(name) == kept_tokens;
        for stage in &mut self.stages {
            if stage.every == Cadence::Instruction && !is_new {
                continue;
            }
            observer.stage(&stage.name);
            let lookup = |name: &str| values.get(name).or_else(|| instruction.values.get(name));
            let made = stage.run(&lookup, &on_host, &mut lengths)?;
            if all {
                for (name, value) in &made {
                    observer.tensor(name, &value::to_host(name, value)?);
                }
            }
            match stage.every {
                Cadence::Instruction => instruction.values.extend(made),
                Cadence::Observation => values.extend(made),
            }
        }
        let read = |name: &str| match values.get(name).or_else(|| instruction.values.get(name)) {
            Some(value) => value::to_host(name, value),
            None => Err(PolicyError::Value { name: name.to_owned(), reason: "the plan did not make it".to_owned() }),
        };
        let outputs = Outputs { actions: read(action)?, kept_tokens: kept_tokens.map(read).transpose()? };
        self.instruction = Some(instruction);
        Ok(outputs)
    }

    /// Makes the next run compute again what depends on the instruction alone.
    pub fn forget_instruction(&mut self) {
        self.instruction = None;
    }

    fn new_instruction(&self, inputs: &[(String, Tensor)]) -> Instruction {
        let own = inputs.iter().filter(|(name, _)| self.instruction_inputs.contains(name));
        Instruction { inputs: own.cloned().collect(), values: BTreeMap::new() }
    }
}

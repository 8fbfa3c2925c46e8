//! Runs the manifest's plan with ONNX Runtime. The only place that names `ort`.
//!
//! Tensors between graphs stay ONNX Runtime's own values: nothing is copied to the host that nobody asked for.

mod autoregress;
mod check;
mod denoise;
mod error;
mod library;
mod native;
mod observer;
mod placement;
mod provider;
mod schedule;
mod stage;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use ort::value::DynValue;
use vla_bundle::{Bundle, Cadence, Range, Source};

use crate::noise::Noise;
use crate::tensor::Tensor;
use autoregress::AutoregressLoop;
use check::Lengths;
use denoise::DenoiseLoop;
use library::Runtime;
use observer::observe;
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
    /// Steps of a denoising; absent means as many as the bundle says.
    pub denoise_steps: Option<NonZeroUsize>,
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
    /// Denoising steps that ran; 0 where the policy does not denoise.
    pub denoise_steps: u32,
}

/// A bundle's graphs, loaded.
pub struct Policy {
    steps: Vec<Step>,
    placement: Option<Vec<Placement>>,
    dims: BTreeMap<String, Range>,
    action_tensor: String,
    kept_tensor: Option<String>,
    /// Tensors between graphs that are read on the host as well.
    host_tensors: BTreeSet<String>,
    /// Inputs that change only with the instruction.
    instruction_inputs: BTreeSet<String>,
    instruction: Option<Instruction>,
}

/// One entry of the plan with its graphs loaded.
enum Step {
    Run { stage: Box<Stage>, every: Cadence },
    Denoise(Box<DenoiseLoop>),
    Autoregress(AutoregressLoop),
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
        let (mut steps, mut placement) = (Vec::new(), Vec::new());
        for entry in &manifest.plan {
            steps.push(Step::load(bundle, entry, (options, runtime), &mut placement)?);
        }
        if let Some(asked) = options.denoise_steps
            && !steps.iter().any(|step| matches!(step, Step::Denoise(_)))
        {
            return Err(PolicyError::NoSteps(asked.get()));
        }
        let known = runtime.placement_interface().is_some();
        if !known && options.provider != Provider::Cpu {
            tracing::warn!("node placement is unknown: it needs ONNX Runtime 1.24");
        }
        let constant = |source: &Source| matches!(source, Source::Task { .. } | Source::Constant { .. });
        let instruction_inputs =
            manifest.inputs.iter().filter(|i| constant(&i.source)).map(|i| i.tensor.clone()).collect();
        Ok(Self {
            steps,
            placement: known.then_some(placement),
            dims: manifest.dims.clone(),
            action_tensor: manifest.actions.tensor.clone(),
            kept_tensor: manifest.actions.kept_tokens.clone(),
            host_tensors: manifest.plan.iter().filter_map(first_token).collect(),
            instruction_inputs,
            instruction: None,
        })
    }

    /// Which provider runs how many nodes of each graph, in plan order; `None` where the library cannot tell (before
    /// ONNX Runtime 1.24).
    pub fn placement(&self) -> Option<&[Placement]> {
        self.placement.as_deref()
    }

    /// Runs the plan on the input tensors, denoising from `noise`; graphs that depend on the instruction alone run only
    /// when it changed.
    ///
    /// # Errors
    /// A tensor that the manifest does not want in this form, a number that is not finite inside a loop, an answer that
    /// ends early, or a failure inside ONNX Runtime.
    pub fn run(
        &mut self,
        inputs: Vec<(String, Tensor)>,
        noise: &Noise,
        observer: &mut dyn Observer,
    ) -> Result<Outputs, PolicyError> {
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
        let on_host =
            |name: &str| all || name == action || Some(name) == kept_tokens || self.host_tensors.contains(name);
        let mut denoise_steps = 0;
        for step in &mut self.steps {
            let lookup = |name: &str| values.get(name).or_else(|| instruction.values.get(name));
            match step {
                Step::Run { every: Cadence::Instruction, .. } if !is_new => {}
                Step::Run { stage, every } => {
                    observer.stage(&stage.name);
                    let made = stage.run(&lookup, &on_host, &mut lengths)?;
                    observe(observer, &made, None)?;
                    match every {
                        Cadence::Instruction => instruction.values.extend(made),
                        Cadence::Observation => values.extend(made),
                    }
                }
                Step::Denoise(denoise) => {
                    denoise_steps += denoise.steps() as u32;
                    values.extend([denoise.run(&lookup, noise, &lengths, observer)?]);
                }
                Step::Autoregress(autoregress) => values.extend([autoregress.run(&lookup, &lengths, observer)?]),
            }
        }
        let read = |name: &str| match values.get(name).or_else(|| instruction.values.get(name)) {
            Some(value) => value::to_host(name, value),
            None => Err(PolicyError::Value { name: name.to_owned(), reason: "the plan did not make it".to_owned() }),
        };
        let (actions, kept_tokens) = (read(action)?, kept_tokens.map(read).transpose()?);
        self.instruction = Some(instruction);
        Ok(Outputs { actions, kept_tokens, denoise_steps })
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

impl Step {
    fn load(
        bundle: &Bundle,
        entry: &vla_bundle::Stage,
        (options, runtime): (&PolicyOptions, &Runtime),
        placement: &mut Vec<Placement>,
    ) -> Result<Self, PolicyError> {
        let mut stages = Vec::with_capacity(entry.graphs().len());
        for graph in entry.graphs() {
            let (stage, placed) = Stage::load(bundle, graph, options, runtime)?;
            stages.push(stage);
            placement.extend(placed);
        }
        Ok(match entry {
            vla_bundle::Stage::Run { every, .. } => {
                let stage = stages.pop().expect("one graph was loaded");
                Self::Run { stage: Box::new(stage), every: *every }
            }
            vla_bundle::Stage::Denoise(plan) => {
                Self::Denoise(Box::new(DenoiseLoop::new(plan, stages, bundle.manifest(), options.denoise_steps)?))
            }
            vla_bundle::Stage::Autoregress(plan) => Self::Autoregress(AutoregressLoop::new(plan, stages)),
        })
    }
}

/// The token that a loop starts from is read on the host.
fn first_token(stage: &vla_bundle::Stage) -> Option<String> {
    match stage {
        vla_bundle::Stage::Autoregress(autoregress) => Some(autoregress.first_token.clone()),
        vla_bundle::Stage::Run { .. } | vla_bundle::Stage::Denoise(_) => None,
    }
}

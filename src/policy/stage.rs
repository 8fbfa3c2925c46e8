//! One graph of the plan: its session, and how tensors get in and out.

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionOutputs};
use ort::value::DynValue;
use vla_bundle::{Bundle, Cadence, Graph, TensorSpec};

use super::check::{Lengths, check_graph};
use super::error::{PolicyError, Side};
use super::library::Runtime;
use super::placement::{Placement, check_fallback, count};
use super::{PolicyOptions, Spinning};

/// A session and what the manifest says about it.
pub(super) struct Stage {
    pub name: String,
    pub every: Cadence,
    graph: Graph,
    session: Session,
    /// GPU that outputs stay on; `None` on the CPU.
    gpu: Option<i32>,
}

impl Stage {
    /// Loads the graph that a plan entry names; the second result is empty where the library cannot tell.
    pub fn load(
        bundle: &Bundle,
        entry: &vla_bundle::Stage,
        options: &PolicyOptions,
        runtime: &Runtime,
    ) -> Result<(Self, Vec<Placement>), PolicyError> {
        let vla_bundle::Stage::Run { graph: name, every } = entry;
        let graph = bundle.manifest().graphs[name].clone();
        let provider = &options.provider;
        let path = bundle.path(&graph.file);
        let mut builder = builder(options, runtime)
            .map_err(|e| PolicyError::Load { graph: name.clone(), reason: e.to_string(), path: path.clone() })?
            .with_execution_providers(provider.registrations(bundle.manifest(), &graph, bundle.digest()))
            .map_err(|e| PolicyError::Provider { provider: provider.name(), reason: e.to_string() })?;
        let session = builder.commit_from_file(&path).map_err(|e| match provider.gpu() {
            None => PolicyError::Load { graph: name.clone(), reason: e.to_string(), path },
            // The driver is asked only here: its absence must read as such, not as a broken graph.
            Some(_) => {
                PolicyError::Provider { provider: provider.name(), reason: format!("graph `{name}` cannot load: {e}") }
            }
        })?;
        check_graph(name, &graph, [session.inputs(), session.outputs()])?;
        let mut placement = Vec::new();
        if let Some(native) = runtime.placement_interface() {
            let nodes = native
                .assignments(&session)
                .map_err(|reason| PolicyError::Provider { provider: provider.name(), reason })?;
            check_fallback(provider, name, &nodes)?;
            placement = count(name, &nodes);
        }
        Ok((Self { name: name.clone(), every: *every, graph, session, gpu: provider.gpu() }, placement))
    }

    /// Runs the graph; tensors that `on_host` names come back readable, others stay where they were made.
    pub fn run<'v>(
        &mut self,
        values: &dyn Fn(&str) -> Option<&'v DynValue>,
        on_host: &dyn Fn(&str) -> bool,
        lengths: &mut Lengths,
    ) -> Result<Vec<(String, DynValue)>, PolicyError> {
        let mut inputs = Vec::with_capacity(self.graph.inputs.len());
        for spec in &self.graph.inputs {
            let value = values(&spec.name)
                .ok_or_else(|| PolicyError::MissingInput { graph: self.name.clone(), name: spec.name.clone() })?;
            lengths.check(&self.name, Side::Input, spec, value.dtype())?;
            inputs.push((spec.name.as_str(), value));
        }
        let made = match self.gpu {
            None => run_on_host(&mut self.session, inputs, &self.graph.outputs),
            Some(gpu) => {
                let wanted = self.graph.outputs.iter().map(|spec| (spec.name.as_str(), on_host(&spec.name))).collect();
                run_on_device(&mut self.session, &inputs, wanted, gpu)
            }
        };
        let made = made.map_err(|e| PolicyError::Run { graph: self.name.clone(), reason: e.to_string() })?;
        for (spec, (_, value)) in self.graph.outputs.iter().zip(&made) {
            lengths.check(&self.name, Side::Output, spec, value.dtype())?;
        }
        Ok(made)
    }
}

/// Without the provider: its failures have their own words.
fn builder(options: &PolicyOptions, runtime: &Runtime) -> ort::Result<SessionBuilder> {
    let mut builder = Session::builder(&runtime.environment)?
        // `All` and not `Level3`: the latter is unknown to older libraries.
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_memory_pattern(true)?
        .with_intra_op_spinning(options.spinning == Spinning::On)?
        .with_config_entry("session.record_ep_graph_assignment_info", "1")?;
    if let Some(threads) = options.intra_op_threads {
        builder = builder.with_intra_threads(threads.get())?;
    }
    Ok(builder)
}

fn run_on_host(
    session: &mut Session,
    inputs: Vec<(&str, &DynValue)>,
    outputs: &[TensorSpec],
) -> ort::Result<Vec<(String, DynValue)>> {
    let mut made = session.run(inputs)?;
    Ok(outputs.iter().map(|spec| (spec.name.clone(), take(&mut made, &spec.name))).collect())
}

/// Binds each output to the GPU or, where its second half is true, to the host; inputs are copied where they must.
fn run_on_device(
    session: &mut Session,
    inputs: &[(&str, &DynValue)],
    outputs: Vec<(&str, bool)>,
    gpu: i32,
) -> ort::Result<Vec<(String, DynValue)>> {
    let device = MemoryInfo::new(AllocationDevice::CUDA, gpu, AllocatorType::Device, MemoryType::Default)?;
    let host = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput)?;
    let mut binding = session.create_binding()?;
    for (name, value) in inputs {
        binding.bind_input(*name, value)?;
    }
    for (name, on_host) in &outputs {
        binding.bind_output_to_device(*name, if *on_host { &host } else { &device })?;
    }
    let mut made = session.run_binding(&binding)?;
    Ok(outputs.into_iter().map(|(name, _)| (name.to_owned(), take(&mut made, name))).collect())
}

fn take(made: &mut SessionOutputs, name: &str) -> DynValue {
    made.remove(name).expect("the session has every output that was checked when it was loaded")
}

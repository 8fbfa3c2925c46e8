//! One graph of the plan: its session, and how tensors get in and out.

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionOutputs};
use ort::value::DynValue;
use vla_bundle::{Bundle, Graph, TensorSpec};

use super::check::{Lengths, check_graph};
use super::error::{PolicyError, Side, reason};
use super::library::Runtime;
use super::placement::{Placement, check_fallback, count};
use super::{PolicyOptions, Spinning};

/// A session and what the manifest says about it.
pub(super) struct Stage {
    pub name: String,
    graph: Graph,
    session: Session,
    /// Memory of the GPU that outputs stay in; `None` on the CPU.
    device: Option<MemoryInfo<'static>>,
}

impl Stage {
    /// Loads the graph `name`; the second result is empty where the library cannot tell.
    pub fn load(
        bundle: &Bundle,
        name: &str,
        options: &PolicyOptions,
        runtime: &Runtime,
    ) -> Result<(Self, Vec<Placement>), PolicyError> {
        let name = name.to_owned();
        let graph = bundle.manifest().graphs[&name].clone();
        let provider = &options.provider;
        let path = bundle.path(&graph.file);
        let mut builder = builder(options, runtime)
            .map_err(|e| PolicyError::Load { graph: name.clone(), reason: reason(&e), path: path.clone() })?
            .with_execution_providers(provider.registrations(bundle.manifest(), &graph, bundle.digest()))
            .map_err(|e| PolicyError::Provider { provider: provider.name(), reason: reason(&e) })?;
        let session = builder.commit_from_file(&path).map_err(|e| match provider.gpu() {
            None => PolicyError::Load { graph: name.clone(), reason: reason(&e), path },
            // The driver is asked only here: its absence must read as such, not as a broken graph.
            Some(_) => PolicyError::Provider {
                provider: provider.name(),
                reason: format!("graph `{name}` cannot load: {}", reason(&e)),
            },
        })?;
        check_graph(&name, &graph, [session.inputs(), session.outputs()])?;
        let mut placement = Vec::new();
        if let Some(native) = runtime.placement_interface() {
            let nodes = native
                .assignments(&session)
                .map_err(|reason| PolicyError::Provider { provider: provider.name(), reason })?;
            check_fallback(provider, &name, &nodes)?;
            placement = count(&name, &nodes);
        }
        let device = provider.gpu().map(|gpu| memory(AllocationDevice::CUDA, gpu, MemoryType::Default)).transpose();
        let device = device.map_err(|e| PolicyError::Provider { provider: provider.name(), reason: reason(&e) })?;
        Ok((Self { name, graph, session, device }, placement))
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
        let made = match &self.device {
            None => run_on_host(&mut self.session, inputs, &self.graph.outputs),
            Some(device) => {
                let wanted = self.graph.outputs.iter().map(|spec| (spec.name.as_str(), on_host(&spec.name))).collect();
                run_on_device(&mut self.session, &inputs, wanted, device)
            }
        };
        let made = made.map_err(|e| PolicyError::Run { graph: self.name.clone(), reason: reason(&e) })?;
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

/// Binds each output to the device or, where its second half is true, to the host; inputs are copied where they must.
fn run_on_device(
    session: &mut Session,
    inputs: &[(&str, &DynValue)],
    outputs: Vec<(&str, bool)>,
    device: &MemoryInfo,
) -> ort::Result<Vec<(String, DynValue)>> {
    let host = memory(AllocationDevice::CPU, 0, MemoryType::CPUOutput)?;
    let mut binding = session.create_binding()?;
    for (name, value) in inputs {
        binding.bind_input(*name, value)?;
    }
    for (name, on_host) in &outputs {
        binding.bind_output_to_device(*name, if *on_host { &host } else { device })?;
    }
    // Copies to the device may still be under way on another stream than the graph's.
    binding.synchronize_inputs()?;
    let mut made = session.run_binding(&binding)?;
    Ok(outputs.into_iter().map(|(name, _)| (name.to_owned(), take(&mut made, name))).collect())
}

fn memory(device: AllocationDevice, index: i32, kind: MemoryType) -> ort::Result<MemoryInfo<'static>> {
    MemoryInfo::new(device, index, AllocatorType::Device, kind)
}

fn take(made: &mut SessionOutputs, name: &str) -> DynValue {
    made.remove(name).expect("the session has every output that was checked when it was loaded")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vla_bundle::Integrity;

    use super::*;
    use crate::policy::{library, value};
    use crate::tensor::{Tensor, TensorData};

    #[test]
    fn a_bound_run_gives_what_a_plain_run_gives() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bundles/tiny");
        let bundle = Bundle::load(&dir, Integrity::Sizes).unwrap();
        let runtime = library::runtime().unwrap();
        let (mut stage, _) = Stage::load(&bundle, "body", &PolicyOptions::default(), runtime).unwrap();
        let tensor = |shape: &[usize]| {
            let values = (0..shape.iter().product::<usize>()).map(|i| i as f32 - 4.5).collect();
            Tensor::new(shape.to_vec(), TensorData::F32(values))
        };
        let tensors = [("pixels", tensor(&[1, 3, 2, 3])), ("state", tensor(&[1, 2])), ("word", tensor(&[1, 4, 1]))];
        let values = tensors.map(|(name, tensor)| (name, value::from_host(name, tensor).unwrap()));
        let lookup = |name: &str| values.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
        let mut run = |on_host: bool| {
            let mut lengths = Lengths::new(&bundle.manifest().dims);
            let made = stage.run(&lookup, &|_| on_host, &mut lengths).unwrap();
            // The CPU stands for the GPU from the second run on.
            stage.device = Some(memory(AllocationDevice::CPU, 0, MemoryType::Default).unwrap());
            made.iter().map(|(name, made)| value::to_host(name, made).unwrap()).collect::<Vec<_>>()
        };
        let plain = run(true);
        assert_eq!(plain[0].as_f32().unwrap().len(), 6);
        assert_eq!([run(true), run(false)], [plain.clone(), plain]);
    }
}

//! One graph of the plan: its session, and how tensors get in and out.

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session, SessionOutputs};
use ort::value::DynValue;
use vla_bundle::{Bundle, Dim, Graph, TensorSpec};

use super::check::{Lengths, check_graph};
use super::error::{PolicyError, Side, reason};
use super::library::Runtime;
use super::placement::{Placement, check_fallback, count};
use super::{PolicyOptions, Spinning, native, value};

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
        let inputs = inputs((&self.name, &self.graph), values, lengths)?;
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

    /// Whether the graph makes tensors of fixed lengths alone, so that [`Stage::bind`] takes it.
    pub fn makes_fixed_lengths(&self) -> bool {
        let mut dims = self.graph.outputs.iter().flat_map(|spec| &spec.dims);
        dims.all(|dim| matches!(dim, Dim::Fixed(_)))
    }

    /// Prepares runs that repeat: inputs are read where they are now, each run overwrites the outputs of the one before.
    ///
    /// Tensors that `on_host` names can be read between runs, others stay where they are made.
    pub fn bind<'v>(
        &self,
        values: &dyn Fn(&str) -> Option<&'v DynValue>,
        on_host: &dyn Fn(&str) -> bool,
        lengths: &mut Lengths,
    ) -> Result<Bound, PolicyError> {
        let inputs = inputs((&self.name, &self.graph), values, lengths)?;
        let bind = || -> ort::Result<Bound> {
            let mut binding = self.session.create_binding()?;
            for (name, value) in inputs {
                binding.bind_input(name, value)?;
            }
            let mut made = Vec::with_capacity(self.graph.outputs.len());
            for spec in &self.graph.outputs {
                let allocator = match &self.device {
                    Some(device) if !on_host(&spec.name) => Allocator::new(&self.session, device.clone())?,
                    _ => Allocator::default(),
                };
                let length = |dim: &Dim| if let Dim::Fixed(length) = dim { *length as usize } else { 0 };
                let shape: Vec<usize> = spec.dims.iter().map(length).collect();
                let mut value = value::unwritten(&allocator, spec.dtype, &shape)?;
                binding.bind_output(spec.name.as_str(), &mut value)?;
                made.push((spec.name.clone(), value));
            }
            // Copies to the device may still be under way on another stream than the graph's.
            binding.synchronize_inputs()?;
            Ok(Bound { binding, made })
        };
        bind().map_err(|e| PolicyError::Run { graph: self.name.clone(), reason: reason(&e) })
    }

    /// Takes an input of `bound` again after it was overwritten. On the CPU it is read where it is anyway.
    pub fn renew(&self, bound: &mut Bound, name: &str, value: &DynValue) -> Result<(), PolicyError> {
        if self.device.is_none() || self.graph.inputs.iter().all(|spec| spec.name != name) {
            return Ok(());
        }
        let renewed = bound.binding.bind_input(name, value).and_then(|()| bound.binding.synchronize_inputs());
        renewed.map_err(|e| PolicyError::Run { graph: self.name.clone(), reason: reason(&e) })
    }

    /// Runs the graph on what is bound; nothing is allocated here.
    pub fn repeat(&mut self, bound: &Bound) -> Result<(), PolicyError> {
        native::run_bound(&mut self.session, &bound.binding)
            .map_err(|reason| PolicyError::Run { graph: self.name.clone(), reason })
    }
}

/// A graph's inputs, found and checked.
fn inputs<'g, 'v>(
    (name, graph): (&str, &'g Graph),
    values: &dyn Fn(&str) -> Option<&'v DynValue>,
    lengths: &mut Lengths,
) -> Result<Vec<(&'g str, &'v DynValue)>, PolicyError> {
    let mut inputs = Vec::with_capacity(graph.inputs.len());
    for spec in &graph.inputs {
        let value = values(&spec.name)
            .ok_or_else(|| PolicyError::MissingInput { graph: name.to_owned(), name: spec.name.clone() })?;
        lengths.check(name, Side::Input, spec, value.dtype())?;
        inputs.push((spec.name.as_str(), value));
    }
    Ok(inputs)
}

/// Inputs and outputs of runs that repeat.
pub(super) struct Bound {
    binding: IoBinding,
    /// Names and values of the outputs.
    pub made: Vec<(String, DynValue)>,
}

impl Bound {
    /// The output of this name.
    pub fn made(&self, name: &str) -> Option<&DynValue> {
        self.made.iter().find_map(|(own, value)| (own == name).then_some(value))
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

    /// The graph `body` of the small bundle, and its inputs.
    fn body(bundle: &Bundle) -> (Stage, [(&'static str, DynValue); 3]) {
        let runtime = library::runtime().unwrap();
        let (stage, _) = Stage::load(bundle, "body", &PolicyOptions::default(), runtime).unwrap();
        let tensors = [("pixels", tensor(&[1, 3, 2, 3])), ("state", tensor(&[1, 2])), ("word", tensor(&[1, 4, 1]))];
        (stage, tensors.map(|(name, tensor)| (name, value::from_host(name, tensor).unwrap())))
    }

    fn tensor(shape: &[usize]) -> Tensor {
        let values = (0..shape.iter().product::<usize>()).map(|i| i as f32 - 4.5).collect();
        Tensor::new(shape.to_vec(), TensorData::F32(values))
    }

    fn small() -> Bundle {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bundles/tiny");
        Bundle::load(&dir, Integrity::Sizes).unwrap()
    }

    fn cpu() -> MemoryInfo<'static> {
        memory(AllocationDevice::CPU, 0, MemoryType::Default).unwrap()
    }

    #[test]
    fn a_bound_run_gives_what_a_plain_run_gives() {
        let bundle = small();
        let (mut stage, values) = body(&bundle);
        let lookup = |name: &str| values.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
        let mut run = |on_host: bool| {
            let mut lengths = Lengths::new(&bundle.manifest().dims);
            let made = stage.run(&lookup, &|_| on_host, &mut lengths).unwrap();
            // The CPU stands for the GPU from the second run on.
            stage.device = Some(cpu());
            made.iter().map(|(name, made)| value::to_host(name, made).unwrap()).collect::<Vec<_>>()
        };
        let plain = run(true);
        assert_eq!(plain[0].as_f32().unwrap().len(), 6);
        assert_eq!([run(true), run(false)], [plain.clone(), plain]);
    }

    #[test]
    fn a_repeated_run_reads_an_input_that_was_overwritten() {
        let bundle = small();
        let (mut stage, mut values) = body(&bundle);
        stage.graph.outputs.retain(|spec| spec.name == "actions");
        let other = Tensor::new(vec![1, 2], TensorData::F32(vec![0.5, -7.0]));
        for device in [None, Some(cpu())] {
            stage.device = device;
            value::overwrite("state", &mut values[1].1, &tensor(&[1, 2])).unwrap();
            let mut lengths = Lengths::new(&bundle.manifest().dims);
            let lookup = |name: &str| values.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
            let mut bound = stage.bind(&lookup, &|_| true, &mut lengths).unwrap();
            let mut repeat = |bound: &Bound| {
                stage.repeat(bound).unwrap();
                value::to_host("actions", bound.made("actions").unwrap()).unwrap()
            };
            let before = repeat(&bound);
            assert_eq!(repeat(&bound), before);
            value::overwrite("state", &mut values[1].1, &other).unwrap();
            stage.renew(&mut bound, "state", &values[1].1).unwrap();
            stage.repeat(&bound).unwrap();
            let after = value::to_host("actions", bound.made("actions").unwrap()).unwrap();
            // The rows of the tiny bundle go with the values of its state: the second one moved from -3.5 to -7.
            assert_ne!(after, before);
            let lookup = |name: &str| values.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
            let plain = stage.run(&lookup, &|_| true, &mut lengths).unwrap();
            assert_eq!(after, value::to_host("actions", &plain[0].1).unwrap());
        }
    }
}

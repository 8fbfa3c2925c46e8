//! `vla inspect`: a bundle on one screen.

mod cost;
mod probe;
mod words;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use vla_bundle::{
    Bundle, CameraModel, Dtype, GoldenKind, Graph, Integrity, Manifest, Merged, Source, TensorSpec, Unnormalize,
};

use super::bench::placement_lines;
use super::runtime::RuntimeArguments;
use crate::inference::Inference;
use crate::policy::{Policy, runtime_info};

/// Explains a bundle on one screen.
#[derive(Args)]
pub struct Inspect {
    /// Folder of the bundle.
    bundle: PathBuf,
    /// Checks the sha256 of every file, not only the sizes.
    #[arg(long)]
    verify: bool,
    /// Runs the stored run again with one input at a time changed, and says which inputs the policy ignores.
    #[arg(long)]
    probe: bool,
    #[command(flatten)]
    runtime: RuntimeArguments,
}

impl Inspect {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let options = self.runtime.options()?;
        let integrity = if self.verify { Integrity::Digests } else { Integrity::Sizes };
        let bundle = Bundle::load(&self.bundle, integrity)?;
        let mut text = describe(&bundle);
        let checked = if self.verify { "every sha256 is right" } else { "sizes are right (--verify checks sha256)" };
        line(&mut text, "files", &format!("{}, {checked}", bundle.manifest().files.len()));
        text += &cost::lines(&bundle)?;
        super::print(&text)?;
        let (placement, probed) = if self.probe {
            let mut inference = Inference::load(&bundle, &options)?;
            let probed = probe::lines(&bundle, &mut inference)?;
            (placement_lines(inference.placement()), probed)
        } else {
            (placement_lines(Policy::load(&bundle, &options)?.placement()), String::new())
        };
        let runtime = runtime_info()?;
        let mut text = String::new();
        line(&mut text, "onnx runtime", &format!("{}, {}", runtime.version, runtime.path.display()));
        super::print(&(text + &placement + &probed))
    }
}

fn line(text: &mut String, label: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{label:<12} {value}");
}

fn describe(bundle: &Bundle) -> String {
    let manifest = bundle.manifest();
    let mut text = String::new();
    identity(bundle, &mut text);
    streams(manifest, &mut text);
    for input in &manifest.inputs {
        line(&mut text, "input", &format!("{} <- {}", input.tensor, source(&input.source)));
    }
    for entry in &manifest.plan {
        let (word, cadence) = words::stage(entry);
        for name in entry.graphs() {
            let graph = &manifest.graphs[name];
            line(&mut text, word, &format!("{name} {cadence}, {}", graph_size(manifest, graph)));
            line(&mut text, "", &format!("  {} -> {}", specs(&graph.inputs), specs(&graph.outputs)));
        }
    }
    for (symbol, range) in &manifest.dims {
        line(&mut text, "length", &format!("{symbol} {} to {}, tuned for {}", range.min, range.max, range.opt));
    }
    actions(manifest, &mut text);
    let golden = manifest.golden.as_ref().map_or("none".to_owned(), |golden| {
        let kind = match golden.kind {
            GoldenKind::Regression => "this exporter's first run",
            GoldenKind::Parity => "the training side's run",
        };
        format!("{kind} on `{}`: {}", golden.task, golden.file)
    });
    line(&mut text, "golden", &golden);
    text
}

fn identity(bundle: &Bundle, text: &mut String) {
    let manifest = bundle.manifest();
    line(text, "bundle", bundle.digest());
    line(text, "system", &format!("{}, exported by {}", manifest.system, manifest.exporter));
    let key = manifest.checkpoint.unnorm_key.as_deref().map(|key| format!(", statistics `{key}`")).unwrap_or_default();
    line(text, "checkpoint", &format!("{} {}{key}", manifest.checkpoint.name, manifest.checkpoint.sha256));
    if let Some(Merged { base, weights, scale, precision }) = &manifest.checkpoint.merged {
        let onto = base.as_deref().map(|base| format!(" onto `{base}`")).unwrap_or_default();
        line(text, "merged", &format!("adapters of {weights} weights{onto}, times {scale}, in {precision}"));
    }
    line(text, "graphs", &format!("{}, opset {}", manifest.precision, manifest.opset));
}

fn streams(manifest: &Manifest, text: &mut String) {
    let cameras: Vec<_> = manifest.streams.cameras.iter().map(|camera| camera.name.as_str()).collect();
    let optics = match manifest.streams.intrinsics {
        Some(CameraModel::Pinhole) => ", each straight and with its intrinsics",
        None => "",
    };
    line(text, "cameras", &format!("{}{optics}", cameras.join(", ")));
    if let Some(state) = &manifest.streams.state {
        let names: Vec<_> = manifest
            .io
            .iter()
            .flat_map(|io| &io.state)
            .map(|dim| format!("{} [{}]", dim.name, dim.unit.word()))
            .collect();
        let names = if names.is_empty() { "unnamed".to_owned() } else { names.join(", ") };
        line(text, "state", &format!("{} values: {names}", state.dim));
    }
}

fn source(source: &Source) -> String {
    let (from, steps) = match source {
        Source::Cameras { steps } => ("every camera", words::image_steps(steps)),
        Source::Intrinsics { of } => ("camera info of every camera", format!("K in pixels of {of}")),
        Source::State { steps } => ("state", words::state_steps(steps)),
        Source::Task { steps } => ("instruction", words::text_steps(steps)),
        Source::TaskWithState { state, steps } => {
            ("instruction and state", format!("{}; state: {}", words::text_steps(steps), words::state_bins(state)))
        }
        Source::Constant { values } => ("constant", format!("{values:?}")),
    };
    format!("{from}: {steps}")
}

fn specs(specs: &[TensorSpec]) -> String {
    let spec = |spec: &TensorSpec| {
        let dims: Vec<_> = spec.dims.iter().map(ToString::to_string).collect();
        format!("{} {} [{}]", spec.name, spec.dtype, dims.join(", "))
    };
    specs.iter().map(spec).collect::<Vec<_>>().join("; ")
}

/// File sizes; weights stand in a file of their own, so their size tells the number of parameters.
fn graph_size(manifest: &Manifest, graph: &Graph) -> String {
    let bytes = |file: &str| manifest.files.get(file).map_or(0, |entry| entry.bytes);
    let weights = graph.weights.as_deref().map(|file| {
        let per_value = match manifest.precision {
            Dtype::Fp16 | Dtype::Bf16 => 2,
            _ => 4,
        };
        format!(" + {} of weights (about {} parameters)", amount(bytes(file), "B"), amount(bytes(file) / per_value, ""))
    });
    format!("{}{}", amount(bytes(&graph.file), "B"), weights.unwrap_or_default())
}

/// Three digits and a decimal prefix: `7.54 GB`.
fn amount(value: u64, unit: &str) -> String {
    let (mut scaled, mut prefix) = (value as f64, "");
    for next in ["k", "M", "G", "T"] {
        if scaled >= 1000.0 {
            (scaled, prefix) = (scaled / 1000.0, next);
        }
    }
    let text = if prefix.is_empty() || scaled >= 100.0 { format!("{scaled:.0}") } else { format!("{scaled:.1}") };
    format!("{text} {prefix}{unit}").trim_end().to_owned()
}

fn actions(manifest: &Manifest, text: &mut String) {
    let actions = &manifest.actions;
    let unnormalize = match &actions.unnormalize {
        Unnormalize::Quantile { .. } => "un-normalised from 1 % and 99 % quantiles",
        Unnormalize::MinMax { .. } => "un-normalised from minimum and maximum",
        Unnormalize::MeanStd { .. } => "un-normalised from mean and deviation",
        Unnormalize::Identity => "as the network gives them",
    };
    let rate = manifest.io.as_ref().map(|io| format!(" at {} Hz", io.rate_hz)).unwrap_or_default();
    let of = match actions.network_dim {
        Some(network_dim) => format!("{} values from {network_dim} of the network", actions.action_dim),
        None => format!("{} values", actions.action_dim),
    };
    let [before, steps] = [words::output_steps(&actions.before), words::action_steps(&actions.steps)];
    line(text, "actions", &format!("{} steps{rate} of {of}, {before}{unnormalize}{steps}", actions.chunk_size));
    match &manifest.io {
        None => line(text, "", "unnamed: infer and bench work, node and replay refuse"),
        Some(io) => {
            let dims = io.actions.iter().map(|dim| format!("{} [{}] {}", dim.name, dim.unit.word(), dim.kind.word()));
            line(text, "", &dims.collect::<Vec<_>>().join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_digits_and_a_prefix() {
        let amounts = [0, 742, 1000, 425_864, 7_541_000_000].map(|value| amount(value, "B"));
        assert_eq!(amounts, ["0 B", "742 B", "1.0 kB", "426 kB", "7.5 GB"]);
    }
}

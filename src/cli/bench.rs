//! `vla bench`: what one inference costs, stage by stage.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use vla_bundle::{Bundle, Integrity};

use super::runtime::RuntimeArguments;
use crate::drive::bench::{Costs, bench};
use crate::drive::stages::StageCost;
use crate::drive::synthetic::synthetic_observation;
use crate::inference::Inference;
use crate::policy::{Placement, runtime_info};

/// Pictures of the usual camera, so that decoding and resizing cost what they cost on a robot.
const PICTURE: [u32; 2] = [640, 480];

const SHARES: [(&str, f64); 4] = [("min", 0.0), ("median", 0.5), ("p95", 0.95), ("max", 1.0)];

/// Measures what one inference costs, stage by stage, on a made-up observation.
#[derive(Args)]
pub struct Bench {
    /// Folder of the bundle.
    bundle: PathBuf,
    /// Inferences that are measured, after the warm-up.
    #[arg(long, default_value = "20", value_name = "N")]
    runs: NonZeroUsize,
    /// Prints JSON, lengths in milliseconds.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: RuntimeArguments,
}

impl Bench {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let options = self.runtime.options()?;
        let bundle = Bundle::load(&self.bundle, Integrity::Sizes)?;
        let observation = synthetic_observation(bundle.manifest(), PICTURE[0], PICTURE[1]);
        let mut inference = Inference::load(&bundle, &options)?;
        let costs = bench(&mut inference, &observation, self.runs)?;
        let runtime = runtime_info()?;
        if self.json {
            let placement = inference.placement().map(|list| list.iter().map(placement_json).collect::<Vec<_>>());
            let report = json!({
                "bundle_digest": bundle.digest(),
                "onnxruntime": { "version": runtime.version, "path": runtime.path },
                "provider": options.provider.name(),
                "stages_ms": costs.stages.iter().map(cost_json).collect::<Vec<_>>(),
                "total_ms": cost_json(&costs.total),
                "placement": placement,
            });
            return super::print(&format!("{report:#}\n"));
        }
        let mut text = format!(
            "onnx runtime {}, provider {}, pictures {} x {}\n\n",
            runtime.version,
            options.provider.name(),
            PICTURE[0],
            PICTURE[1]
        );
        text += &table(&costs);
        text += "\n";
        text += &placement_lines(inference.placement());
        super::print(&text)
    }
}

fn table(costs: &Costs) -> String {
    let width = costs.stages.iter().map(|stage| stage.name.len()).chain([10]).max().unwrap_or_default();
    let mut text = format!("{:width$} {:>6}", "stage, ms", "runs");
    for (word, _) in SHARES {
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, " {word:>10}");
    }
    text.push('\n');
    for stage in costs.stages.iter().chain([&costs.total]) {
        let _ = write!(text, "{:width$} {:>6}", stage.name, stage.runs());
        for (_, share) in SHARES {
            let _ = write!(text, " {:>10.3}", stage.quantile(share).millis());
        }
        text.push('\n');
    }
    text
}

fn cost_json(cost: &StageCost) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    object.insert("name".to_owned(), json!(cost.name));
    object.insert("runs".to_owned(), json!(cost.runs()));
    object.extend(SHARES.map(|(word, share)| (word.to_owned(), json!(cost.quantile(share).millis()))));
    object.into()
}

fn placement_json(placement: &Placement) -> serde_json::Value {
    json!({
        "graph": placement.graph,
        "provider": placement.provider,
        "nodes": placement.nodes,
        "op_types": placement.op_types,
    })
}

/// One line per graph and provider: how many nodes, and of which operators.
pub fn placement_lines(placement: Option<&[Placement]>) -> String {
    let Some(placement) = placement else { return "nodes: unknown (needs ONNX Runtime 1.24)\n".to_owned() };
    placement
        .iter()
        .map(|p| {
            let ops: Vec<_> = p.op_types.iter().map(|(op, count)| format!("{count} {op}")).collect();
            format!("nodes: {} on {}: {} ({})\n", p.graph, p.provider, p.nodes, ops.join(", "))
        })
        .collect()
}

//! What would not survive fp16: a mask's constant that overflows, and a row that sees nothing.

use std::path::{Path, PathBuf};

use prost::Message;
use vla_bundle::Dtype;

use crate::graph::proto::{GraphProto, ModelProto};
use crate::request::{Adapter, Camera, Request, System};

/// The largest finite number of fp16.
const LARGEST: f32 = 65504.0;

fn graphs(system: System, case: &str, cameras: &[&str]) -> Vec<(String, GraphProto)> {
    let dir = tempfile::tempdir().unwrap();
    let camera = |name: &&str| Camera { slot: (*name).to_owned(), name: (*name).to_owned() };
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/checkpoints").join(case);
    let openpi = matches!(system, System::Pi0 | System::Pi05);
    let request = Request {
        checkpoint: checkpoint.join("checkpoint"),
        out: dir.path().join("bundle"),
        system,
        cameras: cameras.iter().map(camera).collect(),
        io: None,
        unnorm_key: None,
        chunk_size: None,
        norm: None,
        image_pipeline: None,
        center_crop: None,
        head: None,
        hidden_offset: None,
        base_checkpoint: None,
        denoise_steps: openpi.then_some(10),
        adapter: openpi.then_some(Adapter::Libero),
        delta_actions: None,
        precision: Dtype::Fp32,
        opset: 23,
    };
    let bundle = crate::export(&request, &mut |_| {}).unwrap().bundle;
    let read = |path: PathBuf| ModelProto::decode(&*std::fs::read(path).unwrap()).unwrap().graph.unwrap();
    let graphs = &bundle.manifest().graphs;
    graphs.iter().map(|(name, graph)| (format!("{case} {name}"), read(bundle.path(&graph.file)))).collect()
}

/// Prompts have no padding and absent cameras no rows, so that no attention takes a mask and every query sees a key.
#[test]
fn no_graph_that_denoises_holds_a_mask_or_a_constant_beyond_fp16() {
    let slots = ["base_0_rgb", "left_wrist_0_rgb"];
    let lerobot = ["observation.images.top", "observation.images.wrist"];
    let cases: [(System, &str, &[&str]); 6] = [
        (System::Pi0, "pi0", &slots),
        (System::Pi05, "pi05", &slots),
        (System::Smolvla, "smolvla", &lerobot),
        (System::LateFusion, "late_fusion_flow", &["cam0"]),
        (System::DeepFusion, "deep_fusion_v2", &["cam0"]),
        (System::DitLayerwise, "dit_layerwise", &["cam0"]),
    ];
    let (mut attentions, mut constants) = (0, 0);
    for (name, graph) in cases.into_iter().flat_map(|(system, case, cameras)| graphs(system, case, cameras)) {
        for node in graph.node.iter().filter(|node| node.op_type == "Attention") {
            let mask = node.input.get(3).map_or("", String::as_str);
            assert_eq!(mask, "", "{name}: {}", node.name);
            attentions += 1;
        }
        for tensor in graph.initializer.iter().filter(|tensor| tensor.data_type == 1 && tensor.data_location == 0) {
            let numbers = tensor.raw_data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            let largest = numbers.map(f32::abs).fold(0.0, f32::max);
            assert!(largest <= LARGEST, "{name}: {} holds {largest}", tensor.name);
            constants += 1;
        }
    }
    assert!(attentions > 50 && constants > 20, "{attentions} attentions, {constants} constants");
}

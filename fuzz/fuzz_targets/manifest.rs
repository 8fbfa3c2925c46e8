//! Any bytes as a bundle's manifest; what loads must also prepare an observation, or say why not.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use vla_bundle::{Bundle, ImageStep, Integrity, Manifest, Source};
use vla_runtime::postprocess::Postprocessor;
use vla_runtime::preprocess::Preprocessor;
use vla_runtime::types::{Encoding, Frame};

/// Pixels a side that one run may cost; larger ones are as right, only slow.
const SMALL: u32 = 64;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/bundles/tiny");
    for file in ["body.onnx", "text.onnx", "tokenizer.json"] {
        fs::copy(tiny.join(file), folder.path().join(file)).expect("the small bundle");
    }
    folder
});

fuzz_target!(|bytes: &[u8]| {
    fs::write(FOLDER.path().join("manifest.json"), bytes).expect("scratch space");
    let Ok(bundle) = Bundle::load(FOLDER.path(), Integrity::Sizes) else { return };
    let manifest = bundle.manifest();
    let state = manifest.streams.state.as_ref().filter(|state| state.dim < 1000).map(|state| vec![0.25; state.dim]);
    let postprocessor = Postprocessor::new(&manifest.actions, state.as_ref().map_or(0, Vec::len));
    drop(postprocessor.apply(&[0.5; 6], state.as_deref()));
    if !is_cheap(manifest) {
        return;
    }
    let Ok(mut preprocessor) = Preprocessor::new(&bundle) else { return };
    let frame = Frame {
        frame_id: String::new(),
        encoding: Encoding::Rgb8,
        width: 5,
        height: 3,
        step: 15,
        data: Arc::from((0..45).collect::<Vec<u8>>()),
    };
    let frames = vec![frame; manifest.streams.cameras.len()];
    drop(preprocessor.run(&frames, state.as_deref(), "pick up"));
});

fn is_cheap(manifest: &Manifest) -> bool {
    let steps = |source: &Source| match source {
        Source::Cameras { steps } => are_small(steps),
        Source::Intrinsics { .. }
        | Source::State { .. }
        | Source::Task { .. }
        | Source::TaskWithState { .. }
        | Source::Constant { .. } => true,
    };
    manifest.streams.cameras.len() < 8
        && manifest.streams.state.as_ref().is_none_or(|state| state.dim < 1000)
        && manifest.inputs.iter().all(|input| steps(&input.source))
}

fn are_small(steps: &[ImageStep]) -> bool {
    steps.iter().all(|step| match step {
        ImageStep::UnlessSize { steps, .. } => are_small(steps),
        ImageStep::Resize { height, width, .. }
        | ImageStep::CropPixels { height, width }
        | ImageStep::ResizeWithPad { height, width, .. }
        | ImageStep::InterpolateWithPad { height, width, .. } => (*height).max(*width) <= SMALL,
        ImageStep::ResizeShortSide { size, .. } => *size <= SMALL,
        ImageStep::StackChannels { branches } => branches.iter().all(|branch| are_small(branch)),
        ImageStep::JpegRoundtrip { .. }
        | ImageStep::CenterCrop { .. }
        | ImageStep::Letterbox { .. }
        | ImageStep::Normalize { .. } => true,
    })
}

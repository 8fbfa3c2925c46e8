//! Any bytes as a checkpoint's safetensors file; every tensor that it describes must be readable.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use onnx_export::checkpoint::Weights;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a scratch folder"));

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(FOLDER.path().join("model.safetensors"), bytes).expect("scratch space");
    let Ok(weights) = Weights::open_safetensors(FOLDER.path()) else { return };
    for name in weights.names() {
        let shape = weights.shape(name).expect("it was listed").to_vec();
        if let Ok(weight) = weights.read(name, &shape) {
            assert_eq!(weight.to_f32().len() as u64, weight.elements());
        }
    }
});

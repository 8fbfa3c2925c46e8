//! Any bytes as a torch `.pt` file, or as the pickle inside one that is otherwise whole.
#![no_main]

use std::io::{Cursor, Write};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use onnx_export::checkpoint::Weights;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Elements that one run may cost: a stride of 0 makes many of few bytes.
const MANY: u64 = 1 << 20;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a scratch folder"));

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let path = FOLDER.path().join("head.pt");
    let file = if kind % 2 == 0 { rest.to_vec() } else { archive(rest) };
    std::fs::write(&path, file).expect("scratch space");
    let Ok(weights) = Weights::open_torch(&path) else { return };
    for name in weights.names() {
        let shape = weights.shape(name).expect("it was listed").to_vec();
        if let Ok(weight) = weights.read(name, &shape)
            && weight.elements() <= MANY
        {
            assert_eq!(weight.to_f32().len() as u64, weight.elements());
        }
    }
});

fn archive(pickle: &[u8]) -> Vec<u8> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in [("a/data.pkl", pickle), ("a/data/0", &[1; 96]), ("a/data/1", &[2; 8])] {
        writer.start_file(name, stored).expect("memory");
        writer.write_all(data).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

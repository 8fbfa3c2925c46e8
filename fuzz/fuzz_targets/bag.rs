//! Any bytes as a bag's file or as its metadata; what opens is read to its end.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vla_runtime::bag::BagReader;
use vla_runtime::msg::{Image, JointState, StringMessage};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a scratch folder"));

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let folder = FOLDER.path();
    let (file, open) = match kind % 4 {
        0 => (folder.join("bag.mcap"), folder.join("bag.mcap")),
        1 => (folder.join("bag.db3"), folder.join("bag.db3")),
        2 => (folder.join("bag.mcap.zstd"), folder.join("bag.mcap.zstd")),
        _ => (folder.join("metadata.yaml"), folder.to_owned()),
    };
    fs::write(file, rest).expect("scratch space");
    let Ok(bag) = BagReader::open(&open) else { return };
    for message in bag.messages() {
        let Ok(message) = message else { continue };
        drop(message.decode::<Image>());
        drop(message.decode::<JointState>());
        drop(message.decode::<StringMessage>());
    }
});

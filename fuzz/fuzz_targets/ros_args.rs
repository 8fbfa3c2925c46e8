//! Any text as `--ros-args` and, behind the first byte 1, as a parameter file.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vla_runtime::deploy::RunParameters;
use vla_runtime::drive::ros_args::RosArgs;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a scratch folder"));

fuzz_target!(|text: &str| {
    let (line, file) = text.split_once('\u{1}').unwrap_or((text, ""));
    let path = FOLDER.path().join("params.yaml");
    fs::write(&path, file).expect("scratch space");
    // Other files than ours are not the fuzzer's to open.
    let given = line.split('\0').filter(|word| *word != "--params-file").map(str::to_owned);
    let ours = ["--ros-args".to_owned(), "--params-file".to_owned(), path.display().to_string()];
    let Ok(args) = RosArgs::parse(ours.into_iter().chain(given), "vla_node") else { return };
    drop(args.resolve("~/instruction"));
    drop(args.resolve("images/front"));
    assert!(args.fully_qualified_name().starts_with('/'));
    drop(RunParameters::parse(args.parameters()));
});

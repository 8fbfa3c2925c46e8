//! Any text as an IO file and as a robot profile.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vla_bundle::IoFile;
use vla_runtime::profile::Profile;

fuzz_target!(|text: &str| {
    if let Ok(io) = IoFile::parse(text, "io.yaml") {
        assert!(io.rate_hz > 0.0);
    }
    drop(Profile::parse(text, "profile.yaml"));
});

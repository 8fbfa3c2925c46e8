//! The first run of a fresh bundle: proof that it runs, and what later runs are compared with.

use std::path::Path;

use anyhow::bail;
use vla_bundle::Bundle;

use crate::cli::runtime::OnOff;
use crate::drive::synthetic::synthetic_observation;
use crate::inference::{Inference, Outcome, Recording};
use crate::policy::PolicyOptions;
use crate::types::Observation;

const FILE: &str = "golden.safetensors";

/// Small: the pictures stand in the file.
const PICTURE: [u32; 2] = [320, 240];

/// Runs the bundle in `dir` where `[golden, verify]` asks for it; the bundle comes back with its golden.
pub fn run(bundle: Bundle, dir: &Path, [golden, verify]: [OnOff; 2]) -> anyhow::Result<Bundle> {
    if [golden, verify] == [OnOff::Off; 2] {
        return Ok(bundle);
    }
    let observation = synthetic_observation(bundle.manifest(), PICTURE[0], PICTURE[1]);
    let (recording, outcome) = record(&bundle, &observation)?;
    if verify == OnOff::On {
        let (again, _) = record(&bundle, &observation)?;
        if let Some(tensor) = recording.difference(&again) {
            bail!("tensor `{tensor}` of a second run differs from the first run's");
        }
    }
    if golden == OnOff::Off {
        return Ok(bundle);
    }
    recording.write(&observation, &outcome, bundle.manifest(), &bundle.path(FILE))?;
    Ok(onnx_export::attach_golden(dir, FILE, &observation.task)?)
}

fn record(bundle: &Bundle, observation: &Observation) -> anyhow::Result<(Recording, Outcome)> {
    let mut recording = Recording::default();
    let outcome = Inference::load(bundle, &PolicyOptions::default())?.infer(observation, &mut recording)?;
    Ok((recording, outcome))
}

//! `vla infer`: one observation from files, answered once.

mod camera_info;
mod noise;
mod observation;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use vla_bundle::{Bundle, Integrity, Manifest};

use super::runtime::{RuntimeArguments, key_value};
use crate::inference::{Inference, Outcome, Recording};
use crate::noise::Noise;
use crate::policy::Observer;
use crate::types::Chunk;

/// Answers one observation from files.
#[derive(Args)]
pub struct Infer {
    /// Folder of the bundle.
    bundle: PathBuf,
    /// What the robot is asked to do.
    #[arg(long)]
    task: String,
    /// A camera's picture, PNG or JPEG; once per camera of the bundle.
    #[arg(long = "image", value_name = "NAME=FILE", value_parser = key_value)]
    images: Vec<(String, String)>,
    /// The state vector: a JSON array in the bundle's order, or an object by names.
    #[arg(long, value_name = "STATE.json")]
    state: Option<PathBuf>,
    /// How the cameras see, where the policy takes that: a JSON array in camera order with the fields of
    /// sensor_msgs/CameraInfo, and `image_is_rectified`.
    #[arg(long, value_name = "INFO.json")]
    camera_info: Option<PathBuf>,
    /// Noise that a denoising starts from: the tensor `flow.noise` or `diffusion.noise` of a file, or its only one.
    #[arg(long, value_name = "FILE.safetensors", conflicts_with = "seed")]
    noise: Option<PathBuf>,
    /// Seed of the noise that a denoising starts from.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Where the actions go; default: standard output.
    #[arg(long, value_name = "OUT.json")]
    out: Option<PathBuf>,
    /// Also writes the tensor of every stage to this file.
    #[arg(long, value_name = "FILE.safetensors")]
    stages: Option<PathBuf>,
    #[command(flatten)]
    runtime: RuntimeArguments,
}

impl Infer {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let options = self.runtime.options()?;
        let bundle = Bundle::load(&self.bundle, Integrity::Sizes)?;
        let manifest = bundle.manifest();
        if self.task.trim().is_empty() {
            bail!("--task is empty, the policy wants an instruction");
        }
        let mut observation = observation::read(manifest, &self.task, &self.images, self.state.as_deref())?;
        observation.optics = camera_info::read(manifest, self.camera_info.as_deref())?;
        observation.noise = match &self.noise {
            Some(path) => noise::read(manifest, path)?,
            None => Noise::Seeded { seed: self.seed, stream: 0 },
        };
        let mut inference = Inference::load(&bundle, &options)?;
        let mut recording = Recording::default();
        let observer: &mut dyn Observer = if self.stages.is_some() { &mut recording } else { &mut () };
        let outcome = inference.infer(&observation, observer)?;
        if let Some(path) = &self.stages {
            recording.write(&observation, &outcome, manifest, path)?;
        }
        let text = serde_json::to_string(&Answer::new(manifest, &outcome))? + "\n";
        match &self.out {
            Some(path) => write(path, &text),
            None => super::print(&text),
        }
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write the actions: {}", path.display()))
}

/// The result as it is written; every f64 reads back as the same number.
#[derive(Serialize)]
struct Answer<'a> {
    actions: Vec<&'a [f64]>,
    normalized: Vec<&'a [f64]>,
    names: Vec<&'a str>,
    units: Vec<&'a str>,
    /// Denoising steps that ran.
    #[serde(skip_serializing_if = "is_zero")]
    denoise_steps: u32,
}

impl<'a> Answer<'a> {
    fn new(manifest: &'a Manifest, outcome: &'a Outcome) -> Self {
        let (names, units) = match &manifest.io {
            Some(io) => io.actions.iter().map(|dim| (dim.name.as_str(), dim.unit.word())).unzip(),
            None => vec![("unnamed", "unnamed"); manifest.actions.action_dim].into_iter().unzip(),
        };
        Self {
            actions: rows(&outcome.chunk),
            normalized: rows(&outcome.normalized),
            names,
            units,
            denoise_steps: outcome.denoise_steps,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

fn rows<Unit>(chunk: &Chunk<Unit>) -> Vec<&[f64]> {
    chunk.rows().collect()
}

//! Arguments that say how the graphs are to be run.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use vla_bundle::Bundle;

use crate::deploy::{Deployment, Motion, RunParameters};
use crate::drive::answer::{Answer as _, longest_answer};
use crate::drive::synthetic::synthetic_observation;
use crate::inference::{Inference, InferenceError};
use crate::policy::{PolicyError, PolicyOptions, Provider, Spinning};

/// Width and height of the picture that a policy is warmed with.
const PICTURE: [u32; 2] = [640, 480];

/// How the graphs are to be run.
#[derive(Args)]
pub struct RuntimeArguments {
    /// Where the graphs run: cpu, cuda or tensorrt.
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    provider: String,
    /// An option of the provider, such as device_id=0; may be repeated.
    #[arg(long = "provider-option", value_name = "KEY=VALUE", value_parser = key_value)]
    provider_options: Vec<(String, String)>,
    /// Threads that share one operator; default: one per physical core.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Whether these threads keep their cores busy while they wait.
    #[arg(long, value_enum, default_value = "off")]
    spinning: OnOff,
    /// Steps of a denoising; default: as many as the bundle says.
    #[arg(long, value_name = "N")]
    denoise_steps: Option<NonZeroUsize>,
}

/// A switch with both states written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// Yes.
    On,
    /// No.
    Off,
}

impl RuntimeArguments {
    /// The checked options.
    pub fn options(&self) -> Result<PolicyOptions, PolicyError> {
        Ok(PolicyOptions {
            provider: Provider::from_text(&self.provider, &self.provider_options)?,
            intra_op_threads: self.threads,
            spinning: match self.spinning {
                OnOff::On => Spinning::On,
                OnOff::Off => Spinning::Off,
            },
            denoise_steps: self.denoise_steps,
        })
    }
}

/// What the parameters of a node say about it.
pub fn policy_options(parameters: &RunParameters) -> Result<PolicyOptions, PolicyError> {
    Ok(PolicyOptions {
        provider: Provider::from_text(parameters.provider(), parameters.provider_options())?,
        intra_op_threads: parameters.intra_op_threads().and_then(NonZeroUsize::new),
        spinning: Spinning::Off,
        denoise_steps: parameters.denoise_steps().and_then(NonZeroUsize::new),
    })
}

/// The policy as a robot runs it: it looks through the profile's cameras.
pub fn inference(
    bundle: &Bundle,
    deployment: &Deployment,
    options: &PolicyOptions,
) -> Result<Inference, InferenceError> {
    Ok(Inference::load(bundle, options)?.through(deployment.views()))
}

/// The same after its first answer, which takes longer than the others: to a picture that is made up. Then it is asked
/// for as long as it takes to know whether it answers in time; where nothing moves, too late is only said.
pub fn warm_inference(bundle: &Bundle, deployment: &Deployment, options: &PolicyOptions) -> Result<Inference, String> {
    let mut inference = Inference::load(bundle, options).map_err(|error| error.to_string())?;
    let [width, height] = PICTURE;
    let observation = synthetic_observation(bundle.manifest(), width, height);
    inference.answer(&observation).map_err(|reason| format!("warm-up: {reason}"))?;
    let longest = longest_answer(&mut inference, &observation).map_err(|reason| format!("warm-up: {reason}"))?;
    tracing::info!(%longest, "longest inference when warm");
    match (deployment.feasibility().check(longest), deployment.motion()) {
        (Err(unfit), Motion::Live) => return Err(unfit.to_string()),
        (Err(unfit), Motion::DryRun) => tracing::warn!("nothing could move: {unfit}"),
        (Ok(()), _) => {}
    }
    Ok(inference.through(deployment.views()))
}

/// Both halves of `KEY=VALUE`.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("got `{text}`, wanted two words joined by `=`")),
    }
}

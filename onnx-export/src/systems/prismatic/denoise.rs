//! The diffusion head's loop: action chunks out of noise, by DDIM as the original's scheduler is set up.

use vla_bundle::{Denoise, Denominator, Dtype, NoiseSource, Rule, SinusoidOrder, Stage, TimeEncoding, TimeInput};

use crate::ExportError;
use crate::blocks::gelu_mlp;
use crate::graph::{Graph, fixed, symbol};

use super::Prismatic;
use super::head::ActionHead;

/// Timesteps of the training; no checkpoint says another number.
pub const TIMESTEPS: u64 = 50;

/// The noise predictor's word on a chunk.
pub const PREDICTION: &str = "noise_prediction";

const SAMPLE: &str = "noisy_actions";
const TIME: &str = "time";
/// `num_train_timesteps` and `beta_schedule="squaredcos_cap_v2"` are given to diffusers' `DDIMScheduler`, the rest is its
/// defaults; `time` is the original's `SinusoidalPositionalEncoding`.
const MAX_BETA: f64 = 0.999;
const CLIP: f32 = 1.0;
const THETA: f32 = 10000.0;

/// `steps` rounds through the graphs `body`, from noise to `normalized_actions`.
pub fn stage(policy: &Prismatic, body: Vec<String>, steps: u64) -> Stage {
    let encoding = TimeEncoding::ThetaSinusoid {
        width: policy.config.llama.hidden,
        theta: THETA,
        denominator: Denominator::HalfMinusOne,
        order: SinusoidOrder::SinCos,
        buckets: None,
    };
    Stage::Denoise(Denoise {
        body,
        noise: NoiseSource { tensor: "diffusion.noise".to_owned(), dtype: Dtype::Fp32 },
        sample: SAMPLE.to_owned(),
        times: vec![TimeInput { tensor: TIME.to_owned(), encoding }],
        prediction: PREDICTION.to_owned(),
        result: super::ACTIONS.to_owned(),
        steps,
        rule: Rule::Ddim { alphas_cumprod: alphas_cumprod(), clip_sample: Some(CLIP) },
    })
}

/// What changes from step to step, as tokens: `noisy_actions [chunk, dim]`, one value each, in the places of the actions
/// in `text_tail [1, tail, hidden]`, and `time [1, hidden]` as `time_token [1, 1, hidden]`. None for other heads.
pub fn noisy(policy: &Prismatic) -> Result<Option<Graph<'_>>, ExportError> {
    let ActionHead::Diffusion { projector, .. } = &policy.head else { return Ok(None) };
    let hidden = policy.config.llama.hidden;
    let mut graph = Graph::new("noisy");
    let actions = graph.input(SAMPLE, Dtype::Fp32, &[policy.chunk_size, policy.action_dim].map(fixed))?;
    let time = graph.input(TIME, Dtype::Fp32, &[1, hidden].map(fixed))?;
    let prompt = graph.input("prompt_tail", Dtype::Fp32, &[fixed(1), symbol("prompt_tail"), fixed(hidden)])?;
    let stop = graph.input("stop", Dtype::Fp32, &[1, 1, hidden].map(fixed))?;
    let mut root = graph.root();
    let values = root.reshape("values", &actions, &[1, policy.action_tokens(), 1].map(fixed))?;
    let features = gelu_mlp(&mut root.at("projector"), &projector.at(""), &values, &[1, hidden, hidden])?;
    let tail = root.concat("tail", 1, &[&prompt, &features, &stop], &symbol("tail"))?;
    let time = root.reshape("time_row", &time, &[1, 1, hidden].map(fixed))?;
    graph.output("text_tail", &tail)?;
    graph.output("time_token", &time)?;
    Ok(Some(graph))
}

/// The squared-cosine schedule: shares of the data's variance that are left, with torch's order of roundings.
fn alphas_cumprod() -> Vec<f32> {
    let left = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    let steps = TIMESTEPS as f64;
    let mut product = 1.0_f64;
    (0..TIMESTEPS)
        .map(|step| {
            let (from, to) = (step as f64 / steps, (step + 1) as f64 / steps);
            let beta = (1.0 - left(to) / left(from)).min(MAX_BETA);
            product *= f64::from(1.0 - beta as f32);
            product as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::checkpoint::Weights;

    #[test]
    fn the_schedule_is_the_originals_to_the_last_bit() {
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/checkpoints/openvla_oft_diffusion");
        let expected = Weights::open_safetensors(&case).unwrap();
        let wanted = expected.read("diffusion.alphas_cumprod", &[TIMESTEPS]).unwrap().to_f32();
        assert_eq!(alphas_cumprod(), wanted);
    }
}

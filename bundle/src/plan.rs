//! The order in which graphs run, as data.
//!
//! Tensors live in one name space: a graph input takes the tensor of its own name, a graph output makes one,
//! and each name is made once. What graphs make inside a loop stays there; only the loop's result leaves it.

use serde::{Deserialize, Serialize};

use crate::Dtype;

/// One entry of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case", deny_unknown_fields)]
pub enum Stage {
    /// Runs a graph once; its outputs join the name space.
    Run {
        /// Key in the manifest's `graphs`.
        graph: String,
        /// When its outputs go out of date.
        every: Cadence,
    },
    /// Denoises a sample, once per observation.
    Denoise(Denoise),
    /// Writes tokens one after the other, once per observation.
    Autoregress(Autoregress),
}

impl Stage {
    /// The graphs this stage runs, in order.
    pub fn graphs(&self) -> &[String] {
        match self {
            Stage::Run { graph, .. } => std::slice::from_ref(graph),
            Stage::Denoise(denoise) => &denoise.body,
            Stage::Autoregress(autoregress) => &autoregress.body,
        }
    }
}

/// When a stage's outputs go out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cadence {
    /// With the instruction: depends on text and constants alone.
    Instruction,
    /// With every observation.
    Observation,
}

/// A loop from noise to a sample of what the network was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denoise {
    /// Graphs that run in order in every step. They may read every tensor made before, `sample` and `times`.
    pub body: Vec<String>,
    /// Where the loop starts.
    pub noise: NoiseSource,
    /// Tensor that the body reads: the noise in the first step, then what `rule` makes of it; fp32 of fixed lengths.
    pub sample: String,
    /// Tensors that depend on the step alone.
    pub times: Vec<TimeInput>,
    /// Tensor that the body makes: the network's word on the sample, of its shape, fp32.
    pub prediction: String,
    /// Name of the sample after the last step.
    pub result: String,
    /// Steps where nobody asks for another number.
    pub steps: u64,
    /// How a prediction changes the sample.
    pub rule: Rule,
}

/// Numbers drawn from the normal distribution, or given by the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseSource {
    /// Name under which the noise is given and recorded.
    pub tensor: String,
    /// Precision in which the original draws it: `fp32`, or `bf16` (drawn numbers are rounded to it).
    pub dtype: Dtype,
}

/// A tensor that depends on the step of a loop alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeInput {
    /// Name that the body reads.
    pub tensor: String,
    /// What it holds.
    pub encoding: TimeEncoding,
}

/// The time of a step as a tensor. The time is the rule's: t in [0, 1] for a flow, the training's timestep for DDIM.
///
/// A sinusoid of width `2n` holds n sines and n cosines of `time * w_j`, j from 0 to n - 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TimeEncoding {
    /// `[1]`, fp32: the time.
    Scalar,
    /// `[1]`, i64: the time as a whole number.
    Bucket {
        /// For a flow: the bucket is `floor(k / steps * buckets)` in step k. Absent for DDIM, whose times are whole.
        buckets: Option<u64>,
    },
    /// `[1, width]`, fp32; `w_j = 2 pi / (min_period * (max_period / min_period)^(j / (n - 1)))`, all of it in f64.
    PeriodSinusoid {
        /// `2n`.
        width: u64,
        /// Period of the first pair.
        min_period: f64,
        /// Period of the last pair.
        max_period: f64,
        /// Which half comes first.
        order: SinusoidOrder,
    },
    /// `[1, width]`, fp32; `w_j = theta^(-j / d)`, all of it in f32.
    ThetaSinusoid {
        /// `2n`.
        width: u64,
        /// Base of the frequencies.
        theta: f32,
        /// What `d` is.
        denominator: Denominator,
        /// Which half comes first.
        order: SinusoidOrder,
        /// As in [`TimeEncoding::Bucket`]: takes the place of the time.
        buckets: Option<u64>,
    },
}

/// Which half of a sinusoid comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinusoidOrder {
    /// Sines, then cosines.
    SinCos,
    /// Cosines, then sines.
    CosSin,
}

/// What the exponent of a sinusoid's frequencies is divided by, where it has n of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denominator {
    /// n.
    Half,
    /// n - 1: the last frequency is `1 / theta`.
    HalfMinusOne,
}

/// How a prediction changes the sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// Euler steps along a velocity: `x += dt * v` with `dt = (t_data - t_noise) / steps`, `t_data = 1 - t_noise`.
    ///
    /// A network trained with `x_t = t * noise + (1 - t) * data` has `t_noise` 1 and the target noise minus data; with
    /// the roles of 0 and 1 exchanged the target is data minus noise. Other pairs contradict themselves.
    Flow {
        /// Time at which there is only noise: 0 or 1.
        t_noise: u8,
        /// What the velocity was trained to be.
        target: FlowTarget,
        /// How the times of the steps are computed.
        grid: TimeGrid,
    },
    /// Denoising diffusion implicit models (Song et al. 2021) as in diffusers' `DDIMScheduler`: the network predicts the
    /// noise, no noise is added, "leading" timesteps without offset, and the last step ends at the data.
    Ddim {
        /// Share of the data's variance left at each timestep of the training, falling from near 1 to near 0.
        alphas_cumprod: Vec<f32>,
        /// Largest magnitude of the predicted data; absent where it is not clipped.
        clip_sample: Option<f32>,
    },
}

impl Rule {
    /// The most steps a loop may take.
    pub fn max_steps(&self) -> u64 {
        match self {
            Rule::Flow { .. } => MAX_FLOW_STEPS,
            Rule::Ddim { alphas_cumprod, .. } => alphas_cumprod.len() as u64,
        }
    }
}

/// More than any policy takes, so that a loop ends.
const MAX_FLOW_STEPS: u64 = 1000;

/// What a velocity was trained to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum FlowTarget {
    NoiseMinusData,
    DataMinusNoise,
}

/// How the times of the steps are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeGrid {
    /// `t += dt` in f32, from step to step.
    AccumulatedFp32,
    /// `t_noise + k * dt` in f64.
    UniformFp64,
}

/// A loop that writes one token per step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoregress {
    /// Graphs that run in order in every step. They may read every tensor made before, and what is carried.
    pub body: Vec<String>,
    /// Tensors that each step hands to the next one.
    pub carry: Vec<Carry>,
    /// The first token, made before the loop: i64, one value.
    pub first_token: String,
    /// Token that the body makes: i64, one value.
    pub token: String,
    /// Tokens in all, the first one included.
    pub count: u64,
    /// A token that ends an answer. An answer that ends early is none: the inference fails.
    pub end: Option<i64>,
    /// Name of all tokens: `[count]`, i64.
    pub result: String,
}

/// A tensor that each step of a loop hands to the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carry {
    /// Name that the body reads.
    pub tensor: String,
    /// What it is in the first step: a tensor made before the loop.
    pub first: String,
    /// What it is in the step after: a tensor that the body makes.
    pub next: String,
}

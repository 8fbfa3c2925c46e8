//! Layer-wise flow-matching heads (starVLA and derivatives): each block of a diffusion transformer reads the hidden
//! states of one layer of the vision-language model, which are the same in every step.

mod config;
mod graphs;

use std::collections::BTreeMap;
use std::path::PathBuf;

use vla_bundle::{
    Actions, Cadence, Denoise, Denominator, Dtype, FlowTarget, Input, NoiseSource, OutputStep, Rule, SinusoidOrder,
    Source, Stage, StateBins, StateStep, StateStream, Streams, TimeEncoding, TimeGrid, TimeInput, Unnormalize,
};

use crate::ExportError;
use crate::bundle_writer::Draft;
use crate::checkpoint::{Bounds, FloatType, Norm, Statistics, StatisticsSource, Weights, identity};
use crate::request::Request;

use super::llava::{self, Llava, Place};
use config::{Config, State};

/// Where the vision-language model's files stand in the checkpoint.
const MODEL_DIR: &str = "base_vlm";
const MODEL_PREFIX: &str = "mapanythingllava3d_vlm_interface.model";
const HEAD: &str = "action_model";
/// Norms and projections of hidden states, per block of the head.
const PROJECTORS: &str = "project_layers";
/// Behind the instruction, where the state is text.
const STATE_TEXT: &str = "{task} [STATE] {state} [ACTION]";

const STATE: &str = "state";
const SAMPLE: &str = "flow.x";
const ACTION_TIME: &str = "action_time";
const TIME: &str = "time";
const PREDICTION: &str = "flow.velocity";
const ACTIONS: &str = "normalized_actions";

/// Width of the timestep's sinusoid (diffusers' `Timesteps`).
const TIME_WIDTH: u64 = 256;
/// Base of both sinusoids.
const THETA: f32 = 10000.0;
/// Largest magnitude of a normalised state.
const STATE_LIMIT: f64 = 2.2;
/// Bins of a value that is text.
const STATE_BINS: u32 = 256;
/// Which value of an action is the gripper, and from where on it is open.
const GRIPPER: usize = 6;
const GRIPPER_OPEN: f64 = 0.5;

/// A checkpoint, its files cross-checked with each other and with the request.
pub struct DitLayerwise {
    config: Config,
    model: Llava,
    weights: Weights,
    statistics: Statistics,
    action_bounds: Bounds,
    /// Bounds of the state; none where the head takes none.
    state_bounds: Option<Bounds>,
    steps: u64,
    /// Precision in which the original draws noise: that of the language model.
    noise: Dtype,
    dir: PathBuf,
}

impl DitLayerwise {
    /// Opens the request's checkpoint.
    pub fn open(request: &Request) -> Result<Self, ExportError> {
        let dir = request.checkpoint.clone();
        let weights = Weights::open_safetensors(&dir)?;
        let raw = config::Raw::read(&dir)?;
        let state = raw.state(&weights)?;
        let statistics = Statistics::read(&dir, StatisticsSource::File, request.unnorm_key.as_deref())?;
        let state_bounds = state.map(|state| statistics.proprio(Norm::Quantile, state.dim() as usize)).transpose()?;
        let (mut prompt, mut state_text) = (raw.prompt(), None);
        if let (Some(State::Text(_)), Some(bounds)) = (state, &state_bounds) {
            prompt = prompt.replace("{task}", STATE_TEXT);
            state_text = Some(StateBins { steps: state_steps(bounds), low: -1.0, high: 1.0, count: STATE_BINS });
        }
        let place = Place {
            dir: dir.join(MODEL_DIR),
            prefix: MODEL_PREFIX,
            prompt: &prompt,
            state_text,
            max_tokens: None,
            picture_size: raw.picture_size()?,
            geometric: raw.geometric(),
        };
        let model = Llava::open(place, request)?;
        let config = raw.config(&model.language, &weights, request.chunk_size)?;
        let action_bounds = statistics.action(Norm::Quantile, config.action_dim as usize)?;
        let steps = request.denoise_steps.unwrap_or(config.steps);
        let table = [model.vocabulary, model.language.width];
        let noise = match model.language_weights(&weights).read("embed_tokens.weight", &table)?.dtype() {
            FloatType::Bf16 => Dtype::Bf16,
            FloatType::F16 | FloatType::F32 | FloatType::F64 => Dtype::Fp32,
        };
        Ok(Self { config, model, weights, statistics, action_bounds, state_bounds, steps, noise, dir })
    }

    /// The bundle: text once per instruction, pictures, prefix and state once per observation, the head in a loop.
    pub fn draft(&self) -> Result<Draft<'_>, ExportError> {
        let mut plan = vec![];
        let mut graphs = vec![];
        let mut once = self.model.pieces(&self.weights)?;
        once.push((self.prefix()?, Cadence::Observation));
        once.extend(self.state()?.map(|state| (state, Cadence::Observation)));
        for (graph, every) in once {
            plan.push(Stage::Run { graph: graph.name().to_owned(), every });
            graphs.push(graph);
        }
        let step = self.denoise()?;
        plan.push(self.stage(step.name()));
        graphs.push(step);
        let mut sources: Vec<PathBuf> = self.model.sources().chain(self.weights.sources().iter().cloned()).collect();
        sources.extend([llava::config_path(&self.dir), self.statistics.path().to_owned()]);
        self.weights.drop_where(|name| self.is_dead(name));
        let dropped = self.weights.finish()?;
        Ok(Draft {
            system: "dit_layerwise",
            checkpoint: identity(&self.dir, &sources, Some(self.statistics.key().to_owned()), dropped)?,
            streams: Streams {
                cameras: self.model.cameras.clone(),
                state: self.config.state.map(|state| StateStream { dim: state.dim() as usize, pieces: vec![] }),
                intrinsics: self.model.intrinsics(),
            },
            inputs: self.inputs(),
            graphs,
            plan,
            dims: self.dims(),
            actions: self.actions(),
            copies: self.model.copies(),
            warnings: self.action_bounds.warnings.clone(),
        })
    }

    fn dims(&self) -> BTreeMap<String, vla_bundle::Range> {
        self.model.dims().collect()
    }

    fn inputs(&self) -> Vec<Input> {
        let mut inputs = self.model.inputs();
        if let (Some(State::Token(_)), Some(bounds)) = (self.config.state, &self.state_bounds) {
            inputs.push(Input { tensor: STATE.to_owned(), source: Source::State { steps: state_steps(bounds) } });
        }
        inputs
    }

    fn actions(&self) -> Actions {
        let Bounds { low, high, mask, .. } = self.action_bounds.clone();
        let action_dim = self.config.action_dim as usize;
        let mut before = vec![OutputStep::Clip { low: -1.0, high: 1.0 }];
        if action_dim > GRIPPER {
            before.push(OutputStep::Threshold { dim: GRIPPER, at: GRIPPER_OPEN });
        }
        Actions {
            tensor: ACTIONS.to_owned(),
            chunk_size: self.config.horizon as usize,
            action_dim,
            network_dim: None,
            before,
            unnormalize: Unnormalize::Quantile { low, high, eps: 0.0, mask },
            steps: vec![],
            kept_tokens: None,
        }
    }

    fn stage(&self, body: &str) -> Stage {
        let sinusoid = |width, denominator, order| TimeEncoding::ThetaSinusoid {
            width,
            theta: THETA,
            denominator,
            order,
            buckets: Some(self.config.buckets),
        };
        let action_time = sinusoid(self.config.dit.width, Denominator::Half, SinusoidOrder::SinCos);
        let time = sinusoid(TIME_WIDTH, Denominator::HalfMinusOne, SinusoidOrder::CosSin);
        Stage::Denoise(Denoise {
            body: vec![body.to_owned()],
            noise: NoiseSource { tensor: "flow.noise".to_owned(), dtype: self.noise },
            sample: SAMPLE.to_owned(),
            times: [(ACTION_TIME, action_time), (TIME, time)]
                .map(|(tensor, encoding)| TimeInput { tensor: tensor.to_owned(), encoding })
                .into(),
            prediction: PREDICTION.to_owned(),
            result: ACTIONS.to_owned(),
            steps: self.steps,
            rule: Rule::Flow { t_noise: 0, target: FlowTarget::DataMinusNoise, grid: TimeGrid::UniformFp64 },
        })
    }

    /// Tensors that the originals hold and that have no effect on the actions.
    fn is_dead(&self, name: &str) -> bool {
        let output = ["proj_out_1.", "proj_out_2."].map(|part| format!("{HEAD}.model.{part}"));
        let unread_output = !self.config.mode.has_output() && output.iter().any(|part| name.starts_with(part));
        let in_head = name.strip_prefix(HEAD).and_then(|name| name.strip_prefix('.'));
        let unseen = in_head.is_some_and(|name| {
            let encoder = name.starts_with("state_encoder.");
            let no_token = self.config.token_dim().is_none() || !self.config.mode.mixes_rows();
            encoder && no_token || name.starts_with("future_tokens.") && self.config.unseen() > 0
        });
        let projector =
            name.strip_prefix(PROJECTORS).and_then(|name| name.strip_prefix('.')?.split('.').next()?.parse().ok());
        let unread_projector = projector.is_some_and(|block: u64| !self.config.mode.reads_context(block));
        unread_output || unseen || unread_projector || self.model.is_dead(name, self.config.layers_run())
    }
}

/// From a state to its normalised values.
fn state_steps(bounds: &Bounds) -> Vec<StateStep> {
    vec![range_or_pass(bounds), StateStep::Clip { low: -STATE_LIMIT, high: STATE_LIMIT }]
}

/// `2 (x - low) / (high - low) - 1` as factor and offset; a dimension whose bounds are the same f32 stays as it is.
fn range_or_pass(bounds: &Bounds) -> StateStep {
    let pair = |(low, high): (&f64, &f64)| {
        #[expect(clippy::float_cmp, reason = "the original compares its f32 bounds")]
        if *low as f32 == *high as f32 { (1.0, 0.0) } else { (2.0 / (high - low), -2.0 * low / (high - low) - 1.0) }
    };
    let (scale, offset) = bounds.low.iter().zip(&bounds.high).map(pair).unzip();
    StateStep::Affine { scale, offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 2 (x - 1) / 4 - 1 = 0.5 x - 1.5. The second bounds are the same f32.
    #[test]
    fn a_dimension_that_never_changed_stays_as_it_is() {
        let bounds =
            Bounds { low: vec![1.0, 0.02], high: vec![5.0, 0.02 + 1e-12], mask: vec![true; 2], warnings: vec![] };
        let wanted = StateStep::Affine { scale: vec![0.5, 1.0], offset: vec![-1.5, 0.0] };
        assert_eq!(range_or_pass(&bounds), wanted);
    }
}

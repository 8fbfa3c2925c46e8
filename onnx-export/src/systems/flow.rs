//! What policies share whose expert turns noise into actions along a velocity, reading keys and values of a prefix.

use vla_bundle::{
    CameraStream, Denoise, Dim, Dtype, FlowTarget, NoiseSource, Orientation, Rule, SinusoidOrder, Stage, TimeEncoding,
    TimeGrid, TimeInput,
};

use crate::ExportError;
use crate::blocks::linear;
use crate::checkpoint::Weights;
use crate::graph::{Builder, Graph, Layout, Value, fixed, symbol};
use crate::request::{Lacks, Request};

/// The result of the loop.
pub const ACTIONS: &str = "normalized_actions";
/// Token ids of the instruction, `[1, text]`.
pub const IDS: &str = "input_ids";
/// Their embeddings, `[1, text, width]`.
pub const TEXT: &str = "text_embeds";
/// Picture tokens in the prefix's width, `[cameras, tokens, width]`.
pub const PATCHES: &str = "projected_patches";

const SAMPLE: &str = "flow.x";
const VELOCITY: &str = "flow.velocity";
const TIME: &str = "flow.time";

/// Sizes of what the loop changes, and its time.
#[derive(Clone, Copy, Debug)]
pub struct Loop {
    /// Steps of a chunk.
    pub chunk_size: u64,
    /// Values per step of the network.
    pub network_dim: u64,
    /// Width of the expert, and of the time's sinusoid.
    pub width: u64,
    /// Time at which there is only noise: 0 or 1.
    pub t_noise: u8,
    /// Shortest and longest period of the sinusoid.
    pub periods: [f64; 2],
    /// How the times of the steps are computed.
    pub grid: TimeGrid,
}

impl Loop {
    /// `steps` rounds through the graph `denoise`, from noise to actions.
    pub fn stage(&self, steps: u64) -> Stage {
        let [min_period, max_period] = self.periods;
        let order = SinusoidOrder::SinCos;
        let target = if self.t_noise == 1 { FlowTarget::NoiseMinusData } else { FlowTarget::DataMinusNoise };
        let encoding = TimeEncoding::PeriodSinusoid { width: self.width, min_period, max_period, order };
        Stage::Denoise(Denoise {
            body: vec!["denoise".to_owned()],
            noise: NoiseSource { tensor: "flow.noise".to_owned(), dtype: Dtype::Fp32 },
            sample: SAMPLE.to_owned(),
            times: vec![TimeInput { tensor: TIME.to_owned(), encoding }],
            prediction: VELOCITY.to_owned(),
            result: ACTIONS.to_owned(),
            steps,
            rule: Rule::Flow { t_noise: self.t_noise, target, grid: self.grid },
        })
    }

    /// Inputs of the step: the noisy chunk as `[1, chunk, network]` and the time `[1, width]`.
    pub fn inputs(&self, graph: &mut Graph<'_>) -> Result<[Value; 2], ExportError> {
        let x = graph.input(SAMPLE, Dtype::Fp32, &[self.chunk_size, self.network_dim].map(fixed))?;
        let time = graph.input(TIME, Dtype::Fp32, &[1, self.width].map(fixed))?;
        let x = graph.root().reshape("x", &x, &[1, self.chunk_size, self.network_dim].map(fixed))?;
        Ok([x, time])
    }

    /// Actions and time as one token each: `out(silu(in([action_in(x), time])))`, `[1, chunk, width]`.
    pub fn action_time_tokens<'w>(
        &self,
        g: &mut Builder<'_, 'w>,
        (weights, prefix): (&'w Weights, &str),
        [x, time]: [&Value; 2],
    ) -> Result<Value, ExportError> {
        let (chunk, width) = (self.chunk_size, self.width);
        let w = weights.at(prefix);
        let action = linear(&mut g.at("action_in_proj"), &w.at("action_in_proj"), x, [self.network_dim, width])?;
        let zeros = g.zeros("zeros", &[1, chunk, width])?;
        let time = g.reshape("time", time, &[1, 1, width].map(fixed))?;
        let times = g.add("times", &zeros, &time)?;
        let both = g.concat("action_time", 2, &[&action, &times], &fixed(2 * width))?;
        let y = linear(&mut g.at("action_time_mlp_in"), &w.at("action_time_mlp_in"), &both, [2 * width, width])?;
        let y = g.silu("silu", &y)?;
        linear(&mut g.at("action_time_mlp_out"), &w.at("action_time_mlp_out"), &y, [width, width])
    }

    /// The expert's tokens `[1, chunk, width]` after its last norm as the velocity.
    pub fn velocity<'w>(
        &self,
        graph: &mut Graph<'w>,
        (weights, prefix): (&'w Weights, &str),
        tokens: &Value,
    ) -> Result<(), ExportError> {
        let w = weights.at(prefix).at("action_out_proj");
        let v = linear(&mut graph.root().at("action_out_proj"), &w, tokens, [self.width, self.network_dim])?;
        let v = graph.root().reshape("velocity", &v, &[self.chunk_size, self.network_dim].map(fixed))?;
        Ok(graph.output(VELOCITY, &v)?)
    }

    /// Positions of the actions: they follow `memory [1, n, ..]`. `[1, chunk]`.
    pub fn positions(&self, g: &mut Builder<'_, '_>, memory: &Value) -> Result<Value, ExportError> {
        let before = g.lengths("before", memory, 1..2)?;
        let steps = self.counted(g)?;
        Ok(g.add("positions", &steps, &before)?)
    }

    /// 0, 1, .., `[1, chunk]`.
    pub fn counted(&self, g: &mut Builder<'_, '_>) -> Result<Value, ExportError> {
        let steps: Vec<i64> = (0..self.chunk_size as i64).collect();
        Ok(g.ints("steps", &steps, &[1, self.chunk_size])?)
    }
}

/// Names of the keys and values that the prefix's layer leaves.
pub fn memory_names(layer: u64) -> [String; 2] {
    ["keys", "values"].map(|what| format!("memory.{layer:02}.{what}"))
}

/// Keys and values of every layer as inputs, `[1, length, width]`.
pub fn memory_inputs(
    graph: &mut Graph<'_>,
    depth: u64,
    (length, width): (&str, u64),
) -> Result<Vec<[Value; 2]>, ExportError> {
    let dims: [Dim; 3] = [fixed(1), symbol(length), fixed(width)];
    let layer = |layer| {
        let [keys, values] = memory_names(layer);
        Ok([graph.input(&keys, Dtype::Fp32, &dims)?, graph.input(&values, Dtype::Fp32, &dims)?])
    };
    (0..depth).map(layer).collect()
}

/// Makes keys and values of a layer outputs.
pub fn memory_outputs(graph: &mut Graph<'_>, layer: u64, memory: [&Value; 2]) -> Result<(), ExportError> {
    let [keys, values] = memory_names(layer);
    graph.output(&keys, memory[0])?;
    Ok(graph.output(&values, memory[1])?)
}

/// `input_ids [1, text]` as embeddings times the square root of their width.
pub fn text<'w>(weights: &'w Weights, table: &str, [rows, width]: [u64; 2]) -> Result<Graph<'w>, ExportError> {
    let mut graph = Graph::new("text");
    let ids = graph.input(IDS, Dtype::Int64, &[fixed(1), symbol("text")])?;
    let mut root = graph.root();
    let mut g = root.at("text");
    let table = g.weight(weights.read(table, &[rows, width])?, Layout::AsStored)?;
    let embeds = g.gather("embeds", &table, 0, &ids)?;
    let scaled = scaled(&mut g, &embeds, width)?;
    graph.output(TEXT, &scaled)?;
    Ok(graph)
}

/// `x` times the square root of `width`.
pub fn scaled(g: &mut Builder<'_, '_>, x: &Value, width: u64) -> Result<Value, ExportError> {
    let scale = g.floats("scale", &[(width as f64).sqrt() as f32])?;
    Ok(g.mul("scaled", x, &scale)?)
}

/// 0, 1, .. along the second axis of `x [1, n, ..]`: `[1, n]`.
pub fn count_tokens(g: &mut Builder<'_, '_>, x: &Value) -> Result<Value, ExportError> {
    let length = x.dims()[1].clone();
    let count = g.lengths("count", x, 1..2)?;
    let positions = g.count_up("counted", &count, length.clone())?;
    Ok(g.reshape("positions", &positions, &[fixed(1), length])?)
}

/// The request's cameras in the order of the system's `slots`; slots without a camera are left out.
pub fn cameras(request: &Request, slots: &[&str]) -> Result<Vec<CameraStream>, ExportError> {
    let mut lacks = Lacks::default();
    for camera in &request.cameras {
        if !slots.contains(&camera.slot.as_str()) {
            lacks.note(format!("`--cameras {}`: the model's cameras are {}", camera.slot, slots.join(", ")));
        }
        if request.cameras.iter().filter(|other| other.slot == camera.slot).count() > 1 {
            lacks.note(format!("`--cameras {}` is listed twice", camera.slot));
        }
    }
    lacks.finish()?;
    let of_slot = |slot: &&str| request.cameras.iter().find(|camera| camera.slot == *slot);
    let stream = |name: &str| CameraStream { name: name.to_owned(), orientation: Orientation::AsTrained };
    Ok(slots.iter().filter_map(of_slot).map(|camera| stream(&camera.name)).collect())
}

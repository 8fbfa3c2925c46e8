//! The graphs of a layer-wise head: what is constant over the denoising steps, and one step.

use vla_bundle::Dtype;

use crate::ExportError;
use crate::blocks::{Decoder, DecoderNorm, DitBlock, DitContext, Sees, dit_memory, layer_norm, linear};
use crate::checkpoint::Scope;
use crate::graph::{Builder, Cut, Graph, Layout, Value, fixed, symbol};
use crate::systems::llava::graphs::Prefix;

use super::config::{Config, INNER};
use super::{ACTION_TIME, DitLayerwise, HEAD, PREDICTION, PROJECTORS, SAMPLE, STATE, THETA, TIME, TIME_WIDTH};

/// The state as a token, `[1, 1, width]`.
const STATE_TOKEN: &str = "state_token";
/// Default of `torch.nn.functional.layer_norm` and `torch.nn.LayerNorm`.
const HIDDEN_EPS: f32 = 1e-5;

impl DitLayerwise {
    fn head(&self) -> Scope<'_> {
        self.weights.at(HEAD)
    }

    fn block(&self, index: u64) -> Scope<'_> {
        self.head().at(&format!("model.transformer_blocks.{index}"))
    }

    /// The pieces of the prefix to keys and values of every block that reads hidden states, `[1, tokens, width]`.
    pub(super) fn prefix(&self) -> Result<Graph<'_>, ExportError> {
        let (config, language) = (&self.config, self.model.language);
        let w = self.model.language_weights(&self.weights);
        let mut graph = Graph::new("prefix");
        let prefix = Prefix::of(&mut graph, &self.model, &self.weights)?;
        let mut root = graph.root();
        let mut g = root.at("language");
        let decoder = Decoder::new(&mut g, &prefix.positions, (language, DecoderNorm::Weight))?;
        let unit = |value| vec![value; language.width as usize];
        let unit = if config.normalize_hidden {
            Some([g.floats("ones", &unit(1.0))?, g.floats("zeros", &unit(0.0))?])
        } else {
            None
        };
        let mut memories = Vec::new();
        let mut x = prefix.embeds.clone();
        for index in 1..=config.layers_run() {
            let name = format!("layers.{}", index - 1);
            x = decoder.layer(&mut g.at(&name), &w.at(&name), &x, Sees::Past)?.tokens;
            if config.is_final(index) {
                x = decoder.normalize(&mut g.at("norm"), &w.at("norm"), &x)?.0;
            }
            for block in config.cross_blocks().filter(|block| config.hidden[*block as usize] == index) {
                let mut g = g.at(&format!("context.{block}"));
                let context = match &unit {
                    Some([ones, zeros]) => g.layer_norm("normalized", &x, (ones, zeros), HIDDEN_EPS)?,
                    None => x.clone(),
                };
                let context = if config.projects { self.project(&mut g, block, &context)? } else { context };
                memories.push((block, dit_memory(&mut g, &self.block(block), &context, &config.dit)?));
            }
        }
        for (block, [k, v]) in &memories {
            let [k_name, v_name] = memory_names(*block);
            graph.output(&k_name, k)?;
            graph.output(&v_name, v)?;
        }
        Ok(graph)
    }

    /// Hidden states `[1, tokens, hidden]` in the head's width, as one of its blocks reads them.
    fn project<'w>(&'w self, g: &mut Builder<'_, 'w>, block: u64, x: &Value) -> Result<Value, ExportError> {
        let (hidden, w) = (self.model.language.width, self.weights.at(PROJECTORS).at(&block.to_string()));
        let x = layer_norm(&mut g.at("projector.norm"), &w.at("0"), x, (hidden, HIDDEN_EPS))?;
        linear(&mut g.at("projector.linear"), &w.at("1"), &x, [hidden, self.config.dit.context])
    }

    /// `state [1, dim]` to `state_token [1, 1, width]`; none where no action sees it.
    pub(super) fn state(&self) -> Result<Option<Graph<'_>>, ExportError> {
        let Some(dim) = self.config.token_dim().filter(|_| self.config.mode.mixes_rows()) else { return Ok(None) };
        let (width, w) = (self.config.dit.width, self.head().at("state_encoder"));
        let mut graph = Graph::new("state");
        let state = graph.input(STATE, Dtype::Fp32, &[fixed(1), fixed(dim)])?;
        let mut root = graph.root();
        let row = mlp(&mut root.at("encoder"), &w, &state, [dim, INNER, width])?;
        let token = root.reshape("token", &row, &[1, 1, width].map(fixed))?;
        graph.output(STATE_TOKEN, &token)?;
        Ok(Some(graph))
    }

    /// One step: `flow.x [chunk, dim]` and the time's sinusoids to `flow.velocity [chunk, dim]`.
    pub(super) fn denoise(&self) -> Result<Graph<'_>, ExportError> {
        let config = &self.config;
        let width = config.dit.width;
        let mut graph = Graph::new("denoise");
        let sample = graph.input(SAMPLE, Dtype::Fp32, &[config.horizon, config.action_dim].map(fixed))?;
        let action_time = graph.input(ACTION_TIME, Dtype::Fp32, &[1, width].map(fixed))?;
        let time = graph.input(TIME, Dtype::Fp32, &[1, TIME_WIDTH].map(fixed))?;
        let mixes = config.mode.mixes_rows();
        let state = match config.token_dim().filter(|_| mixes) {
            Some(_) => Some(graph.input(STATE_TOKEN, Dtype::Fp32, &[1, 1, width].map(fixed))?),
            None => None,
        };
        let mut memories = Vec::new();
        for block in config.cross_blocks() {
            let dims = [fixed(1), symbol("tokens"), fixed(width)];
            let [k, v] = memory_names(block);
            memories.push([graph.input(&k, Dtype::Fp32, &dims)?, graph.input(&v, Dtype::Fp32, &dims)?]);
        }
        let mut root = graph.root();
        let actions = self.encode(&mut root.at("action_encoder"), [&sample, &action_time])?;
        let mut pieces: Vec<Value> = state.into_iter().collect();
        if config.future_tokens > 0 && mixes {
            let shape = [config.future_tokens, width];
            let rows = root.weight(self.head().read("future_tokens.weight", &shape)?, Layout::AsStored)?;
            pieces.push(root.reshape("future", &rows, &[1, shape[0], width].map(fixed))?);
        }
        pieces.push(actions);
        let tokens = config.tokens() - config.unseen();
        let x = root.concat("tokens", 1, &pieces.iter().collect::<Vec<_>>(), &fixed(tokens))?;
        let x = self.blocks(&mut root, &x, (&time, &memories))?;
        let rows = Cut { axis: 1, start: tokens - config.horizon, length: fixed(config.horizon) };
        let rows = root.slice("action_rows", &x, &rows)?;
        let rows = root.reshape("rows", &rows, &[config.horizon, config.output].map(fixed))?;
        let widths = [config.output, INNER, config.action_dim];
        let velocity = mlp(&mut root.at("action_decoder"), &self.head().at("action_decoder"), &rows, widths)?;
        graph.output(PREDICTION, &velocity)?;
        Ok(graph)
    }

    /// Actions `[chunk, dim]` and their sinusoid of the time `[1, width]` to tokens `[1, chunk, width]`.
    fn encode<'w>(&'w self, g: &mut Builder<'_, 'w>, [sample, time]: [&Value; 2]) -> Result<Value, ExportError> {
        let (config, w) = (&self.config, self.head().at("action_encoder"));
        let (width, horizon) = (config.dit.width, config.horizon);
        let x = linear(&mut g.at("layer1"), &w.at("layer1"), sample, [config.action_dim, width])?;
        let time = g.repeat_like("time", time, &x)?;
        let x = g.concat("with_time", 1, &[&x, &time], &fixed(2 * width))?;
        let x = linear(&mut g.at("layer2"), &w.at("layer2"), &x, [2 * width, width])?;
        let x = g.silu("silu", &x)?;
        let mut x = linear(&mut g.at("layer3"), &w.at("layer3"), &x, [width, width])?;
        if let Some(rows) = config.position_rows {
            let table = self.head().read("position_embedding.weight", &[rows, width])?;
            let table = g.weight(table, Layout::AsStored)?;
            let table = g.slice("positions", &table, &Cut { axis: 0, start: 0, length: fixed(horizon) })?;
            x = g.add("positioned", &x, &table)?;
        }
        Ok(g.reshape("tokens", &x, &[1, horizon, width].map(fixed))?)
    }

    fn blocks<'w>(
        &'w self,
        g: &mut Builder<'_, 'w>,
        x: &Value,
        (time, memories): (&Value, &[[Value; 2]]),
    ) -> Result<Value, ExportError> {
        let (config, w) = (&self.config, self.head().at("model"));
        let width = config.dit.width;
        let time = {
            let (mut g, w) = (g.at("time"), w.at("timestep_encoder.timestep_embedder"));
            let y = linear(&mut g.at("linear_1"), &w.at("linear_1"), time, [TIME_WIDTH, width])?;
            let y = g.silu("silu", &y)?;
            linear(&mut g.at("linear_2"), &w.at("linear_2"), &y, [width, width])?
        };
        let position = if config.sinusoid { Some(positions(&mut g.at("positions"), config)?) } else { None };
        let dit = DitBlock::new(&mut g.at("shared"), &time, config.dit, position)?;
        let mut memories = memories.iter();
        let mut x = x.clone();
        for index in 0..config.blocks {
            let memory = if config.mode.reads_context(index) { memories.next() } else { None };
            let context = match memory {
                Some([k, v]) if config.mode.reads_both() => DitContext::MemoryAndOwn([k, v]),
                Some([k, v]) => DitContext::Memory([k, v]),
                None => DitContext::Own,
            };
            x = dit.apply(&mut g.at(&format!("blocks.{index}")), &self.block(index), &x, context)?;
        }
        if config.mode.has_output() {
            x = dit.output(&mut g.at("output"), &w, &x, config.output)?;
        }
        Ok(x)
    }
}

/// Keys and values of one block.
fn memory_names(block: u64) -> [String; 2] {
    ["k", "v"].map(|part| format!("context.block{block:02}.{part}"))
}

/// `layer2(relu(layer1(x)))`.
fn mlp<'w>(
    g: &mut Builder<'_, 'w>,
    w: &Scope<'w>,
    x: &Value,
    [input, inner, output]: [u64; 3],
) -> Result<Value, ExportError> {
    let x = linear(&mut g.at("layer1"), &w.at("layer1"), x, [input, inner])?;
    let x = g.relu("relu", &x)?;
    linear(&mut g.at("layer2"), &w.at("layer2"), &x, [inner, output])
}

/// Sines in even and cosines in odd columns (diffusers' `SinusoidalPositionalEmbedding`) of the tokens that are computed:
/// `[1, tokens, width]`.
fn positions(g: &mut Builder<'_, '_>, config: &Config) -> Result<Value, ExportError> {
    let (first, width) = (config.unseen(), config.dit.width);
    let tokens = config.tokens() - first;
    let mut table = Vec::with_capacity((tokens * width) as usize);
    for token in first..config.tokens() {
        for pair in 0..width / 2 {
            let angle = token as f32 * (-THETA.ln() * (2 * pair) as f32 / width as f32).exp();
            table.extend([angle.sin(), angle.cos()]);
        }
    }
    let table = g.floats("table", &table)?;
    Ok(g.reshape("rows", &table, &[1, tokens, width].map(fixed))?)
}

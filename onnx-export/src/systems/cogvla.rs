//! CogVLA (Li et al. 2025): a vision transformer that condenses each picture into a few tokens, a language model that
//! prunes them further layer by layer, and causal attention whose action block is open in both directions.

mod config;
#[cfg(test)]
mod full_size;
mod schedule;

use vla_bundle::Dtype;

use crate::ExportError;
use crate::blocks::{Routing, routed_llama};
use crate::bundle_writer::Draft;
use crate::graph::{Graph, fixed, symbol};
use crate::request::Request;

use super::prismatic::{Decoding, Prismatic, graphs, head};
use config::Config;

/// As in OpenVLA-OFT: the states from which the placeholders would be predicted.
const DECODING: Decoding = Decoding::Parallel { hidden_offset: -1 };

/// A checkpoint of this system.
pub struct Cogvla {
    config: Config,
    policy: Prismatic,
}

impl Cogvla {
    /// Opens the request's checkpoint.
    pub fn open(request: &Request) -> Result<Self, ExportError> {
        let mut policy = Prismatic::open(request, DECODING)?;
        let config = Config::read(&request.checkpoint, &policy)?;
        (policy.fusion, policy.summary) = (config.fusion, config.summary);
        config.check_routers(&policy.model, &request.checkpoint)?;
        Ok(Self { config, policy })
    }

    /// The bundle.
    pub fn draft(&self) -> Result<Draft<'_>, ExportError> {
        self.policy.draft("cogvla", self.policy.plan(self.body()?)?)
    }

    /// The graphs from the pieces of the sequence to the head's word on the actions.
    fn body(&self) -> Result<Vec<Graph<'_>>, ExportError> {
        let Self { config, policy } = self;
        Ok(vec![graphs::sequence(policy)?, language(policy, config)?, head::graph(policy, "tokens")?])
    }
}

/// The language model: `multimodal_embeds [1, tokens, hidden]` at `position_ids [1, tokens]` to `hidden_states`, final
/// norm included, and the patches that each pruning layer kept, `lfp.layerNN.kept_patches [kept]`.
fn language<'w>(policy: &'w Prismatic, config: &Config) -> Result<Graph<'w>, ExportError> {
    let llama = &policy.config.llama;
    let patches = policy.patches();
    let routing = Routing {
        patches,
        kept: config.schedule.as_ref().map(|schedule| schedule.kept(patches)).unwrap_or_default(),
        condition: config.condition,
        // The stop token belongs to the action block.
        tail: policy.action_tokens() + 1,
    };
    let mut graph = Graph::new("language");
    let embeds = graph.input("multimodal_embeds", Dtype::Fp32, &[fixed(1), symbol("tokens"), fixed(llama.hidden)])?;
    let positions = graph.input("position_ids", Dtype::Int64, &[fixed(1), symbol("tokens")])?;
    let weights = policy.model.at("language_model.model");
    let routed = routed_llama(&mut graph.root(), &weights, [&embeds, &positions], (llama, &routing))?;
    graph.output("hidden_states", &routed.hidden)?;
    for (layer, kept) in &routed.kept {
        graph.output(&format!("lfp.layer{layer:02}.kept_patches"), kept)?;
    }
    Ok(graph)
}

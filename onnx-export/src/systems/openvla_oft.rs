//! OpenVLA-OFT (Kim, Finn, Liang 2025): one bidirectional pass decodes a whole chunk.

use vla_bundle::Dim;

use crate::ExportError;
use crate::bundle_writer::Draft;
use crate::graph::{Graph, fixed, symbol};

use super::prismatic::{Prismatic, graphs, head};

/// The head reads the states from which the placeholders would be predicted, one position before them.
pub const HIDDEN_OFFSET: i64 = -1;

/// The bundle: pictures, state and text become one sequence, which the language model and the head turn into actions.
pub fn draft(policy: &Prismatic) -> Result<Draft<'_>, ExportError> {
    policy.draft("openvla_oft", body(policy)?)
}

/// The graphs from the pieces of the sequence to the head's word on the actions.
pub fn body(policy: &Prismatic) -> Result<Vec<Graph<'_>>, ExportError> {
    let language = graphs::language(policy, "multimodal_embeds", "tokens")?;
    Ok(vec![sequence(policy)?, language, head::graph(policy, "tokens")?])
}

/// `[BOS | patches | proprio | time | prompt | actions | stop]`, those that there are, as `multimodal_embeds [1, tokens, hidden]`, and its positions.
fn sequence(policy: &Prismatic) -> Result<Graph<'_>, ExportError> {
    let tokens: Dim = symbol("tokens");
    let mut graph = Graph::new("sequence");
    let pieces = graphs::Pieces::of(&mut graph, policy)?;
    let mut root = graph.root();
    let mut g = root.at("sequence");
    let embeds = g.concat("embeds", 1, &pieces.in_order(), &tokens)?;
    let count = g.lengths("count", &embeds, 1..2)?;
    let positions = g.count_up("positions", &count, tokens.clone())?;
    let positions = g.reshape("position_row", &positions, &[fixed(1), tokens])?;
    graph.output("multimodal_embeds", &embeds)?;
    graph.output("position_ids", &positions)?;
    Ok(graph)
}

//! OpenVLA-OFT (Kim, Finn, Liang 2025): one bidirectional pass decodes a whole chunk.

use crate::ExportError;
use crate::bundle_writer::Draft;
use crate::graph::Graph;

use super::prismatic::{Decoding, Prismatic, graphs, head};

/// The head reads the states from which the placeholders would be predicted, one position before them.
pub const DECODING: Decoding = Decoding::Parallel { hidden_offset: -1 };

/// The bundle: pictures, state and text become one sequence, which the language model and the head turn into actions.
pub fn draft(policy: &Prismatic) -> Result<Draft<'_>, ExportError> {
    policy.draft("openvla_oft", policy.plan(body(policy)?)?)
}

/// The graphs from the pieces of the sequence to the head's word on the actions.
pub fn body(policy: &Prismatic) -> Result<Vec<Graph<'_>>, ExportError> {
    let language = graphs::language(policy, "multimodal_embeds", "tokens")?;
    Ok(vec![graphs::sequence(policy)?, language, head::graph(policy, "tokens")?])
}

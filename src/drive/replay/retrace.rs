//! A flight recorder's file, event by event: what the engine was given, when, and from which state on.

use std::collections::BTreeMap;

use super::streams::Streams;
use super::{Player, ReplayError, Running};
use crate::bag::RawMessage;
use crate::drive::flight::Entry;
use crate::engine::{Event, RequestId, State};
use crate::msg::StringMessage;
use crate::time::{Span, Stamp};
use crate::types::{Chunk, Inferred};

/// How far a file has been followed.
#[derive(Debug, Default)]
pub(super) struct Retrace {
    /// Whether the engine has the state from which it goes on.
    has_begun: bool,
    /// Observations of inferences that ran already when the file begins: their pictures are not in it, their chunks are.
    known: BTreeMap<RequestId, Stamp>,
}

impl Retrace {
    /// A message that the engine was given at its log time; before the state, only what it holds counts.
    pub fn take(&mut self, message: &RawMessage, streams: &Streams, player: &mut Player) {
        let now = message.log_time;
        let samples = streams.samples(message, message.publish_time);
        if !samples.is_empty() && self.has_begun {
            player.cover(now);
        }
        for sample in samples {
            match sample {
                Ok(sample) if self.has_begun => player.handle(now, Event::Sample(sample)),
                Ok(sample) => player.engine.recall(now, sample),
                Err(reason) => player.run.notes.unusable(message.topic, reason),
            }
        }
    }

    /// An entry of the log.
    pub fn follow(&mut self, message: &RawMessage, player: &mut Player) -> Result<(), ReplayError> {
        let now = message.log_time;
        let failed = |reason: String| ReplayError::Flight { at_nanos: now.nanos(), reason };
        let text: StringMessage = message.decode()?;
        let entry: Entry = serde_json::from_str(&text.data).map_err(|e| failed(e.to_string()))?;
        match entry {
            Entry::State(state) if !self.has_begun => return self.begin(*state, player).map_err(failed),
            // It is what the engine has become by itself.
            Entry::State(_) | Entry::Trigger(_) => {}
            Entry::Tick => player.handle(now, Event::Tick),
            Entry::Stop => player.handle(now, Event::Stop),
            Entry::Interlock(input) => {
                let mut effects = Vec::new();
                // What was refused then is refused now.
                let _ = player.engine.interlock(now, input, &mut effects);
                player.note(now, effects, Vec::new());
            }
            Entry::Inferred { request, delay, failure } => self.inferred(now, (request, delay, failure), player),
        }
        Ok(())
    }

    fn begin(&mut self, state: State, player: &mut Player) -> Result<(), String> {
        self.known.extend(state.pending());
        player.engine.resume(state).map_err(|foreign| foreign.to_string())?;
        self.has_begun = true;
        Ok(())
    }

    /// Hands over a result when it was handed over, or the failure that there was.
    fn inferred(
        &mut self,
        now: Stamp,
        (request, delay, failure): (RequestId, Span, Option<String>),
        player: &mut Player,
    ) {
        let known = self.known.remove(&request);
        let own = player.running.take_if(|running| running.request == request);
        let (result, stages) = match (failure, own, known) {
            // A changed policy or deployment has not asked for it.
            (_, None, None) => return,
            (Some(reason), ..) => (Err(reason), Vec::new()),
            (None, Some(Running { result, stages, .. }), _) => (result, stages),
            (None, None, Some(stamp)) => match recorded(stamp, player) {
                Some(inferred) => (Ok(inferred), Vec::new()),
                None => return,
            },
        };
        let result = result.map(|inferred| Inferred { inference_delay: delay, ..inferred });
        player.apply(now, Event::Inferred { request, result }, stages);
    }
}

/// What the file says about the inference of the observation of `stamp`.
fn recorded(stamp: Stamp, player: &Player) -> Option<Inferred> {
    let chunk = player.run.recorded.chunk(stamp)?;
    let (values, width) = (chunk.actions.clone(), chunk.names.len());
    let kept_tokens = chunk.kept_tokens;
    Some(Inferred { chunk: Chunk::new(values, width)?, kept_tokens, inference_delay: chunk.inference_delay.into() })
}

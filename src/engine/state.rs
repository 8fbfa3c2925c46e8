//! What an engine has become, as a value: enough to go on in another process as if nothing had happened.

use serde::{Deserialize, Serialize};

use super::{Engine, Pending, RequestId};
use crate::execute::TimelineState;
use crate::interlock::{Authority, InterlockState, Reason};
use crate::safety::MotionState;
use crate::sync::Memory;
use crate::time::{Span, Stamp};
use crate::types::Sample;

/// Everything that decides what an engine does next, but for the samples that it holds: whoever keeps those gives them
/// back with [`Engine::recall`]. What it tells people only once is not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    memory: Memory,
    timeline: TimelineState,
    motion: MotionState,
    interlocks: InterlockState,
    authority: Authority,
    due: Option<Stamp>,
    pending: Option<Waiting>,
    next_request: u64,
    latest: Option<Stamp>,
}

/// The inference that was running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting {
    request: RequestId,
    stamp: Stamp,
    executed: Span,
    frame_id: String,
    task: String,
    stopped: Option<Reason>,
}

/// A state of another deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state is that of a robot with other outputs")]
pub struct Foreign;

impl State {
    /// Request and observation of the inference that was running.
    pub fn pending(&self) -> Option<(RequestId, Stamp)> {
        self.pending.as_ref().map(|pending| (pending.request, pending.stamp))
    }
}

impl Engine {
    /// What it has become.
    pub fn state(&self) -> State {
        let waiting = |pending: &Pending| Waiting {
            request: pending.request,
            stamp: pending.stamp,
            executed: pending.executed,
            frame_id: pending.frame_id.clone(),
            task: pending.task.to_string(),
            stopped: pending.stopped,
        };
        State {
            memory: self.sync.memory(),
            timeline: self.timeline.state(),
            motion: self.motion.state(self.gate.last()),
            interlocks: self.interlocks.state(),
            authority: self.authority,
            due: self.due,
            pending: self.pending.as_ref().map(waiting),
            next_request: self.next_request,
            latest: self.latest,
        }
    }

    /// Takes in a sample from before the state from which it is to go on; nothing follows from it.
    pub fn recall(&mut self, now: Stamp, sample: Sample) {
        // What was not usable then is not usable now.
        let _ = self.sync.accept(now, sample);
    }

    /// Goes on from a state of the same deployment.
    ///
    /// # Errors
    /// [`Foreign`] where the state does not fit the deployment's outputs.
    pub fn resume(&mut self, state: State) -> Result<(), Foreign> {
        let last = self.motion.resume(state.motion).ok_or(Foreign)?;
        if !self.timeline.resume(state.timeline) {
            return Err(Foreign);
        }
        if let Some(last) = last {
            self.gate.sent(last.into());
        }
        self.sync.remember(state.memory);
        self.interlocks.resume(state.interlocks);
        self.authority = state.authority;
        self.pending = state.pending.map(|waiting| Pending {
            request: waiting.request,
            stamp: waiting.stamp,
            executed: waiting.executed,
            frame_id: waiting.frame_id,
            task: waiting.task.into(),
            stopped: waiting.stopped,
        });
        (self.due, self.next_request, self.latest) = (state.due, state.next_request, state.latest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{REST, inferred};
    use super::super::{Effect, Event};
    use super::*;
    use crate::deploy::samples::arm::{at, frame, joints};
    use crate::deploy::samples::{arm_with, overlapping_arm};

    /// What the arm is told at `ms`, every 5 ms, and what an inference of 35 ms gives.
    fn step(engine: &mut Engine, asked: &mut Option<(u32, RequestId)>, ms: u32) -> Vec<Effect> {
        let (mut effects, now) = (Vec::new(), at(f64::from(ms)));
        let mut give = |event| engine.handle(now, event, &mut effects);
        for sample in samples(ms) {
            give(Event::Sample(sample));
        }
        if let Some((_, request)) = asked.take_if(|(since, _)| *since + 35 <= ms) {
            let turn = 1.0 + f64::from(ms % 7) / 7.0;
            give(Event::Inferred { request, result: Ok(inferred(&[[turn, 0.15, 0.5]; 4])) });
        }
        give(Event::Tick);
        for effect in &effects {
            if let Effect::Infer { request, .. } = effect {
                *asked = Some((ms, *request));
            }
        }
        effects
    }

    fn samples(ms: u32) -> Vec<Sample> {
        let at = f64::from(ms);
        let picture = ms.is_multiple_of(30).then(|| frame(0, at));
        ms.is_multiple_of(10).then(|| joints(at, REST)).into_iter().chain(picture).collect()
    }

    #[test]
    fn an_engine_that_goes_on_from_a_state_does_what_the_other_one_does() {
        let deployment = overlapping_arm();
        let (mut engine, mut asked) = (Engine::activated(&deployment), None);
        let mut times = (0..1200).step_by(5);
        let seen = |engine: &Engine, ms: u32| {
            ms >= 300 && engine.pending.is_some() && !engine.motion.is_at_rest(at(f64::from(ms)))
        };
        let middle = times.find(|ms| {
            step(&mut engine, &mut asked, *ms);
            seen(&engine, *ms)
        });
        let middle = middle.expect("an inference in motion");
        let text = serde_json::to_string(&engine.state()).unwrap();
        let state: State = serde_json::from_str(&text).unwrap();
        assert_eq!(state, engine.state());
        let mut other = Engine::new(&deployment);
        for ms in (middle - 150..=middle).step_by(5) {
            for sample in samples(ms) {
                other.recall(at(f64::from(ms)), sample);
            }
        }
        other.resume(state).unwrap();
        let mut other_asked = asked;
        assert!(middle < 1000);
        for ms in times {
            let [one, two] = [step(&mut engine, &mut asked, ms), step(&mut other, &mut other_asked, ms)];
            assert_eq!(one, two, "at {ms}");
        }
        assert_eq!(engine.state(), other.state());
    }

    #[test]
    fn a_state_of_another_robot_is_refused() {
        let mut state = Engine::activated(&overlapping_arm()).state();
        state.timeline = serde_json::from_str(r#"{"times": [5], "values": [0.5], "predictions": [1]}"#).unwrap();
        let refused = Engine::new(&arm_with(&[])).resume(state);
        assert_eq!(refused.unwrap_err().to_string(), "the state is that of a robot with other outputs");
    }
}

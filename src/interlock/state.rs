//! What the interlocks have become, as a value.

use serde::{Deserialize, Serialize};

use super::{EStopCause, Interlocks, Reason};
use crate::deploy::Motion;
use crate::time::Stamp;

/// Everything that the interlocks remember; what the parameters say is not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterlockState {
    is_active: bool,
    is_dry_run: bool,
    /// Of every e-stop, then of the deadman: when it last said something, and what.
    heard: Vec<Option<(Stamp, bool)>>,
    estop: Option<EStopCause>,
    is_taken_over: bool,
    latched: Option<Reason>,
}

impl Interlocks {
    /// What they remember.
    pub fn state(&self) -> InterlockState {
        let signals = self.estops.iter().chain(self.deadman.as_ref().map(|deadman| &deadman.signal));
        InterlockState {
            is_active: self.is_active,
            is_dry_run: self.motion == Motion::DryRun,
            heard: signals.map(|signal| signal.heard).collect(),
            estop: self.estop,
            is_taken_over: self.is_taken_over,
            latched: self.latched,
        }
    }

    /// Goes on from a state; a dry run stays one.
    pub fn resume(&mut self, state: InterlockState) {
        self.is_active = state.is_active;
        if state.is_dry_run {
            self.motion = Motion::DryRun;
        }
        let signals = self.estops.iter_mut().chain(self.deadman.as_mut().map(|deadman| &mut deadman.signal));
        signals.zip(state.heard).for_each(|(signal, heard)| signal.heard = heard);
        (self.estop, self.is_taken_over, self.latched) = (state.estop, state.is_taken_over, state.latched);
    }
}

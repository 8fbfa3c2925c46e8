//! Whether the robot may move now, or why not: e-stop, deadman, takeover, start and stop as one state machine.
//!
//! Time is an argument. Whatever falls silent is found by looking at the time, not by being told of it.

#[cfg(test)]
mod property;
mod reason;
mod state;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::deploy::{AfterRelease, Deployment, Motion, StartRule};
use crate::time::{Span, Stamp};
use crate::types::Switch;

pub use reason::{EStopCause, Reason};
pub use state::InterlockState;

/// Whether the robot may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authority {
    /// It may.
    Moves,
    /// It may not; what was decided before does not move it later either.
    Stopped(Reason),
}

/// Something that may let the robot move, or stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The node is active from now on.
    Activate,
    /// The node is active no longer.
    Deactivate,
    /// Somebody wants it to move.
    Start,
    /// Somebody wants it to stand still until somebody wants it to move.
    Stop,
    /// Somebody has seen to the cause of an e-stop.
    EStopReset,
    /// From now on it is a dry run; there is no way back.
    DryRun,
    /// The gate had to brake: a protective stop.
    Brake,
    /// A switch said what it is.
    Switch {
        /// Which one.
        switch: Switch,
        /// Whether it is on: pressed, held, taken over.
        on: bool,
    },
}

/// Everything that has a say in whether the robot moves.
///
/// Invariant: after an e-stop, for whatever cause, it moves only after a reset and a start, in this order, and a reset is
/// refused while the cause lasts.
/// Invariant: a switch that the parameters name and that was never heard, or not for longer than its timeout, stops.
#[derive(Clone, Debug)]
pub struct Interlocks {
    is_active: bool,
    motion: Motion,
    start: StartRule,
    estops: Vec<Signal>,
    /// Why the e-stop stays in force until it is reset.
    estop: Option<EStopCause>,
    deadman: Option<Deadman>,
    is_taken_over: bool,
    /// What only a start ends.
    latched: Option<Reason>,
}

#[derive(Clone, Debug)]
struct Deadman {
    signal: Signal,
    after_release: AfterRelease,
}

/// A switch that has to say again and again what it is.
#[derive(Clone, Debug)]
struct Signal {
    timeout: Span,
    /// When it last said something, and what.
    heard: Option<(Stamp, bool)>,
}

impl Interlocks {
    /// Stopped until the node is active and every switch was heard.
    pub fn new(deployment: &Deployment) -> Self {
        let rules = deployment.interlocks();
        let deadman = |rule: &crate::deploy::DeadmanInput| Deadman {
            signal: Signal::silent(rule.timeout),
            after_release: rule.after_release,
        };
        Self {
            is_active: false,
            motion: deployment.motion(),
            start: rules.start,
            estops: rules.estops.iter().map(|input| Signal::silent(input.timeout)).collect(),
            estop: None,
            deadman: rules.deadman.as_ref().map(deadman),
            is_taken_over: false,
            latched: None,
        }
    }

    /// The clock jumped by `by`; a silence lasts as long as it lasted.
    pub fn shift(&mut self, by: Span) {
        let deadman = self.deadman.iter_mut().map(|deadman| &mut deadman.signal);
        for (at, _) in self.estops.iter_mut().chain(deadman).filter_map(|signal| signal.heard.as_mut()) {
            *at = *at + by;
        }
    }

    /// Takes an input at `now`: for a switch, the time of its message's arrival.
    ///
    /// # Errors
    /// A start or a reset that is refused, and why.
    pub fn handle(&mut self, now: Stamp, input: Input) -> Result<(), Reason> {
        self.settle(now);
        match input {
            Input::Activate => self.activate(),
            Input::Deactivate => self.is_active = false,
            Input::Start => return self.start(now),
            Input::Stop => self.latch(Reason::Asked),
            Input::EStopReset => return self.reset(now),
            Input::DryRun => self.motion = Motion::DryRun,
            Input::Brake => self.latch(Reason::ProtectiveStop),
            Input::Switch { switch, on } => self.switch(now, (switch, on)),
        }
        Ok(())
    }

    /// Whether the robot may move at `now`; where several things stop it, the gravest.
    pub fn authority(&self, now: Stamp) -> Authority {
        let reasons = [
            (!self.is_active).then_some(Reason::Inactive),
            self.estop_reason(now),
            self.latched,
            self.deadman.as_ref().and_then(|deadman| deadman.reason(now)),
            self.is_taken_over.then_some(Reason::TakenOver),
            (self.motion == Motion::DryRun).then_some(Reason::DryRun),
        ];
        reasons.into_iter().flatten().next().map_or(Authority::Moves, Authority::Stopped)
    }

    /// The node is active from now on.
    pub fn activate(&mut self) {
        self.is_active = true;
        if self.start == StartRule::WhenTold {
            self.latch(Reason::NotStarted);
        }
    }

    fn start(&mut self, now: Stamp) -> Result<(), Reason> {
        if !self.is_active {
            return Err(Reason::Inactive);
        }
        if let Some(reason) = self.estop_reason(now) {
            return Err(reason);
        }
        self.latched = None;
        Ok(())
    }

    fn reset(&mut self, now: Stamp) -> Result<(), Reason> {
        match self.estop_reason(now) {
            None => Ok(()),
            Some(Reason::EStopReleased(_)) => {
                self.estop = None;
                self.latch(Reason::NotStarted);
                Ok(())
            }
            Some(reason) => Err(reason),
        }
    }

    fn switch(&mut self, now: Stamp, (switch, on): (Switch, bool)) {
        match switch {
            Switch::EStop(index) => {
                // The deployment says how many there are, and nobody subscribes for another.
                if let Some(signal) = self.estops.get_mut(index) {
                    signal.heard = Some((now, on));
                }
                if on {
                    self.estop = Some(EStopCause::Pressed);
                }
            }
            Switch::Deadman => {
                let Some(deadman) = &mut self.deadman else { return };
                let was_held = deadman.signal.heard.is_some_and(|(_, on)| on);
                let released = was_held && !on && deadman.after_release == AfterRelease::WaitsForStart;
                deadman.signal.heard = Some((now, on));
                if released {
                    self.latch(Reason::DeadmanReleased);
                }
            }
            Switch::Takeover => self.is_taken_over = on,
        }
    }

    /// Makes lasting what has happened by itself until `now`: a silence is undone neither by the next message nor by a
    /// clock that goes back.
    pub fn settle(&mut self, now: Stamp) {
        if self.estop.is_none() && self.estops.iter().any(|signal| signal.fell_silent(now)) {
            self.estop = Some(EStopCause::Silent);
        }
        let Some(deadman) = &mut self.deadman else { return };
        if deadman.signal.fell_silent(now) && deadman.signal.heard.is_some_and(|(_, on)| on) {
            let waits = deadman.after_release == AfterRelease::WaitsForStart;
            deadman.signal.heard = None;
            if waits {
                self.latch(Reason::DeadmanReleased);
            }
        }
    }

    /// Stops until a start; a protective stop is not made less of by a later reason.
    fn latch(&mut self, reason: Reason) {
        if self.latched != Some(Reason::ProtectiveStop) {
            self.latched = Some(reason);
        }
    }

    fn estop_reason(&self, now: Stamp) -> Option<Reason> {
        let is_pressed = |signal: &Signal| signal.heard.is_some_and(|(_, on)| on);
        if self.estops.iter().any(is_pressed) {
            Some(Reason::EStop(EStopCause::Pressed))
        } else if self.estops.iter().any(|signal| signal.fell_silent(now)) {
            Some(Reason::EStop(EStopCause::Silent))
        } else if self.estops.iter().any(|signal| signal.heard.is_none()) {
            Some(Reason::EStopNeverHeard)
        } else {
            self.estop.map(Reason::EStopReleased)
        }
    }
}

impl Deadman {
    fn reason(&self, now: Stamp) -> Option<Reason> {
        let is_held = self.signal.heard.is_some_and(|(_, on)| on) && !self.signal.fell_silent(now);
        match (is_held, self.after_release) {
            (true, _) => None,
            // Silence is a release, which the next input makes lasting.
            (false, AfterRelease::WaitsForStart) if self.signal.heard.is_some_and(|(_, on)| on) => {
                Some(Reason::DeadmanReleased)
            }
            (false, _) => Some(Reason::DeadmanNotHeld),
        }
    }
}

impl Signal {
    fn silent(timeout: Span) -> Self {
        Self { timeout, heard: None }
    }

    /// Whether it has said something, but too long ago, or in a time that a clock which went back has left.
    fn fell_silent(&self, now: Stamp) -> bool {
        self.heard.is_some_and(|(at, _)| now.since(at).abs() > self.timeout)
    }
}

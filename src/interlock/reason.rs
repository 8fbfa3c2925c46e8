//! Why the robot may not move.

use serde::{Deserialize, Serialize};

/// Why the robot may not move, in one sentence that says what would let it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Reason {
    /// The lifecycle says so.
    #[error("the node is not active")]
    Inactive,
    /// A switch that the parameters name has not said anything.
    #[error("an e-stop heartbeat was never heard")]
    EStopNeverHeard,
    /// The cause lasts.
    #[error("e-stop: {0}")]
    EStop(EStopCause),
    /// The cause is over, and nobody has said so.
    #[error("e-stop: {0} before; it moves again after ~/estop_reset and ~/start")]
    EStopReleased(EStopCause),
    /// The gate braked.
    #[error("protective stop; it moves again after ~/start")]
    ProtectiveStop,
    /// `~/stop`.
    #[error("stopped; it moves again after ~/start")]
    Asked,
    /// The parameters or an e-stop want a start.
    #[error("not started; it moves after ~/start")]
    NotStarted,
    /// It was held, and is so no longer.
    #[error("the deadman was released; it moves again after ~/start while it is held")]
    DeadmanReleased,
    /// It is not held.
    #[error("the deadman is not held")]
    DeadmanNotHeld,
    /// A person drives.
    #[error("teleoperation has taken over")]
    TakenOver,
    /// `dry_run`.
    #[error("dry run")]
    DryRun,
}

/// Why an e-stop stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum EStopCause {
    /// It says so.
    #[error("it was pressed")]
    Pressed,
    /// It says nothing.
    #[error("its heartbeat was lost")]
    Silent,
}

impl Reason {
    /// One word for counting.
    pub fn class(self) -> &'static str {
        match self {
            Reason::Inactive => "inactive",
            Reason::EStopNeverHeard | Reason::EStop(_) | Reason::EStopReleased(_) => "estop",
            Reason::ProtectiveStop => "protective_stop",
            Reason::Asked => "stop",
            Reason::NotStarted => "not_started",
            Reason::DeadmanReleased | Reason::DeadmanNotHeld => "deadman",
            Reason::TakenOver => "takeover",
            Reason::DryRun => "dry_run",
        }
    }
}

//! What goes into the engine and what comes out.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::execute::Late;
use crate::interlock::Reason;
use crate::safety::{SafeCommand, Violation};
use crate::sync::{Dropped, InputAge, NotReady};
use crate::time::{Span, Stamp};
use crate::types::{Chunk, Inferred, Observation, Robot, Sample};

/// Number of an inference, counted from 0 in every run; its chunk has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A message arrived.
    Sample(Sample),
    /// An inference ended.
    Inferred {
        /// The request of its [`Effect::Infer`].
        request: RequestId,
        /// Its result, or why there is none.
        result: Result<Inferred, String>,
    },
    /// The robot comes to rest; the next chunk moves it again.
    Stop,
    /// Time passed; the driver's timer says so, at most once per period of its own choice.
    Tick,
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Run the policy; at most one at a time is asked for.
    Infer {
        /// To be given back with the result.
        request: RequestId,
        /// What to infer from.
        observation: Observation,
    },
    /// Publish and record what became of a chunk.
    Decided(Decision),
    /// Publish; it takes the place of the command before it.
    Command(Arc<SafeCommand>),
    /// Tell people.
    Report(Report),
}

/// What became of one inference.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The request of the inference.
    pub chunk_id: RequestId,
    /// Stamp of the observation: row 0 of the chunk belongs to it.
    pub stamp: Stamp,
    /// Frame id of the observation.
    pub frame_id: String,
    /// Instruction of the observation.
    pub task: Arc<str>,
    /// The policy's actions, as they came.
    pub chunk: Arc<Chunk<Robot>>,
    /// Time from the start of the inference to its result.
    pub inference_delay: Span,
    /// Picture tokens that survived pruning; 0 where the policy does not prune.
    pub kept_tokens: u32,
    /// How old each input was when the inference started.
    pub inputs: Vec<InputAge>,
    /// Whether it moves the robot.
    pub verdict: Verdict,
}

/// Whether a chunk moves the robot. Displays as in `vla_msgs/ActionChunk`: `sent`, `dry_run`, `rejected: reason`.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is executed.
    Sent,
    /// It passed, but nothing moves today.
    DryRun,
    /// It did not pass.
    Rejected(Rejection),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Sent => f.write_str("sent"),
            Verdict::DryRun => f.write_str("dry_run"),
            Verdict::Rejected(rejection) => write!(f, "rejected: {rejection}"),
        }
    }
}

/// Why a chunk does not move the robot.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// Its rows are past.
    #[error(transparent)]
    Late(Late),
    /// It does what nobody wants any more.
    #[error("the instruction has changed")]
    InstructionChanged,
    /// Its rows would be due in another time.
    #[error("the clock went back: the observation is {ahead} ahead")]
    ClockWentBack {
        /// Its stamp minus now.
        ahead: Span,
    },
    /// The clock jumped while the robot moved.
    #[error("the clock jumped in motion: the robot may still move for {left}")]
    Unsettled {
        /// Until the last command has ended, had no time passed.
        left: Span,
    },
    /// Nobody knows where the robot is now.
    #[error("{0}")]
    NotMeasured(NotReady),
    /// Nothing moves, or something stopped while it was inferred.
    #[error("{0}")]
    Stopped(Reason),
    /// The gate refused it.
    #[error(transparent)]
    Unsafe(Violation),
}

impl Rejection {
    /// One word for counting.
    pub fn class(&self) -> &'static str {
        match self {
            Rejection::Late(_) => "late",
            Rejection::InstructionChanged => "instruction_changed",
            Rejection::ClockWentBack { .. } => "clock_went_back",
            Rejection::Unsettled { .. } => "unsettled",
            Rejection::NotMeasured(_) => "not_measured",
            Rejection::Stopped(reason) => reason.class(),
            Rejection::Unsafe(violation) => violation.class(),
        }
    }
}

/// What people should know.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Report {
    /// A sample was not usable.
    #[error("sample dropped: {0}")]
    Dropped(Dropped),
    /// An inference waits; said once per cause.
    #[error("not ready: {0}")]
    NotReady(NotReady),
    /// An inference failed; the next frame gets a new one.
    #[error("inference {} failed: {reason}", .request.0)]
    InferenceFailed {
        /// Which one.
        request: RequestId,
        /// Why.
        reason: String,
    },
    /// The clock shows a time that it has shown before; the robot stops.
    #[error("the clock went back by {by}")]
    ClockWentBack {
        /// How far.
        by: Span,
    },
    /// Nothing happened for longer than a command may be late: the clock jumped, or the process stood still.
    #[error("{passed} passed at once: what was under way is given up")]
    StoodStill {
        /// How long.
        passed: Span,
    },
    /// The robot may move no longer, or stands still for another reason than before.
    #[error("stopped: {0}")]
    Stopped(Reason),
    /// A result that nobody waits for.
    #[error("result of inference {} is outdated", .request.0)]
    Outdated {
        /// Which one.
        request: RequestId,
    },
}

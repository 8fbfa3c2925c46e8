//! What diagnostics tell.

use std::collections::BTreeMap;

use super::{RequestId, Verdict};
use crate::interlock::Authority;
use crate::sync::{NotReady, StreamHealth};

/// State of the engine at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Cameras in the deployment's order, then the joints.
    pub streams: Vec<StreamHealth>,
    /// What an inference waits for, other than a new frame.
    pub waiting: Option<NotReady>,
    /// The inference that is running.
    pub inferring: Option<RequestId>,
    /// Whether the robot may move.
    pub authority: Authority,
    /// Since the start.
    pub counts: Counts,
}

/// What came of the inferences since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inferences started.
    pub inferences: u64,
    /// Inferences that failed.
    pub failed: u64,
    /// Results that nobody waited for.
    pub outdated: u64,
    /// Chunks sent to the robot.
    pub sent: u64,
    /// Chunks that would have been sent.
    pub dry_run: u64,
    /// Chunks refused, by [`super::Rejection::class`].
    pub rejected: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(super) fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Sent => self.sent += 1,
            Verdict::DryRun => self.dry_run += 1,
            Verdict::Rejected(rejection) => *self.rejected.entry(rejection.class()).or_default() += 1,
        }
    }
}

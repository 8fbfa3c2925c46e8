//! What was observed last, apart from the pictures.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::deploy::Measure;
use crate::geometry::Pose;
use crate::time::{Span, Stamp};

/// How old an input was when it was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputAge {
    /// `images.<camera>`, `joint_states`, `eef_pose`, `tf` or `state`.
    pub name: Arc<str>,
    /// Since its stamp; of several joints, the oldest one's. Below zero where it is stamped ahead of the clock.
    pub age: Span,
}

/// The robot at the anchor's time; empty before the first observation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// In the deployment's order.
    pub joints: Vec<f64>,
    pub eef: Option<Pose>,
    /// State values by their index.
    pub array: Vec<f64>,
    pub ages: Vec<InputAge>,
}

impl Seen {
    pub fn note(&mut self, name: &Arc<str>, now: Stamp, stamp: Stamp) {
        self.ages.push(InputAge { name: Arc::clone(name), age: now.since(stamp) });
    }

    pub fn value(&self, from: Measure) -> Option<f64> {
        match from {
            Measure::Joint(joint) => self.joints.get(joint).copied(),
            Measure::EefPosition(axis) => self.eef?.position.get(axis).copied(),
            Measure::EefRotation(convention, component) => self.eef?.rotation.component(convention, component),
            Measure::Element(index) => self.array.get(index).copied(),
        }
    }
}

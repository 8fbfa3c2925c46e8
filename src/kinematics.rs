//! Where the links of a robot are for given joint positions, after its URDF.
//!
//! [`Robot::parse`] reads the text of a URDF file or of `/robot_description`: links, joints, limits and mimic rules;
//! shapes, masses and everything else are passed over. Units are the URDF's: m and rad.

mod chain;
#[cfg(test)]
mod tests;
mod urdf;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::geometry::Pose;

pub use chain::{Chain, ChainError};
pub use urdf::UrdfError;

/// A tree of links that are held together by joints.
#[derive(Clone, Debug, PartialEq)]
pub struct Robot {
    name: String,
    /// The joint above each link; `None` for the one link that is the root.
    links: BTreeMap<Arc<str>, Option<usize>>,
    joints: Vec<Joint>,
}

/// How a link is held by the one above it.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    /// Its name, which no other joint has.
    pub name: Arc<str>,
    /// The link above.
    pub parent: Arc<str>,
    /// The link below.
    pub child: Arc<str>,
    /// Where the joint is in the frame of the link above.
    pub origin: Pose,
    /// How it moves.
    pub motion: Motion,
    /// What its position follows; `None` where it has one of its own.
    pub mimic: Option<Mimic>,
}

/// How a joint moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Motion {
    /// It does not.
    Fixed,
    /// It turns about an axis.
    Revolute {
        /// Of length 1, in the joint's frame.
        axis: [f64; 3],
        /// How far, rad, and how fast, rad/s.
        limits: Limits,
    },
    /// It turns about an axis without end.
    Continuous {
        /// Of length 1, in the joint's frame.
        axis: [f64; 3],
        /// How fast, rad/s; `None` where the URDF does not say.
        velocity: Option<f64>,
    },
    /// It slides along an axis.
    Prismatic {
        /// Of length 1, in the joint's frame.
        axis: [f64; 3],
        /// How far, m, and how fast, m/s.
        limits: Limits,
    },
    /// In a plane or in all directions: its place is no joint position.
    Free {
        /// The URDF's word.
        kind: &'static str,
    },
}

/// How far and how fast a joint may move, in rad or m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Smallest position.
    pub lower: f64,
    /// Largest position.
    pub upper: f64,
    /// Largest velocity; `None` where the URDF does not say.
    pub velocity: Option<f64>,
}

/// `multiplier * position of the other joint + offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mimic {
    /// The other joint.
    pub joint: Arc<str>,
    /// Factor.
    pub multiplier: f64,
    /// Addend, rad or m.
    pub offset: f64,
}

impl Robot {
    /// Reads a URDF.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(text: &str) -> Result<Self, UrdfError> {
        urdf::parse(text)
    }

    /// The robot's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every joint, in the URDF's order.
    pub fn joints(&self) -> &[Joint] {
        &self.joints
    }

    /// The joint of this name.
    pub fn joint(&self, name: &str) -> Option<&Joint> {
        self.joints.iter().find(|joint| &*joint.name == name)
    }

    /// What lies between two links, whichever of them is higher in the tree.
    ///
    /// # Errors
    /// No such links, or a joint between them whose place is no joint position.
    pub fn chain(&self, base: &str, tip: &str) -> Result<Chain, ChainError> {
        Chain::between(self, base, tip)
    }

    /// The joint above a link; `None` for the root and for what is no link.
    fn above(&self, link: &str) -> Option<&Joint> {
        self.joints.get((*self.links.get(link)?)?)
    }
}

impl Joint {
    /// How far and how fast it may move; `None` for joints without ends.
    pub fn limits(&self) -> Option<Limits> {
        match self.motion {
            Motion::Revolute { limits, .. } | Motion::Prismatic { limits, .. } => Some(limits),
            Motion::Fixed | Motion::Continuous { .. } | Motion::Free { .. } => None,
        }
    }

    /// How fast it may move, rad/s or m/s; `None` where the URDF does not say.
    pub fn max_velocity(&self) -> Option<f64> {
        match self.motion {
            Motion::Continuous { velocity, .. } => velocity,
            _ => self.limits()?.velocity,
        }
    }
}

//! `trajectory_msgs`: what a joint trajectory controller follows.

use serde::{Deserialize, Serialize};

use super::{Duration, Header, message};

/// Where joints should be, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JointTrajectory {
    /// The time from which the points count; 0 means on arrival.
    pub header: Header,
    /// Order of the values in every point.
    pub joint_names: Vec<String>,
    /// In rising order of time.
    pub points: Vec<JointTrajectoryPoint>,
}

/// One point of a trajectory; every list is empty or has one value per joint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JointTrajectoryPoint {
    /// rad or m.
    pub positions: Vec<f64>,
    /// rad/s or m/s.
    pub velocities: Vec<f64>,
    /// rad/s^2 or m/s^2.
    pub accelerations: Vec<f64>,
    /// Nm or N.
    pub effort: Vec<f64>,
    /// Since the header's stamp.
    pub time_from_start: Duration,
}

message!("trajectory_msgs", "JointTrajectory", JointTrajectory);
message!("trajectory_msgs", "JointTrajectoryPoint", JointTrajectoryPoint);

//! Commands as the messages that controllers take, the same from the live node and from replay.

use crate::msg::{
    Float64, Float64MultiArray, Header, JointTrajectory, JointTrajectoryPoint, MultiArrayDimension, MultiArrayLayout,
    PoseMessage, PoseStamped, Twist, TwistStamped,
};
use crate::safety::{SafeCommand, SafeOutput};
use crate::time::{Span, Stamp};

/// What is still to come of a command: its times count from its stamp, and it ends at rest.
pub fn trajectory(command: &SafeCommand, output: &SafeOutput) -> JointTrajectory {
    let rows = output.times().iter().zip(output.rows()).zip(output.velocities());
    let point = |((time, positions), velocities): ((&Span, &[f64]), &[f64])| JointTrajectoryPoint {
        positions: positions.to_vec(),
        velocities: velocities.to_vec(),
        time_from_start: (*time).into(),
        ..JointTrajectoryPoint::default()
    };
    JointTrajectory {
        header: Header::new(command.stamp(), ""),
        joint_names: output.names().iter().map(ToString::to_string).collect(),
        points: rows.map(point).collect(),
    }
}

/// One row of a command for a controller that takes many values.
pub fn array(values: &[f64]) -> Float64MultiArray {
    let size = values.len() as u32;
    let dim = vec![MultiArrayDimension { label: "value".to_owned(), size, stride: size }];
    Float64MultiArray { layout: MultiArrayLayout { dim, data_offset: 0 }, data: values.to_vec() }
}

/// One row of a command for a controller that takes one value; `None` where there is none.
pub fn number(values: &[f64]) -> Option<Float64> {
    values.first().map(|value| Float64 { data: *value })
}

/// One row of a command as where the end effector should be at `at`; `None` where it is no pose.
pub fn pose(at: Stamp, frame: &str, row: &[f64]) -> Option<PoseStamped> {
    let &[x, y, z, qx, qy, qz, qw] = row else { return None };
    let pose = PoseMessage { position: [x, y, z].into(), orientation: [qx, qy, qz, qw].into() };
    Some(PoseStamped { header: Header::new(at, frame), pose })
}

/// One row of a command as how fast the end effector should move from `at` on; `None` where it is no velocity.
pub fn twist(at: Stamp, frame: &str, row: &[f64]) -> Option<TwistStamped> {
    let &[vx, vy, vz, wx, wy, wz] = row else { return None };
    let twist = Twist { linear: [vx, vy, vz].into(), angular: [wx, wy, wz].into() };
    Some(TwistStamped { header: Header::new(at, frame), twist })
}

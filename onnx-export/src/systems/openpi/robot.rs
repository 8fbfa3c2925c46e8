//! The robots that openpi adapts to: where their state and actions stand in the network's vectors.

use vla_bundle::{ActionStep, StatePiece, StateStep};

use crate::request::Adapter;

/// Between a robot's vectors and the policy's.
#[derive(Clone, Debug, PartialEq)]
pub struct Robot {
    /// The state's pieces in order; empty where the statistics alone say how long it is.
    pub state: Vec<StatePiece>,
    /// From the robot's state to the one that was normalised.
    pub state_steps: Vec<StateStep>,
    /// Values of an action; as many as there are statistics where the adapter does not say it.
    pub action_dim: Option<usize>,
    /// After the padding is gone.
    pub action_steps: Vec<ActionStep>,
}

impl Robot {
    /// What the adapter does.
    pub fn new(adapter: Adapter) -> Self {
        let plain = |state: &[(&str, usize)], action_dim| Self {
            state: state.iter().map(|(name, dim)| StatePiece { name: (*name).to_owned(), dim: *dim }).collect(),
            state_steps: vec![],
            action_dim,
            action_steps: vec![],
        };
        match adapter {
            Adapter::Libero => plain(&[("observation/state", 8)], Some(7)),
            Adapter::Droid => plain(&[("observation/joint_position", 7), ("observation/gripper_position", 1)], Some(8)),
            Adapter::None => plain(&[], None),
            Adapter::Aloha => Self {
                state_steps: aloha_state(),
                action_steps: vec![aloha_actions()],
                ..plain(&[("state", 14)], Some(14))
            },
        }
    }
}

/// Six joints and a gripper per arm: which way each turns compared with the robot that the base policy knows.
const SIGNS: [f64; 14] = [1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0];
const GRIPPERS: [usize; 2] = [6, 13];
/// Position of the gripper's fingers in m, closed and open.
const FINGER: [f64; 2] = [0.018_44, 0.058];
/// Lengths in m of the crank that moves them.
const CRANK: f64 = 0.022;
const ROD: f64 = 0.036;
/// Angle in rad of the base policy's gripper, closed and open, as it was measured.
const MEASURED: [f64; 2] = [0.5476, 1.6296];
/// The same as it was commanded, from `MEASURED[0]` on.
const COMMANDED: [f64; 2] = [-0.6213, 1.4910];

fn aloha_state() -> Vec<StateStep> {
    let [closed, open] = FINGER;
    let (mut scale, mut offset) = (SIGNS, [0.0; 14]);
    let (mut unit, mut shift) = ([1.0; 14], [0.0; 14]);
    for dim in GRIPPERS {
        (scale[dim], offset[dim]) = (open - closed, closed);
        let range = MEASURED[1] - MEASURED[0];
        (unit[dim], shift[dim]) = (range.recip(), -MEASURED[0] / range);
    }
    let affine = |scale: [f64; 14], offset: [f64; 14]| StateStep::Affine { scale: scale.into(), offset: offset.into() };
    vec![
        affine(scale, offset),
        StateStep::CrankAngle { dims: GRIPPERS.into(), crank: CRANK, rod: ROD },
        affine(unit, shift),
    ]
}

fn aloha_actions() -> ActionStep {
    let (mut scale, mut offset) = (SIGNS, [0.0; 14]);
    let range = COMMANDED[1] - COMMANDED[0];
    for dim in GRIPPERS {
        (scale[dim], offset[dim]) = (range.recip(), (MEASURED[0] - COMMANDED[0]) / range);
    }
    ActionStep::Affine { scale: scale.into(), offset: offset.into() }
}

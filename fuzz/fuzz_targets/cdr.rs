//! Any bytes as every message that comes from outside, and what the node makes of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vla_runtime::msg::{
    ActionChunk, CameraInfo, Clock, CompressedImage, DiagnosticArray, Float64MultiArray, Image, JointState,
    JointTrajectory, PoseStamped, StringMessage, TFMessage, from_cdr, to_cdr,
};
use vla_runtime::types::Arrives;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, payload)) = bytes.split_first() else { return };
    // What was read can be written and read again.
    macro_rules! reread {
        ($type:ty) => {
            if let Ok(message) = from_cdr::<$type>(payload) {
                let again = to_cdr(&message);
                from_cdr::<$type>(&again).expect("what we write we can read");
            }
        };
    }
    match kind % 12 {
        0 => {
            if let Ok(message) = from_cdr::<Image>(payload) {
                drop(message.to_frame());
            }
        }
        1 => {
            if let Ok(message) = from_cdr::<CompressedImage>(payload) {
                drop(message.to_frame());
            }
        }
        2 => {
            if let Ok(message) = from_cdr::<JointState>(payload) {
                drop(message.to_joints());
            }
            reread!(JointState);
        }
        3 => {
            if let Ok(info) = from_cdr::<CameraInfo>(payload) {
                drop(info.to_optics(Arrives::Bent));
                drop(info.to_raw_pinhole());
            }
            reread!(CameraInfo);
        }
        4 => reread!(Clock),
        5 => reread!(Float64MultiArray),
        6 => reread!(StringMessage),
        7 => reread!(JointTrajectory),
        8 => reread!(ActionChunk),
        9 => {
            if let Ok(message) = from_cdr::<PoseStamped>(payload) {
                drop(message.to_pose());
            }
            reread!(PoseStamped);
        }
        10 => {
            if let Ok(message) = from_cdr::<TFMessage>(payload) {
                drop((message.moving(), message.fixed()));
            }
            reread!(TFMessage);
        }
        _ => reread!(DiagnosticArray),
    }
});

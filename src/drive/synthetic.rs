//! An observation that is made up, the same on every machine: for goldens and benches.

use std::sync::Arc;

use vla_bundle::{Manifest, Source, StateBins, StateStep};

use crate::noise::Noise;
use crate::time::Stamp;
use crate::types::{Encoding, Frame, Observation, Optics, Pinhole};

const TASK: &str = "pick up the red block and place it in the bowl";

/// A made-up observation with pictures of `width` x `height` pixels, no two cameras and no two state values alike.
pub fn synthetic_observation(manifest: &Manifest, width: u32, height: u32) -> Observation {
    let cameras = manifest.streams.cameras.iter().enumerate();
    Observation {
        stamp: Stamp::default(),
        frame_id: "synthetic".to_owned(),
        frames: cameras.map(|(index, camera)| Arc::new(picture(&camera.name, index as u32, [width, height]))).collect(),
        optics: optics(manifest, [width, height]),
        state: manifest.streams.state.as_ref().map(|stream| state(manifest, stream.dim)),
        task: Arc::from(TASK),
        noise: Noise::default(),
    }
}

/// A colour gradient under a checkerboard whose squares differ from camera to camera.
fn picture(name: &str, camera: u32, [width, height]: [u32; 2]) -> Frame {
    let square = 16 + 8 * camera;
    let pixel = |x: u32, y: u32| {
        let light = (x / square + y / square) % 2;
        [(x * 255 / width) as u8, (y * 255 / height) as u8, (60 + 120 * light) as u8]
    };
    let data: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    Frame { frame_id: name.to_owned(), encoding: Encoding::Rgb8, width, height, step: 3 * width, data: data.into() }
}

/// A camera as they are: the axis goes not quite through the middle, and pixels are not quite square.
fn optics(manifest: &Manifest, [width, height]: [u32; 2]) -> Vec<Option<Arc<Optics>>> {
    let camera = |index: usize| {
        let share = 0.01 * index as f64;
        let [w, h] = [width, height].map(f64::from);
        let [focal, center] = [[(0.95 + share) * w, (0.98 + share) * w], [(0.48 + share) * w, (0.53 - share) * h]];
        Arc::new(Optics::Straight(Pinhole { size: [width, height], focal, center }))
    };
    let wanted = manifest.streams.intrinsics.map(|_| 0..manifest.streams.cameras.len());
    wanted.into_iter().flatten().map(|index| Some(camera(index))).collect()
}

/// Values inside the range that the policy was trained on, where the manifest tells it.
fn state(manifest: &Manifest, dim: usize) -> Vec<f64> {
    let range = manifest.inputs.iter().find_map(|input| match &input.source {
        Source::State { steps } | Source::TaskWithState { state: StateBins { steps, .. }, .. } => {
            steps.iter().find_map(range)
        }
        Source::Cameras { .. } | Source::Intrinsics { .. } | Source::Task { .. } | Source::Constant { .. } => None,
    });
    let share = |index: usize| 0.25 + 0.5 * (index as f64 + 1.0) / (dim as f64 + 1.0);
    match range {
        Some((low, high)) => (0..dim).map(|i| low[i] + share(i) * (high[i] - low[i])).collect(),
        None => (0..dim).map(share).collect(),
    }
}

fn range(step: &StateStep) -> Option<(Vec<f64>, Vec<f64>)> {
    let around = |mean: &[f64], std: &[f64], sign: f64| mean.iter().zip(std).map(|(m, s)| m + sign * s).collect();
    match step {
        StateStep::NormalizeRange { low, high, .. } => Some((low.clone(), high.clone())),
        StateStep::Standardize { mean, std, .. } => Some((around(mean, std, -1.0), around(mean, std, 1.0))),
        StateStep::Clip { .. } | StateStep::Affine { .. } | StateStep::CrankAngle { .. } | StateStep::Pad { .. } => {
            None
        }
    }
}

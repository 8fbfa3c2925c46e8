//! Which inputs move the actions: the stored run again, with one input at a time changed.
//!
//! A policy may take an input and not use it; nothing about its files tells.

mod stored;

use std::sync::Arc;

use vla_bundle::Bundle;

use super::line;
use crate::inference::Inference;
use crate::types::{Frame, Observation, Optics, Pinhole};

/// Instructions, of which one is another than the stored run's.
const TASKS: [&str; 2] = ["open the top drawer", "push the green cup to the left"];
/// How much longer focal lengths become: as if the picture showed less of the world.
const ZOOM: f64 = 1.3;

/// One input of the policy, changed.
struct Change {
    /// The input, and what was done to it.
    what: String,
    observation: Observation,
}

/// One line per input: how far the normalised actions move, or that they do not.
pub fn lines(bundle: &Bundle, inference: &mut Inference) -> anyhow::Result<String> {
    let stored = stored::observation(bundle)?;
    let mut actions = |observation: &Observation| -> anyhow::Result<Vec<f64>> {
        Ok(inference.infer(observation, &mut ())?.normalized.values().to_vec())
    };
    let base = actions(&stored)?;
    // Not every provider repeats itself to the last bit.
    let noise = largest_difference(&base, &actions(&stored)?);
    let mut text = String::new();
    for Change { what, observation } in changes(bundle, &stored) {
        let told = match actions(&observation).map(|actions| largest_difference(&base, &actions)) {
            Ok(moved) if moved > noise => format!("moves the actions by up to {moved:.3e} of their normalised unit"),
            Ok(_) => "ignored, it has no effect on the actions".to_owned(),
            // An answer that fails is another one too.
            Err(error) => format!("no answer then ({error:#})"),
        };
        line(&mut text, "probe", &format!("{what}: {told}"));
    }
    Ok(text)
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Every input that the bundle declares, changed on its own.
fn changes(bundle: &Bundle, stored: &Observation) -> Vec<Change> {
    let cameras = &bundle.manifest().streams.cameras;
    let mut changes = Vec::new();
    let mut change = |what: String, to: &dyn Fn(&mut Observation)| {
        let mut observation = stored.clone();
        to(&mut observation);
        changes.push(Change { what, observation });
    };
    for (index, camera) in cameras.iter().enumerate() {
        let inverted = Arc::new(inverted(&stored.frames[index]));
        change(format!("camera `{}`, its picture inverted", camera.name), &|observation| {
            observation.frames[index] = Arc::clone(&inverted);
        });
    }
    for (index, optics) in stored.optics.iter().enumerate() {
        let Some(pinhole) = optics.as_ref().map(|optics| *optics.pinhole()) else { continue };
        let zoomed = Pinhole { focal: pinhole.focal.map(|length| ZOOM * length), ..pinhole };
        let what = format!("intrinsics of camera `{}`, fx and fy times {ZOOM}", cameras[index].name);
        change(what, &|observation| observation.optics[index] = Some(Arc::new(Optics::Straight(zoomed))));
    }
    if stored.state.is_some() {
        change("state, every value moved".to_owned(), &|observation| {
            observation.state.iter_mut().flatten().for_each(|value| *value += 0.1 * value.abs() + 0.01);
        });
    }
    let other = TASKS.into_iter().find(|task| **task != *stored.task).unwrap_or(TASKS[0]);
    change(format!("instruction, now `{other}`"), &|observation| observation.task = other.into());
    changes
}

/// Stored pictures are plain pixels.
fn inverted(frame: &Frame) -> Frame {
    Frame { data: frame.data.iter().map(|value| 255 - value).collect(), ..frame.clone() }
}

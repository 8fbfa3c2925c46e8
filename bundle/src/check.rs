//! Whether the parts of a manifest fit together. Every mismatch is reported, not only the first.

mod plan;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use steps::Slots;

use crate::{ImageStep, Manifest, Source, TextStep, Unnormalize};

/// Values that a chunk or a state may hold per step, and steps: more than any robot has, so that their product is a
/// length.
const MAX_CHUNK: usize = 4096;

/// Every way in which the parts of `manifest` contradict each other; empty for a good one.
pub(crate) fn problems(manifest: &Manifest) -> Vec<String> {
    let mut found = Vec::new();
    files(manifest, &mut found);
    streams(manifest, &mut found);
    inputs(manifest, &mut found);
    plan::check(manifest, &mut found);
    actions(manifest, &mut found);
    io(manifest, &mut found);
    found
}

fn files(manifest: &Manifest, found: &mut Vec<String>) {
    for name in manifest.files.keys() {
        let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\']);
        if !plain {
            found.push(format!("file `{name}`: a file of a bundle is a plain name inside its folder"));
        }
    }
    let mut want = |what: String, file: &str| {
        if !manifest.files.contains_key(file) {
            found.push(format!("{what} names file `{file}`, which `files` does not list"));
        }
    };
    for (name, graph) in &manifest.graphs {
        want(format!("graph `{name}`"), &graph.file);
        if let Some(weights) = &graph.weights {
            want(format!("graph `{name}`"), weights);
        }
    }
    for input in &manifest.inputs {
        if let Source::Task { steps } | Source::TaskWithState { steps, .. } = &input.source {
            for step in steps {
                if let TextStep::Tokenize { file, .. } = step {
                    want(format!("input `{}`", input.tensor), file);
                }
            }
        }
    }
    if let Some(golden) = &manifest.golden {
        want("golden".to_owned(), &golden.file);
    }
}

fn streams(manifest: &Manifest, found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for camera in &manifest.streams.cameras {
        if !seen.insert(&camera.name) {
            found.push(format!("camera `{}` is listed twice", camera.name));
        }
    }
    if manifest.streams.cameras.is_empty() {
        found.push("no camera: the first camera is the anchor of every observation".to_owned());
    }
}

fn inputs(manifest: &Manifest, found: &mut Vec<String>) {
    for input in &manifest.inputs {
        let at = &input.tensor;
        match &input.source {
            Source::Cameras { steps } => steps::image_steps(at, steps, found),
            Source::Intrinsics { of } => intrinsics(manifest, (at, of), found),
            Source::State { steps } => {
                steps::state_steps(manifest, &format!("input `{at}`"), steps, found);
            }
            Source::Task { steps } => steps::text_steps(at, steps, Slots::Task, found),
            Source::TaskWithState { state, steps } => {
                steps::bins(manifest, &format!("input `{at}`"), state, found);
                steps::text_steps(at, steps, Slots::TaskAndState, found);
            }
            Source::Constant { values } if values.is_empty() => {
                found.push(format!("input `{at}`: constant without values"))
            }
            Source::Constant { .. } => {}
        }
    }
}

fn intrinsics(manifest: &Manifest, (at, of): (&str, &str), found: &mut Vec<String>) {
    if manifest.streams.intrinsics.is_none() {
        found.push(format!("input `{at}` is made from the cameras' intrinsics, but `streams` has none"));
    }
    let pictures = manifest.inputs.iter().find(|input| input.tensor == *of).map(|input| &input.source);
    let is_plain = |steps: &[ImageStep]| steps.iter().all(|step| !matches!(step, ImageStep::StackChannels { .. }));
    match pictures {
        Some(Source::Cameras { steps }) if is_plain(steps) => {}
        Some(Source::Cameras { .. }) => {
            found.push(format!("input `{at}`: the branches of `{of}` may show different pixels, wanted plain steps"));
        }
        _ => found.push(format!("input `{at}`: intrinsics of `{of}`, which is not made from the cameras")),
    }
}

fn actions(manifest: &Manifest, found: &mut Vec<String>) {
    let actions = &manifest.actions;
    let dim = actions.network_dim();
    for (name, got) in [("chunk_size", actions.chunk_size), ("action_dim", actions.action_dim), ("network_dim", dim)] {
        if !(1..=MAX_CHUNK).contains(&got) {
            found.push(format!("actions: {name} is {got}, wanted 1 to {MAX_CHUNK}"));
        }
    }
    match &actions.unnormalize {
        Unnormalize::Quantile { low, high, mask, .. } | Unnormalize::MinMax { low, high, mask, .. } => {
            bounds("actions: unnormalize", [low, high], dim, found);
            if mask.len() != dim {
                found.push(format!("actions: unnormalize mask has {} values, wanted {dim}", mask.len()));
            }
        }
        Unnormalize::MeanStd { mean, std, .. } => {
            width("actions: unnormalize mean", mean, dim, found);
            width("actions: unnormalize std", std, dim, found);
        }
        Unnormalize::Identity => {}
    }
    steps::output_steps(manifest, found);
    steps::action_steps(manifest, found);
}

/// As many finite numbers as there are dimensions, none of the lower ones above its upper one.
fn bounds(at: &str, [low, high]: [&[f64]; 2], wanted: usize, found: &mut Vec<String>) {
    width(&format!("{at} low"), low, wanted, found);
    width(&format!("{at} high"), high, wanted, found);
    if let Some(dim) = low.iter().zip(high).position(|(low, high)| low > high) {
        found.push(format!("{at} dimension {dim}: low is {}, above high {}", low[dim], high[dim]));
    }
}

fn width(at: &str, values: &[f64], wanted: usize, found: &mut Vec<String>) {
    if values.len() != wanted {
        found.push(format!("{at} has {} values, wanted {wanted}", values.len()));
    }
    if values.iter().any(|v| !v.is_finite()) {
        found.push(format!("{at} holds a value that is not finite"));
    }
}

fn io(manifest: &Manifest, found: &mut Vec<String>) {
    let Some(io) = &manifest.io else { return };
    if io.actions.len() != manifest.actions.action_dim {
        found.push(format!(
            "io names {} action dimensions, the policy has {}",
            io.actions.len(),
            manifest.actions.action_dim
        ));
    }
    let state = manifest.streams.state.as_ref().map_or(0, |s| s.dim);
    if io.state.len() != state {
        found.push(format!("io names {} state dimensions, the policy takes {state}", io.state.len()));
    }
}

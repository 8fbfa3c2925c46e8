//! Whether the parts of a manifest fit together. Every mismatch is reported, not only the first.

mod plan;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::{ImageStep, Manifest, Source, StateStep, TextStep, Unnormalize};

/// Pixels along a side that a step may ask for: more than any network takes, so that memory stays bounded.
const MAX_SIDE: u32 = 4096;

/// Values that a chunk may hold per step, and steps: more than any robot has, so that their product is a length.
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
        if let Source::Task { steps } = &input.source {
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
            Source::Cameras { steps } => image_steps(at, steps, found),
            Source::State { steps } => state_steps(manifest, at, steps, found),
            Source::Task { steps } => text_steps(at, steps, found),
            Source::Constant { values } if values.is_empty() => {
                found.push(format!("input `{at}`: constant without values"))
            }
            Source::Constant { .. } => {}
        }
    }
}

fn image_steps(at: &str, steps: &[ImageStep], found: &mut Vec<String>) {
    let ends_well = matches!(steps.last(), Some(ImageStep::Normalize { .. } | ImageStep::StackChannels { .. }));
    if !ends_well {
        found.push(format!("input `{at}`: the last image step must be `normalize` or `stack_channels`"));
    }
    for (index, step) in steps.iter().enumerate() {
        let yields_f32 = matches!(step, ImageStep::Normalize { .. } | ImageStep::StackChannels { .. });
        if yields_f32 && index + 1 < steps.len() {
            found.push(format!("input `{at}`: step {index} yields f32, no step may follow it"));
        }
        image_step(at, step, found);
    }
}

/// The numbers of one step, and of the steps inside it.
fn image_step(at: &str, step: &ImageStep, found: &mut Vec<String>) {
    match step {
        ImageStep::UnlessSize { height, width, steps } => {
            sides(at, "unless_size", &[*height, *width], found);
            if steps.iter().any(|s| matches!(s, ImageStep::Normalize { .. } | ImageStep::StackChannels { .. })) {
                found.push(format!("input `{at}`: unless_size may hold only steps from picture to picture"));
            }
            for step in steps {
                image_step(at, step, found);
            }
        }
        ImageStep::JpegRoundtrip { quality, .. } if !(1..=100).contains(quality) => {
            found.push(format!("input `{at}`: jpeg_roundtrip quality is {quality}, wanted 1 to 100"));
        }
        ImageStep::Resize { height, width, .. } => sides(at, "resize", &[*height, *width], found),
        ImageStep::ResizeShortSide { size, .. } => sides(at, "resize_short_side", &[*size], found),
        ImageStep::CropPixels { height, width } => sides(at, "crop_pixels", &[*height, *width], found),
        ImageStep::CenterCrop { area } if !(*area > 0.0 && *area <= 1.0) => {
            found.push(format!("input `{at}`: center_crop area is {area}, wanted (0, 1]"));
        }
        ImageStep::Normalize { std, .. } if std.iter().any(|s| !s.is_finite() || *s == 0.0) => {
            found.push(format!("input `{at}`: normalize std {std:?} must be numbers other than 0"));
        }
        ImageStep::StackChannels { branches } if branches.is_empty() => {
            found.push(format!("input `{at}`: stack_channels without branches"));
        }
        ImageStep::StackChannels { branches } => branches.iter().for_each(|branch| image_steps(at, branch, found)),
        ImageStep::JpegRoundtrip { .. }
        | ImageStep::CenterCrop { .. }
        | ImageStep::Letterbox { .. }
        | ImageStep::Normalize { .. } => {}
    }
}

fn sides(at: &str, op: &str, sides: &[u32], found: &mut Vec<String>) {
    if let Some(side) = sides.iter().find(|side| !(1..=MAX_SIDE).contains(*side)) {
        found.push(format!("input `{at}`: {op} to {side} pixels, wanted 1 to {MAX_SIDE}"));
    }
}

fn state_steps(manifest: &Manifest, at: &str, steps: &[StateStep], found: &mut Vec<String>) {
    let Some(stream) = manifest.streams.state else {
        found.push(format!("input `{at}` is made from the state, but `streams` has none"));
        return;
    };
    for step in steps {
        match step {
            StateStep::NormalizeRange { low, high, .. } => {
                bounds(&format!("input `{at}`: normalize_range"), [low, high], stream.dim, found);
            }
            StateStep::Clip { low, high } if low.partial_cmp(high).is_none_or(Ordering::is_gt) => {
                found.push(format!("input `{at}`: clip from {low} to {high}, wanted the smaller number first"));
            }
            StateStep::Clip { .. } => {}
        }
    }
}

fn text_steps(at: &str, steps: &[TextStep], found: &mut Vec<String>) {
    let tokenizers = steps.iter().filter(|s| matches!(s, TextStep::Tokenize { .. })).count();
    if tokenizers != 1 {
        found.push(format!("input `{at}`: {tokenizers} tokenize steps, wanted exactly one"));
    }
    let ids = steps.iter().position(|step| matches!(step, TextStep::Tokenize { .. })).unwrap_or(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let wants_ids = matches!(step, TextStep::EnsureLastToken { .. });
        if index != ids && wants_ids != (index > ids) {
            found.push(format!("input `{at}`: step {index} has no effect on its side of tokenize"));
        }
        if let TextStep::Prompt { template } = step
            && template.matches("{task}").count() != 1
        {
            found.push(format!("input `{at}`: the prompt template must hold {{task}} exactly once"));
        }
    }
}

fn actions(manifest: &Manifest, found: &mut Vec<String>) {
    let actions = &manifest.actions;
    for (name, got) in [("chunk_size", actions.chunk_size), ("action_dim", actions.action_dim)] {
        if !(1..=MAX_CHUNK).contains(&got) {
            found.push(format!("actions: {name} is {got}, wanted 1 to {MAX_CHUNK}"));
        }
    }
    match &actions.unnormalize {
        Unnormalize::Quantile { low, high, mask, .. } | Unnormalize::MinMax { low, high, mask, .. } => {
            bounds("actions: unnormalize", [low, high], actions.action_dim, found);
            if mask.len() != actions.action_dim {
                found.push(format!(
                    "actions: unnormalize mask has {} values, wanted {}",
                    mask.len(),
                    actions.action_dim
                ));
            }
        }
        Unnormalize::Identity => {}
    }
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
    let state = manifest.streams.state.map_or(0, |s| s.dim);
    if io.state.len() != state {
        found.push(format!("io names {} state dimensions, the policy takes {state}", io.state.len()));
    }
}

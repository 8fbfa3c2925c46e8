//! Whether the steps of inputs and actions fit the vectors, pictures and texts they run on.

use std::cmp::Ordering;

use crate::{ActionStep, ImageStep, Manifest, OutputStep, StateBins, StateStep, TextStep};

use super::{MAX_CHUNK, bounds, width};

/// Pixels along a side that a step may ask for: more than any network takes, so that memory stays bounded.
const MAX_SIDE: u32 = 4096;

/// Tokens that one may become: more than the patches of any set of pictures, so that memory stays bounded.
const MAX_EXPANSION: u32 = 1 << 20;

/// What a prompt's template holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// `{task}`.
    Task,
    /// `{task}` and `{state}`.
    TaskAndState,
}

pub fn image_steps(at: &str, steps: &[ImageStep], found: &mut Vec<String>) {
    if !steps.last().is_some_and(ImageStep::makes_numbers) {
        found.push(format!(
            "input `{at}`: the last image step must be `normalize`, `interpolate_with_pad` or `stack_channels`"
        ));
    }
    for (index, step) in steps.iter().enumerate() {
        if step.makes_numbers() && index + 1 < steps.len() {
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
            if steps.iter().any(ImageStep::makes_numbers) {
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
        ImageStep::ResizeWithPad { height, width, .. } => sides(at, "resize_with_pad", &[*height, *width], found),
        ImageStep::CenterCrop { area } if !(*area > 0.0 && *area <= 1.0) => {
            found.push(format!("input `{at}`: center_crop area is {area}, wanted (0, 1]"));
        }
        ImageStep::InterpolateWithPad { height, width, fill, std, .. } => {
            sides(at, "interpolate_with_pad", &[*height, *width], found);
            if !(0.0..=1.0).contains(fill) {
                found.push(format!("input `{at}`: interpolate_with_pad fill is {fill}, wanted 0 to 1"));
            }
            divisors(at, "interpolate_with_pad", std, found);
        }
        ImageStep::Normalize { std, .. } => divisors(at, "normalize", std, found),
        ImageStep::StackChannels { branches } if branches.is_empty() => {
            found.push(format!("input `{at}`: stack_channels without branches"));
        }
        ImageStep::StackChannels { branches } => branches.iter().for_each(|branch| image_steps(at, branch, found)),
        ImageStep::JpegRoundtrip { .. } | ImageStep::CenterCrop { .. } | ImageStep::Letterbox { .. } => {}
    }
}

fn divisors(at: &str, op: &str, std: &[f64], found: &mut Vec<String>) {
    if std.iter().any(|s| !s.is_finite() || *s == 0.0) {
        found.push(format!("input `{at}`: {op} std {std:?} must be numbers other than 0"));
    }
}

fn sides(at: &str, op: &str, sides: &[u32], found: &mut Vec<String>) {
    if let Some(side) = sides.iter().find(|side| !(1..=MAX_SIDE).contains(*side)) {
        found.push(format!("input `{at}`: {op} to {side} pixels, wanted 1 to {MAX_SIDE}"));
    }
}

/// Width of the state after `steps`; `None` where there is no state.
pub fn state_steps(manifest: &Manifest, at: &str, steps: &[StateStep], found: &mut Vec<String>) -> Option<usize> {
    let Some(stream) = &manifest.streams.state else {
        found.push(format!("{at} is made from the state, but `streams` has none"));
        return None;
    };
    let mut dim = stream.dim;
    for step in steps {
        match step {
            StateStep::NormalizeRange { low, high, .. } => {
                bounds(&format!("{at}: normalize_range"), [low, high], dim, found);
            }
            StateStep::Standardize { mean, std, .. } => {
                width(&format!("{at}: standardize mean"), mean, dim, found);
                width(&format!("{at}: standardize std"), std, dim, found);
            }
            StateStep::Affine { scale, offset } => affine(at, [scale, offset], dim, found),
            StateStep::Clip { low, high } if low.partial_cmp(high).is_none_or(Ordering::is_gt) => {
                found.push(format!("{at}: clip from {low} to {high}, wanted the smaller number first"));
            }
            StateStep::Clip { .. } => {}
            StateStep::CrankAngle { dims, crank, rod } => {
                if let Some(outside) = dims.iter().find(|index| **index >= dim) {
                    found.push(format!("{at}: crank_angle of dimension {outside}, the state has {dim}"));
                }
                if [crank, rod].iter().any(|length| !(**length > 0.0 && length.is_finite())) {
                    found.push(format!("{at}: crank_angle of lengths {crank} and {rod}, wanted numbers above 0"));
                }
            }
            StateStep::Pad { width } if !(dim..=MAX_CHUNK).contains(width) => {
                found.push(format!("{at}: pad {dim} values to {width}, wanted {dim} to {MAX_CHUNK}"));
            }
            StateStep::Pad { width } => dim = *width,
        }
    }
    Some(dim)
}

fn affine(at: &str, [scale, offset]: [&[f64]; 2], dim: usize, found: &mut Vec<String>) {
    width(&format!("{at}: affine scale"), scale, dim, found);
    width(&format!("{at}: affine offset"), offset, dim, found);
}

pub fn bins(manifest: &Manifest, at: &str, bins: &StateBins, found: &mut Vec<String>) {
    state_steps(manifest, at, &bins.steps, found);
    if bins.low.partial_cmp(&bins.high) != Some(Ordering::Less) || bins.count == 0 {
        found.push(format!("{at}: {} bins from {} to {} are none", bins.count, bins.low, bins.high));
    }
}

pub fn text_steps(at: &str, steps: &[TextStep], slots: Slots, found: &mut Vec<String>) {
    let tokenizers = steps.iter().filter(|s| matches!(s, TextStep::Tokenize { .. })).count();
    if tokenizers != 1 {
        found.push(format!("input `{at}`: {tokenizers} tokenize steps, wanted exactly one"));
    }
    let ids = steps.iter().position(|step| matches!(step, TextStep::Tokenize { .. })).unwrap_or(steps.len());
    for (index, step) in steps.iter().enumerate() {
        if index != ids && works_on_ids(step) != (index > ids) {
            found.push(format!("input `{at}`: step {index} has no effect on its side of tokenize"));
        }
        match step {
            TextStep::Prompt { template } => {
                if template.matches("{task}").count() != 1 {
                    found.push(format!("input `{at}`: the prompt template must hold {{task}} exactly once"));
                }
                let wanted = usize::from(slots == Slots::TaskAndState);
                if template.matches("{state}").count() != wanted {
                    found.push(format!("input `{at}`: the prompt template must hold {{state}} {wanted} times"));
                }
            }
            TextStep::Replace { from, .. } if from.is_empty() => {
                found.push(format!("input `{at}`: step {index} replaces nothing"));
            }
            TextStep::ExpandToken { count, .. } if !(1..=MAX_EXPANSION).contains(count) => {
                found.push(format!(
                    "input `{at}`: step {index} makes {count} tokens of one, wanted 1 to {MAX_EXPANSION}"
                ));
            }
            TextStep::Truncate { max: 0 } => found.push(format!("input `{at}`: step {index} leaves no token")),
            _ => {}
        }
    }
    if slots == Slots::TaskAndState && !steps.iter().any(|step| matches!(step, TextStep::Prompt { .. })) {
        found.push(format!("input `{at}`: no prompt that the state could stand in"));
    }
}

fn works_on_ids(step: &TextStep) -> bool {
    match step {
        TextStep::EnsureLastToken { .. }
        | TextStep::ExpandToken { .. }
        | TextStep::AppendToken { .. }
        | TextStep::Truncate { .. }
        | TextStep::Below { .. } => true,
        TextStep::Lowercase
        | TextStep::Trim
        | TextStep::Replace { .. }
        | TextStep::Prompt { .. }
        | TextStep::EnsureEnd { .. }
        | TextStep::Tokenize { .. } => false,
    }
}

/// The numbers of the steps before un-normalising.
pub fn output_steps(manifest: &Manifest, found: &mut Vec<String>) {
    let dim = manifest.actions.network_dim();
    for step in &manifest.actions.before {
        match step {
            OutputStep::Clip { low, high } if low.partial_cmp(high).is_none_or(Ordering::is_gt) => {
                found.push(format!("actions: clip from {low} to {high}, wanted the smaller number first"));
            }
            OutputStep::Threshold { dim: index, at } if *index >= dim || !at.is_finite() => {
                found.push(format!("actions: threshold at {at} of dimension {index}, actions have {dim}"));
            }
            OutputStep::Clip { .. } | OutputStep::Threshold { .. } => {}
        }
    }
}

/// The steps lead from the network's width to the actions' one.
pub fn action_steps(manifest: &Manifest, found: &mut Vec<String>) {
    let actions = &manifest.actions;
    let mut dim = actions.network_dim();
    for step in &actions.steps {
        match step {
            ActionStep::AddState { state, mask } => {
                let made = state_steps(manifest, "actions", state, found);
                if mask.len() > dim || made.is_some_and(|made| mask.len() > made) {
                    let made = made.unwrap_or_default();
                    let mask = mask.len();
                    found.push(format!(
                        "actions: add_state mask has {mask} values, actions have {dim}, the state {made}"
                    ));
                }
            }
            ActionStep::KeepFirst { dims } if !(1..=dim).contains(dims) => {
                found.push(format!("actions: keep_first {dims} of {dim} values"));
            }
            ActionStep::KeepFirst { dims } => dim = *dims,
            ActionStep::Affine { scale, offset } => affine("actions", [scale, offset], dim, found),
        }
    }
    if dim != actions.action_dim {
        found.push(format!("actions: the steps make {dim} values, action_dim is {}", actions.action_dim));
    }
}

//! The manifest's data as a person reads it.

use vla_bundle::{
    ActionStep, Border, Cadence, FlowTarget, Idct, ImageStep, OutputStep, ResizeKernel, Rule, Stage, StateBins,
    StateStep, TextStep,
};

/// Steps joined by commas.
pub fn image_steps(steps: &[ImageStep]) -> String {
    join(steps.iter().map(image_step))
}

fn image_step(step: &ImageStep) -> String {
    match step {
        ImageStep::UnlessSize { height, width, steps } => {
            format!("unless {width}x{height} ({})", image_steps(steps))
        }
        ImageStep::JpegRoundtrip { quality, idct, .. } => {
            let idct = match idct {
                Idct::Accurate => "accurate",
                Idct::Fast => "fast",
            };
            format!("JPEG quality {quality} and back ({idct} transform)")
        }
        ImageStep::Resize { height, width, kernel } => format!("resize to {width}x{height} {}", word(*kernel)),
        ImageStep::ResizeShortSide { size, kernel } => format!("resize shorter side to {size} {}", word(*kernel)),
        ImageStep::CropPixels { height, width } => format!("centre {width}x{height}"),
        ImageStep::CenterCrop { area } => format!("centre {area} of the area, scaled back"),
        ImageStep::Letterbox { fill } => format!("pad to a square with {fill:?}"),
        ImageStep::ResizeWithPad { height, width, kernel, border, fill } => {
            format!("fit into {width}x{height} {}, {} {fill:?}", word(*kernel), place(*border))
        }
        ImageStep::InterpolateWithPad { height, width, border, fill, mean, std } => {
            let place = place(*border);
            format!("fit into {width}x{height} bilinear (torch), {place} {fill}, normalise by {mean:?}, {std:?}")
        }
        ImageStep::Normalize { mean, std } => format!("normalise by {mean:?}, {std:?}"),
        ImageStep::StackChannels { branches } => {
            let branches: Vec<_> = branches.iter().map(|branch| format!("({})", image_steps(branch))).collect();
            format!("channels of {}", branches.join(" + "))
        }
    }
}

fn place(border: Border) -> &'static str {
    match border {
        Border::Around => "around it",
        Border::LeftTop => "left and on top",
    }
}

fn word(kernel: ResizeKernel) -> &'static str {
    match kernel {
        ResizeKernel::Lanczos3Tf => "lanczos3 (TensorFlow)",
        ResizeKernel::BilinearPil => "bilinear (PIL)",
        ResizeKernel::BicubicPil => "bicubic (PIL)",
        ResizeKernel::LanczosPil => "lanczos (PIL)",
    }
}

/// Steps joined by commas.
pub fn state_steps(steps: &[StateStep]) -> String {
    join(steps.iter().map(|step| match step {
        StateStep::NormalizeRange { .. } => "range to [-1, 1]".to_owned(),
        StateStep::Standardize { .. } => "mean to 0, deviation to 1".to_owned(),
        StateStep::Clip { low, high } => format!("clip to [{low}, {high}]"),
        StateStep::Affine { scale, offset } => format!("times {scale:?} plus {offset:?}"),
        StateStep::CrankAngle { dims, .. } => format!("slider to crank angle in {dims:?}"),
        StateStep::Pad { width } => format!("zeros up to {width} values"),
    }))
}

/// How the state stands in a text.
pub fn state_bins(bins: &StateBins) -> String {
    let StateBins { steps, low, high, count } = bins;
    format!("{}, number of one of {count} bins from {low} to {high}", state_steps(steps))
}

/// Steps, each before a comma.
pub fn output_steps(steps: &[OutputStep]) -> String {
    let step = |step: &OutputStep| match step {
        OutputStep::Clip { low, high } => format!("clip to [{low}, {high}], "),
        OutputStep::Threshold { dim, at } => format!("value {dim} to 0 or 1 at {at}, "),
    };
    steps.iter().map(step).collect()
}

/// Steps, each after a comma.
pub fn action_steps(steps: &[ActionStep]) -> String {
    let step = |step: &ActionStep| match step {
        ActionStep::AddState { mask, .. } => {
            let deltas: Vec<_> = (0..mask.len()).filter(|dim| mask[*dim]).collect();
            format!(", state added in {deltas:?}")
        }
        ActionStep::KeepFirst { dims } => format!(", first {dims} values"),
        ActionStep::Affine { scale, offset } => format!(", times {scale:?} plus {offset:?}"),
    };
    steps.iter().map(step).collect()
}

/// Steps joined by commas.
pub fn text_steps(steps: &[TextStep]) -> String {
    join(steps.iter().map(|step| match step {
        TextStep::Lowercase => "lower case".to_owned(),
        TextStep::Trim => "without white space around it".to_owned(),
        TextStep::Replace { from, to } => format!("{from:?} to {to:?}"),
        TextStep::EnsureEnd { suffix } => format!("last {suffix:?}"),
        TextStep::ExpandToken { id, count, .. } => format!("id {id} {count} times"),
        TextStep::AppendToken { id } => format!("then id {id}"),
        TextStep::Truncate { max } => format!("first {max} ids"),
        TextStep::Below { rows } => format!("ids below {rows}"),
        TextStep::Prompt { template } => format!("prompt {template:?}"),
        TextStep::Tokenize { file, .. } => format!("ids by {file}"),
        TextStep::EnsureLastToken { id } => format!("last id {id}"),
    }))
}

/// What is done to the graphs of an entry of the plan, and when.
pub fn stage(stage: &Stage) -> (&'static str, String) {
    match stage {
        Stage::Run { every: Cadence::Instruction, .. } => ("run", "per instruction".to_owned()),
        Stage::Run { every: Cadence::Observation, .. } => ("run", "per observation".to_owned()),
        Stage::Denoise(denoise) => {
            let rule = match &denoise.rule {
                Rule::Flow { target: FlowTarget::NoiseMinusData, .. } => "flow from t = 1 to 0",
                Rule::Flow { target: FlowTarget::DataMinusNoise, .. } => "flow from t = 0 to 1",
                Rule::Ddim { .. } => "DDIM",
            };
            ("denoise", format!("{} times per observation ({rule})", denoise.steps))
        }
        Stage::Autoregress(autoregress) => ("autoregress", format!("{} times per observation", autoregress.count - 1)),
    }
}

fn join(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { "as it is".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_read_in_order() {
        let steps = vec![
            ImageStep::UnlessSize { height: 2, width: 3, steps: vec![ImageStep::CropPixels { height: 2, width: 3 }] },
            ImageStep::Normalize { mean: [0.5, 0.25, 0.0], std: [1.0, 0.5, 2.0] },
        ];
        assert_eq!(image_steps(&steps), "unless 3x2 (centre 3x2), normalise by [0.5, 0.25, 0.0], [1.0, 0.5, 2.0]");
        assert_eq!(state_steps(&[]), "as it is");
    }
}

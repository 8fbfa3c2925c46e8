//! Preprocessing as data: what happens to a picture, a state vector or an instruction before a graph sees it.
//!
//! Each step is one pure function in the runtime; the manifest names them in order.

use serde::{Deserialize, Serialize};

/// One step of a picture's way from camera pixels to a tensor.
///
/// Pictures are `[height, width, 3]`, u8, RGB, until the last step makes them `[3, height, width]`, f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum ImageStep {
    /// Runs `steps` only where the picture is not already `height` x `width` pixels.
    UnlessSize {
        /// Height in pixels at which the steps are skipped.
        height: u32,
        /// Width in pixels at which the steps are skipped.
        width: u32,
        /// What runs otherwise.
        steps: Vec<ImageStep>,
    },
    /// JPEG encode and decode, because the training data went through it (`tf.io.encode_jpeg`, `tf.io.decode_image`).
    JpegRoundtrip {
        /// libjpeg quality, 1 to 100.
        quality: u8,
        /// Chroma subsampling of the encoder.
        subsampling: Subsampling,
        /// Inverse transform of the decoder; chroma is upsampled with libjpeg's "fancy" triangle filter.
        idct: Idct,
    },
    /// Scales to exactly `height` x `width` pixels, aspect not kept.
    Resize {
        /// New height in pixels.
        height: u32,
        /// New width in pixels.
        width: u32,
        /// Filter and arithmetic.
        kernel: ResizeKernel,
    },
    /// Scales so that the shorter side has `size` pixels; the longer side is `int(size * long / short)`.
    ResizeShortSide {
        /// Pixels of the shorter side afterwards.
        size: u32,
        /// Filter and arithmetic.
        kernel: ResizeKernel,
    },
    /// Cuts `height` x `width` pixels out of the middle (torchvision `center_crop` rounding).
    CropPixels {
        /// Height in pixels.
        height: u32,
        /// Width in pixels.
        width: u32,
    },
    /// Cuts the central `area` of the picture and scales it back to the picture's size: corner-aligned bilinear in
    /// f32 (`tf.image.crop_and_resize`), then `trunc(v * 255.5)`.
    CenterCrop {
        /// Share of the area that stays, in (0, 1].
        area: f64,
    },
    /// Pads symmetrically to a square, `int((max - side) / 2)` pixels on both ends of the shorter side.
    Letterbox {
        /// Colour of the border, RGB.
        fill: [u8; 3],
    },
    /// Scales so that the picture just fits into `height` x `width` pixels, aspect kept, and pads the rest. Sides become
    /// `int(side / max(w / width, h / height))`; a picture of the wanted size stays as it is.
    ResizeWithPad {
        /// Height in pixels afterwards.
        height: u32,
        /// Width in pixels afterwards.
        width: u32,
        /// Filter and arithmetic.
        kernel: ResizeKernel,
        /// Where the border is.
        border: Border,
        /// Colour of the border, RGB.
        fill: [u8; 3],
    },
    /// [`ImageStep::ResizeWithPad`] on `pixel / 255` in f32, bilinear between pixel centres without antialiasing
    /// (`torch.nn.functional.interpolate`), and then `(x - mean) / std`: `[3, height, width]`, f32.
    InterpolateWithPad {
        /// Height in pixels afterwards.
        height: u32,
        /// Width in pixels afterwards.
        width: u32,
        /// Where the border is.
        border: Border,
        /// Value of the border before `mean` and `std`, 0 to 1.
        fill: f64,
        /// Per channel, RGB.
        mean: [f64; 3],
        /// Per channel, RGB.
        std: [f64; 3],
    },
    /// `(pixel / 255 - mean) / std` per channel in f32; `[height, width, 3]` u8 becomes `[3, height, width]` f32.
    Normalize {
        /// Per channel, RGB.
        mean: [f64; 3],
        /// Per channel, RGB.
        std: [f64; 3],
    },
    /// Runs every branch on the same picture and stacks the results along the channel axis, in order.
    StackChannels {
        /// Each ends in [`ImageStep::Normalize`].
        branches: Vec<Vec<ImageStep>>,
    },
}

/// Filter and arithmetic of a resize; libraries disagree by tens of grey levels, so each is named by its original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeKernel {
    /// `tf.image.resize(method="lanczos3", antialias=True)`: f32, then round half to even and clip to u8.
    Lanczos3Tf,
    /// PIL `BILINEAR`: fixed-point, antialiased when shrinking.
    BilinearPil,
    /// PIL `BICUBIC` (a = -0.5): fixed-point, antialiased when shrinking.
    BicubicPil,
    /// PIL `LANCZOS`: fixed-point, antialiased when shrinking.
    LanczosPil,
}

/// Where the border of a padded picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// Half of it on every side, left and top rounded down.
    Around,
    /// All of it left and on top.
    LeftTop,
}

impl ImageStep {
    /// Whether the step turns a picture into numbers, so that it is the last one.
    pub fn makes_numbers(&self) -> bool {
        match self {
            ImageStep::Normalize { .. } | ImageStep::InterpolateWithPad { .. } | ImageStep::StackChannels { .. } => {
                true
            }
            ImageStep::UnlessSize { .. }
            | ImageStep::JpegRoundtrip { .. }
            | ImageStep::Resize { .. }
            | ImageStep::ResizeShortSide { .. }
            | ImageStep::CropPixels { .. }
            | ImageStep::CenterCrop { .. }
            | ImageStep::Letterbox { .. }
            | ImageStep::ResizeWithPad { .. } => false,
        }
    }
}

/// Chroma subsampling of a JPEG encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subsampling {
    /// 4:2:0, chroma at half width and half height.
    #[serde(rename = "4:2:0")]
    S420,
}

/// libjpeg's inverse discrete cosine transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Idct {
    /// `JDCT_ISLOW`: accurate integer; the default of libjpeg and PIL.
    Accurate,
    /// `JDCT_IFAST`: fast integer; what TensorFlow's decoder uses.
    Fast,
}

/// One step of the state vector's way to a tensor; f64 until the last cast to f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum StateStep {
    /// `2 * (x - low) / (high - low + eps) - 1` per dimension.
    NormalizeRange {
        /// Value that becomes -1, per dimension, in the state's unit.
        low: Vec<f64>,
        /// Value that becomes +1, per dimension, in the state's unit.
        high: Vec<f64>,
        /// Added to the range; the original's guard against constant dimensions.
        eps: f64,
    },
    /// `(x - mean) / (std + eps)` per dimension.
    Standardize {
        /// Value that becomes 0, per dimension, in the state's unit.
        mean: Vec<f64>,
        /// Distance from `mean` that becomes 1, per dimension, in the state's unit.
        std: Vec<f64>,
        /// Added to `std`; the original's guard against constant dimensions.
        eps: f64,
    },
    /// Clips every dimension to `[low, high]`.
    Clip {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// `x * scale + offset` per dimension.
    Affine {
        /// Factor per dimension.
        scale: Vec<f64>,
        /// Added after it, per dimension.
        offset: Vec<f64>,
    },
    /// Angle in rad of a crank that moves a slider: `asin(clip((crank^2 + x^2 - rod^2) / (2 crank x), -1, 1))`.
    CrankAngle {
        /// Dimensions that hold a slider's position in m; the others stay.
        dims: Vec<usize>,
        /// Length of the crank in m.
        crank: f64,
        /// Length of the rod between crank and slider in m.
        rod: f64,
    },
    /// Zeros after the last value.
    Pad {
        /// Values afterwards.
        width: usize,
    },
}

/// One step of the network's output on its way to be un-normalised; f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum OutputStep {
    /// Clips every dimension to `[low, high]`.
    Clip {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// One dimension becomes 0 below `at` and 1 from there on.
    Threshold {
        /// The dimension.
        dim: usize,
        /// Smallest value that becomes 1.
        at: f64,
    },
}

/// One step of a chunk's way from un-normalised network output to the data set's actions; f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionStep {
    /// Adds the state of the observation that the chunk answers to every step of the chunk: the network predicts
    /// differences to it.
    AddState {
        /// What the state goes through first.
        state: Vec<StateStep>,
        /// Dimensions that it is added to; those after the last entry stay.
        mask: Vec<bool>,
    },
    /// Keeps the first values of every step.
    KeepFirst {
        /// Values that stay.
        dims: usize,
    },
    /// `x * scale + offset` per dimension.
    Affine {
        /// Factor per dimension.
        scale: Vec<f64>,
        /// Added after it, per dimension.
        offset: Vec<f64>,
    },
}

/// How a state is written into a prompt: each value as the decimal number of its bin, a space between neighbours.
///
/// A value below `low` is in bin -1; others are in `min(count - 1, floor((x - low) / (high - low) * count))`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateBins {
    /// What the state goes through first.
    pub steps: Vec<StateStep>,
    /// Lower end of the first bin.
    pub low: f64,
    /// Upper end of the last bin.
    pub high: f64,
    /// Bins between them.
    pub count: u32,
}

/// One step of the instruction's way to token ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum TextStep {
    /// Unicode lower case, as Python's `str.lower`.
    Lowercase,
    /// White space at both ends goes, as Python's `str.strip`.
    Trim,
    /// Every `from` becomes `to`.
    Replace {
        /// What is looked for; not empty.
        from: String,
        /// What takes its place.
        to: String,
    },
    /// Puts the text into a template.
    Prompt {
        /// Holds `{task}` exactly once, and `{state}` exactly once where the state is part of the text.
        template: String,
    },
    /// Appends `suffix` where the text does not end with it.
    EnsureEnd {
        /// Last characters.
        suffix: String,
    },
    /// Text to ids with a Hugging Face `tokenizer.json` of the bundle.
    Tokenize {
        /// File name in the bundle.
        file: String,
        /// Whether the tokenizer's post-processor adds its special tokens (BOS).
        special_tokens: bool,
    },
    /// Appends `id` where the last id is another one.
    EnsureLastToken {
        /// Token id.
        id: u32,
    },
    /// Repeats the token `id`, which stands for something of several rows; it must occur once, at the place `at`.
    ExpandToken {
        /// Token id.
        id: u32,
        /// Its index among the ids.
        at: u32,
        /// How often it stands there afterwards.
        count: u32,
    },
    /// Appends `id`.
    AppendToken {
        /// Token id.
        id: u32,
    },
    /// Keeps the first `max` ids, as the original does with a prompt that is too long; the rest is told as a warning.
    Truncate {
        /// Most ids that stay.
        max: u32,
    },
    /// Refuses ids that the policy has no embedding for.
    Below {
        /// Rows of the embedding table.
        rows: u32,
    },
}

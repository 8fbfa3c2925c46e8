//! Preprocessing as data: what happens to a picture, a state vector or an instruction before a graph sees it.
//!
//! Each step is one pure function in the runtime; the manifest names them in order.

use serde::{Deserialize, Serialize};

/// One step of a picture's way from camera pixels to a tensor.
///
/// Pictures are `[height, width, 3]`, u8, RGB, until [`ImageStep::Normalize`] makes them `[3, height, width]`, f32.
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
    /// Clips every dimension to `[low, high]`.
    Clip {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
}

/// One step of the instruction's way to token ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum TextStep {
    /// Unicode lower case, as Python's `str.lower`.
    Lowercase,
    /// Puts the text into a template.
    Prompt {
        /// Holds `{task}` exactly once.
        template: String,
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
}

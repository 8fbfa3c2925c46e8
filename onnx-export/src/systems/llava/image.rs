//! From camera pixels to `pixel_values`: `preprocessor_config.json` as Hugging Face's `SiglipImageProcessor` reads it.

use std::path::Path;

use serde::Deserialize;
use vla_bundle::{ImageStep, ResizeKernel};

use crate::ExportError;
use crate::checkpoint::read_json;

use super::config::{Config, check};

/// The file's name.
pub const FILE: &str = "preprocessor_config.json";

#[derive(Deserialize)]
struct RawProcessor {
    do_resize: Option<bool>,
    size: Size,
    resample: Option<u64>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<[f64; 3]>,
    image_std: Option<[f64; 3]>,
}

#[derive(Deserialize)]
struct Size {
    height: u32,
    width: u32,
}

/// Steps of `pixel_values` for one picture, which is first brought to `first` pixels where that says so.
pub fn steps(dir: &Path, first: Option<u32>, config: &Config) -> Result<Vec<ImageStep>, ExportError> {
    let raw: RawProcessor = read_json(dir, FILE)?;
    let path = dir.join(FILE);
    let unsupported = |what: String| Err(ExportError::Unsupported { what, path: path.clone() });
    let Size { height, width } = raw.size;
    check("height of `size`", height.into(), config.tower.image_size, &path)?;
    check("width of `size`", width.into(), config.tower.image_size, &path)?;
    let kernel = match raw.resample.unwrap_or(3) {
        1 => ResizeKernel::LanczosPil,
        2 => ResizeKernel::BilinearPil,
        3 => ResizeKernel::BicubicPil,
        other => return unsupported(format!("`resample` {other}")),
    };
    let scale = raw.rescale_factor.unwrap_or(1.0 / 255.0);
    if raw.do_resize == Some(false) || raw.do_rescale == Some(false) || (scale - 1.0 / 255.0).abs() > 1e-9 {
        return unsupported(format!("an image processor without resizing, or with `rescale_factor` {scale}"));
    }
    let before = first.filter(|first| [*first; 2] != [height, width]);
    let mut steps: Vec<ImageStep> = before
        .map(|side| ImageStep::Resize { height: side, width: side, kernel: ResizeKernel::BicubicPil })
        .into_iter()
        .collect();
    steps.push(ImageStep::Resize { height, width, kernel });
    // A model whose processor leaves pixels in [0, 1] brings them to [-1, 1] itself.
    let [mean, std] = if raw.do_normalize == Some(false) {
        [[0.5; 3]; 2]
    } else {
        [raw.image_mean.unwrap_or([0.5; 3]), raw.image_std.unwrap_or([0.5; 3])]
    };
    steps.push(ImageStep::Normalize { mean, std });
    Ok(steps)
}

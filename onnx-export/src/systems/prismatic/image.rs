//! From camera pixels to `pixel_values`: the project's own pipeline, then `preprocessor_config.json`.

use std::path::Path;

use serde::Deserialize;
use vla_bundle::{Idct, ImageStep, ResizeKernel, Subsampling};

use crate::ExportError;
use crate::checkpoint::read_json;
use crate::request::{CenterCrop, ImagePipeline};

use super::config::{Config, check};

/// The file's name.
pub const FILE: &str = "preprocessor_config.json";
/// Side of the pictures that the training data was stored in.
const STORED: u32 = 224;
/// Share of the area that the training's random crops kept.
const CROP_AREA: f64 = 0.9;

/// Steps of `pixel_values` for one picture.
pub fn steps(
    dir: &Path,
    pipeline: ImagePipeline,
    crop: CenterCrop,
    config: &Config,
) -> Result<Vec<ImageStep>, ExportError> {
    let mut steps = match pipeline {
        ImagePipeline::Processor => Vec::new(),
        ImagePipeline::OpenvlaOft => vec![ImageStep::UnlessSize {
            height: STORED,
            width: STORED,
            steps: vec![
                ImageStep::JpegRoundtrip { quality: 95, subsampling: Subsampling::S420, idct: Idct::Fast },
                ImageStep::Resize { height: STORED, width: STORED, kernel: ResizeKernel::Lanczos3Tf },
            ],
        }],
    };
    if crop == CenterCrop::On {
        steps.push(ImageStep::CenterCrop { area: CROP_AREA });
    }
    let raw: RawProcessor = read_json(dir, FILE)?;
    steps.extend(raw.steps(config, &dir.join(FILE))?);
    Ok(steps)
}

/// The fields that the original reads; `tvf_*`, saved after construction, win over what they were made from.
#[derive(Deserialize)]
struct RawProcessor {
    image_resize_strategy: Strategy,
    input_sizes: Vec<[u64; 3]>,
    interpolations: Vec<Interpolation>,
    means: Vec<[f64; 3]>,
    stds: Vec<[f64; 3]>,
    tvf_resize_params: Option<Vec<Resize>>,
    tvf_crop_params: Option<Vec<Crop>>,
    tvf_normalize_params: Option<Vec<Normalize>>,
    tvf_do_letterbox: Option<bool>,
    tvf_letterbox_fill: Option<[u8; 3]>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Strategy {
    ResizeNaive,
    ResizeCrop,
    Letterbox,
}

/// PIL's filters by name or by number.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "serde_json::Value")]
struct Interpolation(ResizeKernel);

impl TryFrom<serde_json::Value> for Interpolation {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        match (value.as_str(), value.as_u64()) {
            (Some("lanczos"), _) | (_, Some(1)) => Ok(Self(ResizeKernel::LanczosPil)),
            (Some("bilinear"), _) | (_, Some(2)) => Ok(Self(ResizeKernel::BilinearPil)),
            (Some("bicubic"), _) | (_, Some(3)) => Ok(Self(ResizeKernel::BicubicPil)),
            _ => Err(format!("interpolation {value} is not one of lanczos (1), bilinear (2), bicubic (3)")),
        }
    }
}

#[derive(Clone, Deserialize)]
struct Resize {
    size: Size,
    interpolation: Interpolation,
}

/// Both sides, or the shorter one.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Size {
    Both([u32; 2]),
    ShortList([u32; 1]),
    Short(u32),
}

#[derive(Clone, Deserialize)]
struct Crop {
    output_size: [u32; 2],
}

#[derive(Clone, Deserialize)]
struct Normalize {
    mean: [f64; 3],
    std: [f64; 3],
}

impl RawProcessor {
    fn steps(&self, config: &Config, path: &Path) -> Result<Vec<ImageStep>, ExportError> {
        let towers = config.towers.len();
        let mut geometries = Vec::new();
        let mut normalizes = Vec::new();
        check("pictures per camera (`input_sizes`)", self.input_sizes.len() as u64, towers as u64, path)?;
        for index in 0..towers {
            geometries.push(self.geometry(index, config, path)?);
            normalizes.push(self.normalize(index, path)?);
        }
        let mut steps: Vec<ImageStep> = self.letterbox(path)?.into_iter().collect();
        if towers == 1 {
            steps.append(&mut geometries[0]);
            steps.append(&mut normalizes);
        } else if geometries.iter().all(|geometry| *geometry == geometries[0]) {
            steps.append(&mut geometries[0]);
            steps.push(ImageStep::StackChannels { branches: normalizes.into_iter().map(|step| vec![step]).collect() });
        } else {
            let branches = geometries
                .into_iter()
                .zip(normalizes)
                .map(|(mut geometry, normalize)| {
                    geometry.push(normalize);
                    geometry
                })
                .collect();
            steps.push(ImageStep::StackChannels { branches });
        }
        Ok(steps)
    }

    fn is_letterbox(&self) -> bool {
        self.tvf_do_letterbox.unwrap_or(self.image_resize_strategy == Strategy::Letterbox)
    }

    fn letterbox(&self, path: &Path) -> Result<Option<ImageStep>, ExportError> {
        if !self.is_letterbox() {
            return Ok(None);
        }
        let fill = match (self.tvf_letterbox_fill, self.means.last()) {
            (Some(fill), _) => fill,
            (None, Some(mean)) => mean.map(|m| (m * 255.0) as u8),
            (None, None) => return Err(absent("means", path)),
        };
        Ok(Some(ImageStep::Letterbox { fill }))
    }

    /// Resize and crop of one tower.
    fn geometry(&self, index: usize, config: &Config, path: &Path) -> Result<Vec<ImageStep>, ExportError> {
        let [_, height, width] = self.input_sizes.get(index).copied().ok_or_else(|| absent("input_sizes", path))?;
        check("height of `input_sizes`", height, config.image_size(), path)?;
        check("width of `input_sizes`", width, config.image_size(), path)?;
        let side = height as u32;
        let resize = match &self.tvf_resize_params {
            Some(all) => all.get(index).cloned().ok_or_else(|| absent("tvf_resize_params", path))?,
            None => Resize {
                size: match self.image_resize_strategy {
                    Strategy::ResizeNaive => Size::Both([side, side]),
                    Strategy::ResizeCrop | Strategy::Letterbox => Size::Short(side),
                },
                interpolation: *self.interpolations.get(index).ok_or_else(|| absent("interpolations", path))?,
            },
        };
        let crop = match &self.tvf_crop_params {
            Some(all) => all.get(index).ok_or_else(|| absent("tvf_crop_params", path))?.output_size,
            None => [side, side],
        };
        check("height of `tvf_crop_params`", crop[0].into(), height, path)?;
        check("width of `tvf_crop_params`", crop[1].into(), width, path)?;
        let kernel = resize.interpolation.0;
        let mut steps = match resize.size {
            Size::Both([height, width]) => vec![ImageStep::Resize { height, width, kernel }],
            // A letterboxed picture is square: both sides are the shorter one.
            Size::Short(s) | Size::ShortList([s]) if self.is_letterbox() => {
                vec![ImageStep::Resize { height: s, width: s, kernel }]
            }
            Size::Short(size) | Size::ShortList([size]) => vec![ImageStep::ResizeShortSide { size, kernel }],
        };
        let exact = matches!(steps[0], ImageStep::Resize { height, width, .. } if [height, width] == crop);
        if !exact {
            steps.push(ImageStep::CropPixels { height: crop[0], width: crop[1] });
        }
        Ok(steps)
    }

    fn normalize(&self, index: usize, path: &Path) -> Result<ImageStep, ExportError> {
        if let Some(all) = &self.tvf_normalize_params {
            let Normalize { mean, std } =
                all.get(index).cloned().ok_or_else(|| absent("tvf_normalize_params", path))?;
            return Ok(ImageStep::Normalize { mean, std });
        }
        // The original keeps them as f32 tensors.
        let rounded = |all: &[[f64; 3]], name| {
            all.get(index).map(|v| v.map(|x| f64::from(x as f32))).ok_or_else(|| absent(name, path))
        };
        Ok(ImageStep::Normalize { mean: rounded(&self.means, "means")?, std: rounded(&self.stds, "stds")? })
    }
}

fn absent(field: &str, path: &Path) -> ExportError {
    ExportError::Mismatch {
        what: format!("`{field}`"),
        got: "too few entries".to_owned(),
        wanted: "one per vision tower".to_owned(),
        path: path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `preprocessor_config.json` as a checkpoint of two towers holds it where no `tvf_*` field was saved.
    fn processor(strategy: &str, interpolations: [&str; 2]) -> RawProcessor {
        serde_json::from_value(json!({
            "image_resize_strategy": strategy,
            "input_sizes": [[3, 224, 224], [3, 224, 224]],
            "interpolations": interpolations,
            "means": [[0.485, 0.456, 0.406], [0.5, 0.5, 0.5]],
            "stds": [[0.229, 0.224, 0.225], [0.5, 0.5, 0.5]],
        }))
        .unwrap()
    }

    fn steps(processor: &RawProcessor) -> serde_json::Value {
        let config = Config::released();
        serde_json::to_value(processor.steps(&config, Path::new("preprocessor_config.json")).unwrap()).unwrap()
    }

    fn normalize() -> [serde_json::Value; 2] {
        // What timm.data.create_transform keeps of them: torch.tensor(mean).tolist().
        let mean = [0.485_000_014_305_114_75, 0.456_000_000_238_418_6, 0.405_999_988_317_489_6];
        let std = [0.229_000_002_145_767_2, 0.224_000_006_914_138_8, 0.224_999_994_039_535_52];
        [
            json!({"op": "normalize", "mean": mean, "std": std}),
            json!({"op": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}),
        ]
    }

    #[test]
    fn letterbox_pads_with_the_last_mean_and_then_resizes_a_square() {
        let [dino, siglip] = normalize();
        let wanted = json!([
            {"op": "letterbox", "fill": [127, 127, 127]},
            {"op": "resize", "height": 224, "width": 224, "kernel": "bicubic_pil"},
            {"op": "stack_channels", "branches": [[dino], [siglip]]},
        ]);
        assert_eq!(steps(&processor("letterbox", ["bicubic"; 2])), wanted);
    }

    #[test]
    fn resize_crop_scales_the_shorter_side_and_cuts_the_middle() {
        let [dino, siglip] = normalize();
        let wanted = json!([
            {"op": "resize_short_side", "size": 224, "kernel": "bicubic_pil"},
            {"op": "crop_pixels", "height": 224, "width": 224},
            {"op": "stack_channels", "branches": [[dino], [siglip]]},
        ]);
        assert_eq!(steps(&processor("resize-crop", ["bicubic"; 2])), wanted);
    }

    #[test]
    fn towers_that_resize_differently_each_get_their_own_resize() {
        let [dino, siglip] = normalize();
        let wanted = json!([{"op": "stack_channels", "branches": [
            [{"op": "resize", "height": 224, "width": 224, "kernel": "bilinear_pil"}, dino],
            [{"op": "resize", "height": 224, "width": 224, "kernel": "lanczos_pil"}, siglip],
        ]}]);
        assert_eq!(steps(&processor("resize-naive", ["bilinear", "lanczos"])), wanted);
    }

    #[test]
    fn an_unknown_interpolation_is_refused_with_the_known_ones() {
        let refused = Interpolation::try_from(json!("nearest")).err().unwrap();
        assert_eq!(refused, "interpolation \"nearest\" is not one of lanczos (1), bilinear (2), bicubic (3)");
    }
}

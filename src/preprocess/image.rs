//! A manifest's image steps, ready to run on one camera's pictures.

use vla_bundle::{ImageStep, Subsampling};

use super::center_crop::CenterCrop;
use super::crop_pixels::{self, crop_pixels};
use super::interpolate::Interpolate;
use super::jpeg::JpegRoundtrip;
use super::letterbox::{self, letterbox};
use super::normalize::Normalize;
use super::picture::Picture;
use super::resize::{Resize, Target};
use super::resize_with_pad::ResizeWithPad;
use crate::types::Pinhole;

/// From a picture to `[channels, height, width]`, f32. Keeps tables and buffers: pictures of one size cost no
/// allocation after the first.
pub struct ImagePipeline {
    steps: Vec<Step>,
    tail: Tail,
    shape: [usize; 3],
    buffers: Buffers,
}

/// Why a list of image steps makes no tensor.
#[derive(Debug, thiserror::Error, PartialEq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ImageStepsError {
    #[error("the last step must yield numbers, and only the last")]
    Order,
    #[error("the steps do not fix the picture's size")]
    Unsized,
    #[error("{0:?} leaves no pixels")]
    Empty(ImageStep),
    #[error("branch {branch} makes {got:?} pixels (width, height), the first one {wanted:?}")]
    Branches { branch: usize, got: [usize; 2], wanted: [usize; 2] },
}

/// A step from picture to picture.
enum Step {
    UnlessSize { size: [u32; 2], steps: Vec<Step> },
    JpegRoundtrip(Box<JpegRoundtrip>),
    Resize(Resize),
    CropPixels([u32; 2]),
    CenterCrop(CenterCrop),
    Letterbox([u8; 3]),
    ResizeWithPad(Box<ResizeWithPad>),
}

/// The step from a picture to numbers.
enum Tail {
    Normalize(Box<Normalize>),
    Interpolate(Box<Interpolate>),
    StackChannels(Vec<ImagePipeline>),
}

/// The picture on its way: `front` holds it once a step has run.
#[derive(Default)]
struct Buffers {
    front: Picture,
    back: Picture,
    used: bool,
}

impl ImagePipeline {
    /// Prepares `steps`.
    ///
    /// # Errors
    /// Steps that do not end in numbers, or whose result's size depends on the camera.
    pub fn new(steps: &[ImageStep]) -> Result<Self, ImageStepsError> {
        Self::after(steps, None)
    }

    /// Prepares `steps` for pictures of width and height `size`, where that is known.
    fn after(steps: &[ImageStep], size: Option<[u32; 2]>) -> Result<Self, ImageStepsError> {
        let (last, steps) = steps.split_last().ok_or(ImageStepsError::Order)?;
        let size = steps.iter().fold(size, size_after);
        let (tail, shape) = match last {
            ImageStep::Normalize { mean, std } => {
                let [width, height] = size.ok_or(ImageStepsError::Unsized)?.map(|side| side as usize);
                (Tail::Normalize(Box::new(Normalize::new(*mean, *std))), [3, height, width])
            }
            ImageStep::InterpolateWithPad { height, width, border, fill, mean, std } => {
                let step = Interpolate::new([*width, *height], (*border, *fill), [*mean, *std]);
                (Tail::Interpolate(Box::new(step)), [3, *height as usize, *width as usize])
            }
            ImageStep::StackChannels { branches } => stack(branches, size)?,
            _ => return Err(ImageStepsError::Order),
        };
        let steps = steps.iter().map(Step::new).collect::<Result<_, _>>()?;
        Ok(Self { steps, tail, shape, buffers: Buffers::default() })
    }

    /// `[channels, height, width]` of the result.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The camera of the result, where this one saw the picture that comes in; of stacked branches that of the first.
    pub fn pinhole(&self, from: Pinhole) -> Pinhole {
        let picture = self.steps.iter().fold(from, |pinhole, step| step.pinhole(pinhole));
        match &self.tail {
            Tail::Normalize(_) => picture,
            Tail::Interpolate(interpolate) => interpolate.pinhole(picture),
            Tail::StackChannels(branches) => branches.first().map_or(picture, |branch| branch.pinhole(picture)),
        }
    }

    /// Writes the result for `input` to `out`, which holds as many values as [`Self::shape`] says.
    pub fn apply(&mut self, input: &Picture, mut out: &mut [f32]) {
        self.buffers.used = false;
        for step in &mut self.steps {
            step.apply(input, &mut self.buffers);
        }
        let picture = if self.buffers.used { &self.buffers.front } else { input };
        match &mut self.tail {
            Tail::Normalize(normalize) => normalize.apply(picture, out),
            Tail::Interpolate(interpolate) => interpolate.apply(picture, out),
            Tail::StackChannels(branches) => {
                for branch in branches {
                    let (own, rest) = out.split_at_mut(branch.shape.iter().product());
                    branch.apply(picture, own);
                    out = rest;
                }
            }
        }
    }
}

fn stack(branches: &[Vec<ImageStep>], size: Option<[u32; 2]>) -> Result<(Tail, [usize; 3]), ImageStepsError> {
    let made = branches.iter().map(|branch| ImagePipeline::after(branch, size)).collect::<Result<Vec<_>, _>>()?;
    let [_, height, width] = made.first().ok_or(ImageStepsError::Order)?.shape;
    for (branch, pipeline) in made.iter().enumerate() {
        let [_, got_height, got_width] = pipeline.shape;
        if [got_height, got_width] != [height, width] {
            let [got, wanted] = [[got_width, got_height], [width, height]];
            return Err(ImageStepsError::Branches { branch, got, wanted });
        }
    }
    let channels = made.iter().map(|pipeline| pipeline.shape[0]).sum();
    Ok((Tail::StackChannels(made), [channels, height, width]))
}

/// Width and height after `step`, where they do not depend on the camera.
fn size_after(size: Option<[u32; 2]>, step: &ImageStep) -> Option<[u32; 2]> {
    match step {
        ImageStep::UnlessSize { height, width, steps } => {
            let made = steps.iter().fold(size, size_after);
            made.filter(|made| size.is_some() || *made == [*width, *height])
        }
        ImageStep::Resize { height, width, .. }
        | ImageStep::CropPixels { height, width }
        | ImageStep::ResizeWithPad { height, width, .. }
        | ImageStep::InterpolateWithPad { height, width, .. } => Some([*width, *height]),
        ImageStep::ResizeShortSide { size: short, .. } => size.map(|size| Target::ShortSide(*short).size(size)),
        ImageStep::Letterbox { .. } => size.map(letterbox::size),
        ImageStep::JpegRoundtrip { .. }
        | ImageStep::CenterCrop { .. }
        | ImageStep::Normalize { .. }
        | ImageStep::StackChannels { .. } => size,
    }
}

impl Step {
    fn new(step: &ImageStep) -> Result<Self, ImageStepsError> {
        Ok(match step {
            ImageStep::Resize { height: 0, .. }
            | ImageStep::Resize { width: 0, .. }
            | ImageStep::ResizeWithPad { height: 0, .. }
            | ImageStep::ResizeWithPad { width: 0, .. }
            | ImageStep::ResizeShortSide { size: 0, .. }
            | ImageStep::CropPixels { height: 0, .. }
            | ImageStep::CropPixels { width: 0, .. } => return Err(ImageStepsError::Empty(step.clone())),
            ImageStep::UnlessSize { height, width, steps } => {
                let steps = steps.iter().map(Step::new).collect::<Result<_, _>>()?;
                Step::UnlessSize { size: [*width, *height], steps }
            }
            ImageStep::JpegRoundtrip { quality, subsampling: Subsampling::S420, idct } => {
                Step::JpegRoundtrip(Box::new(JpegRoundtrip::new(*quality, *idct)))
            }
            ImageStep::Resize { height, width, kernel } => {
                Step::Resize(Resize::new(Target::Exactly([*width, *height]), *kernel))
            }
            ImageStep::ResizeShortSide { size, kernel } => Step::Resize(Resize::new(Target::ShortSide(*size), *kernel)),
            ImageStep::CropPixels { height, width } => Step::CropPixels([*width, *height]),
            ImageStep::CenterCrop { area } => Step::CenterCrop(CenterCrop::new(*area)),
            ImageStep::Letterbox { fill } => Step::Letterbox(*fill),
            ImageStep::ResizeWithPad { height, width, kernel, border, fill } => {
                Step::ResizeWithPad(Box::new(ResizeWithPad::new([*width, *height], *kernel, (*border, *fill))))
            }
            ImageStep::Normalize { .. } | ImageStep::InterpolateWithPad { .. } | ImageStep::StackChannels { .. } => {
                return Err(ImageStepsError::Order);
            }
        })
    }

    fn pinhole(&self, from: Pinhole) -> Pinhole {
        match self {
            Step::UnlessSize { size, .. } if *size == from.size => from,
            Step::UnlessSize { steps, .. } => steps.iter().fold(from, |pinhole, step| step.pinhole(pinhole)),
            Step::JpegRoundtrip(_) => from,
            Step::Resize(step) => step.pinhole(from),
            Step::CropPixels(size) => crop_pixels::pinhole(from, *size),
            Step::CenterCrop(step) => step.pinhole(from),
            Step::Letterbox(_) => letterbox::pinhole(from),
            Step::ResizeWithPad(step) => step.pinhole(from),
        }
    }

    fn apply(&mut self, input: &Picture, buffers: &mut Buffers) {
        let Buffers { front, back, used } = buffers;
        let picture = if *used { &*front } else { input };
        match self {
            Step::UnlessSize { size, steps } => {
                if *size != [picture.width, picture.height] {
                    for step in steps {
                        step.apply(input, buffers);
                    }
                }
                return;
            }
            Step::JpegRoundtrip(step) => step.apply(picture, back),
            Step::Resize(step) => step.apply(picture, back),
            Step::CropPixels(size) => crop_pixels(picture, *size, back),
            Step::CenterCrop(step) => step.apply(picture, back),
            Step::Letterbox(fill) => letterbox(picture, *fill, back),
            Step::ResizeWithPad(step) => step.apply(picture, back),
        }
        std::mem::swap(front, back);
        *used = true;
    }
}

#[cfg(test)]
mod tests {
    use vla_bundle::{Idct, ResizeKernel};

    use super::*;
    use crate::preprocess::goldens::Golden;

    /// ImageNet's numbers as bf16 (first branch) and 0.5 (second branch), as the pictures of the goldens were made.
    fn stacked() -> ImageStep {
        let imagenet = ImageStep::Normalize {
            mean: [0.484_375, 0.455_078_125, 0.406_25],
            std: [0.228_515_625, 0.223_632_812_5, 0.224_609_375],
        };
        let halves = ImageStep::Normalize { mean: [0.5; 3], std: [0.5; 3] };
        ImageStep::StackChannels { branches: vec![vec![imagenet], vec![halves]] }
    }

    fn bicubic(side: u32) -> ImageStep {
        ImageStep::Resize { height: side, width: side, kernel: ResizeKernel::BicubicPil }
    }

    fn run(steps: &[ImageStep], input: &Picture) -> Vec<f32> {
        let mut pipeline = ImagePipeline::new(steps).unwrap();
        let mut out = vec![f32::NAN; pipeline.shape().iter().product()];
        pipeline.apply(input, &mut out);
        out
    }

    fn assert_close(got: &[f32], wanted: &[f32], what: &str) {
        assert_eq!(got.len(), wanted.len(), "{what}");
        let worst = got.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-6, "{what}: {worst}");
    }

    /// The rows that a golden holds, of all six channels.
    fn rows(values: &[f32], side: usize, index: &[usize]) -> Vec<f32> {
        let planes = values.chunks_exact(side * side);
        planes.flat_map(|plane| index.iter().flat_map(|row| plane[row * side..][..side].to_vec())).collect()
    }

    #[test]
    fn a_camera_picture_becomes_the_original_pipelines_tensor() {
        let lanczos = ImageStep::Resize { height: 224, width: 224, kernel: ResizeKernel::Lanczos3Tf };
        let jpeg = ImageStep::JpegRoundtrip { quality: 95, subsampling: Subsampling::S420, idct: Idct::Fast };
        let steps = [
            ImageStep::UnlessSize { height: 224, width: 224, steps: vec![jpeg, lanczos] },
            ImageStep::CenterCrop { area: 0.9 },
            bicubic(70),
            ImageStep::CropPixels { height: 70, width: 70 },
            stacked(),
        ];
        for case in ["tiny_100x37", "edges_320x180", "native_224"] {
            let golden = Golden::load(case);
            let got = rows(&run(&steps, &golden.input), 70, &golden.index("processor70.rows.index"));
            assert_close(&got, &golden.f32("processor70.pixel_values_rows"), case);
        }
    }

    #[test]
    fn short_side_and_crop_give_the_original_processors_tensor() {
        let kernel = ResizeKernel::BicubicPil;
        let steps = [
            ImageStep::ResizeShortSide { size: 28, kernel },
            ImageStep::CropPixels { height: 28, width: 28 },
            stacked(),
        ];
        for case in ["tiny_100x37", "edges_320x180"] {
            let golden = Golden::load(case);
            assert_close(&run(&steps, &golden.input), &golden.f32("resize-crop28.pixel_values"), case);
        }
    }

    #[test]
    fn letterbox_gives_the_original_processors_tensor() {
        let kernel = ResizeKernel::BicubicPil;
        let steps = [
            ImageStep::Letterbox { fill: [127; 3] },
            ImageStep::ResizeShortSide { size: 28, kernel },
            ImageStep::CropPixels { height: 28, width: 28 },
            stacked(),
        ];
        for case in ["tiny_100x37", "edges_320x180"] {
            let golden = Golden::load(case);
            assert_close(&run(&steps, &golden.input), &golden.f32("letterbox28.pixel_values"), case);
        }
    }

    #[test]
    fn a_pipeline_shows_nothing_of_an_earlier_picture() {
        let [tiny, edges] = ["tiny_100x37", "edges_320x180"].map(|case| Golden::load(case).input);
        let jpeg = ImageStep::JpegRoundtrip { quality: 80, subsampling: Subsampling::S420, idct: Idct::Accurate };
        let lanczos = ImageStep::Resize { height: 40, width: 50, kernel: ResizeKernel::Lanczos3Tf };
        let steps = [jpeg, lanczos, bicubic(30), ImageStep::CenterCrop { area: 0.8 }, stacked()];
        let mut pipeline = ImagePipeline::new(&steps).unwrap();
        let mut out = vec![0.0; pipeline.shape().iter().product()];
        for picture in [&tiny, &edges, &tiny] {
            pipeline.apply(picture, &mut out);
            assert!(out == run(&steps, picture));
        }
    }

    #[test]
    fn steps_that_make_no_tensor_of_one_size_are_refused() {
        let refused = |steps: &[ImageStep]| ImagePipeline::new(steps).err().map(|e| e.to_string());
        let unsized_steps = [ImageStep::CenterCrop { area: 0.5 }, stacked()];
        assert_eq!(refused(&unsized_steps).as_deref(), Some("the steps do not fix the picture's size"));
        let order = Some("the last step must yield numbers, and only the last");
        assert_eq!(refused(&[bicubic(30)]).as_deref(), order);
        assert_eq!(refused(&[bicubic(30), stacked(), stacked()]).as_deref(), order);
        let empty = ImageStep::CropPixels { height: 4, width: 0 };
        let message = "CropPixels { height: 4, width: 0 } leaves no pixels";
        assert_eq!(refused(&[empty, stacked()]).as_deref(), Some(message));
        let normalize = ImageStep::Normalize { mean: [0.5; 3], std: [0.5; 3] };
        let branches = vec![vec![bicubic(30), normalize.clone()], vec![bicubic(40), normalize]];
        let message = "branch 1 makes [40, 40] pixels (width, height), the first one [30, 30]";
        assert_eq!(refused(&[ImageStep::StackChannels { branches }]).as_deref(), Some(message));
    }
}

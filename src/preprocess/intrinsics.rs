//! Where the image steps leave the principal point: by hand, and where they leave a spot that was painted on it.

use vla_bundle::{Border, Idct, ImageStep, ResizeKernel, Subsampling};

use super::image::ImagePipeline;
use super::picture::Picture;
use crate::types::Pinhole;

const SEEN: Pinhole = Pinhole { size: [161, 97], focal: [140.5, 132.25], center: [77.5, 51.25] };

fn numbers() -> ImageStep {
    ImageStep::Normalize { mean: [0.0; 3], std: [1.0; 3] }
}

fn resize(width: u32, height: u32) -> ImageStep {
    ImageStep::Resize { height, width, kernel: ResizeKernel::BilinearPil }
}

fn fit(width: u32, height: u32, border: Border) -> ImageStep {
    ImageStep::ResizeWithPad { height, width, kernel: ResizeKernel::BicubicPil, border, fill: [0; 3] }
}

fn crop(width: u32, height: u32) -> ImageStep {
    ImageStep::CropPixels { height, width }
}

fn after(steps: &[ImageStep], from: Pinhole) -> Pinhole {
    pipeline(steps).pinhole(from)
}

/// With a step to a size of its own behind steps that leave the size to the camera.
fn pipeline(steps: &[ImageStep]) -> ImagePipeline {
    match steps.last() {
        Some(ImageStep::InterpolateWithPad { .. }) => ImagePipeline::new(steps).unwrap(),
        _ => ImagePipeline::new(&[steps, &[crop(120, 90), numbers()]].concat()).unwrap(),
    }
}

fn assert_seen(got: Pinhole, size: [u32; 2], focal: [f64; 2], center: [f64; 2]) {
    assert_eq!(got.size, size);
    let pairs = got.focal.iter().zip(focal).chain(got.center.iter().zip(center));
    for (got_value, wanted) in pairs {
        assert!((got_value - wanted).abs() < 1e-9, "{got:?}, wanted {focal:?} {center:?}");
    }
}

/// By hand: 161 to 101 columns, (161 - 101) / 2 = 30 on the left; 97 to 60 rows, 18.5 on top, which goes to the even 18.
/// Then 101 to 50 and 60 to 45: (77.5 - 30 + 0.5) 50 / 101 - 0.5 and (51.25 - 18 + 0.5) 45 / 60 - 0.5.
#[test]
fn a_crop_moves_the_principal_point_and_scaling_keeps_the_borders() {
    let cut = ImagePipeline::new(&[crop(101, 60), numbers()]).unwrap().pinhole(SEEN);
    assert_seen(cut, [101, 60], [140.5, 132.25], [47.5, 33.25]);
    let scaled = ImagePipeline::new(&[crop(101, 60), resize(50, 45), numbers()]).unwrap().pinhole(SEEN);
    assert_seen(scaled, [50, 45], [140.5 * 50.0 / 101.0, 99.1875], [48.0 * 50.0 / 101.0 - 0.5, 24.8125]);
}

/// By hand: 161 / 84 = 1.91667 is more than 97 / 63; 97 / 1.91667 = 50.6 becomes 50 rows, so that rows scale by 50 / 97
/// and columns by 84 / 161. 13 rows are free: 6 on top, or all 13.
#[test]
fn a_border_moves_the_principal_point_and_rounding_makes_pixels_unequal() {
    let [sx, sy] = [84.0 / 161.0, 50.0 / 97.0];
    let focal = [140.5 * sx, 132.25 * sy];
    let fitted = |border, top: f64| {
        let got = ImagePipeline::new(&[fit(84, 63, border), numbers()]).unwrap().pinhole(SEEN);
        assert_seen(got, [84, 63], focal, [78.0 * sx - 0.5, 51.75 * sy - 0.5 + top]);
        let (mean, std) = ([0.5; 3], [0.5; 3]);
        let torch = ImageStep::InterpolateWithPad { height: 63, width: 84, border, fill: 0.0, mean, std };
        assert_eq!(ImagePipeline::new(&[torch]).unwrap().pinhole(SEEN), got);
    };
    fitted(Border::Around, 6.0);
    fitted(Border::LeftTop, 13.0);
}

/// By hand: a side of sqrt(0.64) = 0.8 stays, which begins at 0.1 of the way from the first pixel's centre to the last's.
#[test]
fn a_centre_crop_keeps_the_corners_centres() {
    let got = ImagePipeline::new(&[ImageStep::CenterCrop { area: 0.64 }, resize(161, 97), numbers()]).unwrap();
    let got = got.pinhole(SEEN);
    assert_eq!(got.size, SEEN.size);
    let wanted = [140.5 / 0.8, 132.25 / 0.8, (77.5 - 16.0) / 0.8, (51.25 - 9.6) / 0.8];
    let got = [got.focal, got.center].concat();
    assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-4), "{got:?}, wanted {wanted:?}");
}

/// A round spot in the middle of `center` on black.
fn spot([width, height]: [u32; 2], [x, y]: [f64; 2]) -> Picture {
    let light = |column: u32, row: u32| {
        let [dx, dy] = [f64::from(column) - x, f64::from(row) - y];
        (230.0 * (-(dx * dx + dy * dy) / 50.0).exp()).round() as u8
    };
    let pixels = (0..height).flat_map(|row| (0..width).map(move |column| [light(column, row); 3]));
    Picture { width, height, rgb: pixels.flatten().collect() }
}

/// The middle of the light.
fn middle(values: &[f32], width: usize) -> [f64; 2] {
    let mut sums = [0.0; 3];
    for (index, value) in values.iter().enumerate() {
        let value = f64::from(*value);
        let at = [(index % width) as f64, (index / width) as f64, 1.0];
        sums.iter_mut().zip(at).for_each(|(sum, at)| *sum += value * at);
    }
    [sums[0] / sums[2], sums[1] / sums[2]]
}

#[test]
fn every_step_moves_the_principal_point_with_the_pixel_that_it_lies_on() {
    let kernel = ResizeKernel::Lanczos3Tf;
    let jpeg = ImageStep::JpegRoundtrip { quality: 95, subsampling: Subsampling::S420, idct: Idct::Fast };
    let unless = |width, height| ImageStep::UnlessSize { width, height, steps: vec![resize(133, 101)] };
    let torch = ImageStep::InterpolateWithPad {
        height: 130,
        width: 111,
        border: Border::LeftTop,
        fill: 0.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    let cases: [Vec<ImageStep>; 11] = [
        vec![jpeg],
        vec![resize(111, 95)],
        vec![resize(201, 150)],
        vec![ImageStep::ResizeShortSide { size: 71, kernel }],
        vec![crop(152, 93)],
        vec![crop(170, 101)],
        vec![ImageStep::CenterCrop { area: 0.72 }],
        vec![ImageStep::Letterbox { fill: [0; 3] }, resize(140, 137)],
        vec![fit(120, 113, Border::Around)],
        vec![unless(161, 97), unless(160, 97)],
        vec![torch],
    ];
    for steps in cases {
        for center in [[77.5, 51.25], [64.25, 44.5]] {
            let mut pipeline = pipeline(&steps);
            let [channels, height, width] = pipeline.shape();
            let mut made = vec![0.0; channels * height * width];
            pipeline.apply(&spot(SEEN.size, center), &mut made);
            let got = after(&steps, Pinhole { center, ..SEEN });
            let seen = middle(&made[..height * width], width);
            let apart = [0, 1].map(|axis| (got.center[axis] - seen[axis]).abs());
            assert!(apart.iter().all(|apart| *apart < 0.02), "{steps:?}: {:?}, the spot is at {seen:?}", got.center);
        }
    }
}

//! Any bytes as a camera frame, in a file or as pixels, and the JPEG round trip of what it shows.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vla_bundle::{Idct, ImageStep, ResizeKernel, Subsampling};
use vla_runtime::preprocess::image::ImagePipeline;
use vla_runtime::preprocess::picture::Picture;
use vla_runtime::types::{Encoding, Frame};

/// Pixels that one run may cost.
const MANY: usize = 1 << 16;

const RAW: [&str; 12] = [
    "rgb8",
    "bgr8",
    "rgba8",
    "bgra8",
    "mono8",
    "uyvy",
    "yuyv",
    "nv12",
    "bayer_rggb8",
    "bayer_bggr8",
    "bayer_gbrg8",
    "bayer_grbg8",
];

thread_local! {
    static KEPT: RefCell<(Picture, ImagePipeline, Vec<f32>)> = RefCell::new({
        let steps = [
            ImageStep::Letterbox { fill: [9, 8, 7] },
            ImageStep::JpegRoundtrip { quality: 95, subsampling: Subsampling::S420, idct: Idct::Fast },
            ImageStep::Resize { height: 7, width: 9, kernel: ResizeKernel::Lanczos3Tf },
            ImageStep::CenterCrop { area: 0.9 },
            ImageStep::Normalize { mean: [0.5; 3], std: [0.5, 0.25, 0.125] },
        ];
        let pipeline = ImagePipeline::new(&steps).expect("these steps fit together");
        let out = vec![0.0; pipeline.shape().iter().product()];
        (Picture::default(), pipeline, out)
    });
}

fuzz_target!(|bytes: &[u8]| {
    let Some(([kind, width, height, step], data)) = bytes.split_first_chunk() else { return };
    let encoding = match *kind % 14 {
        0 => Encoding::Jpeg,
        1 => Encoding::Png,
        raw => Encoding::raw(RAW[usize::from(raw) - 2]).expect("a known name"),
    };
    let [width, height, step] = [*width, *height, *step].map(u32::from);
    let frame = Frame { frame_id: String::new(), encoding, width, height, step, data: Arc::from(data) };
    KEPT.with_borrow_mut(|(picture, pipeline, out)| {
        if picture.decode(&frame).is_ok() {
            assert_eq!(picture.rgb.len(), 3 * picture.width as usize * picture.height as usize);
            if picture.rgb.len() <= 3 * MANY {
                pipeline.apply(picture, out);
                assert!(out.iter().all(|value| value.is_finite()));
            }
        }
    });
});

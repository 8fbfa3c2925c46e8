//! Every step on pictures of odd width and height; what TensorFlow and Pillow make of them (odd_pictures.py).

use safetensors::SafeTensors;
use vla_bundle::{Idct, ResizeKernel};

use super::center_crop::CenterCrop;
use super::jpeg::JpegRoundtrip;
use super::letterbox::letterbox;
use super::picture::Picture;
use super::resize::{Resize, Target};

/// Width and height of the pictures, and of what they are scaled to.
const SIZES: [([u32; 2], [u32; 2]); 6] = [
    ([101, 37], [53, 29]),
    ([38, 101], [45, 31]),
    ([333, 217], [71, 55]),
    ([17, 13], [43, 51]),
    ([41, 63], [29, 39]),
    ([41, 64], [29, 39]),
];

/// The recipe's `picture`.
fn picture([width, height]: [u32; 2]) -> Picture {
    let value = |(y, x, c): (u32, u32, u32)| {
        let texture = (x * x * 7 + y * 31 + c * 53 + x * y * 11) * (1 + (x + y + c) % 3);
        (texture % 97 + x * 150 / width) as u8
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    Picture { width, height, rgb: pixels.flat_map(|(y, x)| [0, 1, 2].map(|c| value((y, x, c)))).collect() }
}

fn expected(of: [u32; 2], step: &str) -> Option<Picture> {
    let file = std::fs::read("tests/data/preprocess/odd_sizes.safetensors").unwrap();
    let all = SafeTensors::deserialize(&file).unwrap();
    let tensor = all.tensor(&format!("{}x{}.{step}", of[0], of[1])).ok()?;
    let &[height, width, 3] = tensor.shape() else { panic!("{step}: {:?}", tensor.shape()) };
    Some(Picture { width: width as u32, height: height as u32, rgb: tensor.data().to_vec() })
}

/// The pixels at the lower right, as many as `of` has.
fn lower_right(picture: &Picture, of: &Picture) -> Picture {
    let [left, top] = [picture.width - of.width, picture.height - of.height].map(|side| side as usize);
    let rows = picture.rgb.chunks_exact(3 * picture.width as usize).skip(top);
    Picture { rgb: rows.flat_map(|row| row[3 * left..].to_vec()).collect(), ..*of }
}

#[test]
fn resizing_odd_sizes_gives_the_originals_pixels() {
    let kernels = [
        ("lanczos3_tf", ResizeKernel::Lanczos3Tf),
        ("bilinear_pil", ResizeKernel::BilinearPil),
        ("bicubic_pil", ResizeKernel::BicubicPil),
        ("lanczos_pil", ResizeKernel::LanczosPil),
    ];
    for (name, kernel) in kernels {
        for (size, target) in SIZES {
            let mut got = Picture::default();
            Resize::new(Target::Exactly(target), kernel).apply(&picture(size), &mut got);
            assert!(Some(got) == expected(size, name), "{name} {size:?}");
        }
    }
}

#[test]
fn the_short_side_of_odd_sizes_is_scaled_to_torchvisions_pixels() {
    let mut resize = Resize::new(Target::ShortSide(15), ResizeKernel::BicubicPil);
    for (size, _) in SIZES {
        let mut got = Picture::default();
        resize.apply(&picture(size), &mut got);
        assert!(Some(got) == expected(size, "short_side"), "{size:?}");
    }
}

#[test]
fn the_jpeg_round_trip_of_odd_sizes_gives_tensorflows_pixels() {
    let mut step = JpegRoundtrip::new(95, Idct::Fast);
    for (size, _) in SIZES {
        let mut got = Picture::default();
        step.apply(&picture(size), &mut got);
        let wanted = expected(size, "jpeg_roundtrip").unwrap();
        assert!(lower_right(&got, &wanted) == wanted, "{size:?}");
    }
}

#[test]
fn crops_and_borders_of_odd_sizes_are_the_originals() {
    let sizes: Vec<[u32; 2]> = SIZES.map(|(size, _)| size).into_iter().filter(|[width, _]| *width < 200).collect();
    assert_eq!(sizes.len(), 5);
    for size in sizes {
        let [mut cropped, mut boxed] = [Picture::default(), Picture::default()];
        CenterCrop::new(0.9).apply(&picture(size), &mut cropped);
        letterbox(&picture(size), [124, 116, 104], &mut boxed);
        assert!(Some(cropped) == expected(size, "center_crop"), "{size:?}");
        assert!(Some(boxed) == expected(size, "letterbox"), "{size:?}");
    }
}

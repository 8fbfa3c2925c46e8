//! What frames and files become; raw encodings against OpenCV's pixels.

use proptest::prelude::*;
use safetensors::SafeTensors;

use super::*;
use crate::preprocess::goldens::{Golden, decode};

fn frame(encoding: Encoding, [width, height, step]: [u32; 3], data: &[u8]) -> Frame {
    Frame { frame_id: String::new(), encoding, width, height, step, data: data.into() }
}

fn refused(frame: &Frame) -> String {
    Picture::default().decode(frame).unwrap_err().to_string()
}

/// Our picture as a JPEG file of quality 90.
fn jpeg(picture: &Picture) -> Vec<u8> {
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_size(picture.width as usize, picture.height as usize);
    encoder.set_quality(90.0);
    let mut encoder = encoder.start_compress(Vec::new()).unwrap();
    encoder.write_scanlines(&picture.rgb).unwrap();
    encoder.finish().unwrap()
}

/// A PNG file of 3 x 1 pixels.
fn png(color: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 3, 1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        encoder.set_palette(vec![9, 8, 7, 30, 20, 10]);
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    file
}

#[test]
fn padding_at_the_end_of_rows_is_skipped_and_blue_first_is_turned() {
    let data = [1, 2, 3, 4, 5, 6, 99, 7, 8, 9, 10, 11, 12, 99];
    let mut picture = Picture::default();
    picture.decode(&frame(Encoding::Rgb8, [2, 2, 7], &data)).unwrap();
    assert_eq!(picture, Picture { width: 2, height: 2, rgb: (1..=12).collect() });
    picture.decode(&frame(Encoding::Bgr8, [2, 2, 7], &data)).unwrap();
    assert_eq!(picture.rgb, [3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
}

#[test]
fn every_raw_encoding_gives_opencvs_pixels() {
    let expected = std::fs::read("tests/data/pictures/expected.safetensors").unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let names = expected.names();
    let names: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".frame")).collect();
    assert_eq!(names.len(), 10);
    for name in names {
        let [rows, rgb] = ["frame", "rgb"].map(|part| expected.tensor(&format!("{name}.{part}")).unwrap());
        let (&[_, step], &[height, width, 3]) = (rows.shape(), rgb.shape()) else { panic!("{name}") };
        let size = [width, height, step].map(|side| side as u32);
        let mut picture = Picture::default();
        picture.decode(&frame(Encoding::raw(name).unwrap(), size, rows.data())).unwrap();
        assert_eq!([picture.width, picture.height], size[..2], "{name}");
        assert_eq!(picture.rgb, rgb.data(), "{name}");
    }
}

#[test]
fn sizes_that_do_not_fit_the_bytes_are_refused() {
    let pixels = |size, bytes: usize| refused(&frame(Encoding::Rgb8, size, &vec![0; bytes]));
    assert_eq!(pixels([2, 2, 6], 11), "image data has 11 bytes, 2 rows of 6 bytes need 12");
    assert_eq!(pixels([2, 2, 5], 10), "image step is 5 bytes, 2 pixels of rgb8 need 6");
}

#[test]
fn sizes_that_no_camera_has_are_refused_before_they_take_memory() {
    let wanted = "wanted 1 to 8192 on a side and no side over 32 times the other";
    let grey = |width, height| frame(Encoding::Mono8, [width, height, width], &vec![0; (width * height) as usize]);
    assert_eq!(refused(&grey(8193, 300)), format!("8193 x 300 pixels, {wanted}"));
    assert_eq!(refused(&grey(3, 97)), format!("3 x 97 pixels, {wanted}"));
    assert_eq!(Picture::default().decode(&grey(8192, 256)), Ok(()));
    assert_eq!(Picture::default().decode(&grey(3, 96)), Ok(()));

    // The size of a file stands in its head: two bytes of height, then of width, behind the mark of the frame.
    let mut file = jpeg(&Golden::load("tiny_100x37").input);
    let head = file.windows(2).position(|mark| [[0xff, 0xc0], [0xff, 0xc2]].contains(&[mark[0], mark[1]])).unwrap();
    file[head + 5..head + 9].copy_from_slice(&[0x00, 0x01, 0xff, 0xdc]);
    assert_eq!(refused(&frame(Encoding::Jpeg, [0; 3], &file)), format!("65500 x 1 pixels, {wanted}"));
}

#[test]
fn a_jpeg_file_is_decoded_and_a_damaged_one_refused() {
    let picture = Golden::load("tiny_100x37").input;
    let file = jpeg(&picture);
    let got = decode(Encoding::Jpeg, file.clone());
    assert_eq!([got.width, got.height], [100, 37]);
    let difference: u64 = got.rgb.iter().zip(&picture.rgb).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(difference < 8 * 3 * 100 * 37, "{difference}");
    let padded: Vec<u8> = file.iter().copied().chain([0, 0, 0]).collect();
    assert!(decode(Encoding::Jpeg, padded) == got);

    let message = |file: &[u8]| refused(&frame(Encoding::Jpeg, [0; 3], file));
    assert_eq!(message(&file[..file.len() / 2]), "JPEG file: no end marker, it is cut short");
    assert_eq!(message(&[]), "JPEG file: no end marker, it is cut short");
    let no_jpeg = message(&[0x12, 0x34, 0xff, 0xd9]);
    assert_eq!(no_jpeg, "JPEG file: libjpeg fatal error: Not a JPEG file: starts with 0x12 0x34");
}

#[test]
fn png_files_of_every_colour_type_become_rgb_without_transparency() {
    use png::{BitDepth, ColorType};
    let decoded = |color, depth, data: &[u8]| decode(Encoding::Png, png(color, depth, data)).rgb;
    let eight = BitDepth::Eight;
    assert_eq!(decoded(ColorType::Grayscale, eight, &[5, 6, 7]), [5, 5, 5, 6, 6, 6, 7, 7, 7]);
    let grey = decoded(ColorType::GrayscaleAlpha, eight, &[5, 0, 6, 1, 7, 2]);
    assert_eq!(grey, [5, 5, 5, 6, 6, 6, 7, 7, 7]);
    let rgba = decoded(ColorType::Rgba, eight, &[1, 2, 3, 0, 4, 5, 6, 255, 7, 8, 9, 128]);
    assert_eq!(rgba, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let palette = decoded(ColorType::Indexed, eight, &[1, 0, 1]);
    assert_eq!(palette, [30, 20, 10, 9, 8, 7, 30, 20, 10]);
    let deep = refused(&frame(Encoding::Png, [0; 3], &png(ColorType::Grayscale, BitDepth::Sixteen, &[1; 6])));
    assert_eq!(deep, "PNG file: Grayscale with 16 bits per channel, wanted 8");
}

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

proptest! {
    #[test]
    fn any_bytes_of_any_size_are_a_picture_or_an_error(
        (name, width, height, step) in (0..RAW.len(), size(), size(), size()),
        data in proptest::collection::vec(any::<u8>(), 0..700),
    ) {
        let encoding = Encoding::raw(RAW[name]).unwrap();
        let mut picture = Picture::default();
        if picture.decode(&frame(encoding, [width, height, step], &data)).is_ok() {
            prop_assert_eq!(picture.rgb.len(), 3 * (width * height) as usize);
        }
        for encoding in [Encoding::Jpeg, Encoding::Png] {
            prop_assert!(picture.decode(&frame(encoding, [width, height, step], &data)).is_err());
        }
    }

    #[test]
    fn a_file_with_one_byte_changed_is_a_picture_or_an_error(at in 0usize..10_000, byte in any::<u8>()) {
        let golden = Golden::load("tiny_100x37").input;
        let png = include_bytes!("../../../tests/data/preprocess/tiny_100x37/input.png").to_vec();
        for (encoding, mut file) in [(Encoding::Jpeg, jpeg(&golden)), (Encoding::Png, png)] {
            let at = at % file.len();
            file[at] = byte;
            let mut picture = Picture::default();
            if picture.decode(&frame(encoding, [0; 3], &file)).is_ok() {
                prop_assert_eq!(picture.rgb.len(), 3 * (picture.width * picture.height) as usize);
            }
        }
    }
}

/// Small sizes that often fit, and any others.
fn size() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..24, 1 => any::<u32>()]
}

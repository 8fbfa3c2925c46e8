//! JPEG encode and decode without the entropy coder in between, bit-equal to libjpeg-turbo.

use multiversion::multiversion;
use vla_bundle::Idct;

use super::planes::{Plane, Planes, Sampling};
use super::quant::Quantizer;
use super::strip::{self, EMPTY, SPAN};
use super::{color, dct};
use crate::preprocess::picture::Picture;

/// What a picture looks like after it was a JPEG file of a given quality with 4:2:0 colour.
pub struct JpegRoundtrip {
    luma: Quantizer,
    chroma: Quantizer,
    idct: Idct,
    planes: Planes,
    /// Two rows of each colour at full resolution.
    rows: [Vec<u8>; 4],
}

impl JpegRoundtrip {
    /// `quality` is libjpeg's, 1 to 100.
    pub fn new(quality: u8, idct: Idct) -> Self {
        let [luma, chroma] = [Quantizer::luma(quality, idct), Quantizer::chroma(quality, idct)];
        Self { luma, chroma, idct, planes: Planes::default(), rows: Default::default() }
    }

    /// Writes what a decoder would show of `input` to `output`.
    pub fn apply(&mut self, input: &Picture, output: &mut Picture) {
        self.planes.resize([input.width, input.height], Sampling::S420);
        self.split(input);
        let Planes { y, cb, cr, .. } = &mut self.planes;
        for (plane, quantizer) in [(y, &self.luma), (cb, &self.chroma), (cr, &self.chroma)] {
            let rows = plane.samples.chunks_exact_mut(8 * plane.width);
            rows.for_each(|rows| code(rows, quantizer, self.idct));
        }
        output.resize(input.width, input.height);
        self.planes.join(Sampling::S420, output);
    }

    /// RGB to planes, borders repeated outwards as the encoder does: colour after it was halved.
    fn split(&mut self, picture: &Picture) {
        let [width, height] = [picture.width as usize, picture.height as usize];
        let Planes { y, cb, cr, .. } = &mut self.planes;
        self.rows.iter_mut().for_each(|row| row.resize(y.width, 0));
        for pair in 0..height.div_ceil(2) {
            let [top_cb, top_cr, low_cb, low_cr] = &mut self.rows;
            for (row, cb, cr) in [(2 * pair, &mut *top_cb, &mut *top_cr), (2 * pair + 1, &mut *low_cb, &mut *low_cr)] {
                let pixels = &picture.rgb[3 * width * row.min(height - 1)..][..3 * width];
                let y = y.row_mut(row);
                color::rgb_to_ycc(pixels, &mut y[..width], &mut cb[..width], &mut cr[..width]);
                for plane in [y, cb, cr] {
                    let edge = plane[width - 1];
                    plane[width..].fill(edge);
                }
            }
            color::halve(top_cb, low_cb, cb.row_mut(pair));
            color::halve(top_cr, low_cr, cr.row_mut(pair));
        }
        repeat_last_row(y, height.next_multiple_of(2));
        repeat_last_row(cb, height.div_ceil(2));
        repeat_last_row(cr, height.div_ceil(2));
    }
}

/// Copies row `filled - 1` into every later one.
fn repeat_last_row(plane: &mut Plane, filled: usize) {
    let width = plane.width;
    let (filled, empty) = plane.samples.split_at_mut(filled * width);
    let last = &filled[filled.len() - width..];
    empty.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(last));
}

/// Sends eight rows of samples through transform, quantisation and back.
#[multiversion(targets("x86_64+avx2"))]
fn code(rows: &mut [u8], quantizer: &Quantizer, idct: Idct) {
    let mut strip = EMPTY;
    for column in (0..rows.len() / 8).step_by(SPAN) {
        strip::load(&mut strip, rows, column);
        dct::forward(&mut strip);
        quantizer.requantize(&mut strip);
        match idct {
            Idct::Accurate => dct::inverse_accurate(&mut strip),
            Idct::Fast => dct::inverse_fast(&mut strip),
        }
        strip::store(&strip, rows, column);
    }
}

#[cfg(test)]
mod tests {
    use mozjpeg::{ColorSpace, Compress, Decompress, decompress::DctMethod};
    use proptest::prelude::*;

    use super::*;
    use crate::preprocess::goldens::Golden;
    use crate::preprocess::jpeg::noise::pictures;

    /// libjpeg itself, there and back.
    fn libjpeg(picture: &Picture, quality: u8, idct: Idct) -> Picture {
        let mut encoder = Compress::new(ColorSpace::JCS_RGB);
        encoder.set_fastest_defaults();
        encoder.set_size(picture.width as usize, picture.height as usize);
        encoder.set_quality(f32::from(quality));
        encoder.set_chroma_sampling_pixel_sizes((2, 2), (2, 2));
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        encoder.write_scanlines(&picture.rgb).unwrap();
        let file = encoder.finish().unwrap();
        let mut decoder = Decompress::new_mem(&file).unwrap();
        decoder.dct_method(match idct {
            Idct::Accurate => DctMethod::IntegerSlow,
            Idct::Fast => DctMethod::IntegerFast,
        });
        let rgb = decoder.rgb().unwrap().read_scanlines().unwrap();
        Picture { rgb, ..*picture }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn every_picture_comes_back_as_from_libjpeg(picture in pictures([1..150, 1..60]), quality in 25..=100_u8) {
            let mut got = Picture::default();
            JpegRoundtrip::new(quality, Idct::Accurate).apply(&picture, &mut got);
            prop_assert!(got == libjpeg(&picture, quality, Idct::Accurate), "{}x{}", picture.width, picture.height);
        }

        /// Half the contrast keeps 16 bits from overflowing: libjpeg's portable code, this oracle, has 32.
        #[test]
        fn every_picture_comes_back_as_from_libjpegs_fast_transform(picture in pictures([1..150, 1..60]), quality in 25..=100_u8) {
            let picture = Picture { rgb: picture.rgb.iter().map(|v| v / 2 + 50).collect(), ..picture };
            let mut got = Picture::default();
            JpegRoundtrip::new(quality, Idct::Fast).apply(&picture, &mut got);
            prop_assert!(got == libjpeg(&picture, quality, Idct::Fast), "{}x{}", picture.width, picture.height);
        }
    }

    /// libjpeg-turbo with its SIMD code, which TensorFlow runs (encoded by Pillow 13.0.0 with quality 95, decoded by
    /// simplejpeg 1.9.0 with `fastdct=True`): black and white squares of 4 x 4 pixels overflow its 16 bits.
    #[test]
    fn patterns_that_overflow_the_fast_transform_overflow_as_in_libjpeg_turbo() {
        let square = |i: usize| if i % 8 / 4 == i / 32 { 250 } else { 3 };
        let input = Picture { width: 8, height: 8, rgb: (0..64).flat_map(|i| [square(i); 3]).collect() };
        let mut got = Picture::default();
        JpegRoundtrip::new(95, Idct::Fast).apply(&input, &mut got);
        let grey: Vec<u8> = got.rgb.iter().step_by(3).copied().collect();
        let wanted = [
            [255, 255, 253, 250, 2, 0, 0, 0],
            [0, 255, 0, 123, 129, 255, 0, 255],
            [0, 0, 0, 0, 255, 255, 255, 255],
            [255, 0, 255, 0, 255, 0, 255, 0],
            [0, 255, 0, 255, 0, 255, 0, 255],
            [255, 255, 255, 255, 0, 0, 0, 0],
            [255, 0, 255, 129, 123, 0, 255, 0],
            [0, 0, 0, 2, 250, 253, 255, 255],
        ];
        assert_eq!(grey, wanted.as_flattened());
    }

    #[test]
    fn scratch_of_an_earlier_larger_picture_does_not_show() {
        let picture = |width: u32, height: u32| {
            let rgb = (0..3 * width * height).map(|i| (i * i / 7) as u8).collect();
            Picture { width, height, rgb }
        };
        let mut step = JpegRoundtrip::new(95, Idct::Fast);
        for (width, height) in [(99, 41), (18, 7), (33, 50)] {
            let mut got = Picture::default();
            step.apply(&picture(width, height), &mut got);
            assert!(got == libjpeg(&picture(width, height), 95, Idct::Fast), "{width}x{height}");
        }
    }

    #[test]
    fn tensorflow_shows_the_same_pixels() {
        let roundtrip = |golden: &Golden| {
            let mut got = Picture::default();
            JpegRoundtrip::new(95, Idct::Fast).apply(&golden.input, &mut got);
            got
        };
        let tiny = Golden::load("tiny_100x37");
        assert!(roundtrip(&tiny) == tiny.picture("jpeg_roundtrip.u8"));
        for case in ["edges_320x180", "front_256", "cam_640x480"] {
            let golden = Golden::load(case);
            let got = roundtrip(&golden);
            let corner = |left: usize, top: usize| -> Vec<u8> {
                let rows = got.rgb.chunks_exact(3 * got.width as usize).skip(top).take(64);
                rows.flat_map(|row| row[3 * left..][..3 * 64].to_vec()).collect()
            };
            assert!(corner(0, 0) == golden.u8("jpeg_roundtrip.top_left_64.u8"), "{case}");
            let [left, top] = [got.width, got.height].map(|side| side as usize - 64);
            assert!(corner(left, top) == golden.u8("jpeg_roundtrip.bottom_right_64.u8"), "{case}");
        }
    }
}

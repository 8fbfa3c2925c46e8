//! JPEG encode and decode without the entropy coder in between, bit-equal to libjpeg-turbo.

use multiversion::multiversion;
use vla_bundle::Idct;

use super::interleave::interleave;
use super::picture::Picture;

mod color;
mod dct;
mod quant;

use dct::{LANES, Lanes, Strip};
use quant::Quantizer;

/// What a picture looks like after it was a JPEG file of a given quality with 4:2:0 colour.
pub struct JpegRoundtrip {
    luma: Quantizer,
    chroma: Quantizer,
    idct: Idct,
    planes: Planes,
}

/// The encoder's and decoder's planes, and rows of scratch. Planes are padded to whole blocks of 16 pixels.
#[derive(Default)]
struct Planes {
    y: Plane,
    cb: Plane,
    cr: Plane,
    /// Two rows of each colour at full resolution.
    rows: [Vec<u8>; 4],
    sums: Vec<u16>,
}

#[derive(Default)]
struct Plane {
    width: usize,
    samples: Vec<u8>,
}

impl JpegRoundtrip {
    /// `quality` is libjpeg's, 1 to 100.
    pub fn new(quality: u8, idct: Idct) -> Self {
        let [luma, chroma] = [Quantizer::luma(quality, idct), Quantizer::chroma(quality, idct)];
        Self { luma, chroma, idct, planes: Planes::default() }
    }

    /// Writes what a decoder would show of `input` to `output`.
    pub fn apply(&mut self, input: &Picture, output: &mut Picture) {
        let planes = &mut self.planes;
        planes.split(input);
        planes.y.code(&self.luma, self.idct);
        planes.cb.code(&self.chroma, self.idct);
        planes.cr.code(&self.chroma, self.idct);
        output.resize(input.width, input.height);
        planes.join(output);
    }
}

impl Planes {
    /// RGB to planes, borders repeated outwards as the encoder does: colour after it was halved.
    fn split(&mut self, picture: &Picture) {
        let [width, height] = [picture.width as usize, picture.height as usize];
        let [wide, high] = [width.next_multiple_of(16), height.next_multiple_of(16)];
        self.y.resize(wide, high);
        self.cb.resize(wide / 2, high / 2);
        self.cr.resize(wide / 2, high / 2);
        self.rows.iter_mut().for_each(|row| row.resize(wide, 0));
        self.sums.resize(wide / 2 + 2, 0);

        for pair in 0..height.div_ceil(2) {
            let [top_cb, top_cr, low_cb, low_cr] = &mut self.rows;
            for (row, cb, cr) in [(2 * pair, &mut *top_cb, &mut *top_cr), (2 * pair + 1, &mut *low_cb, &mut *low_cr)] {
                let source = row.min(height - 1);
                let y = self.y.row_mut(row);
                let pixels = &picture.rgb[3 * width * source..][..3 * width];
                color::rgb_to_ycc(pixels, &mut y[..width], &mut cb[..width], &mut cr[..width]);
                for plane in [y, cb, cr] {
                    let edge = plane[width - 1];
                    plane[width..].fill(edge);
                }
            }
            color::halve(top_cb, low_cb, self.cb.row_mut(pair));
            color::halve(top_cr, low_cr, self.cr.row_mut(pair));
        }
        self.y.repeat_last_row(height.next_multiple_of(2));
        self.cb.repeat_last_row(height.div_ceil(2));
        self.cr.repeat_last_row(height.div_ceil(2));
    }

    /// Planes to RGB, colour doubled as the decoder does: the padding takes no part.
    fn join(&mut self, picture: &mut Picture) {
        let [width, height] = [picture.width as usize, picture.height as usize];
        let [half_width, half_height] = [width.div_ceil(2), height.div_ceil(2)];
        for row in 0..height {
            let near = row / 2;
            let far = if row % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(half_height - 1) };
            for (plane, out) in [&self.cb, &self.cr].into_iter().zip(&mut self.rows) {
                let [near, far] = [near, far].map(|row| &plane.row(row)[..half_width]);
                // libjpeg's triangle filter wants three columns; below that it repeats samples.
                if half_width > 2 {
                    color::double(near, far, &mut self.sums, out);
                } else {
                    out.iter_mut().enumerate().for_each(|(x, out)| *out = near[(x / 2).min(half_width - 1)]);
                }
            }
            let [cb, cr, ..] = &self.rows;
            color::ycc_to_rgb(self.y.row(row), cb, cr, &mut picture.rgb[3 * width * row..][..3 * width]);
        }
    }
}

impl Plane {
    fn resize(&mut self, width: usize, height: usize) {
        self.width = width;
        self.samples.resize(width * height, 0);
    }

    fn row(&self, row: usize) -> &[u8] {
        &self.samples[row * self.width..][..self.width]
    }

    fn row_mut(&mut self, row: usize) -> &mut [u8] {
        &mut self.samples[row * self.width..][..self.width]
    }

    /// Copies row `filled - 1` into every later one.
    fn repeat_last_row(&mut self, filled: usize) {
        let (last, rest) = (filled * self.width - self.width, filled * self.width);
        let (filled, empty) = self.samples.split_at_mut(rest);
        empty.chunks_exact_mut(self.width).for_each(|row| row.copy_from_slice(&filled[last..]));
    }

    /// Sends every block through transform, quantisation and back.
    fn code(&mut self, quantizer: &Quantizer, idct: Idct) {
        self.samples.chunks_exact_mut(8 * self.width).for_each(|rows| code_rows(rows, quantizer, idct));
    }
}

/// Sends eight rows of samples through transform, quantisation and back.
#[multiversion(targets("x86_64+avx2"))]
fn code_rows(rows: &mut [u8], quantizer: &Quantizer, idct: Idct) {
    const SPAN: usize = 8 * LANES;
    let width = rows.len() / 8;
    let mut strip: Strip = [[0; LANES]; 64];
    for column in (0..width).step_by(SPAN) {
        let span = SPAN.min(width - column);
        for (row, numbers) in rows.chunks_exact(width).zip(strip.as_chunks_mut::<8>().0) {
            let mut samples = [[0; LANES]; 8];
            samples.as_flattened_mut()[..span].copy_from_slice(&row[column..][..span]);
            for (lanes, samples) in numbers.iter_mut().zip(blocks_to_lanes(&samples)) {
                for (x, sample) in lanes.iter_mut().zip(samples) {
                    *x = i16::from(sample) - 128;
                }
            }
        }
        dct::forward(&mut strip);
        quantizer.requantize(&mut strip);
        match idct {
            Idct::Accurate => dct::inverse_accurate(&mut strip),
            Idct::Fast => dct::inverse_fast(&mut strip),
        }
        for (row, numbers) in rows.chunks_exact_mut(width).zip(strip.as_chunks::<8>().0) {
            let mut samples = [[0; LANES]; 8];
            for (samples, lanes) in samples.iter_mut().zip(numbers) {
                for (sample, x) in samples.iter_mut().zip(lanes) {
                    *sample = (x + 128).clamp(0, 255) as u8;
                }
            }
            row[column..][..span].copy_from_slice(&lanes_to_blocks(&samples).as_flattened()[..span]);
        }
    }
}

/// A row of blocks' samples as one lane per column.
#[inline(always)]
fn blocks_to_lanes(samples: &[Lanes<u8>; 8]) -> [Lanes<u8>; 8] {
    interleave(&interleave(&interleave(&interleave(samples))))
}

/// The way back.
#[inline(always)]
fn lanes_to_blocks(lanes: &[Lanes<u8>; 8]) -> [Lanes<u8>; 8] {
    interleave(&interleave(&interleave(lanes)))
}

#[cfg(test)]
mod tests {
    use mozjpeg::{ColorSpace, Compress, Decompress, decompress::DctMethod};
    use proptest::prelude::*;

    use super::*;
    use crate::preprocess::goldens::Golden;

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

    /// Noise of a given strength on a slope; 255 gives black and white grain.
    fn pictures() -> impl Strategy<Value = Picture> {
        let pixels = |(width, height, strength): (u32, u32, u8)| {
            proptest::collection::vec(any::<u8>(), 3 * width as usize * height as usize).prop_map(move |noise| {
                let pixel = |(i, n): (usize, &u8)| match strength {
                    255 => 255 * (n & 1),
                    _ => ((i * 7 / height as usize) as u8 / 2).saturating_add(n % (strength + 1)),
                };
                Picture { width, height, rgb: noise.iter().enumerate().map(pixel).collect() }
            })
        };
        (1..150_u32, 1..60_u32, prop_oneof![0..100_u8, Just(255)]).prop_flat_map(pixels)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn every_picture_comes_back_as_from_libjpeg(picture in pictures(), quality in 25..=100_u8) {
            let mut got = Picture::default();
            JpegRoundtrip::new(quality, Idct::Accurate).apply(&picture, &mut got);
            prop_assert!(got == libjpeg(&picture, quality, Idct::Accurate), "{}x{}", picture.width, picture.height);
        }

        /// Half the contrast keeps 16 bits from overflowing: libjpeg's portable code, this oracle, has 32.
        #[test]
        fn every_picture_comes_back_as_from_libjpegs_fast_transform(picture in pictures(), quality in 25..=100_u8) {
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

//! `tf.image.resize(method="lanczos3", antialias=True)`, rounded half to even and clipped to u8.
//!
//! The original is TensorFlow's `ScaleAndTranslate` (scale_and_translate_op.cc, sampling_kernels.h): f32 throughout,
//! rows first, each sum in the order of the samples.

use multiversion::multiversion;

use super::interleave::interleave;
use super::picture::Picture;
use super::spans::Spans;

/// Output rows that are made together, so that columns are resized for all of them at once.
const BAND: usize = 8;
/// Values of a row that one sweep works on: their sums stay in registers, and the sweep's input in the cache.
const CHUNK: usize = 32;

/// The same value of every row of a band.
type Lanes = [f32; BAND];

/// Tables of the last sizes, and scratch.
#[derive(Default)]
pub struct Lanczos3 {
    /// Width and height of input and output that the spans are for.
    sizes: [[u32; 2]; 2],
    rows: Spans<f32>,
    columns: Spans<f32>,
    /// One chunk of the input rows that a band is made of.
    chunk: Vec<[f32; CHUNK]>,
    /// A band after its rows were resized, rounded up to whole chunks.
    between: Vec<Lanes>,
    /// A band of the output.
    band: Vec<Lanes>,
}

impl Lanczos3 {
    /// Writes `input`, scaled to `output`'s size, to `output`.
    pub fn apply(&mut self, input: &Picture, output: &mut Picture) {
        let size = [output.width, output.height];
        let mut bands = output.rgb.chunks_mut(BAND * 3 * output.width as usize);
        self.for_each_band(input, size, |band| round(band, bands.next().unwrap_or_default()));
    }

    /// Hands out the resized rows band by band, not rounded yet; lanes beyond the last row hold anything.
    fn for_each_band(&mut self, input: &Picture, [width, height]: [u32; 2], mut take: impl FnMut(&[Lanes])) {
        let sizes = [[input.width, input.height], [width, height]];
        if self.sizes != sizes {
            self.sizes = sizes;
            self.rows = spans(input.height, height);
            self.columns = spans(input.width, width);
        }
        self.between.resize((3 * input.width as usize).next_multiple_of(CHUNK), [0.0; BAND]);
        self.band.resize(3 * width as usize, [0.0; BAND]);
        for start in (0..height as usize).step_by(BAND) {
            let rows = self.rows.range(start..(start + BAND).min(height as usize));
            resize_rows(input, rows, &mut self.chunk, &mut self.between);
            resize_columns(&self.columns, &self.between, &mut self.band);
            take(&self.band);
        }
    }
}

/// Makes `rows` from `input`'s rows, one per lane.
#[multiversion(targets("x86_64+avx2"))]
fn resize_rows<'a>(
    input: &Picture,
    rows: impl Iterator<Item = (usize, &'a [f32])> + Clone,
    chunk: &mut Vec<[f32; CHUNK]>,
    out: &mut [Lanes],
) {
    let first = rows.clone().map(|(first, _)| first).min().unwrap_or_default();
    let end = rows.clone().map(|(first, weights)| first + weights.len()).max().unwrap_or_default();
    let values = 3 * input.width as usize;
    chunk.resize(end - first, [0.0; CHUNK]);
    for (start, out) in (0..values).step_by(CHUNK).zip(out.as_chunks_mut::<CHUNK>().0) {
        let filled = CHUNK.min(values - start);
        for (chunk, row) in chunk.iter_mut().zip(input.rgb[first * values..].chunks_exact(values)) {
            for (value, byte) in chunk.iter_mut().zip(&row[start..start + filled]) {
                *value = f32::from(*byte);
            }
        }
        let mut band = [[0.0; CHUNK]; BAND];
        for ((top, weights), made) in rows.clone().zip(&mut band) {
            let mut sums = [0.0; CHUNK];
            for (row, weight) in chunk[top - first..].iter().zip(weights) {
                for i in 0..CHUNK {
                    sums[i] += row[i] * weight;
                }
            }
            *made = sums;
        }
        for (block, out) in out.as_chunks_mut::<BAND>().0.iter_mut().enumerate() {
            let mut lanes = [[0.0; BAND]; BAND];
            for (lane, row) in lanes.iter_mut().zip(&band) {
                lane.copy_from_slice(&row[BAND * block..][..BAND]);
            }
            *out = interleave(&interleave(&interleave(&lanes)));
        }
    }
}

/// Makes a band of `out` from all columns of a band.
#[multiversion(targets("x86_64+avx2"))]
fn resize_columns(columns: &Spans<f32>, band: &[Lanes], out: &mut [Lanes]) {
    let pixels = band.as_chunks::<3>().0;
    for ((first, weights), out) in columns.iter().zip(out.as_chunks_mut::<3>().0) {
        let mut sums = [[0.0; BAND]; 3];
        for (pixel, weight) in pixels[first..].iter().zip(weights) {
            for channel in 0..3 {
                for lane in 0..BAND {
                    sums[channel][lane] += pixel[channel][lane] * weight;
                }
            }
        }
        *out = sums;
    }
}

/// Writes a band's lanes to as many rows as there are.
#[multiversion(targets("x86_64+avx2"))]
fn round(band: &[Lanes], rows: &mut [u8]) {
    for (lane, row) in rows.chunks_exact_mut(band.len()).enumerate() {
        for (out, lanes) in row.iter_mut().zip(band) {
            *out = round_half_to_even(lanes[lane]);
        }
    }
}

/// `ComputeSpansCore` of scale_and_translate_op.cc, in its order of f32 operations.
fn spans(input: u32, output: u32) -> Spans<f32> {
    const RADIUS: f32 = 3.0;
    let scale = output as f32 / input as f32;
    let inverse = (1.0 / f64::from(scale)) as f32;
    let kernel_scale = inverse.max(1.0);
    let inverse_kernel_scale = 1.0 / kernel_scale;
    let last = i64::from(input) - 1;
    let mut spans = Spans::default();
    for x in 0..output {
        let sample = (x as f32 + 0.5) * inverse;
        let first = ((sample - RADIUS * kernel_scale - 0.5).ceil() as i64).clamp(0, last);
        let end = ((sample + RADIUS * kernel_scale - 0.5).floor() as i64).clamp(0, last) + 1;
        let weight = |source: i64| kernel(((source as f32 + 0.5 - sample) * inverse_kernel_scale).abs(), RADIUS);
        let total: f32 = (first..end).map(weight).sum();
        let inverse_total = 1.0 / total;
        spans.push(first as usize, (first..end).map(|source| weight(source) * inverse_total));
    }
    spans
}

/// The Lanczos window in f32, as TensorFlow writes it.
fn kernel(x: f32, radius: f32) -> f32 {
    use std::f32::consts::PI;
    if x > radius {
        0.0
    } else if x <= 1e-3 {
        1.0
    } else {
        radius * (PI * x).sin() * (PI * x / radius).sin() / (PI * PI * x * x)
    }
}

/// `clip(round(x), 0, 255)`: adding 2^23 leaves the rounded number in the low bits.
fn round_half_to_even(x: f32) -> u8 {
    (x.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vla_bundle::Idct;

    use super::*;
    use crate::preprocess::goldens::Golden;
    use crate::preprocess::jpeg::JpegRoundtrip;

    #[test]
    fn tensorflow_resizes_to_the_same_numbers() {
        for case in ["tiny_100x37", "edges_320x180", "front_256", "cam_640x480"] {
            let golden = Golden::load(case);
            let mut input = Picture::default();
            JpegRoundtrip::new(95, Idct::Fast).apply(&golden.input, &mut input);
            let mut rows = Vec::new();
            Lanczos3::default().for_each_band(&input, [224, 224], |band| {
                rows.extend((0..BAND).map(|lane| band.iter().map(|lanes| lanes[lane]).collect::<Vec<_>>()));
            });
            let wanted = golden.f32("lanczos_f32_rows");
            for (index, wanted) in golden.index("lanczos_f32_rows.index").into_iter().zip(wanted.chunks_exact(3 * 224))
            {
                assert!(rows[index] == wanted, "{case} row {index}");
            }
        }
    }

    #[test]
    fn tensorflow_rounds_to_the_same_pixels() {
        for case in ["tiny_100x37", "edges_320x180"] {
            let golden = Golden::load(case);
            let mut input = Picture::default();
            JpegRoundtrip::new(95, Idct::Fast).apply(&golden.input, &mut input);
            let mut got = Picture { width: 224, height: 224, rgb: vec![0; 3 * 224 * 224] };
            Lanczos3::default().apply(&input, &mut got);
            assert!(got == golden.picture("resized.u8"), "{case}");
        }
    }

    /// The formula, pixel by pixel.
    fn plain(input: &Picture, width: u32, height: u32) -> Picture {
        let [rows, columns] = [spans(input.height, height), spans(input.width, width)];
        let stride = 3 * input.width as usize;
        let mut rgb = Vec::new();
        for (top, row_weights) in rows.iter() {
            let between = |value: usize| {
                let values =
                    row_weights.iter().enumerate().map(|(k, w)| f32::from(input.rgb[(top + k) * stride + value]) * w);
                values.fold(0.0, |sum, x| sum + x)
            };
            for (left, weights) in columns.iter() {
                rgb.extend([0, 1, 2].map(|channel| {
                    let values = weights.iter().enumerate().map(|(k, w)| between(3 * (left + k) + channel) * w);
                    round_half_to_even(values.fold(0.0, |sum, x| sum + x))
                }));
            }
        }
        Picture { width, height, rgb }
    }

    proptest! {
        #[test]
        fn any_size_is_the_plain_formula(
            [width, height] in [1..70_u32, 1..50_u32],
            [to_width, to_height] in [1..40_u32, 1..40_u32],
            noise in proptest::collection::vec(any::<u8>(), 3 * 70 * 50),
        ) {
            let input = Picture { width, height, rgb: noise[..(3 * width * height) as usize].to_vec() };
            let mut got = Picture::default();
            got.resize(to_width, to_height);
            Lanczos3::default().apply(&input, &mut got);
            prop_assert!(got == plain(&input, to_width, to_height));
        }
    }

    #[test]
    fn halves_go_to_the_even_neighbour_and_overshoot_is_clipped() {
        let cases =
            [(0.5, 0), (1.5, 2), (2.5, 2), (2.500_001, 3), (254.5, 254), (255.5, 255), (-17.3, 0), (300.0, 255)];
        for (x, wanted) in cases {
            assert_eq!(round_half_to_even(x), wanted, "{x}");
        }
    }
}

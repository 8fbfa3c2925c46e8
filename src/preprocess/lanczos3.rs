//! `tf.image.resize(method="lanczos3", antialias=True)`, rounded half to even and clipped to u8.
//!
//! The original is TensorFlow's `ScaleAndTranslate` (scale_and_translate_op.cc, sampling_kernels.h): f32 throughout,
//! rows first, each sum in the order of the samples.

use super::picture::Picture;
use super::spans::Spans;

/// Values of a row that one sweep works on: their sums stay in registers, and the sweep's input in the cache.
const CHUNK: usize = 32;

/// Tables of the last sizes, and scratch.
#[derive(Default)]
pub struct Lanczos3 {
    /// Width and height of input and output that the spans are for.
    sizes: [[u32; 2]; 2],
    rows: Spans<f32>,
    columns: Spans<f32>,
    /// One chunk of every input row.
    chunk: Vec<[f32; CHUNK]>,
    /// The picture after its rows were resized: `[height, chunks * CHUNK + 4]`.
    between: Vec<f32>,
    /// One output row, RGB.
    row: Vec<f32>,
}

impl Lanczos3 {
    /// Writes `input`, scaled to `output`'s size, to `output`.
    pub fn apply(&mut self, input: &Picture, output: &mut Picture) {
        let size = [output.width, output.height];
        let mut rows = output.rgb.chunks_exact_mut(3 * output.width as usize);
        self.for_each_row(input, size, |sums| {
            let row = rows.next().expect("as many rows as the spans describe");
            row.iter_mut().zip(sums).for_each(|(out, sum)| *out = round_half_to_even(*sum));
        });
    }

    /// Hands out the resized rows, not rounded yet.
    fn for_each_row(&mut self, input: &Picture, [width, height]: [u32; 2], mut take: impl FnMut(&[f32])) {
        let sizes = [[input.width, input.height], [width, height]];
        if self.sizes != sizes {
            self.sizes = sizes;
            self.rows = spans(input.height, height);
            self.columns = spans(input.width, width);
        }
        let stride = self.resize_rows(input);
        self.row.resize(3 * width as usize, 0.0);
        for between in self.between.chunks_exact(stride) {
            for ((first, weights), out) in self.columns.iter().zip(self.row.as_chunks_mut::<3>().0) {
                let mut sums = [0.0; 4];
                for (k, weight) in weights.iter().enumerate() {
                    // A fourth value rides along because four fit one register.
                    let pixel = &between[3 * (first + k)..][..4];
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += weight * value;
                    }
                }
                out.copy_from_slice(&sums[..3]);
            }
            take(&self.row);
        }
    }

    /// Fills `between`; gives its row length.
    fn resize_rows(&mut self, input: &Picture) -> usize {
        let values = 3 * input.width as usize;
        let stride = values.next_multiple_of(CHUNK) + 4;
        self.between.resize(stride * self.rows.iter().len(), 0.0);
        self.chunk.resize(input.height as usize, [0.0; CHUNK]);
        for start in (0..values).step_by(CHUNK) {
            let filled = CHUNK.min(values - start);
            for (chunk, row) in self.chunk.iter_mut().zip(input.rgb.chunks_exact(values)) {
                chunk.iter_mut().zip(&row[start..][..filled]).for_each(|(value, byte)| *value = f32::from(*byte));
            }
            for ((first, weights), out) in self.rows.iter().zip(self.between.chunks_exact_mut(stride)) {
                let mut sums = [0.0; CHUNK];
                for (row, weight) in self.chunk[first..].iter().zip(weights) {
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum += value * weight;
                    }
                }
                out[start..][..CHUNK].copy_from_slice(&sums);
            }
        }
        stride
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
    use vla_bundle::Idct;

    use super::*;
    use crate::preprocess::goldens::Golden;
    use crate::preprocess::jpeg_roundtrip::JpegRoundtrip;

    #[test]
    fn tensorflow_resizes_to_the_same_numbers() {
        for case in ["tiny_100x37", "edges_320x180", "front_256", "cam_640x480"] {
            let golden = Golden::load(case);
            let mut input = Picture::default();
            JpegRoundtrip::new(95, Idct::Fast).apply(&golden.input, &mut input);
            let mut rows = Vec::new();
            Lanczos3::default().for_each_row(&input, [224, 224], |row| rows.push(row.to_vec()));
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

    #[test]
    fn halves_go_to_the_even_neighbour_and_overshoot_is_clipped() {
        let cases =
            [(0.5, 0), (1.5, 2), (2.5, 2), (2.500_001, 3), (254.5, 254), (255.5, 255), (-17.3, 0), (300.0, 255)];
        for (x, wanted) in cases {
            assert_eq!(round_half_to_even(x), wanted, "{x}");
        }
    }
}

//! Pillow's `Image.resize` for 8-bit pictures, bit-equal (Resample.c): weights with 22 fractional bits, one axis after
//! the other, u8 in between.

use super::picture::Picture;
use super::spans::Spans;

/// Fractional bits of the weights: 8 bits hold the pixel and 2 the sums' overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Tables of the last sizes, and scratch.
pub struct PilResize {
    filter: Filter,
    /// Width and height of input and output that the spans are for.
    sizes: [[u32; 2]; 2],
    rows: Spans<i32>,
    columns: Spans<i32>,
    between: Picture,
    /// One output row before rounding.
    sums: Vec<i32>,
}

/// A filter's kernel and the distance at which it ends.
#[derive(Clone, Copy)]
pub struct Filter {
    kernel: fn(f64) -> f64,
    support: f64,
}

/// Pillow's `BILINEAR`.
pub const BILINEAR: Filter = Filter { kernel: bilinear, support: 1.0 };
/// Pillow's `BICUBIC`.
pub const BICUBIC: Filter = Filter { kernel: bicubic, support: 2.0 };
/// Pillow's `LANCZOS`.
pub const LANCZOS: Filter = Filter { kernel: lanczos, support: 3.0 };

impl PilResize {
    /// Resizes with `filter`.
    pub fn new(filter: Filter) -> Self {
        let [rows, columns] = [Spans::default(), Spans::default()];
        Self { filter, sizes: [[0; 2]; 2], rows, columns, between: Picture::default(), sums: Vec::new() }
    }

    /// Writes `input`, scaled to `output`'s size, to `output`; an axis of the wanted size stays as it is.
    pub fn apply(&mut self, input: &Picture, output: &mut Picture) {
        let sizes = [[input.width, input.height], [output.width, output.height]];
        if self.sizes != sizes {
            self.sizes = sizes;
            self.rows = spans(input.height, output.height, self.filter);
            self.columns = spans(input.width, output.width, self.filter);
        }
        match (input.width == output.width, input.height == output.height) {
            (true, _) => resize_rows(&self.rows, input, output, &mut self.sums),
            (false, true) => resize_columns(&self.columns, input, output),
            (false, false) if is_rows_first(sizes) => {
                self.between.resize(input.width, output.height);
                resize_rows(&self.rows, input, &mut self.between, &mut self.sums);
                resize_columns(&self.columns, &self.between, output);
            }
            (false, false) => {
                self.between.resize(output.width, input.height);
                resize_columns(&self.columns, input, &mut self.between);
                resize_rows(&self.rows, &self.between, output, &mut self.sums);
            }
        }
    }
}

/// Whether the height loses more than twice what the width loses, in pixels.
///
/// Then Pillow 13 begins with the rows (found with 13.0.0 on 1460 sizes). Earlier ones always begin with the columns,
/// which differs by rounding, and by clipping at hard edges.
fn is_rows_first([input, output]: [[u32; 2]; 2]) -> bool {
    let [width, height] = [0, 1].map(|axis| i64::from(input[axis]) - i64::from(output[axis]));
    height > 2 * width.max(0)
}

fn resize_columns(columns: &Spans<i32>, input: &Picture, output: &mut Picture) {
    let [from, to] = [input, &*output].map(|picture| 3 * picture.width as usize);
    for (row, out) in input.rgb.chunks_exact(from).zip(output.rgb.chunks_exact_mut(to)) {
        let row = row.as_chunks::<3>().0;
        for ((first, weights), out) in columns.iter().zip(out.as_chunks_mut::<3>().0) {
            let mut sums = [1 << (PRECISION_BITS - 1); 3];
            for (pixel, weight) in row[first..].iter().zip(weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += weight * i32::from(*value);
                }
            }
            *out = sums.map(clip);
        }
    }
}

fn resize_rows(rows: &Spans<i32>, input: &Picture, output: &mut Picture, sums: &mut Vec<i32>) {
    let stride = 3 * input.width as usize;
    sums.resize(stride, 0);
    for ((first, weights), out) in rows.iter().zip(output.rgb.chunks_exact_mut(stride)) {
        sums.fill(1 << (PRECISION_BITS - 1));
        for (row, weight) in input.rgb[first * stride..].chunks_exact(stride).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += weight * i32::from(*value);
            }
        }
        out.iter_mut().zip(&*sums).for_each(|(out, sum)| *out = clip(*sum));
    }
}

/// `precompute_coeffs` and `normalize_coeffs_8bpc` of Resample.c.
fn spans(input: u32, output: u32, filter: Filter) -> Spans<i32> {
    let scale = f64::from(input) / f64::from(output);
    let filter_scale = scale.max(1.0);
    let support = filter.support * filter_scale;
    let inverse_scale = 1.0 / filter_scale;
    let mut spans = Spans::default();
    for x in 0..output {
        let center = (f64::from(x) + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as u32;
        let end = ((center + support + 0.5) as u32).min(input);
        let weight = |source: u32| (filter.kernel)((f64::from(source) - center + 0.5) * inverse_scale);
        let total: f64 = (first..end).map(weight).sum();
        spans.push(first as usize, (first..end).map(|source| fixed(weight(source) / total)));
    }
    spans
}

/// Fixed point, rounded half away from zero.
fn fixed(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION_BITS) + 0.5_f64.copysign(weight)) as i32
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

fn bilinear(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { x.sin() / x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::goldens::Golden;

    fn resized(input: &Picture, filter: Filter, width: u32, height: u32) -> Picture {
        let mut got = Picture::default();
        got.resize(width, height);
        PilResize::new(filter).apply(input, &mut got);
        got
    }

    #[test]
    fn pillow_shrinks_and_stretches_our_pictures_to_the_same_pixels() {
        for case in ["tiny_100x37", "edges_320x180", "native_224"] {
            let golden = Golden::load(case);
            let wanted = golden.picture("processor_only84.resized.u8");
            assert!(resized(&golden.input, BICUBIC, 84, 84) == wanted, "{case}");
        }
        let golden = Golden::load("tiny_100x37");
        let cropped = golden.picture("center_cropped.u8");
        assert!(resized(&cropped, BICUBIC, 70, 70) == golden.picture("processor70.resized.u8"));
    }

    /// Pillow 13.0.0: `Image.frombytes("RGB", (11, 7), values).resize((4, 3), filter).tobytes()`.
    #[test]
    fn every_filter_gives_pillows_pixels() {
        let value = |i: u32| {
            let (c, x, y) = (i % 3, i / 3 % 11, i / 33);
            (((x * x * 7 + y * 31 + c * 53 + x * y * 11) * (1 + (x + y + c) % 3)) % 256) as u8
        };
        let input = Picture { width: 11, height: 7, rgb: (0..3 * 11 * 7).map(value).collect() };
        let bilinear = [
            82, 116, 96, 102, 157, 135, 112, 188, 126, 117, 182, 117, 100, 98, 123, 119, 149, 113, 66, 147, 116, 149,
            141, 117, 131, 129, 122, 135, 131, 147, 107, 123, 129, 97, 168, 120,
        ];
        let bicubic = [
            76, 113, 92, 102, 157, 139, 114, 197, 124, 117, 185, 116, 104, 90, 124, 121, 151, 109, 51, 147, 118, 161,
            131, 117, 133, 131, 119, 138, 131, 151, 107, 119, 126, 95, 173, 122,
        ];
        let lanczos = [
            73, 112, 94, 102, 154, 139, 113, 207, 121, 117, 186, 117, 111, 84, 124, 122, 150, 111, 44, 147, 119, 166,
            124, 116, 134, 132, 118, 137, 131, 151, 109, 118, 125, 94, 174, 124,
        ];
        for (filter, wanted) in [(BILINEAR, bilinear), (BICUBIC, bicubic), (LANCZOS, lanczos)] {
            assert_eq!(resized(&input, filter, 4, 3).rgb, wanted);
        }
    }

    #[test]
    fn one_resizer_serves_changing_sizes() {
        let golden = Golden::load("tiny_100x37");
        let mut resize = PilResize::new(BICUBIC);
        for (width, height) in [(84, 84), (100, 20), (31, 37), (84, 84)] {
            let mut got = Picture::default();
            got.resize(width, height);
            resize.apply(&golden.input, &mut got);
            assert!(got == resized(&golden.input, BICUBIC, width, height));
        }
    }
}

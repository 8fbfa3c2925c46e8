//! `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` without antialiasing, padded and normalised.

use vla_bundle::Border;

use super::pad::{Placement, place};
use super::picture::Picture;
use crate::types::Pinhole;

/// From a picture to `[3, height, width]`, f32.
pub struct Interpolate {
    frame: [u32; 2],
    border: Border,
    fill: f32,
    mean: [f32; 3],
    std: [f32; 3],
    /// Size of the last picture, and the samples that its pixels are made of.
    input: [u32; 2],
    columns: Vec<Sample>,
    rows: Vec<Sample>,
}

/// Two neighbours, and how much of the second one.
#[derive(Clone, Copy)]
struct Sample {
    first: usize,
    second: usize,
    share: f32,
}

impl Interpolate {
    /// Into a `frame` of this width and height; `fill` before `mean` and `std` are applied.
    pub fn new(frame: [u32; 2], (border, fill): (Border, f64), [mean, std]: [[f64; 3]; 2]) -> Self {
        let [mean, std] = [mean, std].map(|channels| channels.map(|value| value as f32));
        Self { frame, border, fill: fill as f32, mean, std, input: [0; 2], columns: Vec::new(), rows: Vec::new() }
    }

    /// The camera of the padded picture.
    pub fn pinhole(&self, from: Pinhole) -> Pinhole {
        place(from.size, self.frame, self.border).pinhole(from, self.frame)
    }

    /// Writes `[3, height, width]` to `out`, which has that length.
    pub fn apply(&mut self, input: &Picture, out: &mut [f32]) {
        let size_in = [input.width, input.height];
        let Placement { size, start } = place(size_in, self.frame, self.border);
        if self.input != size_in {
            self.input = size_in;
            self.columns = samples(size_in[0], size[0]);
            self.rows = samples(size_in[1], size[1]);
        }
        let [left, top] = start.map(|pixels| pixels as usize);
        let [width, height] = self.frame.map(|side| side as usize);
        let pixels = input.rgb.as_chunks::<3>().0;
        for (channel, plane) in out.chunks_exact_mut(width * height).enumerate() {
            let [mean, std] = [self.mean[channel], self.std[channel]];
            plane.fill((self.fill - mean) / std);
            let level =
                |row: usize, column: usize| f32::from(pixels[row * size_in[0] as usize + column][channel]) / 255.0;
            for (row, line) in self.rows.iter().zip(plane.chunks_exact_mut(width).skip(top)) {
                for (column, value) in self.columns.iter().zip(&mut line[left..]) {
                    let across = |row| column.mix(level(row, column.first), level(row, column.second));
                    *value = (row.mix(across(row.first), across(row.second)) - mean) / std;
                }
            }
        }
    }
}

impl Sample {
    fn mix(self, first: f32, second: f32) -> f32 {
        (1.0 - self.share) * first + self.share * second
    }
}

/// Pixel centres of `output` pixels among the centres of `input` ones; beyond the outermost ones their value holds.
fn samples(input: u32, output: u32) -> Vec<Sample> {
    let scale = input as f32 / output as f32;
    let last = input as usize - 1;
    let sample = |index: u32| {
        let at = ((index as f32 + 0.5) * scale - 0.5).max(0.0);
        let first = (at as usize).min(last);
        Sample { first, second: (first + 1).min(last), share: at - first as f32 }
    };
    (0..output).map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, 5 x 2 pixels into 3 x 3: 3 x 1, its centres at columns 1/3, 2 and 11/3 and between the rows; two rows
    /// of border on top.
    #[test]
    fn neighbours_are_mixed_and_no_others() {
        let levels = [[0, 30, 60, 90, 240], [20, 50, 200, 110, 0]].concat();
        let rgb = levels.iter().flat_map(|level| [*level, 255 - *level, 0]).collect();
        let input = Picture { width: 5, height: 2, rgb };
        let mut out = [f32::NAN; 27];
        let numbers = [[0.5, 0.0, 0.0], [0.5, 1.0, 1.0]];
        Interpolate::new([3, 3], (Border::LeftTop, 0.25), numbers).apply(&input, &mut out);
        let mean = |a: f32, b: f32| f32::midpoint(a, b) / 255.0;
        let red = [mean(10.0, 30.0), mean(60.0, 200.0), mean(190.0, 110.0 / 3.0)];
        for (got, want) in out[6..9].iter().zip(red) {
            assert!((got - (want - 0.5) / 0.5).abs() < 1e-6, "{got} {want}");
        }
        for (got, want) in out[15..18].iter().zip(red) {
            assert!((got - (1.0 - want)).abs() < 1e-6, "{got} {want}");
        }
        assert_eq!([out[0], out[5], out[9], out[18], out[26]], [-0.5, -0.5, 0.25, 0.25, 0.0]);
    }
}

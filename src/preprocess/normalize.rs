//! `(pixel / 255 - mean) / std` per channel in f32.

use super::picture::Picture;

/// The result for every grey level of every channel.
pub struct Normalize {
    levels: [[f32; 256]; 3],
}

impl Normalize {
    /// `mean` and `std` per channel, RGB; rounded to f32 first, as a torch tensor holds them.
    pub fn new(mean: [f64; 3], std: [f64; 3]) -> Self {
        let level = |channel: usize, pixel: usize| (pixel as f32 / 255.0 - mean[channel] as f32) / std[channel] as f32;
        Self { levels: std::array::from_fn(|channel| std::array::from_fn(|pixel| level(channel, pixel))) }
    }

    /// Writes `[3, height, width]` to `out`, which has that length.
    pub fn apply(&self, input: &Picture, out: &mut [f32]) {
        let pixels = input.rgb.as_chunks::<3>().0;
        for (channel, (plane, levels)) in out.chunks_exact_mut(pixels.len()).zip(&self.levels).enumerate() {
            plane.iter_mut().zip(pixels).for_each(|(out, pixel)| *out = levels[pixel[channel] as usize]);
        }
    }
}

//! Scales a picture into a frame, aspect kept, and fills the rest with a colour.

use vla_bundle::{Border, ResizeKernel};

use super::pad::{Placement, place};
use super::picture::Picture;
use super::resize::{Resize, Target};
use crate::types::Pinhole;

/// Scales into frames of one size; a picture of that size stays as it is.
pub struct ResizeWithPad {
    frame: [u32; 2],
    kernel: ResizeKernel,
    border: Border,
    fill: [u8; 3],
    /// For the last size of a placed picture.
    resize: Option<([u32; 2], Resize)>,
    scaled: Picture,
}

impl ResizeWithPad {
    /// Into a `frame` of this width and height.
    pub fn new(frame: [u32; 2], kernel: ResizeKernel, (border, fill): (Border, [u8; 3])) -> Self {
        Self { frame, kernel, border, fill, resize: None, scaled: Picture::default() }
    }

    /// The camera of the padded picture.
    pub fn pinhole(&self, from: Pinhole) -> Pinhole {
        place(from.size, self.frame, self.border).pinhole(from, self.frame)
    }

    /// Writes the padded `input` to `output`.
    pub fn apply(&mut self, input: &Picture, output: &mut Picture) {
        let Placement { size, start } = place([input.width, input.height], self.frame, self.border);
        if self.resize.as_ref().is_none_or(|(last, _)| *last != size) {
            self.resize = None;
        }
        let kernel = self.kernel;
        let (_, resize) = self.resize.get_or_insert_with(|| (size, Resize::new(Target::Exactly(size), kernel)));
        resize.apply(input, &mut self.scaled);
        output.resize(self.frame[0], self.frame[1]);
        output.rgb.as_chunks_mut::<3>().0.fill(self.fill);
        let [left, top] = start.map(|pixels| pixels as usize);
        let [from, to] = [size[0], self.frame[0]].map(|width| 3 * width as usize);
        for (row, out) in self.scaled.rgb.chunks_exact(from).zip(output.rgb.chunks_exact_mut(to).skip(top)) {
            out[3 * left..][..from].copy_from_slice(row);
        }
    }
}

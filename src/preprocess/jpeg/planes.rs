//! A picture as brightness and colours, and how colours of half the resolution spread over its pixels.

use super::color;
use crate::preprocess::picture::Picture;

/// How many samples of colour there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// None.
    Grey,
    /// One per pixel.
    S444,
    /// One per two pixels of a row.
    S422,
    /// One per square of four pixels.
    S420,
}

/// One plane each for brightness and both colours, padded to whole MCUs.
#[derive(Default)]
pub struct Planes {
    /// Brightness.
    pub y: Plane,
    /// Blue less brightness.
    pub cb: Plane,
    /// Red less brightness.
    pub cr: Plane,
    /// A row of each colour at full resolution, and sums on the way there.
    rows: [Vec<u8>; 2],
    sums: Vec<u16>,
}

/// Samples row by row.
#[derive(Default)]
pub struct Plane {
    /// Samples per row.
    pub width: usize,
    /// A multiple of `width` many.
    pub samples: Vec<u8>,
}

impl Sampling {
    /// Blocks of brightness in an MCU: across, down.
    pub fn blocks(self) -> [usize; 2] {
        match self {
            Self::Grey | Self::S444 => [1, 1],
            Self::S422 => [2, 1],
            Self::S420 => [2, 2],
        }
    }
}

impl Planes {
    /// Takes the size of a picture; samples are unspecified until they are written.
    pub fn resize(&mut self, size: [u32; 2], sampling: Sampling) {
        let [across, down] = sampling.blocks();
        let [width, height] = size.map(|side| side as usize);
        let [mcus_across, mcus_down] = [width.div_ceil(8 * across), height.div_ceil(8 * down)];
        self.y.resize(mcus_across * 8 * across, mcus_down * 8 * down);
        self.cb.resize(mcus_across * 8, mcus_down * 8);
        self.cr.resize(mcus_across * 8, mcus_down * 8);
    }

    /// To RGB, colour spread as the decoder does by default: the padding takes no part.
    pub fn join(&mut self, sampling: Sampling, picture: &mut Picture) {
        for (row, pixels) in picture.rgb.chunks_exact_mut(3 * picture.width as usize).enumerate() {
            match sampling {
                Sampling::Grey => {
                    let levels = self.y.row(row);
                    pixels.as_chunks_mut::<3>().0.iter_mut().zip(levels).for_each(|(pixel, y)| *pixel = [*y; 3]);
                }
                Sampling::S444 => {
                    color::ycc_to_rgb(self.y.row(row), self.cb.row(row), self.cr.row(row), pixels);
                }
                Sampling::S422 => {
                    self.spread([row; 2], pixels.len() / 3, color::double_across);
                    color::ycc_to_rgb(self.y.row(row), &self.rows[0], &self.rows[1], pixels);
                }
                Sampling::S420 => {
                    let (near, last) = (row / 2, (picture.height as usize - 1) / 2);
                    let far = if row % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(last) };
                    self.spread([near, far], pixels.len() / 3, color::double);
                    color::ycc_to_rgb(self.y.row(row), &self.rows[0], &self.rows[1], pixels);
                }
            }
        }
    }

    /// Makes a row of both colours for `width` pixels from the rows `near` and `far`.
    fn spread(&mut self, [near, far]: [usize; 2], width: usize, double: fn([&[u8]; 2], &mut [u16], &mut [u8])) {
        let half = width.div_ceil(2);
        self.sums.resize(half + 2, 0);
        for (plane, out) in [&self.cb, &self.cr].into_iter().zip(&mut self.rows) {
            out.resize(2 * half, 0);
            let [near, far] = [near, far].map(|row| &plane.row(row)[..half]);
            // libjpeg's triangle filter wants three columns; below that it repeats samples.
            if half > 2 {
                double([near, far], &mut self.sums, out);
            } else {
                out.iter_mut().enumerate().for_each(|(x, out)| *out = near[x / 2]);
            }
        }
    }
}

impl Plane {
    fn resize(&mut self, width: usize, height: usize) {
        self.width = width;
        self.samples.resize(width * height, 0);
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[u8] {
        &self.samples[row * self.width..][..self.width]
    }

    /// One row to write.
    pub fn row_mut(&mut self, row: usize) -> &mut [u8] {
        &mut self.samples[row * self.width..][..self.width]
    }
}

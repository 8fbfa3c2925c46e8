//! Cuts the middle out of a picture and scales it back, as `tf.image.crop_and_resize` and
//! `tf.image.convert_image_dtype` do it in f32 (crop_and_resize_op.cc): the corners' pixel centres are the borders.

use multiversion::multiversion;

use super::picture::Picture;
use crate::types::Pinhole;

/// Keeps a share of the area and the picture's size; tables are kept for the last input size.
pub struct CenterCrop {
    side: f32,
    input_size: [u32; 2],
    rows: Vec<Neighbours>,
    columns: Vec<Neighbours>,
    upper: Row,
    lower: Row,
}

/// Two input samples and how far the output lies from the first to the second.
struct Neighbours {
    first: usize,
    second: usize,
    toward_second: f32,
}

/// One input row with its columns already resized, in 0..=1.
#[derive(Default)]
struct Row {
    index: Option<usize>,
    /// The input row as it is.
    source: Vec<f32>,
    values: Vec<f32>,
}

impl CenterCrop {
    /// `area` is the share that stays, in (0, 1].
    pub fn new(area: f64) -> Self {
        let side = (area as f32).sqrt().min(1.0);
        let [upper, lower] = [Row::default(), Row::default()];
        Self { side, input_size: [0; 2], rows: Vec::new(), columns: Vec::new(), upper, lower }
    }

    /// The camera of the cropped picture: what lay at the crop's corner centres lies at the picture's.
    pub fn pinhole(&self, from: Pinhole) -> Pinhole {
        let side = f64::from(self.side);
        let corner = from.size.map(|length| (1.0 - side) / 2.0 * f64::from(length - 1));
        let center = [0, 1].map(|axis| (from.center[axis] - corner[axis]) / side);
        Pinhole { focal: from.focal.map(|length| length / side), center, ..from }
    }

    /// Writes the cropped `input` to `output`, which takes its size.
    pub fn apply(&mut self, input: &Picture, output: &mut Picture) {
        let size = [input.width, input.height];
        if self.input_size != size {
            self.input_size = size;
            self.rows = neighbours(input.height, self.side);
            self.columns = neighbours(input.width, self.side);
        }
        output.resize(input.width, input.height);
        self.upper.index = None;
        self.lower.index = None;
        for (row, out) in self.rows.iter().zip(output.rgb.chunks_exact_mut(3 * input.width as usize)) {
            if self.lower.index == Some(row.first) {
                std::mem::swap(&mut self.upper, &mut self.lower);
            }
            self.upper.fill(input, row.first, &self.columns);
            self.lower.fill(input, row.second, &self.columns);
            mix(&self.upper.values, &self.lower.values, row.toward_second, out);
        }
    }
}

impl Row {
    fn fill(&mut self, input: &Picture, index: usize, columns: &[Neighbours]) {
        if self.index == Some(index) {
            return;
        }
        self.index = Some(index);
        let stride = 3 * columns.len();
        // Four values go together because four fit one register; the fourth of the last pixel lands in the padding.
        self.source.resize(stride + 1, 0.0);
        self.values.resize(stride + 1, 0.0);
        let row = &input.rgb[index * stride..][..stride];
        self.source.iter_mut().zip(row).for_each(|(value, pixel)| *value = unit(*pixel));
        for (i, column) in columns.iter().enumerate() {
            let [left, right] = [column.first, column.second].map(|at| &self.source[3 * at..][..4]);
            let out = &mut self.values[3 * i..][..4];
            for k in 0..4 {
                out[k] = left[k] + (right[k] - left[k]) * column.toward_second;
            }
        }
    }
}

/// Writes the row that lies between two rows.
#[multiversion(targets("x86_64+avx2"))]
fn mix(upper: &[f32], lower: &[f32], toward_lower: f32, out: &mut [u8]) {
    for ((out, top), bottom) in out.iter_mut().zip(upper).zip(lower) {
        let value = top + (bottom - top) * toward_lower;
        *out = truncate(value.clamp(0.0, 1.0) * 255.5);
    }
}

/// `x as u8` of numbers in 0..256 in vector instructions: adding 2^23 leaves the rounded number in the low bits.
#[inline(always)]
fn truncate(x: f32) -> u8 {
    let rounded = (x + 8_388_608.0) - 8_388_608.0;
    let whole = if rounded > x { rounded - 1.0 } else { rounded };
    (whole + 8_388_608.0).to_bits() as u8
}

/// The output's neighbours along one axis, in the original's order of f32 operations.
fn neighbours(size: u32, side: f32) -> Vec<Neighbours> {
    let low = (1.0 - side) / 2.0;
    let high = low + side;
    let last = (size - 1) as f32;
    let scale = (high - low) * last / last;
    let at = |i: u32| {
        let position = if size > 1 { (low * last + i as f32 * scale).min(last) } else { 0.0 };
        let [first, second] = [position.floor(), position.ceil()];
        Neighbours { first: first as usize, second: second as usize, toward_second: position - first }
    };
    (0..size).map(at).collect()
}

/// `tf.image.convert_image_dtype` from u8: a multiplication, not a division.
fn unit(pixel: u8) -> f32 {
    f32::from(pixel) * (1.0 / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::goldens::Golden;

    #[test]
    fn tensorflow_crops_to_the_same_pixels() {
        for case in ["tiny_100x37", "edges_320x180", "native_224"] {
            let golden = Golden::load(case);
            let input = if case == "native_224" { golden.input.clone() } else { golden.picture("resized.u8") };
            let mut got = Picture::default();
            CenterCrop::new(0.9).apply(&input, &mut got);
            assert!(got == golden.picture("center_cropped.u8"), "{case}");
        }
    }

    #[test]
    fn vector_truncation_is_truncation() {
        for x in (0..=255).flat_map(|x| [x as f32, (x as f32).next_up(), x as f32 + 0.5, (x as f32 + 1.0).next_down()])
        {
            assert_eq!(truncate(x), x as u8, "{x}");
        }
    }

    #[test]
    fn rows_kept_from_an_earlier_picture_are_not_used() {
        let mut crop = CenterCrop::new(0.5);
        let [mut got, mut alone] = [Picture::default(), Picture::default()];
        let picture = |first: u8| Picture { width: 3, height: 2, rgb: (first..first + 18).collect() };
        crop.apply(&picture(100), &mut got);
        crop.apply(&picture(7), &mut got);
        CenterCrop::new(0.5).apply(&picture(7), &mut alone);
        assert_eq!(got, alone);
    }
}

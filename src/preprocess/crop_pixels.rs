//! Cuts a fixed number of pixels out of the middle, as torchvision's `center_crop`: black where the picture is smaller.

use super::picture::Picture;
use crate::types::Pinhole;

/// Writes the middle `width` x `height` pixels of `input` to `output`.
pub fn crop_pixels(input: &Picture, [width, height]: [u32; 2], output: &mut Picture) {
    output.resize(width, height);
    output.rgb.fill(0);
    let [columns, rows] = [overlap(input.width, width), overlap(input.height, height)];
    let [from, to] = [input, &*output].map(|picture| 3 * picture.width as usize);
    let bytes = 3 * columns.length;
    for row in 0..rows.length {
        let source = &input.rgb[(rows.input + row) * from + 3 * columns.input..][..bytes];
        output.rgb[(rows.output + row) * to + 3 * columns.output..][..bytes].copy_from_slice(source);
    }
}

/// The camera of the middle `size` pixels.
pub fn pinhole(from: Pinhole, size: [u32; 2]) -> Pinhole {
    let start = [0, 1].map(|axis| {
        let Overlap { input, output, .. } = overlap(from.size[axis], size[axis]);
        output as i64 - input as i64
    });
    from.placed_in(size, start)
}

/// Where input and output lie on each other along one axis.
struct Overlap {
    input: usize,
    output: usize,
    length: usize,
}

fn overlap(input: u32, output: u32) -> Overlap {
    let [input, output] = [input as usize, output as usize];
    let spare = input.saturating_sub(output);
    // Python's `round`: a half goes to the even neighbour.
    let cut = spare / 2 + usize::from(spare % 4 == 3);
    Overlap { input: cut, output: output.saturating_sub(input) / 2, length: input.min(output) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red is the column, green the row, from 1; so 0 is the border.
    fn numbered(width: u32, height: u32) -> Picture {
        let rgb = (0..width * height).flat_map(|i| [(i % width + 1) as u8, (i / width + 1) as u8, 9]).collect();
        Picture { width, height, rgb }
    }

    fn columns_and_rows(input: &Picture, size: [u32; 2]) -> (Vec<u8>, Vec<u8>) {
        let mut out = Picture::default();
        crop_pixels(input, size, &mut out);
        let pixels = out.rgb.as_chunks::<3>().0;
        let [width, height] = size.map(|side| side as usize);
        (pixels[..width].iter().map(|p| p[0]).collect(), (0..height).map(|y| pixels[y * width][1]).collect())
    }

    /// `int(round((7 - 4) / 2))` is 2 in Python, `int(round((5 - 4) / 2))` is 0.
    #[test]
    fn a_half_pixel_of_offset_goes_to_the_even_side() {
        assert_eq!(columns_and_rows(&numbered(7, 5), [4, 4]), (vec![3, 4, 5, 6], vec![1, 2, 3, 4]));
    }

    #[test]
    fn a_smaller_picture_gets_a_black_border_that_is_wider_at_the_far_end() {
        let mut out = Picture::default();
        crop_pixels(&numbered(2, 3), [5, 3], &mut out);
        let first_row: Vec<u8> = out.rgb.as_chunks::<3>().0[..5].iter().map(|p| p[0]).collect();
        assert_eq!(first_row, [0, 1, 2, 0, 0]);
    }
}

//! Pads the shorter side symmetrically, one pixel short of a square where the difference is odd.

use super::picture::Picture;
use crate::types::Pinhole;

/// Writes `input` within borders of colour `fill` to `output`.
pub fn letterbox(input: &Picture, fill: [u8; 3], output: &mut Picture) {
    let [width, height] = size([input.width, input.height]);
    output.resize(width, height);
    output.rgb.as_chunks_mut::<3>().0.fill(fill);
    let [left, top] = start([input.width, input.height]).map(|pad| pad as usize);
    let [from, to] = [input.width, width].map(|width| 3 * width as usize);
    for (row, out) in input.rgb.chunks_exact(from).zip(output.rgb.chunks_exact_mut(to).skip(top)) {
        out[3 * left..][..from].copy_from_slice(row);
    }
}

/// Width and height afterwards.
pub fn size([width, height]: [u32; 2]) -> [u32; 2] {
    let side = width.max(height);
    [width, height].map(|short| short + (side - short) / 2 * 2)
}

/// The camera of the padded picture.
pub fn pinhole(from: Pinhole) -> Pinhole {
    from.placed_in(size(from.size), start(from.size).map(i64::from))
}

/// First column and row of the picture.
fn start([width, height]: [u32; 2]) -> [u32; 2] {
    let side = width.max(height);
    [width, height].map(|short| (side - short) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_difference_leaves_the_result_one_pixel_short_of_a_square() {
        let input = Picture { width: 2, height: 5, rgb: (1..=30).collect() };
        let mut out = Picture::default();
        letterbox(&input, [70, 80, 90], &mut out);
        assert_eq!([out.width, out.height], [4, 5]);
        assert_eq!(out.rgb[12..24], [70, 80, 90, 7, 8, 9, 10, 11, 12, 70, 80, 90]);
    }
}

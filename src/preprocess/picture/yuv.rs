//! Y, U, V to RGB by ITU-R BT.601 with limited range (Y from 16 to 235), in whole numbers.
//!
//! With u = U - 128, v = V - 128 and y = max(Y - 16, 0): R = 1.164 y + 1.596 v, G = 1.164 y - 0.813 v - 0.391 u,
//! B = 1.164 y + 2.018 u, as numbers of 20 fraction bits, rounded half up and clipped. Numbers and rounding are those of
//! OpenCV (`ITUR_BT_601_*` in modules/imgproc/src/color_yuv.simd.hpp), so pixels equal those of ROS's `cv_bridge`.

const FRACTION_BITS: u32 = 20;
const Y_GAIN: i32 = 1_220_542;
const V_TO_RED: i32 = 1_673_527;
const V_TO_GREEN: i32 = -852_492;
const U_TO_GREEN: i32 = -409_993;
const U_TO_BLUE: i32 = 2_116_026;

/// A row of U, Y, V, Y.
pub(super) fn uyvy(row: &[u8], rgb: &mut [u8]) {
    packed(row, rgb, |&[u, y0, v, y1]| ([y0, y1], [u, v]));
}

/// A row of Y, U, Y, V.
pub(super) fn yuyv(row: &[u8], rgb: &mut [u8]) {
    packed(row, rgb, |&[y0, u, y1, v]| ([y0, y1], [u, v]));
}

/// A row of Y with its row of U, V.
pub(super) fn nv12(luma: &[u8], chroma: &[u8], rgb: &mut [u8]) {
    let pairs = luma.as_chunks::<2>().0.iter().zip(chroma.as_chunks::<2>().0);
    pairs.zip(rgb.as_chunks_mut::<6>().0).for_each(|((y, uv), to)| *to = two_pixels(*y, *uv));
}

fn packed(row: &[u8], rgb: &mut [u8], order: impl Fn(&[u8; 4]) -> ([u8; 2], [u8; 2])) {
    for (from, to) in row.as_chunks::<4>().0.iter().zip(rgb.as_chunks_mut::<6>().0) {
        let (y, uv) = order(from);
        *to = two_pixels(y, uv);
    }
}

fn two_pixels(y: [u8; 2], uv: [u8; 2]) -> [u8; 6] {
    let [u, v] = uv.map(|value| i32::from(value) - 128);
    let half = 1 << (FRACTION_BITS - 1);
    let [red, green, blue] = [V_TO_RED * v, V_TO_GREEN * v + U_TO_GREEN * u, U_TO_BLUE * u].map(|part| part + half);
    let [first, second] = y.map(|y| (i32::from(y) - 16).max(0) * Y_GAIN);
    [first + red, first + green, first + blue, second + red, second + green, second + blue]
        .map(|value| (value >> FRACTION_BITS).clamp(0, 255) as u8)
}

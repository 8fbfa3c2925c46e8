//! Straightens what a lens bends: the distortion models `plumb_bob` and `rational_polynomial`.
//!
//! Formulas and rounding are OpenCV's (`initUndistortRectifyMap`, then `remap` with `INTER_LINEAR` and a black border,
//! calib3d's "Detailed Description"): positions in 1/32 pixel, four neighbours weighted in whole numbers.

use super::picture::Picture;
use crate::types::Lens;

const FRACTION_BITS: u32 = 5;
const ONE: i32 = 1 << FRACTION_BITS;

/// Where every pixel of the straight picture lies.
pub(super) struct Undistort {
    lens: Lens,
    taps: Vec<Tap>,
}

/// A place in the camera's picture.
struct Tap {
    /// The pixel to the upper left.
    x: i16,
    y: i16,
    /// How far to the right and down from there, 1/32 pixel.
    right: u8,
    down: u8,
}

impl Undistort {
    pub fn new(lens: &Lens) -> Self {
        let [width, height] = lens.size;
        let taps = (0..height).flat_map(|y| (0..width).map(move |x| Tap::new(lens, [x, y]))).collect();
        Self { lens: lens.clone(), taps }
    }

    pub fn lens(&self) -> &Lens {
        &self.lens
    }

    /// Writes the straight picture; `from` has the lens's size.
    pub fn apply(&self, from: &Picture, to: &mut Picture) {
        let [width, height] = self.lens.size;
        to.resize(width, height);
        let pixels = from.rgb.as_chunks::<3>().0;
        let pixel = |x: i32, y: i32| {
            let inside = (0..width as i32).contains(&x) && (0..height as i32).contains(&y);
            if inside { pixels[y as usize * width as usize + x as usize] } else { [0; 3] }
        };
        for (tap, to) in self.taps.iter().zip(to.rgb.as_chunks_mut::<3>().0) {
            let [x, y, right, down] = [tap.x.into(), tap.y.into(), i32::from(tap.right), i32::from(tap.down)];
            let corners = [pixel(x, y), pixel(x + 1, y), pixel(x, y + 1), pixel(x + 1, y + 1)];
            let [left, up] = [ONE - right, ONE - down];
            let weights = [left * up, right * up, left * down, right * down];
            for (channel, to) in to.iter_mut().enumerate() {
                let sum: i32 = corners.iter().zip(weights).map(|(corner, w)| i32::from(corner[channel]) * w).sum();
                *to = ((sum + ONE * ONE / 2) >> (2 * FRACTION_BITS)) as u8;
            }
        }
    }
}

impl Tap {
    fn new(lens: &Lens, [u, v]: [u32; 2]) -> Self {
        let [x, y, z] = lens.ray_from_pixel.map(|[a, b, c]| a * f64::from(u) + b * f64::from(v) + c);
        let [x, y] = [x / z, y / z];
        let [k1, k2, p1, p2, k3, k4, k5, k6] = lens.distortion;
        let r2 = x * x + y * y;
        let radial = (1.0 + ((k3 * r2 + k2) * r2 + k1) * r2) / (1.0 + ((k6 * r2 + k5) * r2 + k4) * r2);
        let bent_x = x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x);
        let bent_y = y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y;
        let [fx, fy, cx, cy] = lens.intrinsics;
        let place = |pixel: f64| (pixel * f64::from(ONE)).round_ties_even() as i32;
        let (x, y) = (place(fx * bent_x + cx), place(fy * bent_y + cy));
        let whole = |place: i32| (place >> FRACTION_BITS).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        let fraction = |place: i32| (place & (ONE - 1)) as u8;
        Self { x: whole(x), y: whole(y), right: fraction(x), down: fraction(y) }
    }
}

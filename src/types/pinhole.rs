//! A camera without a lens: how straight pictures and rays belong together.

use super::{Calibration, LensError, Rotation};

/// Where rays meet a straight picture. Pixel centres are whole numbers, the upper left one is 0, 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pinhole {
    /// Width and height of the picture, pixels.
    pub size: [u32; 2],
    /// Focal lengths fx and fy, pixels.
    pub focal: [f64; 2],
    /// Principal point cx and cy, pixels.
    pub center: [f64; 2],
}

impl Pinhole {
    /// A camera whose pictures arrive as its sensor sees them: K.
    ///
    /// # Errors
    /// A lens that bends them, and numbers that are no camera.
    pub fn raw(calibration: &Calibration<'_>) -> Result<Self, LensError> {
        let bent = |number: &&f64| **number != 0.0;
        if let Some(got) = calibration.distortion.iter().find(bent) {
            return Err(LensError::Bent(*got));
        }
        Self::of("camera_matrix", calibration.camera_numbers(), calibration)
    }

    /// A camera whose pictures arrive straightened: P. Its last column, the baseline of a stereo pair, says nothing about
    /// one picture.
    ///
    /// # Errors
    /// Numbers that are no camera.
    pub fn rectified(calibration: &Calibration<'_>) -> Result<Self, LensError> {
        Self::of("projection_matrix", calibration.projection_numbers(), calibration)
    }

    /// From `[fx, fy, cx, cy]` of the whole sensor: what is read out of it counts from its own first pixel.
    fn of(name: &'static str, numbers: [f64; 4], calibration: &Calibration<'_>) -> Result<Self, LensError> {
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(LensError::NotFinite { name });
        }
        let [fx, fy, cx, cy] = numbers;
        if fx <= 0.0 || fy <= 0.0 {
            return Err(LensError::Focal { name, focal: [fx, fy] });
        }
        let size = calibration.sent_size()?;
        let [fx, fy, cx, cy] = calibration.readout.apply([fx, fy, cx, cy]);
        Ok(Self { size, focal: [fx, fy], center: [cx, cy] })
    }

    /// The camera of the picture scaled to `size`: the borders of both pictures are the same, not their pixels' centres.
    #[must_use]
    pub fn scaled_to(self, size: [u32; 2]) -> Self {
        let scale = [0, 1].map(|axis| f64::from(size[axis]) / f64::from(self.size[axis]));
        let center = [0, 1].map(|axis| (self.center[axis] + 0.5) * scale[axis] - 0.5);
        Self { size, focal: [0, 1].map(|axis| self.focal[axis] * scale[axis]), center }
    }

    /// The camera of a picture of `size` in which this one begins at pixel `start`; negative where it is cut.
    #[must_use]
    pub fn placed_in(self, size: [u32; 2], start: [i64; 2]) -> Self {
        Self { size, center: [0, 1].map(|axis| self.center[axis] + start[axis] as f64), ..self }
    }

    /// The camera of the turned picture.
    #[must_use]
    pub fn turned(self, rotation: Rotation) -> Self {
        let Self { size: [width, height], focal: [fx, fy], center: [cx, cy] } = self;
        let [from_right, from_bottom] = [f64::from(width) - 1.0 - cx, f64::from(height) - 1.0 - cy];
        let sideways = |center| Self { size: [height, width], focal: [fy, fx], center };
        match rotation {
            Rotation::Upright => self,
            Rotation::UpsideDown => Self { center: [from_right, from_bottom], ..self },
            Rotation::Right => sideways([from_bottom, cx]),
            Rotation::Left => sideways([cy, from_right]),
        }
    }

    /// The matrix K, row-major: from rays to pixels.
    pub fn matrix(&self) -> [f64; 9] {
        let Self { focal: [fx, fy], center: [cx, cy], .. } = *self;
        [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Readout, Region};

    const WHOLE: Pinhole = Pinhole { size: [641, 363], focal: [500.25, 480.5], center: [311.5, 190.25] };

    fn calibration(distortion: &[f64]) -> Calibration<'_> {
        Calibration {
            size: [1280, 720],
            readout: Readout::default(),
            model: "equidistant",
            distortion,
            camera_matrix: [900.0, 0.0, 630.5, 0.0, 880.0, 350.25, 0.0, 0.0, 1.0],
            rectification: [0.0; 9],
            projection: [700.0, 0.0, 600.5, -42.0, 0.0, 710.0, 340.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        }
    }

    /// By hand: 320 / 641 of (311.5 + 0.5) less 0.5, 181 / 363 of (190.25 + 0.5) less 0.5.
    #[test]
    fn a_scaled_picture_keeps_its_borders_and_not_its_pixels_centres() {
        let scaled = WHOLE.scaled_to([320, 181]);
        let wanted =
            [500.25 * 320.0 / 641.0, 480.5 * 181.0 / 363.0, 312.0 * 320.0 / 641.0 - 0.5, 190.75 * 181.0 / 363.0 - 0.5];
        let [fx, fy] = scaled.focal;
        let [cx, cy] = scaled.center;
        for (got, wanted) in [fx, fy, cx, cy].into_iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-9, "{got}, wanted {wanted}");
        }
        let [cx, cy] = scaled.center;
        assert!((cx - 155.256_63).abs() < 1e-5 && (cy - 94.612_26).abs() < 1e-5, "{cx} {cy}");
    }

    /// By hand: 5 columns off the left and 11 rows more on top.
    #[test]
    fn a_cut_and_a_border_move_the_principal_point_by_whole_pixels() {
        let placed = WHOLE.placed_in([600, 400], [-5, 11]);
        assert_eq!(placed, Pinhole { size: [600, 400], focal: [500.25, 480.5], center: [306.5, 201.25] });
    }

    /// By hand: clockwise, the bottom row becomes the left column; 363 - 1 - 190.25 = 171.75, 641 - 1 - 311.5 = 328.5.
    #[test]
    fn a_turned_camera_changes_its_axes() {
        let sideways = |center| Pinhole { size: [363, 641], focal: [480.5, 500.25], center };
        assert_eq!(WHOLE.turned(Rotation::Right), sideways([171.75, 311.5]));
        assert_eq!(WHOLE.turned(Rotation::Left), sideways([190.25, 328.5]));
        assert_eq!(WHOLE.turned(Rotation::UpsideDown), Pinhole { center: [328.5, 171.75], ..WHOLE });
        assert_eq!(WHOLE.turned(Rotation::Upright), WHOLE);
    }

    #[test]
    fn raw_pictures_are_k_s_and_rectified_ones_p_s() {
        let raw = Pinhole::raw(&calibration(&[0.0; 4])).unwrap();
        assert_eq!(raw, Pinhole { size: [1280, 720], focal: [900.0, 880.0], center: [630.5, 350.25] });
        // What bends the raw pictures is gone from the rectified ones.
        let rectified = Pinhole::rectified(&calibration(&[0.0, -0.25])).unwrap();
        assert_eq!(rectified, Pinhole { size: [1280, 720], focal: [700.0, 710.0], center: [600.5, 340.0] });
        let bent = Pinhole::raw(&calibration(&[0.0, -0.25])).unwrap_err().to_string();
        assert_eq!(bent, "the lens bends the pictures (-0.25 in `distortion_coefficients`), wanted straight ones");
    }

    /// By hand: (630.5 - 101) / 2, (350.25 - 60) / 3, 900 / 2, 880 / 3; 641 / 2 and 480 / 3 pixels.
    #[test]
    fn a_part_of_the_sensor_counts_from_its_own_corner_and_in_its_own_pixels() {
        let region = Region { x: 101, y: 60, width: 641, height: 480 };
        let readout = Readout { region: Some(region), binning: [2, 3] };
        let sent = Pinhole::raw(&Calibration { readout, ..calibration(&[]) }).unwrap();
        assert_eq!(sent, Pinhole { size: [320, 160], focal: [450.0, 880.0 / 3.0], center: [264.75, 96.75] });
    }

    #[test]
    fn numbers_that_are_no_camera_are_refused() {
        let mut flat = calibration(&[]);
        flat.projection[5] = 0.0;
        let refused = Pinhole::rectified(&flat).unwrap_err().to_string();
        assert_eq!(refused, "`projection_matrix` has focal lengths 700 and 0, wanted positive ones");
        flat.projection[2] = f64::NAN;
        let refused = Pinhole::rectified(&flat).unwrap_err().to_string();
        assert_eq!(refused, "`projection_matrix` has a number that is not finite");
        let outside = Readout { region: Some(Region { x: 700, y: 0, width: 600, height: 9 }), binning: [1; 2] };
        let refused = Pinhole::raw(&Calibration { readout: outside, ..calibration(&[]) }).unwrap_err().to_string();
        assert_eq!(refused, "region of interest of 600 x 9 pixels at 700, 0 is not in 1280 x 720");
        let none = Readout { region: None, binning: [1, 721] };
        let refused = Pinhole::raw(&Calibration { readout: none, ..calibration(&[]) }).unwrap_err().to_string();
        assert_eq!(refused, "picture of 1280 x 0 pixels, wanted 1 to 8192 each way");
    }
}

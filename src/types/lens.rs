//! How a camera bends what it sees.

use super::{Pinhole, Region};

/// What is known about a camera's pictures.
#[derive(Clone, Debug, PartialEq)]
pub enum Optics {
    /// They arrive bent; this straightens them.
    Bent(Lens),
    /// They arrive straight.
    Straight(Pinhole),
}

impl Optics {
    /// Width and height of the pictures.
    pub fn size(&self) -> [u32; 2] {
        match self {
            Self::Bent(lens) => lens.size,
            Self::Straight(pinhole) => pinhole.size,
        }
    }

    /// The camera of the straight pictures.
    pub fn pinhole(&self) -> &Pinhole {
        match self {
            Self::Bent(lens) => &lens.pinhole,
            Self::Straight(pinhole) => pinhole,
        }
    }
}

/// What a camera's pictures are when they arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrives {
    /// As the lens bends them (`image_raw`).
    Bent,
    /// Straightened by the camera's driver (`image_rect`).
    Rectified,
}

/// A calibrated camera: where the pixels of a straight picture lie in its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Lens {
    /// Width and height of the pictures, before and after.
    pub size: [u32; 2],
    /// Focal lengths fx, fy and centre cx, cy of the camera's picture, pixels.
    pub intrinsics: [f64; 4],
    /// k1, k2, p1, p2, k3, k4, k5, k6 of the rational model; the last three are 0 in `plumb_bob`.
    pub distortion: [f64; 8],
    /// From pixels of the straight picture to rays of the camera, `[3, 3]`, row-major: the inverse of P x R.
    pub ray_from_pixel: [[f64; 3]; 3],
    /// The camera of the straight picture.
    pub pinhole: Pinhole,
}

/// What a camera sends of what its sensor sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readout {
    /// The part that is sent, pixels of the sensor; `None` for all of it.
    pub region: Option<Region>,
    /// Pixels of the sensor that are combined to one, each way, at least 1.
    pub binning: [u32; 2],
}

impl Default for Readout {
    fn default() -> Self {
        Self { region: None, binning: [1; 2] }
    }
}

impl Readout {
    /// `[fx, fy, cx, cy]` of the sensor in pixels of what is sent, as image_geometry's `PinholeCameraModel` has it.
    pub(super) fn apply(&self, [fx, fy, cx, cy]: [f64; 4]) -> [f64; 4] {
        let [left, top] = self.region.map_or([0, 0], |region| [region.x, region.y]).map(f64::from);
        let [x, y] = self.binning.map(f64::from);
        [fx / x, fy / y, (cx - left) / x, (cy - top) / y]
    }
}

/// What a calibration says, in the words of `camera_calibration_parsers` and `sensor_msgs/CameraInfo`.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration<'a> {
    /// Width and height of the whole sensor's pictures.
    pub size: [u32; 2],
    /// What of them is sent.
    pub readout: Readout,
    /// `plumb_bob` or `rational_polynomial`.
    pub model: &'a str,
    /// Its numbers, D.
    pub distortion: &'a [f64],
    /// K, 3x3 row-major, pixels.
    pub camera_matrix: [f64; 9],
    /// R, 3x3 row-major.
    pub rectification: [f64; 9],
    /// P, 3x4 row-major, pixels.
    pub projection: [f64; 12],
}

/// Why a calibration cannot straighten a picture.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LensError {
    #[error("picture of {} x {} pixels, wanted 1 to {MAX_SIDE} each way", .0[0], .0[1])]
    Size([u32; 2]),
    #[error("`{name}` has a number that is not finite")]
    NotFinite { name: &'static str },
    #[error("`{name}` has focal lengths {} and {}, wanted positive ones", .focal[0], .focal[1])]
    Focal { name: &'static str, focal: [f64; 2] },
    #[error("distortion model `{model}` is not supported; supported are plumb_bob, rational_polynomial")]
    Model { model: String },
    #[error("`distortion_coefficients` has {got} values, `{model}` has {wanted}")]
    Coefficients { got: usize, model: String, wanted: &'static str },
    #[error("`projection_matrix` times `rectification_matrix` has no inverse")]
    Flat,
    #[error("the lens bends the pictures ({0} in `distortion_coefficients`), wanted straight ones")]
    Bent(f64),
    #[error(
        "region of interest of {} x {} pixels at {}, {} is not in {} x {}",
        .region.width, .region.height, .region.x, .region.y, .size[0], .size[1]
    )]
    Region { region: Region, size: [u32; 2] },
}

/// Far more than any camera, and positions fit 16 bits.
const MAX_SIDE: u32 = 1 << 13;

impl Lens {
    /// The lens of a calibrated camera.
    ///
    /// # Errors
    /// See [`LensError`].
    pub fn new(calibration: &Calibration<'_>) -> Result<Self, LensError> {
        let &Calibration { model, distortion, camera_matrix, rectification: r, projection: p, .. } = calibration;
        let size = calibration.sent_size()?;
        for (name, numbers) in [
            ("camera_matrix", &camera_matrix[..]),
            ("distortion_coefficients", distortion),
            ("rectification_matrix", &r),
            ("projection_matrix", &p),
        ] {
            if numbers.iter().any(|number| !number.is_finite()) {
                return Err(LensError::NotFinite { name });
            }
        }
        let [fx, fy, ..] = calibration.camera_numbers();
        if fx <= 0.0 || fy <= 0.0 {
            return Err(LensError::Focal { name: "camera_matrix", focal: [fx, fy] });
        }
        let pinhole = Pinhole::rectified(calibration)?;
        let distortion = coefficients(model, distortion)?;
        let Pinhole { focal: [px, py], center: [u, v], .. } = pinhole;
        let [x, y] = calibration.readout.binning.map(f64::from);
        let projection = [[px, p[1] / x, u], [p[4] / y, py, v], [p[8], p[9], p[10]]];
        let pixel_from_ray = product(projection, [[r[0], r[1], r[2]], [r[3], r[4], r[5]], [r[6], r[7], r[8]]]);
        let ray_from_pixel = inverse(pixel_from_ray).ok_or(LensError::Flat)?;
        let intrinsics = calibration.readout.apply(calibration.camera_numbers());
        Ok(Self { size, intrinsics, distortion, ray_from_pixel, pinhole })
    }
}

impl Calibration<'_> {
    /// fx, fy, cx, cy of K.
    pub(super) fn camera_numbers(&self) -> [f64; 4] {
        let [fx, _, cx, _, fy, cy, ..] = self.camera_matrix;
        [fx, fy, cx, cy]
    }

    /// fx, fy, cx, cy of P.
    pub(super) fn projection_numbers(&self) -> [f64; 4] {
        let p = self.projection;
        [p[0], p[5], p[2], p[6]]
    }

    /// Width and height of the pictures that are sent.
    pub(super) fn sent_size(&self) -> Result<[u32; 2], LensError> {
        let Self { size, readout: Readout { region, binning: [x, y] }, .. } = *self;
        if let Some(region) = region.filter(|region| !region.lies_in(size)) {
            return Err(LensError::Region { region, size });
        }
        let [width, height] = region.map_or(size, |region| [region.width, region.height]);
        let sent = [width / x.max(1), height / y.max(1)];
        if sent.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return Err(LensError::Size(sent));
        }
        Ok(sent)
    }
}

fn coefficients(model: &str, given: &[f64]) -> Result<[f64; 8], LensError> {
    let (fits, wanted) = match model {
        "plumb_bob" => ([4, 5].contains(&given.len()), "4 or 5"),
        "rational_polynomial" => (given.len() == 8, "8"),
        _ => return Err(LensError::Model { model: model.to_owned() }),
    };
    if !fits {
        return Err(LensError::Coefficients { got: given.len(), model: model.to_owned(), wanted });
    }
    let mut all = [0.0; 8];
    all[..given.len()].copy_from_slice(given);
    Ok(all)
}

fn product(a: [[f64; 3]; 3], b: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    a.map(|row| [0, 1, 2].map(|column| (0..3).map(|i| row[i] * b[i][column]).sum()))
}

/// By cofactors; `None` where there is none.
fn inverse(m: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    let minor = |row: usize, column: usize| {
        let ([a, b], [c, d]) = ([(row + 1) % 3, (row + 2) % 3], [(column + 1) % 3, (column + 2) % 3]);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let determinant: f64 = (0..3).map(|column| m[0][column] * minor(0, column)).sum();
    let invertible = determinant.is_finite() && determinant != 0.0;
    invertible.then(|| [0, 1, 2].map(|row| [0, 1, 2].map(|column| minor(column, row) / determinant)))
}

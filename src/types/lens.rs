//! How a camera bends what it sees.

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
}

/// What a calibration says, in the words of `camera_calibration_parsers` and `sensor_msgs/CameraInfo`.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration<'a> {
    /// Width and height of the pictures.
    pub size: [u32; 2],
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
}

/// Far more than any camera, and positions fit 16 bits.
const MAX_SIDE: u32 = 1 << 13;

impl Lens {
    /// The lens of a calibrated camera.
    ///
    /// # Errors
    /// See [`LensError`].
    pub fn new(calibration: &Calibration<'_>) -> Result<Self, LensError> {
        let &Calibration { size, model, distortion, camera_matrix, rectification: r, projection: p } = calibration;
        if size.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return Err(LensError::Size(size));
        }
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
        let [fx, _, cx, _, fy, cy, ..] = camera_matrix;
        for (name, focal) in [("camera_matrix", [fx, fy]), ("projection_matrix", [p[0], p[5]])] {
            if focal.iter().any(|length| *length <= 0.0) {
                return Err(LensError::Focal { name, focal });
            }
        }
        let distortion = coefficients(model, distortion)?;
        let projection = [[p[0], p[1], p[2]], [p[4], p[5], p[6]], [p[8], p[9], p[10]]];
        let pixel_from_ray = product(projection, [[r[0], r[1], r[2]], [r[3], r[4], r[5]], [r[6], r[7], r[8]]]);
        let ray_from_pixel = inverse(pixel_from_ray).ok_or(LensError::Flat)?;
        Ok(Self { size, intrinsics: [fx, fy, cx, cy], distortion, ray_from_pixel })
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

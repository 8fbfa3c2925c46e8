//! Calibrations as ROS camera drivers read and write them (`camera_calibration_parsers`).

use std::path::Path;

use serde::Deserialize;

use crate::types::Lens;

/// The fields that bend a picture; drivers add others.
#[derive(Deserialize)]
struct RawInfo {
    image_width: u32,
    image_height: u32,
    camera_matrix: Matrix,
    distortion_model: String,
    distortion_coefficients: Matrix,
    rectification_matrix: Matrix,
    projection_matrix: Matrix,
}

/// Row-major values.
#[derive(Deserialize)]
struct Matrix {
    data: Vec<f64>,
}

/// Reads a calibration file; the reason in words where it is none.
pub(super) fn load(path: &Path) -> Result<Lens, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read it ({error})"));
    text.and_then(|text| parse(&text)).map_err(|reason| format!("{reason}: {}", path.display()))
}

/// Reads a calibration's text.
fn parse(text: &str) -> Result<Lens, String> {
    let raw: RawInfo = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let size = [raw.image_width, raw.image_height];
    if size.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
        return Err(format!("picture of {} x {} pixels, wanted 1 to {MAX_SIDE} each way", size[0], size[1]));
    }
    let [fx, _, cx, _, fy, cy, ..] = fixed::<9>("camera_matrix", &raw.camera_matrix)?;
    let p = fixed::<12>("projection_matrix", &raw.projection_matrix)?;
    for (name, [fx, fy]) in [("camera_matrix", [fx, fy]), ("projection_matrix", [p[0], p[5]])] {
        if fx <= 0.0 || fy <= 0.0 {
            return Err(format!("`{name}` has focal lengths {fx} and {fy}, wanted positive ones"));
        }
    }
    let distortion = distortion(&raw.distortion_model, &raw.distortion_coefficients.data)?;
    let r = fixed::<9>("rectification_matrix", &raw.rectification_matrix)?;
    let projection = [[p[0], p[1], p[2]], [p[4], p[5], p[6]], [p[8], p[9], p[10]]];
    let pixel_from_ray = product(projection, [[r[0], r[1], r[2]], [r[3], r[4], r[5]], [r[6], r[7], r[8]]]);
    let ray_from_pixel =
        inverse(pixel_from_ray).ok_or("`projection_matrix` times `rectification_matrix` has no inverse")?;
    Ok(Lens { size, intrinsics: [fx, fy, cx, cy], distortion, ray_from_pixel })
}

/// Far more than any camera, and positions fit 16 bits.
const MAX_SIDE: u32 = 1 << 13;

fn distortion(model: &str, given: &[f64]) -> Result<[f64; 8], String> {
    let fits = match model {
        "plumb_bob" => [4, 5].contains(&given.len()),
        "rational_polynomial" => given.len() == 8,
        _ => {
            let supported = "plumb_bob, rational_polynomial";
            return Err(format!("distortion model `{model}` is not supported; supported are {supported}"));
        }
    };
    if !fits {
        let wanted = if model == "plumb_bob" { "4 or 5" } else { "8" };
        let got = given.len();
        return Err(format!("`distortion_coefficients` has {got} values, `{model}` has {wanted}"));
    }
    let mut all = [0.0; 8];
    all[..given.len()].copy_from_slice(given);
    Ok(all)
}

fn fixed<const N: usize>(name: &str, matrix: &Matrix) -> Result<[f64; N], String> {
    let got = matrix.data.len();
    <[f64; N]>::try_from(matrix.data.as_slice())
        .map_err(|_wrong_length| format!("`{name}` has {got} values, wanted {N}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    const PLUMB_BOB: &str = include_str!("../../tests/data/pictures/plumb_bob.yaml");

    fn refused(from: &str, to: &str) -> String {
        assert!(PLUMB_BOB.contains(from), "{from}");
        parse(&PLUMB_BOB.replacen(from, to, 1)).unwrap_err()
    }

    #[test]
    fn a_calibration_keeps_its_numbers() {
        let lens = parse(PLUMB_BOB).unwrap();
        assert_eq!(lens.size, [37, 29]);
        assert_eq!(lens.intrinsics, [30.5, 31.25, 17.25, 13.75]);
        assert_eq!(lens.distortion, [-0.28, 0.09, 0.003, -0.002, -0.01, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_calibration_that_cannot_straighten_a_picture_is_refused() {
        assert_eq!(
            refused("plumb_bob", "equidistant"),
            "distortion model `equidistant` is not supported; supported are plumb_bob, rational_polynomial"
        );
        let coefficients = |model, got| format!("`distortion_coefficients` has {got} values, `plumb_bob` has {model}");
        assert_eq!(refused("[-0.28, 0.09, ", "["), coefficients("4 or 5", 3));
        assert_eq!(
            refused("plumb_bob\n", "rational_polynomial\n"),
            "`distortion_coefficients` has 5 values, `rational_polynomial` has 8"
        );
        assert_eq!(refused("[30.5, 0.0, ", "["), "`camera_matrix` has 7 values, wanted 9");
        assert_eq!(refused("[30.5,", "[0.0,"), "`camera_matrix` has focal lengths 0 and 31.25, wanted positive ones");
        assert_eq!(
            refused("[21.0,", "[-1,"),
            "`projection_matrix` has focal lengths -1 and 23.5, wanted positive ones"
        );
        let flat = refused("0.0301381, 0.0197821, 0.99935", "0.0, 0.0, 0.0");
        assert_eq!(flat, "`projection_matrix` times `rectification_matrix` has no inverse");
        assert_eq!(
            refused("image_width: 37", "image_width: 40000"),
            "picture of 40000 x 29 pixels, wanted 1 to 8192 each way"
        );
    }
}

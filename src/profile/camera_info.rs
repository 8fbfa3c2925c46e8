//! Calibrations as ROS camera drivers read and write them (`camera_calibration_parsers`).

use std::path::Path;

use serde::Deserialize;

use crate::types::{Arrives, Calibration, Lens, Optics, Pinhole, Readout};

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

/// Reads the calibration of pictures that arrive like this; the reason in words where it is none.
pub(super) fn load(path: &Path, arrives: Arrives) -> Result<Optics, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read it ({error})"));
    text.and_then(|text| parse(&text, arrives)).map_err(|reason| format!("{reason}: {}", path.display()))
}

/// Reads a calibration's text.
fn parse(text: &str, arrives: Arrives) -> Result<Optics, String> {
    let raw: RawInfo = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let calibration = Calibration {
        size: [raw.image_width, raw.image_height],
        readout: Readout::default(),
        model: &raw.distortion_model,
        distortion: &raw.distortion_coefficients.data,
        camera_matrix: fixed("camera_matrix", &raw.camera_matrix)?,
        rectification: fixed("rectification_matrix", &raw.rectification_matrix)?,
        projection: fixed("projection_matrix", &raw.projection_matrix)?,
    };
    let optics = match arrives {
        Arrives::Bent => Lens::new(&calibration).map(Optics::Bent),
        Arrives::Rectified => Pinhole::rectified(&calibration).map(Optics::Straight),
    };
    optics.map_err(|error| error.to_string())
}

fn fixed<const N: usize>(name: &str, matrix: &Matrix) -> Result<[f64; N], String> {
    let got = matrix.data.len();
    <[f64; N]>::try_from(matrix.data.as_slice())
        .map_err(|_wrong_length| format!("`{name}` has {got} values, wanted {N}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUMB_BOB: &str = include_str!("../../tests/data/pictures/plumb_bob.yaml");

    fn refused(from: &str, to: &str) -> String {
        assert!(PLUMB_BOB.contains(from), "{from}");
        parse(&PLUMB_BOB.replacen(from, to, 1), Arrives::Bent).unwrap_err()
    }

    #[test]
    fn a_calibration_keeps_its_numbers() {
        let Optics::Bent(lens) = parse(PLUMB_BOB, Arrives::Bent).unwrap() else { panic!("a lens") };
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

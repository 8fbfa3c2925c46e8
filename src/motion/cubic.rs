//! A cubic through scattered points, by least squares.

/// Points below which a fit says nothing about its noise: three more than coefficients.
const FEWEST: usize = 7;

/// The points reach at least this far to both sides, of the 1 that the window does.
const REACH: f64 = 0.5;

/// Pivots that are smaller, of the 1 that they would be for one power alone, come from points in clusters.
const SMALLEST_PIVOT: f64 = 1e-6;

/// A fitted cubic.
pub(super) struct Fitted {
    /// Of the powers 0 to 3.
    pub coefficients: [f64; 4],
    /// Standard deviation of each coefficient where that of a value is 1.
    pub spread: [f64; 4],
    /// Sum of the squares of what the cubic misses.
    pub residual: f64,
    /// Points more than coefficients.
    pub freedom: f64,
}

/// The cubic in `u` that misses `points` (`u` in [-1, 1], value) least; `None` where they are too few or on one side.
pub(super) fn fit(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<Fitted> {
    let (mut count, mut low, mut high, mut reference) = (0_usize, 0.0_f64, 0.0_f64, 0.0);
    for (u, value) in points.clone() {
        (count, low, high, reference) = (count + 1, low.min(u), high.max(u), reference + value);
    }
    if count < FEWEST || low > -REACH || high < REACH {
        return None;
    }
    // Values far from zero would cost digits.
    reference /= count as f64;
    let (mut normal, mut right) = ([[0.0; 4]; 4], [0.0; 4]);
    for (u, value) in points.clone() {
        let powers = [1.0, u, u * u, u * u * u];
        for (row, power) in powers.iter().enumerate() {
            powers.iter().enumerate().for_each(|(column, other)| normal[row][column] += power * other);
            right[row] += power * (value - reference);
        }
    }
    let inverse = inverse(normal.map(|row| row.map(|value| value / count as f64)))?;
    let mut coefficients = inverse.map(|row| row.iter().zip(right).map(|(a, b)| a * b / count as f64).sum::<f64>());
    let residual = points
        .map(|(u, value)| {
            let [a, b, c, d] = coefficients;
            (value - reference - (a + u * (b + u * (c + u * d)))).powi(2)
        })
        .sum();
    coefficients[0] += reference;
    let spread = std::array::from_fn(|index| (inverse[index][index] / count as f64).max(0.0).sqrt());
    Some(Fitted { coefficients, spread, residual, freedom: (count - 4) as f64 })
}

/// Inverse of a symmetric positive matrix by Gauss and Jordan; `None` where it has almost none.
fn inverse(mut matrix: [[f64; 4]; 4]) -> Option<[[f64; 4]; 4]> {
    let mut inverse = [[0.0; 4]; 4];
    for (index, row) in inverse.iter_mut().enumerate() {
        row[index] = 1.0;
    }
    for pivot in 0..4 {
        let scale = matrix[pivot][pivot];
        if scale.is_nan() || scale < SMALLEST_PIVOT {
            return None;
        }
        for column in 0..4 {
            matrix[pivot][column] /= scale;
            inverse[pivot][column] /= scale;
        }
        for row in (0..4).filter(|row| *row != pivot) {
            let factor = matrix[row][pivot];
            for column in 0..4 {
                matrix[row][column] -= factor * matrix[pivot][column];
                inverse[row][column] -= factor * inverse[pivot][column];
            }
        }
    }
    Some(inverse)
}

//! Matrices written the other way round, a band of columns at a time.

use std::io::{self, Write};

use super::Weight;
use super::weight::decode;

/// Bytes of a band: every band walks over the whole matrix, so few bands.
const BAND: u64 = 16 << 20;

impl Weight<'_> {
    /// Writes a matrix `[rows, columns]` as `[columns, rows]`, row-major, as [`Weight::write_f32`] does, holding one
    /// band of columns at a time.
    ///
    /// # Errors
    /// A weight that is no matrix; whatever `out` says.
    pub fn write_f32_transposed(&self, out: &mut impl Write) -> io::Result<()> {
        let &[rows, columns] = self.shape else {
            let reason = format!("tensor `{}`: got {:?}, wanted a matrix", self.name, self.shape);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        };
        let per_band = (BAND / (rows * 4).max(1)).max(1);
        let mut band = Vec::new();
        for first in (0..columns).step_by(per_band as usize) {
            let count = per_band.min(columns - first);
            band.clear();
            band.resize((count * rows * 4) as usize, 0);
            for row in 0..rows {
                self.scatter_row(row, first..first + count, &mut band);
            }
            out.write_all(&band)?;
        }
        self.file.release(self.bytes);
        Ok(())
    }

    /// Puts the given columns of a row where they stand in the transposed band.
    fn scatter_row(&self, row: u64, columns: std::ops::Range<u64>, band: &mut [u8]) {
        let (row_stride, column_stride) = match *self.strides.unwrap_or_default() {
            [row_stride, column_stride] => (row_stride, column_stride),
            _ => (self.shape[1], 1),
        };
        let size = self.dtype.bytes();
        let rows = self.shape[0];
        for (index, column) in columns.enumerate() {
            let from = ((row * row_stride + column * column_stride) * size) as usize;
            let to = ((index as u64 * rows + row) * 4) as usize;
            decode(&self.bytes[from..from + size as usize], self.dtype, |value| {
                band[to..to + 4].copy_from_slice(&value.to_le_bytes());
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::checkpoint::Weights;

    fn transposed(weights: &Weights, name: &str, shape: &[u64]) -> Vec<f32> {
        let mut written = Vec::new();
        weights.read(name, shape).unwrap().write_f32_transposed(&mut written).unwrap();
        written.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    #[test]
    fn matrices_turn_whatever_their_strides() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/views_protocol2.pt");
        let weights = Weights::open_torch(&path).unwrap();
        // Element i of the storage is i + 0.25; `whole` is [[0, 1, 2, 3], [4, ..], [8, ..]].
        let places = |name, shape: &[u64]| -> Vec<f32> {
            transposed(&weights, name, shape).iter().map(|value| value - 0.25).collect()
        };
        assert_eq!(places("whole", &[3, 4]), [0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]);
        assert_eq!(places("columns", &[3, 2]), [1., 5., 9., 2., 6., 10.]);
        let vector = weights.read("parameter", &[1]).unwrap().write_f32_transposed(&mut Vec::new()).unwrap_err();
        assert_eq!(vector.to_string(), "tensor `parameter`: got [1], wanted a matrix");
    }

    #[test]
    fn a_matrix_larger_than_a_band_turns_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (rows, columns) = (3, 1_500_000);
        let header = format!(r#"{{"w":{{"dtype":"F32","shape":[{rows},{columns}],"data_offsets":[0,18000000]}}}}"#);
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        (0..rows * columns).for_each(|i| file.extend_from_slice(&(i as f32).to_le_bytes()));
        std::fs::write(dir.path().join("model.safetensors"), file).unwrap();
        let weights = Weights::open_safetensors(dir.path()).unwrap();
        let values = transposed(&weights, "w", &[3, 1_500_000]);
        let wanted = (0..columns).flat_map(|column| (0..rows).map(move |row| (row * columns + column) as f32));
        assert!(values.iter().copied().eq(wanted), "18 MB in two bands");
    }
}

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

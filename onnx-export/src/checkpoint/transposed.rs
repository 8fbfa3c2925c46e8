//! Matrices written the other way round, a band of columns at a time.

use std::io::{self, Write};

use super::Weight;

/// Bytes of a band: every band walks over the whole matrix, so few bands.
const BAND: u64 = 16 << 20;

impl Weight<'_> {
    /// Writes a matrix `[rows, columns]` as `[columns, rows]`, row-major, as [`Weight::write_f32`] does, holding one
    /// band of columns at a time.
    ///
    /// # Errors
    /// A weight that is no matrix; whatever `out` says.
    pub fn write_f32_transposed(&self, out: &mut impl Write) -> io::Result<()> {
        let &[rows, columns] = self.shape() else {
            let reason = format!("tensor `{}`: got {:?}, wanted a matrix", self.name, self.shape());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        };
        let update = self.update();
        let per_band = (BAND / (rows * 4).max(1)).max(1);
        let (mut band, mut values) = (Vec::new(), Vec::new());
        for first in (0..columns).step_by(per_band as usize) {
            let count = per_band.min(columns - first);
            band.clear();
            band.resize((count * rows * 4) as usize, 0);
            for row in 0..rows {
                values.clear();
                self.read_row(row, first..first + count, update.as_ref(), &mut values);
                for (index, value) in values.iter().enumerate() {
                    let to = ((index as u64 * rows + row) * 4) as usize;
                    band[to..to + 4].copy_from_slice(&value.to_le_bytes());
                }
            }
            out.write_all(&band)?;
        }
        self.stored.release();
        Ok(())
    }
}

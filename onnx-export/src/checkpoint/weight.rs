//! One tensor of a checkpoint, still on disk.

use std::io::{self, Write};
use std::ops::Range;

use super::lora::{LowRank, Update};
use super::stored::{Stored, decode};

/// Encoding of a weight's numbers, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FloatType {
    F64,
    F32,
    F16,
    Bf16,
}

impl FloatType {
    /// Bytes of one number.
    pub const fn bytes(self) -> u64 {
        match self {
            FloatType::F64 => 8,
            FloatType::F32 => 4,
            FloatType::F16 | FloatType::Bf16 => 2,
        }
    }
}

/// A tensor of floats whose shape was checked; its numbers stay in the file until they are written.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    pub(super) name: &'a str,
    pub(super) stored: Stored<'a>,
    /// What a low-rank adapter adds to the stored numbers.
    pub(super) adapter: Option<LowRank<'a>>,
}

impl<'a> Weight<'a> {
    /// Full name in the checkpoint.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Length per axis, as it was asked for.
    pub fn shape(&self) -> &'a [u64] {
        self.stored.shape
    }

    /// Encoding in the checkpoint.
    pub fn dtype(&self) -> FloatType {
        self.stored.dtype
    }

    /// Number of values.
    pub fn elements(&self) -> u64 {
        self.stored.elements()
    }

    /// All values, row-major. F16 and BF16 become f32 exactly, F64 is rounded to the nearest f32; an adapter is merged
    /// in f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let Some(update) = self.update() else { return self.stored.to_f32() };
        let mut values = Vec::with_capacity(self.elements() as usize);
        for row in 0..self.stored.rows() {
            self.read_row(row, 0..self.stored.row_length(), Some(&update), &mut values);
        }
        self.stored.release();
        values
    }

    /// Writes all values, row-major, as little-endian f32 with the conversion of [`Weight::to_f32`], holding one
    /// piece of bounded size at a time, and an adapter's factors.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write_f32(&self, out: &mut impl Write) -> io::Result<()> {
        let mut buffer = Vec::new();
        if let Some(update) = self.update() {
            let mut values = Vec::new();
            for row in 0..self.stored.rows() {
                values.clear();
                self.read_row(row, 0..self.stored.row_length(), Some(&update), &mut values);
                buffer.clear();
                buffer.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                out.write_all(&buffer)?;
            }
            self.stored.release();
            return Ok(());
        }
        self.stored.pieces(|piece| {
            if self.dtype() == FloatType::F32 {
                return out.write_all(piece);
            }
            buffer.clear();
            decode(piece, self.dtype(), |value| buffer.extend_from_slice(&value.to_le_bytes()));
            out.write_all(&buffer)
        })
    }

    /// The adapter's factors in f32, read once for all rows.
    pub(super) fn update(&self) -> Option<Update> {
        self.adapter.map(Update::read)
    }

    /// Appends a part of one row to `values`, with `update` added where there is one.
    pub(super) fn read_row(&self, row: u64, part: Range<u64>, update: Option<&Update>, values: &mut Vec<f32>) {
        let first = values.len();
        self.stored.read_row(row, part.clone(), values);
        if let Some(update) = update {
            update.add_to_row(row, part, &mut values[first..]);
        }
    }
}

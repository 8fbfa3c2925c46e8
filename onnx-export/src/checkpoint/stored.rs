//! The encoded numbers of one tensor, still on disk.

use std::ops::Range;

use half::{bf16, f16};

use super::FloatType;
use super::mapped::Mapped;

/// Bytes converted at a time: enough for fast writes, small beside any tensor that matters.
const PIECE: usize = 1 << 20;

/// Floats in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'a> {
    pub shape: &'a [u64],
    /// Elements between neighbours per axis; `None` is row-major without holes.
    pub strides: Option<&'a [u64]>,
    pub dtype: FloatType,
    /// From the first element to the last one.
    pub bytes: &'a [u8],
    pub file: &'a Mapped,
}

impl Stored<'_> {
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Length of the first axis.
    pub fn rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Elements of one index of the first axis.
    pub fn row_length(&self) -> u64 {
        self.shape.iter().skip(1).product()
    }

    /// All values, row-major.
    pub fn to_f32(self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.elements() as usize);
        let done: Result<(), std::convert::Infallible> = self.pieces(|piece| {
            decode(piece, self.dtype, |value| values.push(value));
            Ok(())
        });
        let Ok(()) = done;
        values
    }

    /// Appends a part of one row to `values`.
    pub fn read_row(&self, row: u64, part: Range<u64>, values: &mut Vec<f32>) {
        let size = self.dtype.bytes() as usize;
        let Some(strides) = self.strides else {
            let first = row * self.row_length();
            let bytes = (first + part.start) as usize * size..(first + part.end) as usize * size;
            return decode(&self.bytes[bytes], self.dtype, |value| values.push(value));
        };
        for column in part {
            let mut at = row * strides[0];
            let mut rest = column;
            for (length, stride) in self.shape.iter().zip(strides).skip(1).rev() {
                at += rest % length * stride;
                rest /= length;
            }
            let from = at as usize * size;
            decode(&self.bytes[from..from + size], self.dtype, |value| values.push(value));
        }
    }

    /// Hands out the encoded values in row-major order, a whole number of them at a time, and gives the pages back.
    pub fn pieces<E>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if let Some(strides) = self.strides {
            self.gather(strides, &mut take)?;
            self.release();
            return Ok(());
        }
        for piece in self.bytes.chunks(PIECE) {
            take(piece)?;
            self.file.release(piece);
        }
        Ok(())
    }

    /// Gives the pages back.
    pub fn release(&self) {
        self.file.release(self.bytes);
    }

    fn gather<E>(&self, strides: &[u64], take: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let size = self.dtype.bytes() as usize;
        let mut piece = Vec::with_capacity(PIECE);
        let mut index = vec![0_u64; self.shape.len()];
        for _ in 0..self.elements() {
            let element: u64 = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
            let at = element as usize * size;
            piece.extend_from_slice(&self.bytes[at..at + size]);
            if piece.len() >= PIECE {
                take(&piece)?;
                piece.clear();
            }
            advance(&mut index, self.shape);
        }
        take(&piece)
    }
}

/// The next index in row-major order; after the last one, the first.
fn advance(index: &mut [u64], shape: &[u64]) {
    for (i, length) in index.iter_mut().zip(shape).rev() {
        *i += 1;
        if *i < *length {
            return;
        }
        *i = 0;
    }
}

pub(super) fn decode(piece: &[u8], dtype: FloatType, mut take: impl FnMut(f32)) {
    match dtype {
        FloatType::F64 => piece.as_chunks().0.iter().for_each(|b| take(f64::from_le_bytes(*b) as f32)),
        FloatType::F32 => piece.as_chunks().0.iter().for_each(|b| take(f32::from_le_bytes(*b))),
        FloatType::F16 => piece.as_chunks().0.iter().for_each(|b| take(f16::from_le_bytes(*b).to_f32())),
        FloatType::Bf16 => piece.as_chunks().0.iter().for_each(|b| take(bf16::from_le_bytes(*b).to_f32())),
    }
}

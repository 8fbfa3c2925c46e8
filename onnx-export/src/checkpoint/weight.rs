//! One tensor of a checkpoint, still on disk.

use std::io::{self, Write};

use half::{bf16, f16};

use super::mapped::Mapped;

/// Bytes converted at a time: enough for fast writes, small beside any tensor that matters.
const PIECE: usize = 1 << 20;

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
    pub(super) shape: &'a [u64],
    /// Elements between neighbours per axis; `None` is row-major without holes.
    pub(super) strides: Option<&'a [u64]>,
    pub(super) dtype: FloatType,
    /// From the first element to the last one.
    pub(super) bytes: &'a [u8],
    pub(super) file: &'a Mapped,
}

impl<'a> Weight<'a> {
    /// Full name in the checkpoint.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Length per axis, as it was asked for.
    pub fn shape(&self) -> &'a [u64] {
        self.shape
    }

    /// Encoding in the checkpoint.
    pub fn dtype(&self) -> FloatType {
        self.dtype
    }

    /// Number of values.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// All values, row-major. F16 and BF16 become f32 exactly, F64 is rounded to the nearest f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.elements() as usize);
        let done: Result<(), std::convert::Infallible> = self.pieces(|piece| {
            decode(piece, self.dtype, |value| values.push(value));
            Ok(())
        });
        let Ok(()) = done;
        values
    }

    /// Writes all values, row-major, as little-endian f32 with the conversion of [`Weight::to_f32`], holding one
    /// piece of bounded size at a time.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write_f32(&self, out: &mut impl Write) -> io::Result<()> {
        let mut buffer = Vec::new();
        self.pieces(|piece| {
            if self.dtype == FloatType::F32 {
                return out.write_all(piece);
            }
            buffer.clear();
            decode(piece, self.dtype, |value| buffer.extend_from_slice(&value.to_le_bytes()));
            out.write_all(&buffer)
        })
    }

    /// Hands out the encoded values in row-major order, a whole number of them at a time, and gives the pages back.
    fn pieces<E>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if let Some(strides) = self.strides {
            self.gather(strides, &mut take)?;
            self.file.release(self.bytes);
            return Ok(());
        }
        for piece in self.bytes.chunks(PIECE) {
            take(piece)?;
            self.file.release(piece);
        }
        Ok(())
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

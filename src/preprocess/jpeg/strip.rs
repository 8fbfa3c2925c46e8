//! Sixteen blocks of 8 x 8 numbers side by side, one per lane: what is done to a number is done to that of every block
//! in one vector instruction.

use crate::preprocess::interleave::interleave;

/// Blocks in a strip.
pub const LANES: usize = 16;
/// The same number of every block.
pub type Lanes<T> = [T; LANES];
/// Samples or coefficients, row by row: number `8 * row + column` of every block.
pub type Strip = [Lanes<i16>; 64];

/// Samples in a row of a strip.
pub const SPAN: usize = 8 * LANES;
/// No samples yet.
pub const EMPTY: Strip = [[0; LANES]; 64];

/// Reads the blocks from `column` on, as many as there are, of eight rows of samples; samples go around 0.
#[inline(always)]
pub fn load(strip: &mut Strip, rows: &[u8], column: usize) {
    let width = rows.len() / 8;
    let span = SPAN.min(width - column);
    for (row, numbers) in rows.chunks_exact(width).zip(strip.as_chunks_mut::<8>().0) {
        let mut samples = [[0; LANES]; 8];
        samples.as_flattened_mut()[..span].copy_from_slice(&row[column..][..span]);
        let columns = interleave(&interleave(&interleave(&interleave(&samples))));
        for (lanes, samples) in numbers.iter_mut().zip(columns) {
            for (x, sample) in lanes.iter_mut().zip(samples) {
                *x = i16::from(sample) - 128;
            }
        }
    }
}

/// The way back, clipped.
#[inline(always)]
pub fn store(strip: &Strip, rows: &mut [u8], column: usize) {
    let width = rows.len() / 8;
    let span = SPAN.min(width - column);
    for (row, numbers) in rows.chunks_exact_mut(width).zip(strip.as_chunks::<8>().0) {
        let mut columns = [[0; LANES]; 8];
        for (samples, lanes) in columns.iter_mut().zip(numbers) {
            for (sample, x) in samples.iter_mut().zip(lanes) {
                *sample = (x + 128).clamp(0, 255) as u8;
            }
        }
        let samples = interleave(&interleave(&interleave(&columns)));
        row[column..][..span].copy_from_slice(&samples.as_flattened()[..span]);
    }
}

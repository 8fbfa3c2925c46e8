//! libjpeg's integer cosine transforms, bit-equal (jfdctint.c, jidctint.c, jidctfst.c).
//!
//! Eight blocks of 8 x 8 numbers go side by side: every pass works down the columns of all blocks (or, after a
//! transposition within each block, along their rows) in one loop that the compiler turns into vector code.

use std::num::Wrapping;

/// Numbers in one row of a strip.
pub const LANES: usize = 64;
/// Eight blocks side by side: rows of samples or of coefficients.
pub type Strip = [[i16; LANES]; 8];

/// Fractional bits of the accurate transforms' constants.
const CONST_BITS: u32 = 13;
/// Fractional bits that stay in the numbers between the two passes.
const PASS1_BITS: u32 = 2;

/// Forward transform (`JDCT_ISLOW`) of samples in -128..=127, in place; gives 8 times the true coefficients.
pub fn forward(strip: &mut Strip, scratch: &mut Strip) {
    transpose(strip, scratch);
    forward_pass::<{ CONST_BITS - PASS1_BITS }>(scratch, |x| x << PASS1_BITS);
    transpose(scratch, strip);
    forward_pass::<{ CONST_BITS + PASS1_BITS }>(strip, |x| (x + (1 << (PASS1_BITS - 1))) >> PASS1_BITS);
}

/// Fast inverse transform (`JDCT_IFAST`), in place, of dequantised coefficients that carry the AA&N factors; gives
/// samples around 0 that are not yet clamped.
pub fn inverse_fast(strip: &mut Strip, scratch: &mut Strip) {
    inverse_fast_pass::<0>(strip);
    transpose(strip, scratch);
    inverse_fast_pass::<{ PASS1_BITS + 3 }>(scratch);
    transpose(scratch, strip);
}

/// Accurate inverse transform (`JDCT_ISLOW`), in place, of dequantised coefficients; gives samples around 0 that are
/// not yet clamped.
pub fn inverse_accurate(strip: &mut Strip, scratch: &mut Strip) {
    inverse_accurate_pass::<{ CONST_BITS - PASS1_BITS }>(strip);
    transpose(strip, scratch);
    inverse_accurate_pass::<{ CONST_BITS + PASS1_BITS + 3 }>(scratch);
    transpose(scratch, strip);
}

/// One pass of the Loeffler-Ligtenberg-Moschytz transform; `even` scales the two outputs that need no multiplication.
fn forward_pass<const SHIFT: u32>(strip: &mut Strip, even: impl Fn(i32) -> i32) {
    for i in 0..LANES {
        let x = column(strip, i);
        let [s0, s1, s2, s3] = [x[0] + x[7], x[1] + x[6], x[2] + x[5], x[3] + x[4]];
        let [d7, d6, d5, d4] = [x[0] - x[7], x[1] - x[6], x[2] - x[5], x[3] - x[4]];
        let [t10, t13, t11, t12] = [s0 + s3, s0 - s3, s1 + s2, s1 - s2];
        strip[0][i] = even(i32::from(t10) + i32::from(t11)) as i16;
        strip[4][i] = even(i32::from(t10) - i32::from(t11)) as i16;
        strip[2][i] = descale::<SHIFT>(mul(t13, 4433 + 6270) + mul(t12, 4433));
        strip[6][i] = descale::<SHIFT>(mul(t13, 4433) + mul(t12, 4433 - 15137));
        let [o7, o5, o3, o1] = odd_part([d4, d5, d6, d7]);
        strip[7][i] = descale::<SHIFT>(o7);
        strip[5][i] = descale::<SHIFT>(o5);
        strip[3][i] = descale::<SHIFT>(o3);
        strip[1][i] = descale::<SHIFT>(o1);
    }
}

/// One pass of the accurate inverse.
fn inverse_accurate_pass<const SHIFT: u32>(strip: &mut Strip) {
    for i in 0..LANES {
        let x = column(strip, i);
        let t2 = mul(x[2], 4433) + mul(x[6], 4433 - 15137);
        let t3 = mul(x[2], 4433 + 6270) + mul(x[6], 4433);
        let t0 = (i32::from(x[0]) + i32::from(x[4])) << CONST_BITS;
        let t1 = (i32::from(x[0]) - i32::from(x[4])) << CONST_BITS;
        let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
        let [o0, o1, o2, o3] = odd_part([x[7], x[5], x[3], x[1]]);
        let odd = [o3, o2, o1, o0];
        for k in 0..4 {
            strip[k][i] = descale::<SHIFT>(even[k] + odd[k]);
            strip[7 - k][i] = descale::<SHIFT>(even[k] - odd[k]);
        }
    }
}

/// The odd half of both directions; the matrix is its own transpose. Products are gathered per operand, so that each
/// is 16 x 16 bits.
fn odd_part([a, b, c, d]: [i16; 4]) -> [i32; 4] {
    let [z3, z4] = [a.wrapping_add(c), b.wrapping_add(d)];
    let [z3, z4] = [mul(z3, 9633 - 16069) + mul(z4, 9633), mul(z3, 9633) + mul(z4, 9633 - 3196)];
    [
        mul(a, 2446 - 7373) + mul(d, -7373) + z3,
        mul(b, 16819 - 20995) + mul(c, -20995) + z4,
        mul(c, 25172 - 20995) + mul(b, -20995) + z3,
        mul(d, 12299 - 7373) + mul(a, -7373) + z4,
    ]
}

/// One pass of the Arai-Agui-Nakajima inverse in 16 bits that wrap, as libjpeg-turbo's SIMD code computes it: hard
/// black and white patterns overflow there, and did so in the training data.
fn inverse_fast_pass<const SHIFT: u32>(strip: &mut Strip) {
    const ROOT_2: i16 = 362;
    for i in 0..LANES {
        let x = column(strip, i).map(Wrapping);
        let [t10, t11, t13] = [x[0] + x[4], x[0] - x[4], x[2] + x[6]];
        let t12 = times(x[2] - x[6], ROOT_2) - t13;
        let even = [t10 + t13, t11 + t12, t11 - t12, t10 - t13];

        let [z13, z10, z11, z12] = [x[5] + x[3], x[5] - x[3], x[1] + x[7], x[1] - x[7]];
        let z5 = times(z10 + z12, 473);
        let o0 = z11 + z13;
        // 669 / 256 does not fit 16 bits with its scaling: 2 + 157 / 256 does, and floors the same way.
        let o1 = times(z10, -157) - (z10 + z10) + z5 - o0;
        let o2 = times(z11 - z13, ROOT_2) - o1;
        let o3 = -(times(z12, 277) - z5 + o2);
        let odd = [o0, o1, o2, o3];
        for k in 0..4 {
            strip[k][i] = (even[k] + odd[k]).0 >> SHIFT;
            strip[7 - k][i] = (even[k] - odd[k]).0 >> SHIFT;
        }
    }
}

/// `x * factor / 256`, rounded down.
fn times(x: Wrapping<i16>, factor: i16) -> Wrapping<i16> {
    Wrapping(((i32::from(x.0 << 2) * i32::from(factor << 6)) >> 16) as i16)
}

fn mul(a: i16, factor: i16) -> i32 {
    i32::from(a) * i32::from(factor)
}

fn descale<const SHIFT: u32>(x: i32) -> i16 {
    ((x + (1 << (SHIFT - 1))) >> SHIFT) as i16
}

fn column(strip: &Strip, i: usize) -> [i16; 8] {
    [strip[0][i], strip[1][i], strip[2][i], strip[3][i], strip[4][i], strip[5][i], strip[6][i], strip[7][i]]
}

/// Transposes within each block.
fn transpose(from: &Strip, to: &mut Strip) {
    for block in (0..LANES).step_by(8) {
        let mut m = [[0; 8]; 8];
        for (lane, row) in m.iter_mut().zip(from) {
            lane.copy_from_slice(&row[block..block + 8]);
        }
        let transposed = interleave(&interleave(&interleave(&m)));
        for (lane, row) in transposed.iter().zip(&mut *to) {
            row[block..block + 8].copy_from_slice(lane);
        }
    }
}

/// Interleaves lane `k` with lane `k + 4`; three times this is a transposition.
fn interleave(m: &[[i16; 8]; 8]) -> [[i16; 8]; 8] {
    let mut out = [[0; 8]; 8];
    for k in 0..4 {
        for i in 0..4 {
            out[2 * k][2 * i] = m[k][i];
            out[2 * k][2 * i + 1] = m[k + 4][i];
            out[2 * k + 1][2 * i] = m[k][i + 4];
            out[2 * k + 1][2 * i + 1] = m[k + 4][i + 4];
        }
    }
    out
}

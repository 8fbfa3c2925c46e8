//! libjpeg's integer cosine transforms, bit-equal (jfdctint.c, jidctint.c, jidctfst.c).
//!
//! A transform of rows or columns is the same scalar code for every lane of a strip, in one loop that the compiler turns
//! into vector code.

use std::num::Wrapping;

use super::strip::{LANES, Strip};

/// Fractional bits of the accurate transforms' constants.
const CONST_BITS: u32 = 13;
/// Fractional bits that stay in the numbers between the two passes.
const PASS1_BITS: u32 = 2;

/// Forward transform (`JDCT_ISLOW`) of samples in -128..=127, in place; gives 8 times the true coefficients.
#[inline(always)]
pub fn forward(strip: &mut Strip) {
    rows(strip, forward_pass::<{ CONST_BITS - PASS1_BITS }>);
    columns(strip, forward_pass::<{ CONST_BITS + PASS1_BITS }>);
}

/// Fast inverse transform (`JDCT_IFAST`), in place, of dequantised coefficients that carry the AA&N factors; gives
/// samples around 0 that are not yet clamped.
#[inline(always)]
pub fn inverse_fast(strip: &mut Strip) {
    columns(strip, inverse_fast_pass::<0>);
    rows(strip, inverse_fast_pass::<{ PASS1_BITS + 3 }>);
}

/// Accurate inverse transform (`JDCT_ISLOW`), in place, of dequantised coefficients; gives samples around 0 that are
/// not yet clamped.
#[inline(always)]
pub fn inverse_accurate(strip: &mut Strip) {
    columns(strip, inverse_accurate_pass::<{ CONST_BITS - PASS1_BITS }>);
    rows(strip, inverse_accurate_pass::<{ CONST_BITS + PASS1_BITS + 3 }>);
}

#[inline(always)]
fn rows(strip: &mut Strip, transform: impl Fn([i16; 8]) -> [i16; 8] + Copy) {
    for row in 0..8 {
        line::<1>(strip, 8 * row, transform);
    }
}

#[inline(always)]
fn columns(strip: &mut Strip, transform: impl Fn([i16; 8]) -> [i16; 8] + Copy) {
    for column in 0..8 {
        line::<8>(strip, column, transform);
    }
}

/// Transforms the eight numbers from `first` on, `STEP` apart, of every block.
#[inline(always)]
fn line<const STEP: usize>(strip: &mut Strip, first: usize, transform: impl Fn([i16; 8]) -> [i16; 8]) {
    let mut numbers = [[0; LANES]; 8];
    for k in 0..8 {
        numbers[k] = strip[first + k * STEP];
    }
    let [a, b, c, d, e, f, g, h] = &mut numbers;
    for i in 0..LANES {
        let x = transform([a[i], b[i], c[i], d[i], e[i], f[i], g[i], h[i]]);
        [a[i], b[i], c[i], d[i], e[i], f[i], g[i], h[i]] = x;
    }
    for k in 0..8 {
        strip[first + k * STEP] = numbers[k];
    }
}

/// One pass of the Loeffler-Ligtenberg-Moschytz transform.
#[inline(always)]
fn forward_pass<const SHIFT: u32>(x: [i16; 8]) -> [i16; 8] {
    let [s0, s1, s2, s3] = [x[0] + x[7], x[1] + x[6], x[2] + x[5], x[3] + x[4]];
    let [d7, d6, d5, d4] = [x[0] - x[7], x[1] - x[6], x[2] - x[5], x[3] - x[4]];
    let [t10, t13, t11, t12] = [s0 + s3, s0 - s3, s1 + s2, s1 - s2];
    let [o7, o5, o3, o1] = odd_part([d4, d5, d6, d7]);
    [
        descale::<SHIFT>((i32::from(t10) + i32::from(t11)) << CONST_BITS),
        descale::<SHIFT>(o1),
        descale::<SHIFT>(mul(t13, 4433 + 6270) + mul(t12, 4433)),
        descale::<SHIFT>(o3),
        descale::<SHIFT>((i32::from(t10) - i32::from(t11)) << CONST_BITS),
        descale::<SHIFT>(o5),
        descale::<SHIFT>(mul(t13, 4433) + mul(t12, 4433 - 15137)),
        descale::<SHIFT>(o7),
    ]
}

/// One pass of the accurate inverse.
#[inline(always)]
fn inverse_accurate_pass<const SHIFT: u32>(x: [i16; 8]) -> [i16; 8] {
    let t2 = mul(x[2], 4433) + mul(x[6], 4433 - 15137);
    let t3 = mul(x[2], 4433 + 6270) + mul(x[6], 4433);
    let t0 = (i32::from(x[0]) + i32::from(x[4])) << CONST_BITS;
    let t1 = (i32::from(x[0]) - i32::from(x[4])) << CONST_BITS;
    let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
    let [o0, o1, o2, o3] = odd_part([x[7], x[5], x[3], x[1]]);
    let odd = [o3, o2, o1, o0];
    let mut out = [0; 8];
    for k in 0..4 {
        out[k] = descale::<SHIFT>(even[k] + odd[k]);
        out[7 - k] = descale::<SHIFT>(even[k] - odd[k]);
    }
    out
}

/// The odd half of both directions; the matrix is its own transpose. Products are gathered per operand, so that each
/// is 16 x 16 bits.
#[inline(always)]
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
#[inline(always)]
fn inverse_fast_pass<const SHIFT: u32>(x: [i16; 8]) -> [i16; 8] {
    const ROOT_2: i16 = 362;
    let w = Wrapping;
    let x = [w(x[0]), w(x[1]), w(x[2]), w(x[3]), w(x[4]), w(x[5]), w(x[6]), w(x[7])];
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
    let mut out = [0; 8];
    for k in 0..4 {
        out[k] = (even[k] + odd[k]).0 >> SHIFT;
        out[7 - k] = (even[k] - odd[k]).0 >> SHIFT;
    }
    out
}

/// `x * factor / 256`, rounded down.
#[inline(always)]
fn times(x: Wrapping<i16>, factor: i16) -> Wrapping<i16> {
    Wrapping(((i32::from(x.0 << 2) * i32::from(factor << 6)) >> 16) as i16)
}

#[inline(always)]
fn mul(a: i16, factor: i16) -> i32 {
    i32::from(a) * i32::from(factor)
}

#[inline(always)]
fn descale<const SHIFT: u32>(x: i32) -> i16 {
    ((x + (1 << (SHIFT - 1))) >> SHIFT) as i16
}

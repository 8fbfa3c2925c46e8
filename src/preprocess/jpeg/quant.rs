//! Quantisation and its inverse in one step, bit-equal to libjpeg (jcparam.c, jcdctmgr.c, jddctmgr.c).

use vla_bundle::Idct;

use super::strip::{LANES, Lanes, Strip};

/// Annex K.1 of ITU-T T.81.
const LUMA: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];
/// Annex K.2 of ITU-T T.81.
const CHROMA: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
];
/// `cos(k * pi / 16) * sqrt(2)` with 14 fractional bits, 1 for k = 0; a coefficient carries the product of two.
const AAN: [[i32; 8]; 8] = [
    [16384, 22725, 21407, 19266, 16384, 12873, 8867, 4520],
    [22725, 31521, 29692, 26722, 22725, 17855, 12299, 6270],
    [21407, 29692, 27969, 25172, 21407, 16819, 11585, 5906],
    [19266, 26722, 25172, 22654, 19266, 15137, 10426, 5315],
    [16384, 22725, 21407, 19266, 16384, 12873, 8867, 4520],
    [12873, 17855, 16819, 15137, 12873, 10114, 6967, 3552],
    [8867, 12299, 11585, 10426, 8867, 6967, 4799, 2446],
    [4520, 6270, 5906, 5315, 4520, 3552, 2446, 1247],
];

/// One number per coefficient, repeated for every block of a strip.
type Table<T> = [Lanes<T>; 64];

/// Divides the forward transform's coefficients, rounds half away from zero and multiplies for the inverse transform.
pub struct Quantizer {
    /// The division as multiplications: `((|x| + rounding) * reciprocal >> 16) * scale >> 16`.
    rounding: Table<u16>,
    reciprocal: Table<u16>,
    scale: Table<u16>,
    multiplier: Table<i16>,
}

impl Quantizer {
    /// For brightness.
    pub fn luma(quality: u8, idct: Idct) -> Self {
        Self::new(&LUMA, quality, idct)
    }

    /// For colour.
    pub fn chroma(quality: u8, idct: Idct) -> Self {
        Self::new(&CHROMA, quality, idct)
    }

    fn new(base: &[u8; 64], quality: u8, idct: Idct) -> Self {
        let quality = i32::from(quality);
        let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
        let [rounding, reciprocal, scale] = [[[0; LANES]; 64]; 3];
        let mut out = Self { rounding, reciprocal, scale, multiplier: [[0; LANES]; 64] };
        for (k, (base, aan)) in base.iter().zip(AAN.as_flattened()).enumerate() {
            let step = ((i32::from(*base) * percent + 50) / 100).clamp(1, 255);
            // The forward transform leaves a factor of 8.
            let division = Division::by(8 * step as u16);
            out.rounding[k] = [division.rounding; LANES];
            out.reciprocal[k] = [division.reciprocal; LANES];
            out.scale[k] = [division.scale; LANES];
            out.multiplier[k] = match idct {
                Idct::Accurate => [step as i16; LANES],
                Idct::Fast => [((step * aan + (1 << 11)) >> 12) as i16; LANES],
            };
        }
        out
    }

    /// Replaces coefficients by those that a decoder would hand to its inverse transform.
    #[inline(always)]
    pub fn requantize(&self, strip: &mut Strip) {
        let strip = strip.as_flattened_mut();
        let [rounding, reciprocal, scale] = [&self.rounding, &self.reciprocal, &self.scale].map(|t| t.as_flattened());
        let multiplier = self.multiplier.as_flattened();
        for i in 0..64 * LANES {
            let sign = strip[i] >> 15;
            let rounded = strip[i].unsigned_abs() + rounding[i];
            let level = high_half(high_half(rounded, reciprocal[i]), scale[i]) as i16;
            strip[i] = ((level ^ sign) - sign).wrapping_mul(multiplier[i]);
        }
    }
}

/// Exact rounded division of numbers below 2^15 by a constant (Alverson, "Integer Division Using Reciprocals").
struct Division {
    rounding: u16,
    reciprocal: u16,
    scale: u16,
}

impl Division {
    /// `divisor` is at least 8.
    fn by(divisor: u16) -> Self {
        let bits = divisor.ilog2();
        let one = 1_u32 << (16 + bits);
        let (quotient, rest) = (one / u32::from(divisor), (one % u32::from(divisor)) as u16);
        let half = divisor / 2;
        let (reciprocal, rounding, shift) = if rest == 0 {
            (quotient / 2, half, bits - 1)
        } else if rest <= half {
            (quotient, half + 1, bits)
        } else {
            (quotient + 1, half, bits)
        };
        Self { rounding, reciprocal: reciprocal as u16, scale: 1 << (16 - shift) }
    }
}

#[inline(always)]
fn high_half(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_division_rounds_half_away_from_zero_for_every_table_entry() {
        for step in 1..=255_u16 {
            let Division { rounding, reciprocal, scale } = Division::by(8 * step);
            for x in 0..=i16::MAX as u16 {
                let got = high_half(high_half(x + rounding, reciprocal), scale);
                assert_eq!(got, (x + 4 * step) / (8 * step), "{x} / {}", 8 * step);
            }
        }
    }
}

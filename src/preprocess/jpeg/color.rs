//! RGB to YCbCr with halved colour resolution and back, bit-equal to libjpeg (jccolor.c, jcsample.c, jdsample.c,
//! jdcolor.c).

use multiversion::multiversion;

/// Writes one row of pixels as brightness and both colours, 16 fractional bits rounded as libjpeg's tables do.
#[multiversion(targets("x86_64+avx2"))]
pub fn rgb_to_ycc(rgb: &[u8], y: &mut [u8], cb: &mut [u8], cr: &mut [u8]) {
    // Two loops: one sorts bytes, one computes; the compiler finds vector code for each.
    for (((pixel, r), g), b) in rgb.as_chunks::<3>().0.iter().zip(&mut *y).zip(&mut *cb).zip(&mut *cr) {
        [*r, *g, *b] = *pixel;
    }
    for ((y, cb), cr) in y.iter_mut().zip(cb).zip(cr) {
        let [r, g, b] = [i32::from(*y), i32::from(*cb), i32::from(*cr)];
        *y = ((19595 * r + 38470 * g + 7471 * b + (1 << 15)) >> 16) as u8;
        *cb = ((-11059 * r - 21709 * g + (b << 15) + (128 << 16) + (1 << 15) - 1) >> 16) as u8;
        *cr = (((r << 15) - 27439 * g - 5329 * b + (128 << 16) + (1 << 15) - 1) >> 16) as u8;
    }
}

/// Averages squares of four; the rounding alternates between 1/4 and 1/2 from column to column.
#[multiversion(targets("x86_64+avx2"))]
pub fn halve(upper: &[u8], lower: &[u8], out: &mut [u8]) {
    let pairs = upper.as_chunks::<4>().0.iter().zip(lower.as_chunks::<4>().0);
    for ((a, b), out) in pairs.zip(out.as_chunks_mut::<2>().0) {
        let [a, b] = [a.map(u16::from), b.map(u16::from)];
        out[0] = ((a[0] + a[1] + b[0] + b[1] + 1) >> 2) as u8;
        out[1] = ((a[2] + a[3] + b[2] + b[3] + 2) >> 2) as u8;
    }
}

/// Doubles a row of colour with libjpeg's triangle filter: 9/16, 3/16, 3/16 and 1/16 of the four nearest samples.
/// `sums` is scratch, `out` twice as long as `near`.
#[multiversion(targets("x86_64+avx2"))]
pub fn double([near, far]: [&[u8]; 2], sums: &mut [u16], out: &mut [u8]) {
    for ((sum, near), far) in sums[1..].iter_mut().zip(near).zip(far) {
        *sum = 3 * u16::from(*near) + u16::from(*far);
    }
    spread::<8, 7, 4>(&mut sums[..near.len() + 2], out);
}

/// The same along the near row only: 3/4 and 1/4 of the two nearest samples.
#[multiversion(targets("x86_64+avx2"))]
pub fn double_across([row, _]: [&[u8]; 2], sums: &mut [u16], out: &mut [u8]) {
    sums[1..].iter_mut().zip(row).for_each(|(sum, sample)| *sum = u16::from(*sample));
    spread::<1, 2, 2>(&mut sums[..row.len() + 2], out);
}

/// Two samples for every sum: three parts of it and one of its neighbour before or after. Neighbours beyond the ends are
/// set here.
#[inline(always)]
fn spread<const ROUND_BEFORE: u16, const ROUND_AFTER: u16, const SHIFT: u32>(sums: &mut [u16], out: &mut [u8]) {
    let width = sums.len() - 2;
    sums[0] = sums[1];
    sums[width + 1] = sums[width];
    let [before, here, after] = [&sums[..width], &sums[1..=width], &sums[2..]];
    for (((out, before), here), after) in out.as_chunks_mut::<2>().0.iter_mut().zip(before).zip(here).zip(after) {
        out[0] = ((3 * here + before + ROUND_BEFORE) >> SHIFT) as u8;
        out[1] = ((3 * here + after + ROUND_AFTER) >> SHIFT) as u8;
    }
}

/// Writes one row of pixels from brightness and colour at full resolution.
#[multiversion(targets("x86_64+avx2"))]
pub fn ycc_to_rgb(y: &[u8], cb: &[u8], cr: &[u8], rgb: &mut [u8]) {
    let clamp = |x: i32| x.clamp(0, 255) as u8;
    for (((pixel, y), cb), cr) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(y).zip(cb).zip(cr) {
        let [y, cb, cr] = [i32::from(*y), i32::from(*cb) - 128, i32::from(*cr) - 128];
        *pixel = [
            clamp(y + ((91881 * cr + (1 << 15)) >> 16)),
            clamp(y + ((-22554 * cb - 46802 * cr + (1 << 15)) >> 16)),
            clamp(y + ((116_130 * cb + (1 << 15)) >> 16)),
        ];
    }
}

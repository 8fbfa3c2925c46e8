//! Turning rows into columns in a way that vector code exists for.

/// Interleaves array `k` with array `k + 4`. Three times transpose: number `i` of array `k` is then number `8 * i + k` of
/// all. `log2(N)` times are the way back.
#[inline(always)]
pub fn interleave<T: Copy + Default, const N: usize>(arrays: &[[T; N]; 8]) -> [[T; N]; 8] {
    let mut out = [[T::default(); N]; 8];
    for k in 0..4 {
        for i in 0..N / 2 {
            out[2 * k][2 * i] = arrays[k][i];
            out[2 * k][2 * i + 1] = arrays[k + 4][i];
            out[2 * k + 1][2 * i] = arrays[k][N / 2 + i];
            out[2 * k + 1][2 * i + 1] = arrays[k + 4][N / 2 + i];
        }
    }
    out
}

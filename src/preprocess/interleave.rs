//! Turning rows into columns in a way that vector code exists for.

/// Interleaves array `k` with array `k + 4`. Of `8 * N` numbers in a row this moves number `i` to `2 * i`, or in the
/// second half to `2 * i - 8 * N + 1`: three times make rows of eight the columns of `N` (`[N, 8]` to `[8, N]` is
/// `log2(N)` times), so eight arrays of eight are transposed by three.
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

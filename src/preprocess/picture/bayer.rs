//! Pixels behind a mosaic of colour filters to RGB: a missing colour is the mean of its two or four nearest pixels,
//! rounded half up. The outermost pixels take the colours of their inner neighbours. As OpenCV's `cvtColor` does it
//! (modules/imgproc/src/demosaicing.cpp), which calls a mosaic by the second and third pixel of its second row:
//! `bayer_rggb8` is OpenCV's `COLOR_BayerBG2RGB`.

use crate::types::Mosaic;

const RED: usize = 0;
const GREEN: usize = 1;
const BLUE: usize = 2;

/// Writes `[height, width, 3]` from at least 3 rows of `width` pixels, at least 3.
pub(super) fn demosaic(mosaic: Mosaic, rows: &[&[u8]], rgb: &mut [u8]) {
    let [red_x, red_y] = match mosaic {
        Mosaic::Rggb => [0, 0],
        Mosaic::Grbg => [1, 0],
        Mosaic::Gbrg => [0, 1],
        Mosaic::Bggr => [1, 1],
    };
    let row_bytes = rgb.len() / rows.len();
    for ((y, rows), to) in (1..).zip(rows.windows(3)).zip(rgb[row_bytes..].chunks_exact_mut(row_bytes)) {
        let neighbours = [rows[0], rows[1], rows[2]];
        if y % 2 == red_y {
            fill::<RED, BLUE>(neighbours, red_x, to);
        } else {
            fill::<BLUE, RED>(neighbours, 1 - red_x, to);
        }
    }
    rgb.copy_within(row_bytes..2 * row_bytes, 0);
    let last = rgb.len() - row_bytes;
    rgb.copy_within(last - row_bytes..last, last);
}

/// A row whose pixels of colour `OWN` stand at `x % 2 == own_x`, from the rows above, of and below it.
fn fill<const OWN: usize, const OTHER: usize>([above, here, below]: [&[u8]; 3], own_x: usize, to: &mut [u8]) {
    let to = to.as_chunks_mut::<3>().0;
    let windows = above.windows(3).zip(here.windows(3)).zip(below.windows(3));
    for (x, (to, ((above, here), below))) in (1..).zip(to[1..].iter_mut().zip(windows)) {
        let [above, here, below] = [above, here, below].map(|row| [row[0], row[1], row[2]].map(u16::from));
        let across = here[0] + here[2];
        let along = above[1] + below[1];
        if x % 2 == own_x {
            let corners = above[0] + above[2] + below[0] + below[2];
            to[OWN] = here[1] as u8;
            to[GREEN] = ((across + along + 2) >> 2) as u8;
            to[OTHER] = ((corners + 2) >> 2) as u8;
        } else {
            to[OWN] = across.div_ceil(2) as u8;
            to[GREEN] = here[1] as u8;
            to[OTHER] = along.div_ceil(2) as u8;
        }
    }
    to[0] = to[1];
    to[to.len() - 1] = to[to.len() - 2];
}

//! Pictures for property tests.

use std::ops::Range;

use proptest::prelude::*;

use crate::preprocess::Picture;

/// Noise of any strength on a slope, of such widths and heights; 255 gives black and white grain.
pub(super) fn pictures([widths, heights]: [Range<u32>; 2]) -> impl Strategy<Value = Picture> {
    let pixels = |(width, height, strength): (u32, u32, u8)| {
        proptest::collection::vec(any::<u8>(), 3 * width as usize * height as usize).prop_map(move |noise| {
            let pixel = |(i, n): (usize, &u8)| match strength {
                255 => 255 * (n & 1),
                _ => ((i * 7 / height as usize) as u8 / 2).saturating_add(n % (strength + 1)),
            };
            Picture { width, height, rgb: noise.iter().enumerate().map(pixel).collect() }
        })
    };
    (widths, heights, prop_oneof![0..100_u8, Just(255)]).prop_flat_map(pixels)
}

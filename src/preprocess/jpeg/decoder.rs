//! Baseline files as cameras write them, decoded to the bit as libjpeg does by default (accurate transform, colour spread
//! by a triangle filter), in vector code. Whatever is unusual or damaged is left to libjpeg itself.

use multiversion::multiversion;

use super::dct;
use super::header::{Component, Header, Tables};
use super::huffman::Bits;
use super::planes::Planes;
use super::strip::{self, EMPTY, LANES, SPAN, Strip};
use crate::preprocess::picture::Picture;

/// Where the coefficients of a file's order stand in a block.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];
/// Coefficients of two columns, four apart, may sum to so much: the transform then stays within 16 bits. No picture has
/// more.
const MAX_COLUMNS: u16 = 5900;

/// A file's picture before its colours are put together, and scratch.
#[derive(Default)]
pub struct Decoder {
    planes: Planes,
    /// The coefficients of a row of MCUs, per component.
    strips: [Vec<Strip>; 3],
}

impl Decoder {
    /// Makes `picture` what `file` shows; none where that is for libjpeg to say, and the picture is then unspecified.
    pub fn decode(&mut self, file: &[u8], picture: &mut Picture) -> Option<()> {
        let mut tables = Box::<Tables>::default();
        let header = Header::parse(file, &mut tables)?;
        let [width, height] = header.size;
        picture.resize_checked(width, height).ok()?;
        self.planes.resize(header.size, header.sampling);
        self.scan(&header, &tables)?;
        self.planes.join(header.sampling, picture);
        Some(())
    }

    fn scan(&mut self, header: &Header, tables: &Tables) -> Option<()> {
        let [across, down] = header.sampling.blocks();
        let blocks = [[across, down], [1, 1], [1, 1]];
        let Planes { y, cb, cr, .. } = &mut self.planes;
        let (mcus, mcu_rows) = (y.width / (8 * across), y.samples.len() / y.width / (8 * down));
        let mut planes = [y, cb, cr];
        for ((strips, plane), [_, down]) in self.strips.iter_mut().zip(&planes).zip(blocks) {
            strips.clear();
            strips.resize(down * plane.width.div_ceil(SPAN), EMPTY);
        }
        let mut bits = Bits::new(header.scan);
        let mut means = [0; 3];
        for row in 0..mcu_rows {
            for column in 0..mcus {
                let mcu = row * mcus + column;
                if mcu > 0 && mcu.is_multiple_of(header.restart_interval) {
                    bits.pass_marker(0xd0 + ((mcu / header.restart_interval - 1) % 8) as u8)?;
                    means = [0; 3];
                }
                let parts = header.components.iter().zip(&mut self.strips).zip(&mut means).zip(blocks);
                for (((component, strips), mean), [across, down]) in parts {
                    let per_line = strips.len() / down;
                    for strips in strips.chunks_exact_mut(per_line) {
                        for block in column * across..(column + 1) * across {
                            let lane = (&mut strips[block / LANES], block % LANES);
                            read_block(&mut bits, tables, component, mean, lane)?;
                        }
                    }
                }
            }
            for ((plane, strips), [_, down]) in planes.iter_mut().zip(&mut self.strips).zip(blocks) {
                let rows = plane.samples.chunks_exact_mut(8 * plane.width).skip(row * down);
                for (strips, rows) in strips.chunks_exact_mut(plane.width.div_ceil(SPAN)).zip(rows) {
                    transform(strips, rows)?;
                }
            }
        }
        bits.pass_marker(0xd9)
    }
}

/// Reads one block into its lane of a strip of zeros, dequantised.
#[inline(always)]
fn read_block(
    bits: &mut Bits,
    tables: &Tables,
    component: &Component,
    mean: &mut i32,
    (strip, lane): (&mut Strip, usize),
) -> Option<()> {
    let Component { steps, differences, coefficients } = component;
    *mean = mean.wrapping_add(bits.coded(&tables.differences[*differences])?.value.into());
    strip[0][lane] = scaled(*mean, steps[0]);
    let table = &tables.coefficients[*coefficients];
    let mut next = 1;
    while next < 64 {
        let coded = bits.coded(table)?;
        if coded.run == 0 && coded.value == 0 {
            break;
        }
        let at = next + usize::from(coded.run);
        let number = usize::from(*ZIGZAG.get(at)?);
        strip[number % 64][lane] = scaled(coded.value.into(), steps[at]);
        next = at + 1;
    }
    Some(())
}

fn scaled(level: i32, step: u8) -> i16 {
    level.saturating_mul(step.into()).clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// Coefficients to eight rows of samples; leaves zeros behind. None where they are larger than those of any picture.
#[multiversion(targets("x86_64+avx2"))]
fn transform(strips: &mut [Strip], rows: &mut [u8]) -> Option<()> {
    for (index, strip) in strips.iter_mut().enumerate() {
        if largest_columns(strip) > MAX_COLUMNS {
            return None;
        }
        dct::inverse_accurate(strip);
        for x in strip.as_flattened_mut() {
            // libjpeg looks its samples up by ten bits.
            *x = (*x << 6) >> 6;
        }
        strip::store(strip, rows, index * SPAN);
        *strip = EMPTY;
    }
    Some(())
}

/// The largest sum over two columns, four apart, of a block.
#[inline(always)]
fn largest_columns(strip: &Strip) -> u16 {
    let mut largest = 0;
    for column in 0..4 {
        let mut sums = [0_u16; LANES];
        for line in strip.as_chunks::<4>().0 {
            for i in 0..LANES {
                sums[i] = sums[i].saturating_add(line[column][i].unsigned_abs());
            }
        }
        for sum in sums {
            largest = largest.max(sum);
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use mozjpeg::{ColorSpace, Compress, Decompress};
    use proptest::prelude::*;

    use super::*;
    use crate::preprocess::jpeg::noise::pictures;

    /// How a file is written.
    #[derive(Clone, Copy, Debug)]
    struct Writer {
        quality: u8,
        /// Pixels per sample of colour: across, down; nothing of grey.
        pixels: Option<(u8, u8)>,
        optimize: bool,
    }

    fn write(picture: &Picture, writer: Writer) -> Vec<u8> {
        let mut encoder = match writer.pixels {
            Some(_) => Compress::new(ColorSpace::JCS_RGB),
            None => Compress::new(ColorSpace::JCS_GRAYSCALE),
        };
        encoder.set_fastest_defaults();
        encoder.set_size(picture.width as usize, picture.height as usize);
        encoder.set_quality(f32::from(writer.quality));
        encoder.set_optimize_coding(writer.optimize);
        if let Some(pixels) = writer.pixels {
            encoder.set_chroma_sampling_pixel_sizes(pixels, pixels);
        }
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        let pixels = picture.width as usize * picture.height as usize;
        let samples = if writer.pixels.is_some() { &picture.rgb } else { &picture.rgb[..pixels] };
        encoder.write_scanlines(samples).unwrap();
        encoder.finish().unwrap()
    }

    /// None where libjpeg finds an error; its warnings are none.
    fn libjpeg(file: &[u8]) -> Option<Picture> {
        std::panic::catch_unwind(|| {
            let mut decoder = Decompress::new_mem(file).ok()?.rgb().ok()?;
            let [width, height] = [decoder.width(), decoder.height()].map(|side| side as u32);
            Some(Picture { width, height, rgb: decoder.read_scanlines().ok()? })
        })
        .ok()?
    }

    fn ours(file: &[u8]) -> Option<Picture> {
        let mut picture = Picture::default();
        Decoder::default().decode(file, &mut picture)?;
        Some(picture)
    }

    /// No side is over 32 times the other.
    const SIDES: [Range<u32>; 2] = [2..150, 5..60];

    fn writers() -> impl Strategy<Value = Writer> {
        let pixels = prop_oneof![Just(None), Just(Some((1, 1))), Just(Some((2, 1))), Just(Some((2, 2)))];
        // Below, steps have 16 bits: no baseline file.
        (25..=100_u8, pixels, any::<bool>()).prop_map(|(quality, pixels, optimize)| Writer {
            quality,
            pixels,
            optimize,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn every_cameras_file_is_decoded_as_by_libjpeg(picture in pictures(SIDES), writer in writers()) {
            let file = write(&picture, writer);
            let Some(got) = ours(&file) else { return Err(TestCaseError::fail("left to libjpeg")) };
            prop_assert!(Some(got) == libjpeg(&file), "{}x{}", picture.width, picture.height);
        }

        #[test]
        fn what_is_decoded_of_a_damaged_file_is_what_libjpeg_shows(
            picture in pictures(SIDES),
            writer in writers(),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut file = write(&picture, writer);
            for (at, byte) in damage {
                *at.get_mut(&mut file) = byte;
            }
            if let Some(got) = ours(&file) {
                prop_assert!(Some(got) == libjpeg(&file));
            }
        }
    }

    /// Where the first segment of this kind begins, its marker included.
    fn segment(file: &[u8], marker: u8) -> usize {
        file.windows(2).position(|bytes| bytes == [0xff, marker]).unwrap()
    }

    /// Files of one MCU each, joined: between two restart markers, every prediction begins anew.
    #[test]
    fn restart_markers_are_passed() {
        let writer = Writer { quality: 90, pixels: Some((2, 2)), optimize: false };
        let files: Vec<Vec<u8>> = (0..11_u32)
            .map(|n| {
                let rgb = (0..3 * 16 * 16).map(|i| (i * i / 7 + n * 31 + i * n) as u8).collect();
                write(&Picture { width: 16, height: 16, rgb }, writer)
            })
            .collect();
        let [size, scan] = [segment(&files[0], 0xc0) + 7, segment(&files[0], 0xda)];
        let mut joined = files[0][..scan].to_vec();
        joined[size..size + 2].copy_from_slice(&(16 * files.len() as u16).to_be_bytes());
        joined.extend([0xff, 0xdd, 0, 4, 0, 1]);
        joined.extend(&files[0][scan..scan + 14]);
        for (n, file) in files.iter().enumerate() {
            joined.extend(&file[scan + 14..file.len() - 2]);
            joined.extend([0xff, if n + 1 < files.len() { 0xd0 + (n % 8) as u8 } else { 0xd9 }]);
        }
        let got = ours(&joined).unwrap();
        assert_eq!([got.width, got.height], [176, 16]);
        assert!(Some(got) == libjpeg(&joined));
        let third = joined.windows(2).position(|bytes| bytes == [0xff, 0xd2]).unwrap();
        joined[third + 1] = 0xd3;
        assert!(ours(&joined).is_none(), "a marker out of turn is for libjpeg to judge");
    }

    #[test]
    fn coefficients_that_no_picture_has_are_left_to_libjpeg() {
        let rgb = (0..3 * 64 * 64_u32).map(|i| 255 * (i.wrapping_mul(i ^ 0x9e37) >> 7 & 1) as u8).collect();
        let picture = Picture { width: 64, height: 64, rgb };
        let mut file = write(&picture, Writer { quality: 100, pixels: Some((1, 1)), optimize: true });
        assert!(ours(&file).is_some());
        let steps = segment(&file, 0xdb) + 5;
        file[steps..steps + 64].fill(255);
        assert!(libjpeg(&file).is_some() && ours(&file).is_none());
    }

    /// By hand: white is 127 above grey, its coefficient 8 * 127 = 63.5 steps of 16, 64 of them; steps of 79 make that
    /// 632, which is -392 in ten bits.
    #[test]
    fn what_is_far_beyond_white_becomes_black_as_in_libjpeg() {
        let picture = Picture { width: 24, height: 16, rgb: vec![255; 3 * 24 * 16] };
        let mut file = write(&picture, Writer { quality: 50, pixels: None, optimize: false });
        let first_step = segment(&file, 0xdb) + 5;
        assert_eq!(file[first_step], 16);
        file[first_step] = 79;
        let got = ours(&file).unwrap();
        assert!(got.rgb.iter().all(|level| *level == 0));
        assert!(Some(got) == libjpeg(&file));
    }
}

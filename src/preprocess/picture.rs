//! A decoded picture, and how camera frames become one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::types::{Encoding, Frame};

/// Pixels that a picture may have: far more than any camera, far less than memory.
const MAX_PIXELS: u64 = 1 << 26;

/// Pixels, `[height, width, 3]`, RGB, row-major.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `3 * width * height` values.
    pub rgb: Vec<u8>,
}

/// Why a frame is no picture.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PictureError {
    #[error("{width} x {height} pixels, wanted between 1 and {MAX_PIXELS} of them")]
    Size { width: u32, height: u32 },
    #[error("{width} pixels per row: got rows of {got} bytes, wanted at least {wanted}")]
    Step { width: u32, got: u32, wanted: u64 },
    #[error("{height} rows of {step} bytes: got {got} bytes, wanted {wanted}")]
    Length { height: u32, step: u32, got: usize, wanted: u64 },
    #[error("{format} file: {reason}")]
    File { format: &'static str, reason: String },
}

impl Picture {
    /// Takes another size; the pixels are unspecified until they are written. Allocates only where it grows.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.width = width;
        self.height = height;
        self.rgb.resize(3 * width as usize * height as usize, 0);
    }

    /// Becomes what `frame` shows. JPEG is decoded as libjpeg does by default (accurate transform, smooth colour);
    /// a file's transparency is dropped and grey is repeated, as PIL's `convert("RGB")` does.
    ///
    /// # Errors
    /// Sizes and lengths that do not fit together; files that are damaged, cut short, or of a kind we do not read.
    /// The picture is then unspecified.
    pub fn decode(&mut self, frame: &Frame) -> Result<(), PictureError> {
        match frame.encoding {
            Encoding::Rgb8 => self.copy(frame, |from, to| to.copy_from_slice(from)),
            Encoding::Bgr8 => self.copy(frame, |from, to| {
                let pixels = from.as_chunks::<3>().0.iter().zip(to.as_chunks_mut::<3>().0);
                pixels.for_each(|([b, g, r], to)| *to = [*r, *g, *b]);
            }),
            Encoding::Jpeg => self.decode_jpeg(&frame.data),
            Encoding::Png => self.decode_png(&frame.data),
        }
    }

    fn copy(&mut self, frame: &Frame, copy_row: impl Fn(&[u8], &mut [u8])) -> Result<(), PictureError> {
        let Frame { width, height, step, .. } = *frame;
        let row_bytes = 3 * u64::from(width);
        if u64::from(step) < row_bytes {
            return Err(PictureError::Step { width, got: step, wanted: row_bytes });
        }
        let wanted = u64::from(step) * u64::from(height);
        if frame.data.len() as u64 != wanted {
            return Err(PictureError::Length { height, step, got: frame.data.len(), wanted });
        }
        self.resize_checked(width, height)?;
        let row_bytes = row_bytes as usize;
        let rows = frame.data.chunks_exact(step as usize).zip(self.rgb.chunks_exact_mut(row_bytes));
        rows.for_each(|(from, to)| copy_row(&from[..row_bytes], to));
        Ok(())
    }

    fn decode_jpeg(&mut self, file: &[u8]) -> Result<(), PictureError> {
        let refuse = |reason: String| PictureError::File { format: "JPEG", reason };
        // libjpeg invents grey for what is not there; cameras may pad the file with zeros.
        let end = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if !file[..end].ends_with(&[0xff, 0xd9]) {
            return Err(refuse("no end marker, it is cut short".to_owned()));
        }
        let decode = || -> Result<(), PictureError> {
            let io = |error: std::io::Error| refuse(error.to_string());
            let decoder = mozjpeg::Decompress::new_mem(file).map_err(io)?;
            let [width, height] = [decoder.width(), decoder.height()].map(|side| side as u32);
            self.resize_checked(width, height)?;
            let mut decoder = decoder.rgb().map_err(io)?;
            decoder.read_scanlines_into(&mut self.rgb).map_err(io)?;
            decoder.finish().map_err(io)
        };
        // libjpeg's errors unwind through the binding; the decoder is dropped on the way and the picture is plain data.
        catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|payload| {
            let reason = payload.downcast_ref::<String>().cloned();
            Err(refuse(reason.unwrap_or_else(|| "libjpeg failed".to_owned())))
        })
    }

    fn decode_png(&mut self, file: &[u8]) -> Result<(), PictureError> {
        let refuse = |reason: String| PictureError::File { format: "PNG", reason };
        let png = |error: png::DecodingError| refuse(error.to_string());
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().map_err(png)?;
        let (color, depth) = reader.output_color_type();
        let channels = match (color, depth) {
            (png::ColorType::Grayscale, png::BitDepth::Eight) => 1,
            (png::ColorType::GrayscaleAlpha, png::BitDepth::Eight) => 2,
            (png::ColorType::Rgb, png::BitDepth::Eight) => 3,
            (png::ColorType::Rgba, png::BitDepth::Eight) => 4,
            _ => return Err(refuse(format!("{color:?} with {} bits per channel, wanted 8", depth as u8))),
        };
        let [width, height] = [reader.info().width, reader.info().height];
        self.resize_checked(width, height)?;
        let mut pixels = vec![0; channels * width as usize * height as usize];
        reader.next_frame(&mut pixels).map_err(png)?;
        for (from, to) in pixels.chunks_exact(channels).zip(self.rgb.as_chunks_mut::<3>().0) {
            *to = if channels < 3 { [from[0]; 3] } else { [from[0], from[1], from[2]] };
        }
        Ok(())
    }

    fn resize_checked(&mut self, width: u32, height: u32) -> Result<(), PictureError> {
        if (1..=MAX_PIXELS).contains(&(u64::from(width) * u64::from(height))) {
            self.resize(width, height);
            Ok(())
        } else {
            Err(PictureError::Size { width, height })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::goldens::{Golden, decode};

    fn frame(encoding: Encoding, [width, height, step]: [u32; 3], data: &[u8]) -> Frame {
        Frame { frame_id: String::new(), encoding, width, height, step, data: data.into() }
    }

    fn refused(frame: &Frame) -> String {
        Picture::default().decode(frame).unwrap_err().to_string()
    }

    /// Our picture as a JPEG file of quality 90.
    fn jpeg(picture: &Picture) -> Vec<u8> {
        let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
        encoder.set_size(picture.width as usize, picture.height as usize);
        encoder.set_quality(90.0);
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        encoder.write_scanlines(&picture.rgb).unwrap();
        encoder.finish().unwrap()
    }

    /// A PNG file of 3 x 1 pixels.
    fn png(color: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 3, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == png::ColorType::Indexed {
            encoder.set_palette(vec![9, 8, 7, 30, 20, 10]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        file
    }

    #[test]
    fn padding_at_the_end_of_rows_is_skipped_and_blue_first_is_turned() {
        let data = [1, 2, 3, 4, 5, 6, 99, 7, 8, 9, 10, 11, 12, 99];
        let mut picture = Picture::default();
        picture.decode(&frame(Encoding::Rgb8, [2, 2, 7], &data)).unwrap();
        assert_eq!(picture, Picture { width: 2, height: 2, rgb: (1..=12).collect() });
        picture.decode(&frame(Encoding::Bgr8, [2, 2, 7], &data)).unwrap();
        assert_eq!(picture.rgb, [3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
    }

    #[test]
    fn sizes_that_do_not_fit_the_bytes_are_refused() {
        let pixels = |size, bytes: usize| refused(&frame(Encoding::Rgb8, size, &vec![0; bytes]));
        assert_eq!(pixels([2, 2, 6], 13), "2 rows of 6 bytes: got 13 bytes, wanted 12");
        assert_eq!(pixels([2, 2, 5], 10), "2 pixels per row: got rows of 5 bytes, wanted at least 6");
        assert_eq!(pixels([0, 2, 0], 0), "0 x 2 pixels, wanted between 1 and 67108864 of them");
        assert_eq!(
            pixels([u32::MAX, 1, 9], 9),
            "4294967295 pixels per row: got rows of 9 bytes, wanted at least 12884901885"
        );
    }

    #[test]
    fn a_jpeg_file_is_decoded_and_a_damaged_one_refused() {
        let picture = Golden::load("tiny_100x37").input;
        let file = jpeg(&picture);
        let got = decode(Encoding::Jpeg, file.clone());
        assert_eq!([got.width, got.height], [100, 37]);
        let difference: u64 = got.rgb.iter().zip(&picture.rgb).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(difference < 8 * 3 * 100 * 37, "{difference}");
        let padded: Vec<u8> = file.iter().copied().chain([0, 0, 0]).collect();
        assert!(decode(Encoding::Jpeg, padded) == got);

        let message = |file: &[u8]| refused(&frame(Encoding::Jpeg, [0; 3], file));
        assert_eq!(message(&file[..file.len() / 2]), "JPEG file: no end marker, it is cut short");
        assert_eq!(message(&[]), "JPEG file: no end marker, it is cut short");
        let no_jpeg = message(&[0x12, 0x34, 0xff, 0xd9]);
        assert_eq!(no_jpeg, "JPEG file: libjpeg fatal error: Not a JPEG file: starts with 0x12 0x34");
    }

    #[test]
    fn png_files_of_every_colour_type_become_rgb_without_transparency() {
        use png::{BitDepth, ColorType};
        let decoded = |color, depth, data: &[u8]| decode(Encoding::Png, png(color, depth, data)).rgb;
        let eight = BitDepth::Eight;
        assert_eq!(decoded(ColorType::Grayscale, eight, &[5, 6, 7]), [5, 5, 5, 6, 6, 6, 7, 7, 7]);
        let grey = decoded(ColorType::GrayscaleAlpha, eight, &[5, 0, 6, 1, 7, 2]);
        assert_eq!(grey, [5, 5, 5, 6, 6, 6, 7, 7, 7]);
        let rgba = decoded(ColorType::Rgba, eight, &[1, 2, 3, 0, 4, 5, 6, 255, 7, 8, 9, 128]);
        assert_eq!(rgba, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let palette = decoded(ColorType::Indexed, eight, &[1, 0, 1]);
        assert_eq!(palette, [30, 20, 10, 9, 8, 7, 30, 20, 10]);
        let deep = refused(&frame(Encoding::Png, [0; 3], &png(ColorType::Grayscale, BitDepth::Sixteen, &[1; 6])));
        assert_eq!(deep, "PNG file: Grayscale with 16 bits per channel, wanted 8");
    }
}

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
            _ => return Err(refuse(format!("{color:?} with {depth:?} bits per channel, wanted 8"))),
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

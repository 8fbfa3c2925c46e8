//! A decoded picture, and how camera frames become one.

mod bayer;
#[cfg(test)]
mod tests;
mod yuv;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::jpeg;
use crate::types::{Encoding, Frame, LayoutError};

/// Pixels that a side of a picture may have: more than any camera, and a square of it fits into memory.
const MAX_SIDE: u32 = 1 << 13;
/// A side may be so many times as long as the other: scaled by its short side, a longer strip does not fit into memory.
const MAX_ASPECT: u32 = 32;

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
    #[error(
        "{width} x {height} pixels, wanted 1 to {MAX_SIDE} on a side and no side over {MAX_ASPECT} times the other"
    )]
    Size { width: u32, height: u32 },
    #[error(transparent)]
    Layout(#[from] LayoutError),
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
    /// opacity is dropped and grey is repeated, as PIL's `convert("RGB")` does; YUV and mosaics as OpenCV converts them.
    ///
    /// # Errors
    /// Sizes and lengths that do not fit together; files that are damaged, cut short, or of a kind we do not read.
    /// The picture is then unspecified.
    pub fn decode(&mut self, frame: &Frame) -> Result<(), PictureError> {
        self.decode_with(frame, &mut jpeg::Decoder::default())
    }

    /// The same with scratch that is kept between frames.
    pub(super) fn decode_with(&mut self, frame: &Frame, jpeg: &mut jpeg::Decoder) -> Result<(), PictureError> {
        match frame.encoding {
            Encoding::Rgb8 => self.rows(frame, |from, to| to.copy_from_slice(from)),
            Encoding::Bgr8 => self.rows(frame, |from, to| pixels(from, to, |&[b, g, r]| [r, g, b])),
            Encoding::Rgba8 => self.rows(frame, |from, to| pixels(from, to, |&[r, g, b, _]| [r, g, b])),
            Encoding::Bgra8 => self.rows(frame, |from, to| pixels(from, to, |&[b, g, r, _]| [r, g, b])),
            Encoding::Mono8 => self.rows(frame, |from, to| pixels(from, to, |&[grey]| [grey; 3])),
            Encoding::Uyvy => self.rows(frame, yuv::uyvy),
            Encoding::Yuyv => self.rows(frame, yuv::yuyv),
            Encoding::Nv12 => self.decode_nv12(frame),
            Encoding::Bayer(mosaic) => {
                let rows: Vec<&[u8]> = frame.rows()?.collect();
                self.resize_checked(frame.width, frame.height)?;
                bayer::demosaic(mosaic, &rows, &mut self.rgb);
                Ok(())
            }
            Encoding::Jpeg => self.decode_jpeg(&frame.data, jpeg),
            Encoding::Png => self.decode_png(&frame.data),
        }
    }

    /// Converts row by row.
    fn rows(&mut self, frame: &Frame, convert: impl Fn(&[u8], &mut [u8])) -> Result<(), PictureError> {
        let rows = frame.rows()?;
        self.resize_checked(frame.width, frame.height)?;
        let row_bytes = 3 * frame.width as usize;
        rows.zip(self.rgb.chunks_exact_mut(row_bytes)).for_each(|(from, to)| convert(from, to));
        Ok(())
    }

    fn decode_nv12(&mut self, frame: &Frame) -> Result<(), PictureError> {
        let chroma = frame.rows()?.skip(frame.height as usize).flat_map(|row| [row, row]);
        let rows = frame.rows()?.zip(chroma);
        self.resize_checked(frame.width, frame.height)?;
        let row_bytes = 3 * frame.width as usize;
        rows.zip(self.rgb.chunks_exact_mut(row_bytes)).for_each(|((y, uv), to)| yuv::nv12(y, uv, to));
        Ok(())
    }

    fn decode_jpeg(&mut self, file: &[u8], jpeg: &mut jpeg::Decoder) -> Result<(), PictureError> {
        let refuse = |reason: String| PictureError::File { format: "JPEG", reason };
        // libjpeg invents grey for what is not there; cameras may pad the file with zeros.
        let end = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if !file[..end].ends_with(&[0xff, 0xd9]) {
            return Err(refuse("no end marker, it is cut short".to_owned()));
        }
        if jpeg.decode(file, self).is_some() {
            return Ok(());
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

    pub(super) fn resize_checked(&mut self, width: u32, height: u32) -> Result<(), PictureError> {
        let [short, long] = [width.min(height), width.max(height)];
        if (1..=MAX_SIDE).contains(&long) && long <= MAX_ASPECT * short {
            self.resize(width, height);
            Ok(())
        } else {
            Err(PictureError::Size { width, height })
        }
    }
}

/// Converts pixels of `N` bytes.
fn pixels<const N: usize>(from: &[u8], to: &mut [u8], convert: impl Fn(&[u8; N]) -> [u8; 3]) {
    from.as_chunks::<N>().0.iter().zip(to.as_chunks_mut::<3>().0).for_each(|(from, to)| *to = convert(from));
}

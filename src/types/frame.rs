//! A camera's picture as it arrived, and how raw encodings fill their rows.

use std::sync::Arc;

/// One picture as the camera sent it, not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Frame id of the message's header.
    pub frame_id: String,
    /// How to read `data`.
    pub encoding: Encoding,
    /// Pixels per row; of a file what its header says, 0 where nobody asked it.
    pub width: u32,
    /// Rows; of a file what its header says, 0 where nobody asked it.
    pub height: u32,
    /// Bytes per row, padding included; 0 of a file.
    pub step: u32,
    /// Pixels or file bytes.
    pub data: Arc<[u8]>,
}

/// How to read a frame's bytes. All raw encodings have 8 bits per value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Three bytes per pixel: red, green, blue.
    Rgb8,
    /// Three bytes per pixel: blue, green, red.
    Bgr8,
    /// Four bytes per pixel: red, green, blue, opacity.
    Rgba8,
    /// Four bytes per pixel: blue, green, red, opacity.
    Bgra8,
    /// One byte per pixel: grey.
    Mono8,
    /// Four bytes per two pixels: U, Y, V, Y.
    Uyvy,
    /// Four bytes per two pixels: Y, U, Y, V.
    Yuyv,
    /// A plane of Y, then half as many rows of U, V for every 2 x 2 pixels; all rows are `step` bytes long.
    Nv12,
    /// One byte per pixel behind a mosaic of colour filters.
    Bayer(Mosaic),
    /// A JPEG file.
    Jpeg,
    /// A PNG file.
    Png,
}

/// The colours of the upper left 2 x 2 pixels, row by row; they repeat over the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mosaic {
    /// Red, green; green, blue.
    Rggb,
    /// Blue, green; green, red.
    Bggr,
    /// Green, blue; red, green.
    Gbrg,
    /// Green, red; blue, green.
    Grbg,
}

/// ROS's names of the raw encodings (`sensor_msgs/image_encodings.hpp`); the first of an encoding is the one we write.
const RAW_ENCODINGS: [(&str, Encoding); 14] = [
    ("rgb8", Encoding::Rgb8),
    ("bgr8", Encoding::Bgr8),
    ("rgba8", Encoding::Rgba8),
    ("bgra8", Encoding::Bgra8),
    ("mono8", Encoding::Mono8),
    ("uyvy", Encoding::Uyvy),
    ("yuv422", Encoding::Uyvy),
    ("yuyv", Encoding::Yuyv),
    ("yuv422_yuy2", Encoding::Yuyv),
    ("nv12", Encoding::Nv12),
    ("bayer_rggb8", Encoding::Bayer(Mosaic::Rggb)),
    ("bayer_bggr8", Encoding::Bayer(Mosaic::Bggr)),
    ("bayer_gbrg8", Encoding::Bayer(Mosaic::Gbrg)),
    ("bayer_grbg8", Encoding::Bayer(Mosaic::Grbg)),
];

/// Why sizes and bytes of a raw picture do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LayoutError {
    #[error("image of {width} x {height} pixels has no pixel")]
    Empty { width: u32, height: u32 },
    #[error("image of {width} x {height} pixels: {encoding} wants {wanted}")]
    Pixels { width: u32, height: u32, encoding: &'static str, wanted: &'static str },
    #[error("image step is {step} bytes, {width} pixels of {encoding} need {need}")]
    Step { step: u32, width: u32, encoding: &'static str, need: u64 },
    #[error("image data has {got} bytes, {rows} rows of {step} bytes need {need}")]
    Data { got: usize, rows: u64, step: u32, need: u64 },
    #[error("a file has no rows of pixels")]
    File,
}

/// The bytes of a raw picture's rows, padding included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the whole picture.
    pub bytes: usize,
    /// Bytes per row that hold pixels.
    pub row_bytes: usize,
}

/// How an encoding packs its pixels.
struct Packing {
    bytes_per_pixel: u64,
    /// Rows of bytes per two rows of pixels.
    rows_per_two: u64,
    /// Width and height are multiples of these...
    multiple: [u32; 2],
    /// ...and at least this.
    least: u32,
    /// The same in words.
    wanted: &'static str,
}

impl Frame {
    /// The rows of a raw picture without their padding: from top to bottom, for [`Encoding::Nv12`] Y, then U and V.
    ///
    /// # Errors
    /// See [`Encoding::layout`].
    pub fn rows(&self) -> Result<impl Iterator<Item = &[u8]>, LayoutError> {
        let layout = self.encoding.layout([self.width, self.height], self.step, self.data.len())?;
        let rows = self.data[..layout.bytes].chunks_exact(self.step as usize);
        Ok(rows.map(move |row| &row[..layout.row_bytes]))
    }
}

impl Encoding {
    /// The raw encoding that ROS calls `name`.
    pub fn raw(name: &str) -> Option<Self> {
        RAW_ENCODINGS.iter().find(|(known, _)| *known == name).map(|(_, encoding)| *encoding)
    }

    /// Every name that [`Self::raw`] knows, for messages.
    pub fn raw_names() -> String {
        RAW_ENCODINGS.map(|(name, _)| name).join(", ")
    }

    /// How `available` bytes hold a raw picture of this width and height with rows of `step` bytes.
    ///
    /// # Errors
    /// [`LayoutError`] where they do not.
    pub fn layout(self, [width, height]: [u32; 2], step: u32, available: usize) -> Result<Layout, LayoutError> {
        let packing = self.packing().ok_or(LayoutError::File)?;
        let encoding = self.name();
        if width == 0 || height == 0 {
            return Err(LayoutError::Empty { width, height });
        }
        let [columns, rows] = packing.multiple;
        if !width.is_multiple_of(columns) || !height.is_multiple_of(rows) || width.min(height) < packing.least {
            return Err(LayoutError::Pixels { width, height, encoding, wanted: packing.wanted });
        }
        let row_bytes = u64::from(width) * packing.bytes_per_pixel;
        if u64::from(step) < row_bytes {
            return Err(LayoutError::Step { step, width, encoding, need: row_bytes });
        }
        let rows = u64::from(height) * packing.rows_per_two / 2;
        let need = rows.saturating_mul(u64::from(step));
        if (available as u64) < need {
            return Err(LayoutError::Data { got: available, rows, step, need });
        }
        Ok(Layout { bytes: need as usize, row_bytes: row_bytes as usize })
    }

    fn name(self) -> &'static str {
        match self {
            Encoding::Jpeg => "jpeg",
            Encoding::Png => "png",
            _ => RAW_ENCODINGS.iter().find(|(_, known)| *known == self).map_or("raw", |(name, _)| name),
        }
    }

    fn packing(self) -> Option<Packing> {
        let plain =
            |bytes_per_pixel| Packing { bytes_per_pixel, rows_per_two: 2, multiple: [1; 2], least: 1, wanted: "" };
        Some(match self {
            Encoding::Rgb8 | Encoding::Bgr8 => plain(3),
            Encoding::Rgba8 | Encoding::Bgra8 => plain(4),
            Encoding::Mono8 => plain(1),
            Encoding::Uyvy | Encoding::Yuyv => Packing { multiple: [2, 1], wanted: "an even width", ..plain(2) },
            Encoding::Nv12 => {
                Packing { rows_per_two: 3, multiple: [2; 2], wanted: "an even width and height", ..plain(1) }
            }
            Encoding::Bayer(_) => Packing { least: 3, wanted: "at least 3 x 3", ..plain(1) },
            Encoding::Jpeg | Encoding::Png => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, size: [u32; 2], step: u32, bytes: usize) -> String {
        Encoding::raw(name).unwrap().layout(size, step, bytes).unwrap_err().to_string()
    }

    #[test]
    fn every_name_of_an_encoding_leads_to_it() {
        assert_eq!(Encoding::raw("yuv422"), Some(Encoding::Uyvy));
        assert_eq!(Encoding::raw("yuv422_yuy2"), Encoding::raw("yuyv"));
        assert_eq!(Encoding::raw("bayer_gbrg8"), Some(Encoding::Bayer(Mosaic::Gbrg)));
        assert_eq!(Encoding::raw("16UC1"), None);
    }

    #[test]
    fn rows_come_without_padding_and_chroma_rows_last() {
        let data: Vec<u8> = (0..16).collect();
        let frame = Frame {
            frame_id: String::new(),
            encoding: Encoding::Nv12,
            width: 4,
            height: 2,
            step: 5,
            data: data.into(),
        };
        let rows: Vec<&[u8]> = frame.rows().unwrap().collect();
        assert_eq!(rows, [[0, 1, 2, 3], [5, 6, 7, 8], [10, 11, 12, 13]]);
    }

    #[test]
    fn sizes_that_an_encoding_cannot_have_are_refused() {
        assert_eq!(refused("uyvy", [5, 4], 10, 40), "image of 5 x 4 pixels: uyvy wants an even width");
        assert_eq!(refused("yuv422_yuy2", [5, 4], 10, 40), "image of 5 x 4 pixels: yuyv wants an even width");
        assert_eq!(refused("nv12", [4, 5], 4, 40), "image of 4 x 5 pixels: nv12 wants an even width and height");
        assert_eq!(refused("nv12", [3, 4], 4, 40), "image of 3 x 4 pixels: nv12 wants an even width and height");
        assert_eq!(refused("bayer_rggb8", [9, 2], 9, 40), "image of 9 x 2 pixels: bayer_rggb8 wants at least 3 x 3");
        assert_eq!(refused("bayer_grbg8", [2, 9], 9, 99), "image of 2 x 9 pixels: bayer_grbg8 wants at least 3 x 3");
        assert_eq!(refused("mono8", [0, 4], 4, 40), "image of 0 x 4 pixels has no pixel");
        assert_eq!(refused("nv12", [4, 0], 4, 40), "image of 4 x 0 pixels has no pixel");
    }

    #[test]
    fn rows_and_data_that_are_too_short_are_refused() {
        assert_eq!(refused("bgra8", [3, 2], 11, 40), "image step is 11 bytes, 3 pixels of bgra8 need 12");
        assert_eq!(refused("uyvy", [4, 2], 7, 40), "image step is 7 bytes, 4 pixels of uyvy need 8");
        assert_eq!(refused("nv12", [4, 2], 5, 14), "image data has 14 bytes, 3 rows of 5 bytes need 15");
        assert_eq!(refused("mono8", [4, 2], 5, 9), "image data has 9 bytes, 2 rows of 5 bytes need 10");
        assert_eq!(
            refused("rgb8", [u32::MAX, u32::MAX], 9, 9),
            "image step is 9 bytes, 4294967295 pixels of rgb8 need 12884901885"
        );
        assert_eq!(Encoding::Png.layout([3, 2], 9, 18).unwrap_err().to_string(), "a file has no rows of pixels");
    }
}

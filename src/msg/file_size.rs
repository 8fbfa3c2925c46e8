//! Width and height of a picture file, from its header alone.

/// `None` where the file is no JPEG or PNG, or ends before it says its size.
pub(super) fn file_size(file: &[u8]) -> Option<[u32; 2]> {
    match file.split_first_chunk()? {
        ([0x89, b'P'], rest) => png_size(rest),
        ([0xff, 0xd8], rest) => jpeg_size(rest),
        _ => None,
    }
}

/// The size stands at byte 16, in the first chunk (PNG specification, 11.2.2 IHDR).
fn png_size(file: &[u8]) -> Option<[u32; 2]> {
    let size = file.get(14..)?.first_chunk::<8>()?;
    let [[a, b, c, d], [e, f, g, h]] = [[size[0], size[1], size[2], size[3]], [size[4], size[5], size[6], size[7]]];
    Some([u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])])
}

/// Segments until the first start of frame (ITU T.81, B.1.1.4 and B.2.2): marker, length, precision, height, width.
fn jpeg_size(mut file: &[u8]) -> Option<[u32; 2]> {
    loop {
        let (&[0xff, marker], rest) = file.split_first_chunk()? else { return None };
        match marker {
            // Markers may be preceded by fill bytes.
            0xff => file = file.get(1..)?,
            0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&marker) => {
                let &[high, low, wide, narrow] = rest.get(3..)?.first_chunk()?;
                return Some([[wide, narrow], [high, low]].map(|side| u16::from_be_bytes(side).into()));
            }
            _ => {
                let length = u16::from_be_bytes(*rest.first_chunk()?);
                file = rest.get(usize::from(length)..)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PNG: &[u8] = include_bytes!("../../tests/data/preprocess/tiny_100x37/input.png");

    fn jpeg() -> Vec<u8> {
        let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
        encoder.set_size(100, 37);
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        encoder.write_scanlines(&[40; 3 * 100 * 37]).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_file_says_its_size_in_its_header() {
        assert_eq!(file_size(PNG), Some([100, 37]));
        assert_eq!(file_size(&PNG[..24]), Some([100, 37]));
        assert_eq!(file_size(&PNG[..23]), None);
        assert_eq!(file_size(&jpeg()), Some([100, 37]));
        let filled = [&[0xff, 0xd8, 0xff, 0xff], &jpeg()[3..]].concat();
        assert_eq!(file_size(&filled), Some([100, 37]));
        assert_eq!(file_size(&jpeg()[..100]), None);
        assert_eq!(file_size(&[1, 2, 3, 4]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_size_or_none(mut file in proptest::collection::vec(any::<u8>(), 0..200)) {
            for start in [[0xff, 0xd8, 0xff], [0x89, b'P', b'N']] {
                if let Some(begin) = file.first_chunk_mut() { *begin = start; }
                file_size(&file);
            }
        }
    }
}

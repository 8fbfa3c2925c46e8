//! What stands before the scan of a baseline JPEG file (ITU-T T.81, annex B).

use super::huffman::{Kind, Table};
use super::planes::Sampling;

/// How to read the one scan of a file.
pub struct Header<'a> {
    /// Pixels of the picture: width, height.
    pub size: [u32; 2],
    /// How colour is stored.
    pub sampling: Sampling,
    /// Brightness and, unless it is grey, both colours.
    pub components: Vec<Component>,
    /// MCUs between two restart markers; 0 where there are none.
    pub restart_interval: usize,
    /// From the first entropy-coded byte on.
    pub scan: &'a [u8],
}

/// The tables of one component.
pub struct Component {
    /// Quantisation steps in zigzag order.
    pub steps: [u8; 64],
    /// Index of the table for differences of mean values.
    pub differences: usize,
    /// Index of the table for all other coefficients.
    pub coefficients: usize,
}

/// Huffman tables by their index in the file.
#[derive(Default)]
pub struct Tables {
    /// For differences of mean values.
    pub differences: [Table; 4],
    /// For all other coefficients.
    pub coefficients: [Table; 4],
}

/// The frame header: width and height, and per component id, sampling factors and quantisation table.
struct FrameHeader {
    size: [u32; 2],
    components: Vec<[u8; 3]>,
}

impl<'a> Header<'a> {
    /// Reads the segments of `file` and fills `tables`; none of a file that is not plain baseline YCbCr or grey of a
    /// usual sampling in one scan.
    pub fn parse(file: &'a [u8], tables: &mut Tables) -> Option<Self> {
        let mut file = file.strip_prefix(&[0xff, 0xd8])?;
        let mut steps = [None; 4];
        let mut frame = None;
        let mut restart_interval = 0;
        loop {
            let (&[0xff, marker, high, low], _) = file.split_first_chunk()? else { return None };
            let (segment, rest) = file[2..].split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
            let segment = segment.get(2..)?;
            match marker {
                0xc0 if frame.is_none() => frame = Some(FrameHeader::parse(segment)?),
                0xc4 => tables.define(segment)?,
                0xdb => quantization(segment, &mut steps)?,
                0xdd => restart_interval = usize::from(u16::from_be_bytes(segment.try_into().ok()?)),
                0xda => {
                    let FrameHeader { size, components } = frame?;
                    return Some(Self {
                        size,
                        sampling: sampling(&components)?,
                        components: scan_header(segment, &components, &steps)?,
                        restart_interval,
                        scan: rest,
                    });
                }
                // Comments and what applications add; what Adobe adds may change the meaning of colours.
                0xfe | 0xe0..=0xed | 0xef => {}
                _ => return None,
            }
            file = rest;
        }
    }
}

impl FrameHeader {
    fn parse(segment: &[u8]) -> Option<Self> {
        let (&[8, h1, h0, w1, w0, count], components) = segment.split_first_chunk()? else { return None };
        let (components, []) = components.as_chunks::<3>() else { return None };
        let size = [[w1, w0], [h1, h0]].map(|side| u32::from(u16::from_be_bytes(side)));
        (components.len() == usize::from(count)).then(|| Self { size, components: components.to_vec() })
    }
}

/// Colours are known by the ids that every writer of JFIF gives them.
fn sampling(components: &[[u8; 3]]) -> Option<Sampling> {
    match *components {
        [[_, 0x11, _]] => Some(Sampling::Grey),
        [[1, luma, _], [2, 0x11, _], [3, 0x11, _]] => match luma {
            0x11 => Some(Sampling::S444),
            0x21 => Some(Sampling::S422),
            0x22 => Some(Sampling::S420),
            _ => None,
        },
        _ => None,
    }
}

/// All components in their order, all coefficients at once.
fn scan_header(segment: &[u8], frame: &[[u8; 3]], steps: &[Option<[u8; 64]>; 4]) -> Option<Vec<Component>> {
    let (count, segment) = segment.split_first()?;
    let (selectors, rest) = segment.as_chunks::<2>();
    let (&[0, 63], selectors) = selectors.split_last()? else { return None };
    if rest != [0] || usize::from(*count) != selectors.len() || selectors.len() != frame.len() {
        return None;
    }
    let component = |([id, _, quantization], [selected, tables]): (&[u8; 3], &[u8; 2])| {
        let [differences, coefficients] = [tables >> 4, tables & 15].map(usize::from);
        let steps = (*steps.get(usize::from(*quantization))?)?;
        (id == selected && differences < 4 && coefficients < 4).then_some(Component {
            steps,
            differences,
            coefficients,
        })
    };
    frame.iter().zip(selectors).map(component).collect()
}

fn quantization(mut segment: &[u8], steps: &mut [Option<[u8; 64]>; 4]) -> Option<()> {
    while let Some((index, rest)) = segment.split_first() {
        let (table, rest) = rest.split_first_chunk()?;
        *steps.get_mut(usize::from(*index))? = Some(*table);
        segment = rest;
    }
    Some(())
}

impl Tables {
    fn define(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((index, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk()?;
            let symbols = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(symbols)?;
            let (kind, tables) = match index >> 4 {
                0 => (Kind::Difference, &mut self.differences),
                1 => (Kind::Coefficient, &mut self.coefficients),
                _ => return None,
            };
            *tables.get_mut(usize::from(index & 15))? = Table::new(kind, counts, symbols)?;
            segment = rest;
        }
        Some(())
    }
}

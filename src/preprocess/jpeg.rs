//! JPEG: files to pictures, and pictures to what they would look like after they were a file.

mod color;
mod dct;
mod decoder;
mod header;
mod huffman;
#[cfg(test)]
mod noise;
mod planes;
mod quant;
mod roundtrip;
mod strip;

pub use decoder::Decoder;
pub use roundtrip::JpegRoundtrip;

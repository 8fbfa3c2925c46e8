//! What the training side computed for pictures of ours, under `tests/data/preprocess`.

use std::path::PathBuf;
use std::sync::Arc;

use safetensors::SafeTensors;

use super::picture::Picture;
use crate::types::{Encoding, Frame};

/// One input picture and the expected values of every step after it.
pub struct Golden {
    pub input: Picture,
    expected: Vec<u8>,
}

impl Golden {
    pub fn load(case: &str) -> Self {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/preprocess").join(case);
        let input = decode(Encoding::Png, std::fs::read(dir.join("input.png")).unwrap());
        Self { input, expected: std::fs::read(dir.join("expected.safetensors")).unwrap() }
    }

    pub fn u8(&self, name: &str) -> Vec<u8> {
        SafeTensors::deserialize(&self.expected).unwrap().tensor(name).unwrap().data().to_vec()
    }

    /// A `[height, width, 3]` tensor.
    pub fn picture(&self, name: &str) -> Picture {
        let all = SafeTensors::deserialize(&self.expected).unwrap();
        let tensor = all.tensor(name).unwrap();
        let &[height, width, 3] = tensor.shape() else { panic!("{name}: {:?}", tensor.shape()) };
        Picture { width: width as u32, height: height as u32, rgb: tensor.data().to_vec() }
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.u8(name).as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    pub fn index(&self, name: &str) -> Vec<usize> {
        self.u8(name).as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as usize).collect()
    }
}

/// A file as a picture.
pub fn decode(encoding: Encoding, file: Vec<u8>) -> Picture {
    let mut picture = Picture::default();
    let frame = Frame { frame_id: String::new(), encoding, width: 0, height: 0, step: 0, data: Arc::from(file) };
    picture.decode(&frame).unwrap();
    picture
}

//! Checkpoints of random weights.

use std::io::Write;
use std::path::Path;

use super::timed::{Error, noise};

/// Writes tensors of these names and shapes as bf16 into `dir/model.safetensors`.
///
/// Rows of a matrix keep the size of what they multiply; vectors, which are norms and biases, are small.
pub fn write(dir: &Path, tensors: &[(String, Vec<u64>)]) -> Result<(), Error> {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += 2 * shape.iter().product::<u64>();
        header.insert(name.clone(), serde_json::json!({"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}));
    }
    let header = serde_json::to_vec(&header)?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(dir.join("model.safetensors"))?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for (seed, (_, shape)) in tensors.iter().enumerate() {
        let scale =
            (3.0 / shape.iter().skip(1).product::<u64>() as f32).sqrt() * if shape.len() == 1 { 0.05 } else { 1.0 };
        let values = noise(shape.iter().product::<u64>() as usize, seed as u64);
        let bytes: Vec<u8> =
            values.iter().flat_map(|value| half::bf16::from_f32(value * scale).to_le_bytes()).collect();
        file.write_all(&bytes)?;
    }
    Ok(file.flush()?)
}

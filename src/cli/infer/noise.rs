//! Noise from a file.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use safetensors::{Dtype, SafeTensors};
use vla_bundle::{Manifest, Stage};

use crate::noise::Noise;

/// Names that a file of several tensors may hold the noise under, besides the bundle's own.
const NAMES: [&str; 2] = ["flow.noise", "diffusion.noise"];

/// The noise in a safetensors file: f32, as many numbers as the policy denoises, in any shape.
pub fn read(manifest: &Manifest, path: &Path) -> anyhow::Result<Noise> {
    let own = manifest.plan.iter().find_map(|stage| match stage {
        Stage::Denoise(denoise) => Some(denoise.noise.tensor.as_str()),
        Stage::Run { .. } | Stage::Autoregress(_) => None,
    });
    let Some(own) = own else { bail!("--noise is given, but the policy does not denoise") };
    let at = || format!("noise: {}", path.display());
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the {}", at()))?;
    numbers(&bytes, own).with_context(at)
}

fn numbers(bytes: &[u8], own: &str) -> anyhow::Result<Noise> {
    let file = SafeTensors::deserialize(bytes)?;
    let names = file.names();
    let name = [own].into_iter().chain(NAMES).find(|name| names.contains(name));
    let name = match (name, &names[..]) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, _) => bail!("got the tensors {}, wanted `{own}` or a single one", names.join(", ")),
    };
    let tensor = file.tensor(name)?;
    if tensor.dtype() != Dtype::F32 {
        return Err(anyhow!("tensor `{name}` is {:?}, wanted F32", tensor.dtype()));
    }
    let (numbers, _) = tensor.data().as_chunks();
    Ok(Noise::Given(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    fn file(tensors: &[(&str, Dtype, &[u8])]) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, data)| {
            (*name, TensorView::new(*dtype, vec![8 * data.len() / dtype.bitsize()], data).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    const ONE: &[u8] = &[0, 0, 128, 63];
    const TWO: &[u8] = &[0, 0, 0, 64, 0, 0, 128, 191];

    fn read(tensors: &[(&str, Dtype, &[u8])]) -> Result<Noise, String> {
        numbers(&file(tensors), "noise").map_err(|e| e.to_string())
    }

    #[test]
    fn the_noise_is_the_tensor_of_its_name_or_the_only_one() {
        let given = |numbers: &[f32]| Ok(Noise::Given(numbers.into()));
        assert_eq!(read(&[("x", Dtype::F32, TWO)]), given(&[2.0, -1.0]));
        assert_eq!(read(&[("x", Dtype::F32, TWO), ("diffusion.noise", Dtype::F32, ONE)]), given(&[1.0]));
        assert_eq!(read(&[("noise", Dtype::F32, TWO), ("flow.noise", Dtype::F32, ONE)]), given(&[2.0, -1.0]));
    }

    #[test]
    fn a_file_without_one_says_what_it_has() {
        let several = read(&[("x", Dtype::F32, ONE), ("y", Dtype::F32, ONE)]).unwrap_err();
        assert!(several.ends_with("wanted `noise` or a single one"), "{several}");
        assert_eq!(read(&[("x", Dtype::I32, ONE)]), Err("tensor `x` is I32, wanted F32".to_owned()));
    }
}

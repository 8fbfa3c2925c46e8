//! The observation of a bundle's stored run.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use vla_bundle::{Bundle, Manifest, Stage};

use crate::noise::Noise;
use crate::time::Stamp;
use crate::types::{Encoding, Frame, Observation, Optics, Pinhole};

/// Pictures, intrinsics, state, instruction and noise of the golden.
///
/// # Errors
/// A bundle without a golden, or one that lacks an input of the policy.
pub fn observation(bundle: &Bundle) -> anyhow::Result<Observation> {
    let Some(golden) = &bundle.manifest().golden else {
        bail!("the bundle has no stored run to change inputs of: export it with --golden on");
    };
    let path = bundle.path(&golden.file);
    let at = || format!("golden: {}", path.display());
    read(bundle.manifest(), &golden.task, &path).with_context(at)
}

fn read(manifest: &Manifest, task: &str, path: &Path) -> anyhow::Result<Observation> {
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let streams = &manifest.streams;
    let names = || streams.cameras.iter().map(|camera| camera.name.as_str());
    let frames = names().map(|name| frame(&file, name).map(Arc::new)).collect::<anyhow::Result<Vec<_>>>()?;
    let optics = match streams.intrinsics {
        None => Vec::new(),
        Some(_) => names()
            .zip(&frames)
            .map(|(name, frame)| Ok(Some(Arc::new(optics(&file, name, [frame.width, frame.height])?))))
            .collect::<anyhow::Result<_>>()?,
    };
    let state = streams.state.as_ref().map(|_| doubles(&file, "input.state")).transpose()?;
    let noise = manifest.plan.iter().find_map(|stage| match stage {
        Stage::Denoise(denoise) => Some(&denoise.noise.tensor),
        Stage::Run { .. } | Stage::Autoregress(_) => None,
    });
    let noise = noise.map(|name| given(&file, name)).transpose()?.unwrap_or_default();
    let (stamp, frame_id) = (Stamp::default(), String::new());
    Ok(Observation { stamp, frame_id, frames, optics, state, task: Arc::from(task), noise })
}

fn tensor<'f>(file: &SafeTensors<'f>, name: &str, dtype: Dtype) -> anyhow::Result<TensorView<'f>> {
    let tensor = file.tensor(name).with_context(|| format!("tensor `{name}`"))?;
    if tensor.dtype() != dtype {
        bail!("tensor `{name}` is {:?}, wanted {dtype:?}", tensor.dtype());
    }
    Ok(tensor)
}

fn frame(file: &SafeTensors<'_>, camera: &str) -> anyhow::Result<Frame> {
    let name = format!("input.images.{camera}");
    let picture = tensor(file, &name, Dtype::U8)?;
    let &[height, width, 3] = picture.shape() else {
        bail!("tensor `{name}` is {:?}, wanted [height, width, 3]", picture.shape());
    };
    let [width, height] = [u32::try_from(width)?, u32::try_from(height)?];
    let (frame_id, data) = (camera.to_owned(), Arc::from(picture.data()));
    Ok(Frame { frame_id, encoding: Encoding::Rgb8, width, height, step: 3 * width, data })
}

fn optics(file: &SafeTensors<'_>, camera: &str, size: [u32; 2]) -> anyhow::Result<Optics> {
    let name = format!("input.intrinsics.{camera}");
    let values = doubles(file, &name)?;
    let &[fx, fy, cx, cy] = values.as_slice() else {
        bail!("tensor `{name}` has {} values, wanted fx, fy, cx and cy", values.len());
    };
    Ok(Optics::Straight(Pinhole { size, focal: [fx, fy], center: [cx, cy] }))
}

fn doubles(file: &SafeTensors<'_>, name: &str) -> anyhow::Result<Vec<f64>> {
    let (numbers, _) = tensor(file, name, Dtype::F64)?.data().as_chunks();
    Ok(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}

fn given(file: &SafeTensors<'_>, name: &str) -> anyhow::Result<Noise> {
    let (numbers, _) = tensor(file, name, Dtype::F32)?.data().as_chunks();
    Ok(Noise::Given(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
}

//! Exports of small checkpoints: what stands in the bundle, and what is refused in which words.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cogvla;
mod edited;
mod flow;
mod fused;
mod heads;
mod manifest;
mod openvla;
mod refused;

use std::path::{Path, PathBuf};

use onnx_export::{Camera, CenterCrop, ExportError, ImagePipeline, Norm, Request, System, export};
use vla_bundle::{Bundle, Dtype, Integrity};

/// A checkpoint of `tests/data` whose numbers the original computed.
fn checkpoint(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/checkpoints").join(case).join("checkpoint")
}

/// The arguments of the case's `run.json`; the bundle goes to `out/bundle`.
fn request(system: System, checkpoint: &Path, out: &Path) -> Request {
    let cameras: &[&str] = if system == System::Lightvla { &["front", "wrist"] } else { &["front"] };
    let camera = |name: &&str| Camera { slot: (*name).to_owned(), name: (*name).to_owned() };
    Request {
        checkpoint: checkpoint.to_owned(),
        out: out.join("bundle"),
        system,
        cameras: cameras.iter().map(camera).collect(),
        io: None,
        unnorm_key: Some("libero_spatial_no_noops".to_owned()),
        chunk_size: Some(8),
        norm: Some(Norm::Quantile),
        image_pipeline: Some(ImagePipeline::OpenvlaOft),
        center_crop: Some(CenterCrop::On),
        head: None,
        hidden_offset: None,
        base_checkpoint: None,
        denoise_steps: None,
        adapter: None,
        delta_actions: None,
        precision: Dtype::Fp32,
        opset: 23,
    }
}

/// Exports and reads the bundle back, every digest checked.
fn exported(request: &Request) -> Result<Bundle, ExportError> {
    let exported = export(request, &mut |_| {})?;
    assert_eq!(exported.warnings, [""; 0]);
    Ok(Bundle::load(&request.out, Integrity::Digests).unwrap())
}

//! Exports of small checkpoints: what stands in the manifest, and what is refused in which words.

use std::path::{Path, PathBuf};

use onnx_export::{Camera, CenterCrop, ImagePipeline, Norm, Request, System, export};
use vla_bundle::{Bundle, Dtype, Integrity};

fn checkpoint(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/checkpoints").join(case).join("checkpoint")
}

fn request(system: System, checkpoint: &Path, out: &Path) -> Request {
    let cameras = if system == System::Lightvla { vec!["front", "wrist"] } else { vec!["front"] };
    let camera = |name: &str| Camera { slot: name.to_owned(), name: name.to_owned() };
    Request {
        checkpoint: checkpoint.to_owned(),
        out: out.to_owned(),
        system,
        cameras: cameras.into_iter().map(camera).collect(),
        io: None,
        unnorm_key: None,
        chunk_size: Some(8),
        norm: Some(Norm::Quantile),
        image_pipeline: Some(ImagePipeline::OpenvlaOft),
        center_crop: Some(CenterCrop::On),
        head: None,
        hidden_offset: None,
        precision: Dtype::Fp32,
        opset: 23,
    }
}

#[test]
fn the_bundle_of_openvla_oft_fits_together_down_to_every_digest() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("bundle");
    let request = request(System::OpenvlaOft, &checkpoint("openvla_oft_l1"), &out);
    export(&request, &mut |_| {}).unwrap();
    let bundle = Bundle::load(&out, Integrity::Digests).unwrap();
    assert_eq!(bundle.manifest().plan.len(), 6);
}

#[test]
fn the_bundle_of_lightvla_fits_together_down_to_every_digest() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("bundle");
    let request = request(System::Lightvla, &checkpoint("lightvla_l1"), &out);
    export(&request, &mut |_| {}).unwrap();
    let bundle = Bundle::load(&out, Integrity::Digests).unwrap();
    assert_eq!(bundle.manifest().plan.len(), 6);
}

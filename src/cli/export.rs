//! `vla export`: a checkpoint becomes a bundle, which then answers one made-up observation.

mod golden;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use onnx_export::{
    Adapter, Camera, CenterCrop, ExportError, Exported, Head, ImagePipeline, Norm, Request, System, delta_mask,
};
use vla_bundle::{Dtype, Io, IoFile};

use super::runtime::OnOff;
use crate::policy::runtime_info;

/// Turns a checkpoint into a bundle.
#[derive(Args)]
pub struct Export {
    /// Kind of model.
    #[arg(long, value_parser = words::<System>(System::WORDS))]
    system: System,
    /// Folder of the checkpoint.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Folder of the bundle; must not exist yet.
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// Cameras in the order in which the model takes their pictures.
    #[arg(long, value_name = "SLOT[=NAME],...", value_delimiter = ',', required = true, value_parser = camera)]
    cameras: Vec<Camera>,
    /// Meaning of the action and state dimensions; without it they are unnamed, and only infer and bench work.
    #[arg(long, value_name = "IO.yaml")]
    io: Option<PathBuf>,
    /// Which statistics of the checkpoint, where it has several.
    #[arg(long, value_name = "KEY")]
    unnorm_key: Option<String>,
    /// Steps per predicted chunk.
    #[arg(long, value_name = "N")]
    chunk_size: Option<usize>,
    /// Which statistics the training normalised with.
    #[arg(long, value_parser = norm())]
    norm: Option<Norm>,
    /// What happens to a picture before the checkpoint's own processor.
    #[arg(long, value_parser = words::<ImagePipeline>(ImagePipeline::WORDS))]
    image_pipeline: Option<ImagePipeline>,
    /// Whether the centre of a picture stands for the random crops of the training.
    #[arg(long, value_parser = words::<CenterCrop>(CenterCrop::WORDS))]
    center_crop: Option<CenterCrop>,
    /// Kind of action head; default: what the checkpoint's files say.
    #[arg(long, value_parser = words::<Head>(Head::WORDS))]
    head: Option<Head>,
    /// Position of the first hidden state that the head reads, relative to the first action placeholder.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    hidden_offset: Option<i64>,
    /// Checkpoint onto which an adapter in --checkpoint is merged.
    #[arg(long, value_name = "DIR")]
    base_checkpoint: Option<PathBuf>,
    /// Denoising steps per inference, where the checkpoint does not say.
    #[arg(long, value_name = "N")]
    denoise_steps: Option<u64>,
    /// Robot whose state and actions the policy translates.
    #[arg(long, value_parser = words::<Adapter>(Adapter::WORDS))]
    adapter: Option<Adapter>,
    /// Dimensions that are predicted as differences to the state: 6,-1 for six that are and one that is not.
    #[arg(long, value_name = "N,-M,...", allow_hyphen_values = true)]
    delta_actions: Option<String>,
    /// Arithmetic type of the graphs.
    #[arg(long, default_value = "fp32", value_parser = precision())]
    precision: Dtype,
    /// ONNX operator set of the graphs.
    #[arg(long, default_value = "23")]
    opset: u32,
    /// Whether the bundle's first run is stored in it, to compare later runs with.
    #[arg(long, value_enum, default_value = "on")]
    golden: OnOff,
    /// Whether a second run must repeat the first one bit for bit.
    #[arg(long, value_enum, default_value = "off")]
    verify: OnOff,
}

impl Export {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let runs = [self.golden, self.verify];
        if runs.contains(&OnOff::On) {
            // Before the long part, not after it.
            runtime_info()?;
        }
        let request = self.request()?;
        let Exported { bundle, warnings } = export(&request)?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let bundle = golden::run(bundle, &request.out, runs)
            .with_context(|| format!("the bundle is there, but its first run failed: {}", request.out.display()))?;
        super::print(&format!("{} {}\n", bundle.digest(), request.out.display()))
    }

    fn request(self) -> anyhow::Result<Request> {
        Ok(Request {
            io: self.io.map(read_io).transpose()?,
            checkpoint: self.checkpoint,
            out: self.out,
            system: self.system,
            cameras: self.cameras,
            unnorm_key: self.unnorm_key,
            chunk_size: self.chunk_size,
            norm: self.norm,
            image_pipeline: self.image_pipeline,
            center_crop: self.center_crop,
            head: self.head,
            hidden_offset: self.hidden_offset,
            base_checkpoint: self.base_checkpoint,
            denoise_steps: self.denoise_steps,
            adapter: self.adapter,
            delta_actions: self.delta_actions.map(|groups| delta_mask(&groups)).transpose()?,
            precision: self.precision,
            opset: self.opset,
        })
    }
}

fn read_io(path: PathBuf) -> anyhow::Result<Io> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the IO file: {origin}"))?;
    Ok(IoFile::parse(&text, &origin)?)
}

/// Exports with a progress bar where somebody watches.
fn export(request: &Request) -> Result<Exported, ExportError> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:12} {bar:40} {bytes} of {total_bytes}, {eta} left") {
        bar.set_style(style);
    }
    let exported = onnx_export::export(request, &mut |progress| {
        bar.set_length(progress.total_bytes);
        bar.set_message(progress.graph.to_owned());
        bar.set_position(progress.written_bytes);
    });
    bar.finish_and_clear();
    exported
}

fn words<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = ExportError> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}

fn norm() -> impl TypedValueParser<Value = Norm> {
    PossibleValuesParser::new(["quantile", "min_max"]).map(|word| match word.as_str() {
        "min_max" => Norm::MinMax,
        _ => Norm::Quantile,
    })
}

fn precision() -> impl TypedValueParser<Value = Dtype> {
    PossibleValuesParser::new(["fp32", "fp16", "bf16"]).map(|word| match word.as_str() {
        "fp16" => Dtype::Fp16,
        "bf16" => Dtype::Bf16,
        _ => Dtype::Fp32,
    })
}

fn camera(text: &str) -> Result<Camera, String> {
    let (slot, name) = text.split_once('=').unwrap_or((text, text));
    if slot.is_empty() || name.is_empty() {
        return Err(format!("got `{text}`, wanted a slot, or slot and name joined by `=`"));
    }
    Ok(Camera { slot: slot.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_without_a_name_is_called_like_its_slot() {
        let want = |slot: &str, name: &str| Ok(Camera { slot: slot.to_owned(), name: name.to_owned() });
        assert_eq!(camera("front"), want("front", "front"));
        assert_eq!(camera("base_0_rgb=front"), want("base_0_rgb", "front"));
        assert_eq!(camera("=front"), Err("got `=front`, wanted a slot, or slot and name joined by `=`".to_owned()));
    }
}

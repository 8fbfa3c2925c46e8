//! Pictures, state and instruction to tensors, step by step as the manifest names them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::panic::resume_unwind;

use vla_bundle::{Bundle, Dim, Input, Manifest, Source};

use crate::tensor::{Tensor, TensorData};
use crate::types::Frame;

pub mod image;
pub mod picture;
pub mod state;
pub mod text;

mod center_crop;
mod crop_pixels;
mod jpeg_roundtrip;
mod lanczos3;
mod letterbox;
mod normalize;
mod pil;
mod resize;
mod spans;

#[cfg(test)]
mod goldens;

use image::{ImagePipeline, ImageStepsError};
use picture::{Picture, PictureError};
use state::{StateError, StatePipeline};
use text::{TextError, TextPipeline};

/// Makes the plan's input tensors. Owns them, so that a frame costs no large allocation.
pub struct Preprocessor {
    tensors: BTreeMap<String, Tensor>,
    cameras: Vec<Camera>,
    states: Vec<(String, StatePipeline)>,
    texts: Vec<Text>,
    /// Instruction that the text tensors are for.
    task: Option<String>,
    task_changed: bool,
}

/// The input tensors of one observation.
#[derive(Debug)]
pub struct Prepared<'a> {
    /// Every input of the manifest by tensor name.
    pub tensors: &'a BTreeMap<String, Tensor>,
    /// Whether the instruction is another one than in the last successful call.
    pub task_changed: bool,
}

/// Why there are no input tensors.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PreprocessError {
    #[error("input `{tensor}`: {source}")]
    Image { tensor: String, source: ImageStepsError },
    #[error("input `{tensor}`: {source}")]
    Text { tensor: String, source: TextError },
    #[error("input `{tensor}`: the instruction has {got} tokens, the policy takes {min} to {max}")]
    Tokens { tensor: String, got: usize, min: u64, max: u64 },
    #[error("got {got} camera frames, wanted {wanted}")]
    Cameras { got: usize, wanted: usize },
    #[error("camera `{camera}`: {source}")]
    Picture { camera: String, source: PictureError },
    #[error(transparent)]
    State(#[from] StateError),
}

/// One camera's decoded picture and its way into every picture tensor, by the tensors' names.
struct Camera {
    name: String,
    picture: Picture,
    pipelines: BTreeMap<String, ImagePipeline>,
}

struct Text {
    tensor: String,
    pipeline: TextPipeline,
    /// Fewest and most tokens that the graphs take.
    tokens: [u64; 2],
}

impl Preprocessor {
    /// Loads the tokenizers and prepares every step of `bundle`.
    ///
    /// # Errors
    /// A tokenizer that does not load; image steps whose result has no fixed size.
    pub fn new(bundle: &Bundle) -> Result<Self, PreprocessError> {
        let manifest = bundle.manifest();
        let camera =
            |name: &str| Camera { name: name.to_owned(), picture: Picture::default(), pipelines: BTreeMap::new() };
        let mut made = Self {
            tensors: BTreeMap::new(),
            cameras: manifest.streams.cameras.iter().map(|stream| camera(&stream.name)).collect(),
            states: Vec::new(),
            texts: Vec::new(),
            task: None,
            task_changed: false,
        };
        for input in &manifest.inputs {
            made.add(bundle, input)?;
        }
        Ok(made)
    }

    fn add(&mut self, bundle: &Bundle, input: &Input) -> Result<(), PreprocessError> {
        let tensor = input.tensor.clone();
        match &input.source {
            Source::Cameras { steps } => {
                let mut shape = vec![self.cameras.len()];
                for camera in &mut self.cameras {
                    let pipeline = ImagePipeline::new(steps)
                        .map_err(|source| PreprocessError::Image { tensor: tensor.clone(), source })?;
                    shape.truncate(1);
                    shape.extend(pipeline.shape());
                    camera.pipelines.insert(tensor.clone(), pipeline);
                }
                let values = vec![0.0; shape.iter().product()];
                self.tensors.insert(tensor, Tensor::new(shape, TensorData::F32(values)));
            }
            Source::State { steps } => {
                let dim = bundle.manifest().streams.state.map_or(0, |state| state.dim);
                self.tensors.insert(tensor.clone(), Tensor::new(vec![1, dim], TensorData::F32(vec![0.0; dim])));
                self.states.push((tensor, StatePipeline::new(steps, dim)));
            }
            Source::Task { steps } => {
                let pipeline = TextPipeline::load(steps, |file| bundle.path(file))
                    .map_err(|source| PreprocessError::Text { tensor: tensor.clone(), source })?;
                let tokens = token_range(bundle.manifest(), &tensor);
                self.texts.push(Text { tensor, pipeline, tokens });
            }
            Source::Constant { values } => {
                self.tensors.insert(tensor, Tensor::new(vec![values.len()], TensorData::I64(values.clone())));
            }
        }
        Ok(())
    }

    /// The tensors of one observation: `frames` in the manifest's camera order, `state` in its order and units. Cameras
    /// are prepared side by side; the instruction only where it is another one than last time.
    ///
    /// # Errors
    /// A frame that is no picture, a state with a missing or non-finite value, an instruction that is too long.
    pub fn run<F: Borrow<Frame> + Sync>(
        &mut self,
        frames: &[F],
        state: Option<&[f64]>,
        task: &str,
    ) -> Result<Prepared<'_>, PreprocessError> {
        if frames.len() != self.cameras.len() {
            return Err(PreprocessError::Cameras { got: frames.len(), wanted: self.cameras.len() });
        }
        self.prepare_task(task)?;
        for (tensor, pipeline) in &self.states {
            if let Some(TensorData::F32(values)) = self.tensors.get_mut(tensor).map(Tensor::data_mut) {
                pipeline.apply(state, values)?;
            }
        }
        self.prepare_cameras(frames)?;
        Ok(Prepared { tensors: &self.tensors, task_changed: std::mem::take(&mut self.task_changed) })
    }

    fn prepare_task(&mut self, task: &str) -> Result<(), PreprocessError> {
        if self.task.as_deref() == Some(task) {
            return Ok(());
        }
        self.task = None;
        for Text { tensor, pipeline, tokens: [min, max] } in &self.texts {
            let ids =
                pipeline.apply(task).map_err(|source| PreprocessError::Text { tensor: tensor.clone(), source })?;
            if !(*min..=*max).contains(&(ids.len() as u64)) {
                let (tensor, got) = (tensor.clone(), ids.len());
                return Err(PreprocessError::Tokens { tensor, got, min: *min, max: *max });
            }
            self.tensors.insert(tensor.clone(), Tensor::new(vec![1, ids.len()], TensorData::I64(ids)));
        }
        self.task = Some(task.to_owned());
        self.task_changed = true;
        Ok(())
    }

    fn prepare_cameras<F: Borrow<Frame> + Sync>(&mut self, frames: &[F]) -> Result<(), PreprocessError> {
        let Some(first) = self.cameras.first() else {
            return Ok(());
        };
        let mut outputs: Vec<Vec<&mut [f32]>> = frames.iter().map(|_| Vec::new()).collect();
        for (name, tensor) in &mut self.tensors {
            if first.pipelines.contains_key(name)
                && let TensorData::F32(values) = tensor.data_mut()
            {
                let per_camera = values.len() / frames.len();
                values
                    .chunks_exact_mut(per_camera)
                    .zip(&mut outputs)
                    .for_each(|(values, outputs)| outputs.push(values));
            }
        }
        std::thread::scope(|scope| {
            let mut jobs = self.cameras.iter_mut().zip(frames).zip(outputs);
            let first = jobs.next();
            let others: Vec<_> = jobs
                .map(|((camera, frame), outputs)| scope.spawn(move || camera.prepare(frame.borrow(), outputs)))
                .collect();
            let first = first.map_or(Ok(()), |((camera, frame), outputs)| camera.prepare(frame.borrow(), outputs));
            let joined = others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            joined.fold(first, Result::and)
        })
    }
}

impl Camera {
    /// Writes to `outputs`, one per pipeline and in the order of the tensors' names.
    fn prepare(&mut self, frame: &Frame, outputs: Vec<&mut [f32]>) -> Result<(), PreprocessError> {
        self.picture.decode(frame).map_err(|source| PreprocessError::Picture { camera: self.name.clone(), source })?;
        for (pipeline, out) in self.pipelines.values_mut().zip(outputs) {
            pipeline.apply(&self.picture, out);
        }
        Ok(())
    }
}

/// Fewest and most tokens that every graph takes as `tensor`, `[1, tokens]`.
fn token_range(manifest: &Manifest, tensor: &str) -> [u64; 2] {
    let inputs = manifest.graphs.values().flat_map(|graph| &graph.inputs).filter(|spec| spec.name == tensor);
    inputs.filter_map(|spec| spec.dims.last()).fold([0, u64::MAX], |[min, max], dim| {
        let [least, most] = match dim {
            Dim::Fixed(tokens) => [*tokens; 2],
            Dim::Symbol(symbol) => manifest.dims.get(symbol).map_or([0, u64::MAX], |range| [range.min, range.max]),
        };
        [min.max(least), max.min(most)]
    })
}

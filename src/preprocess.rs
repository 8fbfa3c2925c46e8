//! Pictures, state and instruction to tensors, step by step as the manifest names them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::panic::resume_unwind;

use vla_bundle::{Bundle, Dim, Input, Manifest, Source, TextStep};

use crate::tensor::{Tensor, TensorData};
use crate::types::{Frame, Optics, View};

pub mod bins;
pub mod image;
pub mod picture;
pub mod state;
pub mod text;
pub mod view;

mod center_crop;
mod crop_pixels;
mod interleave;
mod interpolate;
mod jpeg;
mod lanczos3;
mod letterbox;
mod normalize;
mod pad;
mod pil;
mod resize;
mod resize_with_pad;
mod spans;
mod undistort;

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod intrinsics;
#[cfg(test)]
mod odd_sizes;

use bins::StateText;
use image::{ImagePipeline, ImageStepsError};
use picture::{Picture, PictureError};
use state::{StateError, StatePipeline};
use text::{TextError, TextPipeline};
use view::{ViewError, Viewer};

/// Makes the plan's input tensors. Keeps tables and scratch between observations.
pub struct Preprocessor {
    cameras: Vec<Camera>,
    /// Tensors made from all cameras and their shapes, by name.
    pictures: BTreeMap<String, Vec<usize>>,
    /// Tensors that tell how all cameras saw a picture tensor, and that one's name.
    intrinsics: Vec<(String, String)>,
    states: Vec<(String, StatePipeline)>,
    texts: Vec<Text>,
    texts_with_state: Vec<TextWithState>,
    constants: Vec<(String, Tensor)>,
    instruction: Option<Instruction>,
}

/// The text tensors of the last instruction.
struct Instruction {
    task: String,
    tensors: Vec<(String, Tensor)>,
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
    #[error("camera `{camera}`: {source}")]
    View { camera: String, source: ViewError },
    #[error("camera `{camera}`: nothing says how it sees, the policy takes its intrinsics")]
    Intrinsics { camera: String },
    #[error(transparent)]
    State(#[from] StateError),
}

/// One camera's decoded picture and its way into every picture tensor, by the tensors' names.
struct Camera {
    name: String,
    picture: Picture,
    jpeg: jpeg::Decoder,
    viewer: Viewer,
    pipelines: BTreeMap<String, ImagePipeline>,
}

struct Text {
    tensor: String,
    pipeline: TextPipeline,
    /// Fewest and most tokens that the graphs take.
    tokens: [u64; 2],
}

/// A text that the state is part of.
struct TextWithState {
    text: Text,
    state: StateText,
}

impl Preprocessor {
    /// Loads the tokenizers and prepares every step of `bundle`.
    ///
    /// # Errors
    /// A tokenizer that does not load; image steps whose result has no fixed size.
    pub fn new(bundle: &Bundle) -> Result<Self, PreprocessError> {
        let manifest = bundle.manifest();
        let camera = |name: &str| Camera {
            name: name.to_owned(),
            picture: Picture::default(),
            jpeg: jpeg::Decoder::default(),
            viewer: Viewer::default(),
            pipelines: BTreeMap::new(),
        };
        let mut made = Self {
            cameras: manifest.streams.cameras.iter().map(|stream| camera(&stream.name)).collect(),
            pictures: BTreeMap::new(),
            intrinsics: Vec::new(),
            states: Vec::new(),
            texts: Vec::new(),
            texts_with_state: Vec::new(),
            constants: Vec::new(),
            instruction: None,
        };
        for input in &manifest.inputs {
            made.add(bundle, input)?;
        }
        Ok(made)
    }

    /// Shows the policy each camera's pictures through its view, in the manifest's camera order.
    pub fn look_through<'a>(&mut self, views: impl IntoIterator<Item = &'a View>) {
        self.cameras.iter_mut().zip(views).for_each(|(camera, view)| camera.viewer = Viewer::new(view));
    }

    /// Every camera that has optics here sees like this from now on, in the manifest's camera order.
    pub fn see<O: Borrow<Optics>>(&mut self, optics: &[Option<O>]) {
        for (camera, optics) in self.cameras.iter_mut().zip(optics) {
            if let Some(optics) = optics {
                camera.viewer.see(optics.borrow());
            }
        }
    }

    fn add(&mut self, bundle: &Bundle, input: &Input) -> Result<(), PreprocessError> {
        let (manifest, tensor) = (bundle.manifest(), input.tensor.clone());
        match &input.source {
            Source::Cameras { steps } => {
                for camera in &mut self.cameras {
                    let pipeline = ImagePipeline::new(steps)
                        .map_err(|source| PreprocessError::Image { tensor: tensor.clone(), source })?;
                    let [channels, height, width] = pipeline.shape();
                    let shape = vec![manifest.streams.cameras.len(), channels, height, width];
                    self.pictures.insert(tensor.clone(), shape);
                    camera.pipelines.insert(tensor.clone(), pipeline);
                }
            }
            Source::Intrinsics { of } => self.intrinsics.push((tensor, of.clone())),
            Source::State { steps } => {
                self.states.push((tensor, StatePipeline::new(steps, state_dim(manifest))));
            }
            Source::Task { steps } => {
                self.texts.push(Text::load(bundle, tensor, steps)?);
            }
            Source::TaskWithState { state, steps } => {
                let state = StateText::new(state, state_dim(manifest));
                self.texts_with_state.push(TextWithState { text: Text::load(bundle, tensor, steps)?, state });
            }
            Source::Constant { values } => {
                self.constants.push((tensor, Tensor::new(vec![values.len()], TensorData::I64(values.clone()))));
            }
        }
        Ok(())
    }

    /// The tensors of one observation by name: `frames` in the manifest's camera order, `state` in its order and units.
    /// Cameras are prepared side by side; the instruction only where it is another one than last time.
    ///
    /// # Errors
    /// A frame that is no picture, a state with a missing or non-finite value, an instruction that is too long.
    pub fn run<F: Borrow<Frame> + Sync>(
        &mut self,
        frames: &[F],
        state: Option<&[f64]>,
        task: &str,
    ) -> Result<Vec<(String, Tensor)>, PreprocessError> {
        if frames.len() != self.cameras.len() {
            return Err(PreprocessError::Cameras { got: frames.len(), wanted: self.cameras.len() });
        }
        let mut tensors = self.constants.clone();
        tensors.extend_from_slice(self.instruction(task)?);
        for (tensor, pipeline) in &self.states {
            let values = pipeline.apply(state)?;
            tensors.push((tensor.clone(), Tensor::new(vec![1, values.len()], TensorData::F32(values))));
        }
        for TextWithState { text, state: words } in &self.texts_with_state {
            tensors.push(text.tensor(task, Some(&words.apply(state)?))?);
        }
        tensors.extend(self.prepare_pictures(frames)?);
        for (tensor, of) in &self.intrinsics {
            tensors.push((tensor.clone(), intrinsics(&self.cameras, of)?));
        }
        Ok(tensors)
    }

    fn instruction(&mut self, task: &str) -> Result<&[(String, Tensor)], PreprocessError> {
        let instruction = if let Some(kept) = self.instruction.take_if(|kept| kept.task == task) {
            kept
        } else {
            let tensors = self.texts.iter().map(|text| text.tensor(task, None)).collect::<Result<_, _>>()?;
            Instruction { task: task.to_owned(), tensors }
        };
        Ok(&self.instruction.insert(instruction).tensors)
    }

    fn prepare_pictures<F: Borrow<Frame> + Sync>(
        &mut self,
        frames: &[F],
    ) -> Result<Vec<(String, Tensor)>, PreprocessError> {
        let zeros = |shape: &Vec<usize>| vec![0.0; shape.iter().product()];
        let mut made: Vec<Vec<f32>> = self.pictures.values().map(zeros).collect();
        let mut outputs: Vec<Vec<&mut [f32]>> = frames.iter().map(|_| Vec::new()).collect();
        for values in &mut made {
            let per_camera = values.len() / frames.len();
            values.chunks_exact_mut(per_camera).zip(&mut outputs).for_each(|(values, outputs)| outputs.push(values));
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
        })?;
        let tensor = |((name, shape), values): ((&String, &Vec<usize>), _)| {
            (name.clone(), Tensor::new(shape.clone(), TensorData::F32(values)))
        };
        Ok(self.pictures.iter().zip(made).map(tensor).collect())
    }
}

impl Camera {
    /// Writes to `outputs`, one per pipeline and in the order of the tensors' names.
    fn prepare(&mut self, frame: &Frame, outputs: Vec<&mut [f32]>) -> Result<(), PreprocessError> {
        let camera = || self.name.clone();
        let decoded = self.picture.decode_with(frame, &mut self.jpeg);
        decoded.map_err(|source| PreprocessError::Picture { camera: camera(), source })?;
        self.viewer.apply(&mut self.picture).map_err(|source| PreprocessError::View { camera: camera(), source })?;
        for (pipeline, out) in self.pipelines.values_mut().zip(outputs) {
            pipeline.apply(&self.picture, out);
        }
        Ok(())
    }
}

impl Text {
    fn load(bundle: &Bundle, tensor: String, steps: &[TextStep]) -> Result<Self, PreprocessError> {
        let tokens = token_range(bundle.manifest(), &tensor);
        match TextPipeline::load(steps, |file| bundle.path(file)) {
            Ok(pipeline) => Ok(Self { tensor, pipeline, tokens }),
            Err(source) => Err(PreprocessError::Text { tensor, source }),
        }
    }

    /// Ids `[1, tokens]` under the tensor's name.
    fn tensor(&self, task: &str, state: Option<&str>) -> Result<(String, Tensor), PreprocessError> {
        let (tensor, [min, max]) = (self.tensor.clone(), self.tokens);
        let ids = match self.pipeline.apply(task, state) {
            Ok(ids) => ids,
            Err(source) => return Err(PreprocessError::Text { tensor, source }),
        };
        if !(min..=max).contains(&(ids.len() as u64)) {
            return Err(PreprocessError::Tokens { tensor, got: ids.len(), min, max });
        }
        Ok((tensor, Tensor::new(vec![1, ids.len()], TensorData::I64(ids))))
    }
}

/// K of every camera in pixels of the tensor `of`: `[cameras, 3, 3]`.
fn intrinsics(cameras: &[Camera], of: &str) -> Result<Tensor, PreprocessError> {
    let mut values = Vec::with_capacity(9 * cameras.len());
    for camera in cameras {
        let seen = camera.viewer.pinhole().zip(camera.pipelines.get(of));
        let Some((pinhole, pipeline)) = seen else {
            return Err(PreprocessError::Intrinsics { camera: camera.name.clone() });
        };
        values.extend(pipeline.pinhole(pinhole).matrix().map(|value| value as f32));
    }
    Ok(Tensor::new(vec![cameras.len(), 3, 3], TensorData::F32(values)))
}

fn state_dim(manifest: &Manifest) -> usize {
    manifest.streams.state.as_ref().map_or(0, |state| state.dim)
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::json;
    use vla_bundle::Integrity;

    use super::*;
    use crate::types::{Encoding, Pinhole, Region, Rotation};

    /// Two cameras, three state values and at most 9 tokens; the graph is a stub that nobody runs here.
    fn bundle(dir: &Path) -> Bundle {
        let tokenizer = include_bytes!("../tests/data/tokenizer/tokenizer.json");
        std::fs::write(dir.join("tokenizer.json"), tokenizer).unwrap();
        std::fs::write(dir.join("policy.onnx"), b"stub").unwrap();
        let file = |bytes: usize| json!({ "bytes": bytes, "sha256": "0".repeat(64) });
        let resize = json!({ "op": "resize", "height": 2, "width": 3, "kernel": "bilinear_pil" });
        let normalize = json!({ "op": "normalize", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0] });
        let spec =
            |name: &str, dtype: &str, dims: serde_json::Value| json!({ "name": name, "dtype": dtype, "dims": dims });
        let manifest = json!({
            "format_version": 1, "system": "test", "exporter": "test 1", "precision": "fp32", "opset": 23,
            "checkpoint": { "name": "none", "sha256": "0".repeat(64), "unnorm_key": null, "dropped": [] },
            "files": { "tokenizer.json": file(tokenizer.len()), "policy.onnx": file(4) },
            "streams": {
                "cameras": [
                    { "name": "front", "orientation": "as_trained" },
                    { "name": "wrist", "orientation": "as_trained" }
                ],
                "state": { "dim": 3 }
            },
            "inputs": [
                { "tensor": "pixels", "source": { "from": "cameras", "steps": [resize, normalize] } },
                { "tensor": "state", "source": { "from": "state", "steps": [{ "op": "clip", "low": -1.0, "high": 1.0 }] } },
                { "tensor": "ids", "source": { "from": "task", "steps": [
                    { "op": "tokenize", "file": "tokenizer.json", "special_tokens": true }
                ] } },
                { "tensor": "positions", "source": { "from": "constant", "values": [4, 7] } }
            ],
            "graphs": { "policy": {
                "file": "policy.onnx", "weights": null,
                "inputs": [spec("ids", "int64", json!([1, "tokens"]))],
                "outputs": [spec("actions", "fp32", json!([8, 7]))]
            } },
            "dims": { "tokens": { "min": 1, "opt": 6, "max": 9 } },
            "plan": [{ "stage": "run", "graph": "policy", "every": "instruction" }],
            "actions": {
                "tensor": "actions", "chunk_size": 8, "action_dim": 7,
                "unnormalize": { "kind": "identity" }, "kept_tokens": null
            },
            "io": null, "golden": null
        });
        std::fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
        Bundle::load(dir, Integrity::Sizes).unwrap()
    }

    fn frame(encoding: Encoding, first: u8) -> Arc<Frame> {
        let data: Vec<u8> = (first..first + 18).collect();
        Arc::new(Frame { frame_id: String::new(), encoding, width: 3, height: 2, step: 9, data: data.into() })
    }

    fn preprocessor() -> Preprocessor {
        let dir = tempfile::tempdir().unwrap();
        Preprocessor::new(&bundle(dir.path())).unwrap()
    }

    #[test]
    fn every_input_of_the_manifest_is_made_from_its_stream() {
        let frames = [frame(Encoding::Rgb8, 0), frame(Encoding::Bgr8, 51)];
        let made = preprocessor().run(&frames, Some(&[0.5, -3.0, 0.25]), "pick up the black bowl").unwrap();
        let made: BTreeMap<_, _> = made.into_iter().collect();
        let i64 = |shape: &[usize], values: &[i64]| Tensor::new(shape.to_vec(), TensorData::I64(values.to_vec()));
        assert_eq!(made["ids"], i64(&[1, 6], &[1, 448, 447, 261, 431, 430]));
        assert_eq!(made["positions"], i64(&[2], &[4, 7]));
        assert_eq!(made["state"], Tensor::new(vec![1, 3], TensorData::F32(vec![0.5, -1.0, 0.25])));
        assert_eq!(made["pixels"].shape(), [2, 3, 2, 3]);
        let levels = |values: &[u8]| values.iter().map(|v| f32::from(*v) / 255.0).collect::<Vec<_>>();
        let pixels = made["pixels"].as_f32().unwrap();
        assert_eq!(pixels[..6], levels(&[0, 3, 6, 9, 12, 15]), "front, red");
        assert_eq!(pixels[18..24], levels(&[53, 56, 59, 62, 65, 68]), "wrist, red");
        assert_eq!(pixels[30..], levels(&[51, 54, 57, 60, 63, 66]), "wrist, blue");
    }

    #[test]
    fn each_camera_is_seen_through_its_own_view() {
        let mut preprocessor = preprocessor();
        let region = |x, width| Some(Region { x, y: 0, width, height: 2 });
        let views = [
            View { rotation: Rotation::UpsideDown, ..View::default() },
            View { region: region(2, 2), ..View::default() },
        ];
        preprocessor.look_through(&views);
        let frames = [frame(Encoding::Rgb8, 0), frame(Encoding::Rgb8, 9)];
        let refused = preprocessor.run(&frames, Some(&[0.0; 3]), "go").unwrap_err().to_string();
        assert_eq!(
            refused,
            "camera `wrist`: picture of 3 x 2 pixels does not hold Region { x: 2, y: 0, width: 2, height: 2 }"
        );
        preprocessor.look_through(&[views[0].clone(), View { region: region(0, 3), ..View::default() }]);
        let made = preprocessor.run(&frames, Some(&[0.0; 3]), "turn on the stove").unwrap();
        let pixels = made.iter().find(|(name, _)| name == "pixels").unwrap().1.as_f32().unwrap();
        let levels = |values: [u8; 6]| values.map(|value| f32::from(value) / 255.0);
        assert_eq!(pixels[..6], levels([15, 12, 9, 6, 3, 0]), "front, red, turned");
        assert_eq!(pixels[18..24], levels([9, 12, 15, 18, 21, 24]), "wrist, red");
    }

    /// By hand: 2 x 2 pixels from column 1 on, turned: 2 - 1 - (0.75 - 1) and 2 - 1 - 0.5; the wrist's as they are.
    /// Then 3 columns of 2, whose borders stay: (1.25 + 0.5) 1.5 - 0.5.
    #[test]
    fn how_each_camera_sees_its_view_is_a_tensor_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        drop(bundle(dir.path()));
        let path = dir.path().join("manifest.json");
        let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        manifest["streams"]["intrinsics"] = json!("pinhole");
        let inputs = manifest["inputs"].as_array_mut().unwrap();
        inputs.push(json!({ "tensor": "k", "source": { "from": "intrinsics", "of": "pixels" } }));
        std::fs::write(&path, manifest.to_string()).unwrap();
        let mut preprocessor = Preprocessor::new(&Bundle::load(dir.path(), Integrity::Sizes).unwrap()).unwrap();
        let frames = [frame(Encoding::Rgb8, 0), frame(Encoding::Rgb8, 9)];
        let pinhole = |focal, center| Optics::Straight(Pinhole { size: [3, 2], focal, center });
        let (rotation, region) = (Rotation::UpsideDown, Some(Region { x: 1, y: 0, width: 2, height: 2 }));
        let front = View { optics: Some(pinhole([8.0, 9.0], [0.75, 0.5])), region, rotation, flip: None };
        preprocessor.look_through([&front, &View::default()]);
        let blind = preprocessor.run(&frames, Some(&[0.0; 3]), "go").unwrap_err().to_string();
        assert_eq!(blind, "camera `wrist`: nothing says how it sees, the policy takes its intrinsics");
        preprocessor.see(&[None, Some(pinhole([6.0, 7.0], [1.25, 0.25]))]);
        let made = preprocessor.run(&frames, Some(&[0.0; 3]), "go").unwrap();
        let made = made.iter().find(|(name, _)| name == "k").unwrap().1.clone();
        let front = [12.0, 0.0, 2.125, 0.0, 9.0, 0.5, 0.0, 0.0, 1.0];
        let wrist = [6.0, 0.0, 1.25, 0.0, 7.0, 0.25, 0.0, 0.0, 1.0];
        assert_eq!(made, Tensor::new(vec![2, 3, 3], TensorData::F32([front, wrist].concat())));
        let other = Optics::Straight(Pinhole { size: [4, 2], focal: [6.0, 7.0], center: [1.25, 0.25] });
        preprocessor.see(&[None, Some(other)]);
        let refused = preprocessor.run(&frames, Some(&[0.0; 3]), "go").unwrap_err().to_string();
        assert_eq!(refused, "camera `wrist`: picture of 3 x 2 pixels, its camera info is of 4 x 2");
    }

    #[test]
    fn another_instruction_gives_other_ids_and_a_refused_one_is_not_kept() {
        let mut preprocessor = preprocessor();
        let frames = [frame(Encoding::Rgb8, 0), frame(Encoding::Rgb8, 9)];
        let mut ids = |task: &str| {
            let made = preprocessor.run(&frames, Some(&[0.0; 3]), task).map_err(|error| error.to_string())?;
            Ok::<_, String>(made.into_iter().find(|(name, _)| name == "ids").unwrap().1)
        };
        let ids_of = |values: &[i64]| Tensor::new(vec![1, values.len()], TensorData::I64(values.to_vec()));
        assert_eq!(ids("turn on the stove").unwrap(), ids_of(&[1, 360, 316, 261, 495]));
        let long = "pick up the black bowl and turn on the stove";
        let refused = "input `ids`: the instruction has 11 tokens, the policy takes 1 to 9";
        assert_eq!(ids(long).unwrap_err(), refused);
        assert_eq!(ids(long).unwrap_err(), refused);
        assert_eq!(ids("pick up the black bowl").unwrap(), ids_of(&[1, 448, 447, 261, 431, 430]));
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let mut preprocessor = preprocessor();
        let good = frame(Encoding::Rgb8, 0);
        let short = Arc::new(Frame { data: vec![1; 17].into(), ..Frame::clone(&good) });
        let mut message = |frames: &[Arc<Frame>], state| preprocessor.run(frames, state, "go").unwrap_err().to_string();
        let state = Some(&[0.0; 3][..]);
        assert_eq!(message(std::slice::from_ref(&good), state), "got 1 camera frames, wanted 2");
        let wrist = "camera `wrist`: image data has 17 bytes, 2 rows of 9 bytes need 18";
        assert_eq!(message(&[good.clone(), short], state), wrist);
        let absent = "the policy takes a state of 3 values, got none";
        assert_eq!(message(&[good.clone(), good], None), absent);
    }
}

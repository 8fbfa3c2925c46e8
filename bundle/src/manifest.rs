//! `manifest.json` as it stands on disk: plain data, nothing checked yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ActionStep, ImageStep, Io, OutputStep, Stage, StateBins, StateStep, TextStep};

/// The manifest format this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// Everything the runtime knows about a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Name of the system; provenance only, the runtime never branches on it.
    pub system: String,
    /// Name and version of the exporter.
    pub exporter: String,
    /// Where the weights came from.
    pub checkpoint: Checkpoint,
    /// Arithmetic type of the graphs' weights and activations.
    pub precision: Dtype,
    /// ONNX operator set of the graphs.
    pub opset: u32,
    /// Every file of the bundle but the manifest, by name.
    pub files: BTreeMap<String, FileEntry>,
    /// What the robot must supply.
    pub streams: Streams,
    /// Tensors made from the streams before the plan runs.
    pub inputs: Vec<Input>,
    /// Graphs by name.
    pub graphs: BTreeMap<String, Graph>,
    /// Ranges of the symbolic dimensions, by symbol, for engine profiles and checks.
    pub dims: BTreeMap<String, Range>,
    /// Order of the graphs.
    pub plan: Vec<Stage>,
    /// Shape and un-normalisation of the result.
    pub actions: Actions,
    /// Meaning of the state and action dimensions; absent where nobody said it.
    pub io: Option<Io>,
    /// Inputs and per-stage tensors of one run, to compare later runs with.
    pub golden: Option<Golden>,
}

/// Identity of the source checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Folder name, without its path.
    pub name: String,
    /// sha256 over the sorted list of `name size sha256` lines of the files that were read.
    pub sha256: String,
    /// Statistics key that was chosen, where the checkpoint holds several.
    pub unnorm_key: Option<String>,
    /// Tensors of the checkpoint that inference never uses and the export left out, sorted.
    pub dropped: Vec<String>,
    /// Low-rank adapters that the export merged into the weights; absent where there were none.
    pub merged: Option<Merged>,
}

/// Low-rank adapters that became part of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// Folder name of the base model that they were merged onto; absent where they stood beside their weights.
    pub base: Option<String>,
    /// Weights of the bundle that they changed.
    pub weights: u64,
    /// What each product of factors was multiplied with: alpha / r.
    pub scale: f32,
    /// Type in which the sum was computed and kept.
    pub precision: Dtype,
}

/// Size and digest of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Length in bytes.
    pub bytes: u64,
    /// Lower-case hex sha256 of the content.
    pub sha256: String,
}

/// What the robot must supply for one observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streams {
    /// Cameras in the order in which their tensors are stacked; the first is the anchor.
    pub cameras: Vec<CameraStream>,
    /// The proprioception vector; absent where the policy takes none.
    pub state: Option<StateStream>,
    /// What must be known about how every camera sees; absent where the policy takes its pictures alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intrinsics: Option<CameraModel>,
}

/// How a camera sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CameraModel {
    /// Through a hole: pictures are straight, focal lengths and principal point say everything. Pixel centres are whole
    /// numbers.
    Pinhole,
}

/// One camera the policy looks through (`observation.images.<name>`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraStream {
    /// Camera name.
    pub name: String,
    /// How the policy expects the picture to stand.
    pub orientation: Orientation,
}

/// How a picture stands relative to the scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// As the training pipeline handed it to the policy; the robot's profile turns frames where its camera differs.
    AsTrained,
}

/// The proprioception vector (`observation.state`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateStream {
    /// Number of values.
    pub dim: usize,
    /// The original's names for the pieces of the vector, in order; empty where it has no own ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<StatePiece>,
}

/// A piece of the proprioception vector as the original names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatePiece {
    /// Name in the original's observations.
    pub name: String,
    /// Number of values.
    pub dim: usize,
}

/// One tensor made from a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Tensor name in the plan's name space.
    pub tensor: String,
    /// Where it comes from and what is done to it.
    pub source: Source,
}

/// Where an input tensor comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// All cameras: the steps run per picture, results are stacked on a new first axis: `[cameras, c, h, w]`, f32.
    Cameras {
        /// Ends with a step that yields f32.
        steps: Vec<ImageStep>,
    },
    /// How all cameras saw a picture tensor: K `[cameras, 3, 3]`, f32, in pixels of that tensor. From what the camera
    /// sends, K goes through every step of the tensor that moves pixels: scaling keeps the borders (`c' = (c + 0.5) s -
    /// 0.5`), cuts and borders move by whole pixels, [`ImageStep::CenterCrop`] keeps the corners' centres.
    Intrinsics {
        /// The tensor, made from all cameras and not by [`ImageStep::StackChannels`].
        of: String,
    },
    /// The state vector: `[1, dim]`, f32.
    State {
        /// In order.
        steps: Vec<StateStep>,
    },
    /// The instruction: token ids `[1, tokens]`, i64.
    Task {
        /// Ends with ids.
        steps: Vec<TextStep>,
    },
    /// The instruction and the state as one text: token ids `[1, tokens]`, i64.
    TaskWithState {
        /// How the state becomes the `{state}` of the prompt.
        state: StateBins,
        /// As in [`Source::Task`]; one of them is a prompt.
        steps: Vec<TextStep>,
    },
    /// Numbers that are part of the policy and stand in the manifest because people compare or change them: `[n]`, i64.
    Constant {
        /// The values.
        values: Vec<i64>,
    },
}

/// One ONNX file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// File name in the bundle.
    pub file: String,
    /// File of its external weights, if it has any.
    pub weights: Option<String>,
    /// Inputs, named as in the plan's name space.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, named as in the plan's name space.
    pub outputs: Vec<TensorSpec>,
}

/// Name, type and shape of a tensor at the border of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Name in the plan's name space.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions.
    pub dims: Vec<Dim>,
}

/// One dimension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// Always this long.
    Fixed(u64),
    /// Dynamic; its range stands in the manifest's `dims`.
    Symbol(String),
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Dim::Fixed(n) => n.fmt(f),
            Dim::Symbol(name) => name.fmt(f),
        }
    }
}

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Dtype {
    Fp32,
    Fp16,
    Bf16,
    Int64,
    Bool,
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Dtype::Fp32 => "fp32",
            Dtype::Fp16 => "fp16",
            Dtype::Bf16 => "bf16",
            Dtype::Int64 => "int64",
            Dtype::Bool => "bool",
        })
    }
}

/// Range of a dynamic dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Smallest length that can occur.
    pub min: u64,
    /// Length to tune for.
    pub opt: u64,
    /// Largest length that can occur.
    pub max: u64,
}

/// The result of the plan and how it becomes robot units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actions {
    /// Tensor `[chunk_size, network_dim]`, f32, normalised.
    pub tensor: String,
    /// Steps predicted per inference.
    pub chunk_size: usize,
    /// Values per step of the data set's actions.
    pub action_dim: usize,
    /// Values per step of the network's output; absent where these are the actions' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_dim: Option<usize>,
    /// What the network's output goes through first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<OutputStep>,
    /// From network output to the data set's units.
    pub unnormalize: Unnormalize,
    /// What un-normalised output goes through to be the data set's actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<ActionStep>,
    /// Mask tensor `[.., patches]`, bool, of the picture tokens that survive pruning; absent where nothing is pruned.
    pub kept_tokens: Option<String>,
}

impl Actions {
    /// Values per step of the network's output.
    pub fn network_dim(&self) -> usize {
        self.network_dim.unwrap_or(self.action_dim)
    }
}

/// From network output to the data set's units, per dimension of the output, f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Unnormalize {
    /// `0.5 * (a + 1) * (high - low + eps) + low` where `mask`, else `a`; `low`, `high` are the 1 % and 99 % quantiles.
    Quantile {
        /// q01 per dimension.
        low: Vec<f64>,
        /// q99 per dimension.
        high: Vec<f64>,
        /// Added to the range.
        eps: f64,
        /// Dimensions that are normalised at all.
        mask: Vec<bool>,
    },
    /// The same formula over the smallest and largest value.
    MinMax {
        /// Minimum per dimension.
        low: Vec<f64>,
        /// Maximum per dimension.
        high: Vec<f64>,
        /// Added to the range.
        eps: f64,
        /// Dimensions that are normalised at all.
        mask: Vec<bool>,
    },
    /// `a * (std + eps) + mean`.
    MeanStd {
        /// Mean per dimension.
        mean: Vec<f64>,
        /// Standard deviation per dimension.
        std: Vec<f64>,
        /// Added to the deviation.
        eps: f64,
    },
    /// The network's output is the action.
    Identity,
}

/// A stored run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// safetensors file in the bundle: `input.*` tensors and every tensor of the plan.
    pub file: String,
    /// Who computed it.
    pub kind: GoldenKind,
    /// Instruction of the run.
    pub task: String,
}

/// Who computed a stored run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoldenKind {
    /// Our own first run after the export: tells change, not correctness.
    Regression,
    /// The training side: tells correctness.
    Parity,
}

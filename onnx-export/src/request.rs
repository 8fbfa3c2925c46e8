//! What is asked of an export: the facts that no checkpoint holds.

use std::path::PathBuf;

use vla_bundle::{Dtype, Io};

use crate::ExportError;
use crate::checkpoint::Norm;

/// One export. What is `None` was not said; each system knows which of it it needs.
#[derive(Clone, Debug)]
pub struct Request {
    /// Folder of the checkpoint.
    pub checkpoint: PathBuf,
    /// Folder of the bundle; must not exist yet.
    pub out: PathBuf,
    /// Kind of model.
    pub system: System,
    /// Cameras in the order in which the model takes their pictures.
    pub cameras: Vec<Camera>,
    /// Meaning of the action and state dimensions.
    pub io: Option<Io>,
    /// Which statistics of the checkpoint, where it has several.
    pub unnorm_key: Option<String>,
    /// Steps per predicted chunk.
    pub chunk_size: Option<usize>,
    /// Which statistics the training normalised with.
    pub norm: Option<Norm>,
    /// What happens to a picture before the checkpoint's own processor.
    pub image_pipeline: Option<ImagePipeline>,
    /// Whether the training cropped pictures, so that inference takes their centre.
    pub center_crop: Option<CenterCrop>,
    /// Kind of action head; the checkpoint's files say it where this does not.
    pub head: Option<Head>,
    /// Position of the first hidden state that the head reads, relative to the first action placeholder.
    pub hidden_offset: Option<i64>,
    /// Checkpoint onto which the one above is merged, where that is an adapter.
    pub base_checkpoint: Option<PathBuf>,
    /// Denoising steps per inference.
    pub denoise_steps: Option<u64>,
    /// The robot whose vectors the policy translates.
    pub adapter: Option<Adapter>,
    /// Dimensions of an action that are differences to the state; absent where none is.
    pub delta_actions: Option<Vec<bool>>,
    /// Arithmetic type of the graphs.
    pub precision: Dtype,
    /// ONNX operator set of the graphs.
    pub opset: u32,
}

/// One camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// The system's own word for it, or the name again.
    pub slot: String,
    /// Name in the bundle.
    pub name: String,
}

/// Defines an enum of command-line words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal: $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// Every word, in order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for it on the command line and in messages.
            pub fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word),+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = ExportError;

            fn from_str(word: &str) -> Result<Self, ExportError> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err(ExportError::Request(vec![format!(
                        "{} `{word}` is not one of {}",
                        $what,
                        Self::WORDS.join(", ")
                    )])),
                }
            }
        }
    };
}

words! {
    /// Kinds of model that can be exported.
    System, "system":
    /// OpenVLA: one step of actions, token by token.
    Openvla = "openvla",
    /// OpenVLA-OFT: a chunk of actions in one pass, or denoised.
    OpenvlaOft = "openvla_oft",
    /// LightVLA: the same with picture tokens pruned by similarity.
    Lightvla = "lightvla",
    /// CogVLA: few tokens per picture, pruned further from layer to layer.
    Cogvla = "cogvla",
    /// pi0: flow matching with a state token (openpi PyTorch).
    Pi0 = "pi0",
    /// pi0.5: flow matching with the state in the prompt (openpi PyTorch).
    Pi05 = "pi05",
    /// SmolVLA: flow matching with layers that see the prefix alone (lerobot).
    Smolvla = "smolvla",
    /// Layer-wise flow-matching head on a LLaVA-like model.
    DitLayerwise = "dit_layerwise",
    /// Gemma flow expert behind the last hidden states of a LLaVA-like model.
    LateFusion = "late_fusion",
    /// Flow expert beside every layer of a LLaVA-like model.
    DeepFusion = "deep_fusion"
}

impl std::str::FromStr for Norm {
    type Err = ExportError;

    fn from_str(word: &str) -> Result<Self, ExportError> {
        match word {
            "quantile" => Ok(Norm::Quantile),
            "min_max" => Ok(Norm::MinMax),
            _ => Err(ExportError::Request(vec![format!("norm `{word}` is not one of quantile, min_max")])),
        }
    }
}

words! {
    /// What happens to a picture before it is a tensor.
    ImagePipeline, "image pipeline":
    /// JPEG round trip and Lanczos resize to 224 pixels, optional centre crop, then the processor.
    OpenvlaOft = "openvla_oft",
    /// The checkpoint's processor alone.
    Processor = "processor"
}

words! {
    /// Whether the centre of a picture stands for the random crops of the training.
    CenterCrop, "center crop":
    /// The central 0.9 of the area.
    On = "on",
    /// The whole picture.
    Off = "off"
}

words! {
    /// Robots between whose vectors and the network's a policy translates.
    Adapter, "adapter":
    /// A state of 8 values, actions of 7.
    Libero = "libero",
    /// Seven joints and a gripper.
    Droid = "droid",
    /// Two arms of six joints and a gripper.
    Aloha = "aloha",
    /// Vectors as they are.
    None = "none"
}

/// Which dimensions of an action are differences to the state, from groups as `6,-1`: six are, the next one is not.
///
/// # Errors
/// A group that is no number other than 0, or dimensions beyond reason.
pub fn delta_mask(groups: &str) -> Result<Vec<bool>, ExportError> {
    let refuse = |reason: String| ExportError::Request(vec![format!("delta actions `{groups}`: {reason}")]);
    let mut mask = Vec::new();
    for group in groups.split(',') {
        let count: i32 = group.trim().parse().map_err(|e| refuse(format!("`{group}`: {e}")))?;
        if count == 0 || mask.len() + count.unsigned_abs() as usize > MAX_DIMS {
            return Err(refuse(format!("`{group}` dimensions, wanted 1 to {MAX_DIMS} in all")));
        }
        mask.extend(std::iter::repeat_n(count > 0, count.unsigned_abs() as usize));
    }
    Ok(mask)
}

/// More than any robot has.
const MAX_DIMS: usize = 4096;

words! {
    /// Kinds of action head.
    Head, "head":
    /// Regression: one pass, continuous actions.
    L1 = "l1",
    /// Denoising of action chunks.
    Diffusion = "diffusion",
    /// Action tokens of the vocabulary.
    Discrete = "discrete"
}

/// Everything that a request lacks, so that it is said at once.
#[derive(Default)]
pub(crate) struct Lacks(Vec<String>);

impl Lacks {
    /// The value, or a note that `flag` is missing.
    pub fn want<T: Copy>(&mut self, flag: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.note(format!("`{flag}` is missing, and the checkpoint does not say it"));
        }
        value
    }

    /// Adds a mismatch.
    pub fn note(&mut self, problem: String) {
        self.0.push(problem);
    }

    /// Fails with everything that was noted.
    pub fn finish(self) -> Result<(), ExportError> {
        if self.0.is_empty() { Ok(()) } else { Err(self.into_error()) }
    }

    /// Everything that was noted, as an error.
    pub fn into_error(self) -> ExportError {
        ExportError::Request(self.0)
    }
}

//! Why a policy cannot be loaded or run.

use std::path::PathBuf;

use super::library::OLDEST_MINOR;

/// Why a policy cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// ONNX Runtime itself is missing or unfit.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A provider of another name than those this build knows.
    #[error("provider `{0}` is unknown, wanted cpu, cuda or tensorrt")]
    UnknownProvider(String),
    /// An option that the provider has not.
    #[error("provider `{provider}` has no option `{key}`, it has {known}")]
    UnknownOption {
        /// Provider name.
        provider: &'static str,
        /// Option that was given.
        key: String,
        /// Options there are.
        known: String,
    },
    /// An option whose value is not of its type.
    #[error("provider `{provider}` option `{key}`: got `{got}`, wanted {wanted}")]
    OptionValue {
        /// Provider name.
        provider: &'static str,
        /// Option name.
        key: String,
        /// Text that was given.
        got: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The provider is not there; nothing falls back to another one.
    #[error("provider `{provider}`: {reason}")]
    Provider {
        /// Provider name.
        provider: &'static str,
        /// What is missing.
        reason: String,
    },
    /// ONNX Runtime put nodes on the CPU although another provider was asked for.
    #[error("provider `{provider}`, graph `{graph}`: nodes that would run on the CPU: {nodes}")]
    FellBack {
        /// Provider name.
        provider: &'static str,
        /// Graph name.
        graph: String,
        /// `name (operator)` of the nodes.
        nodes: String,
    },
    /// ONNX Runtime refuses a graph.
    #[error("graph `{graph}`: {reason}: {path}")]
    Load {
        /// Graph name.
        graph: String,
        /// ONNX Runtime's words.
        reason: String,
        /// The graph's file.
        path: PathBuf,
    },
    /// A graph's file is not what the manifest says.
    #[error("graph `{graph}` {side} `{name}`: the file has {got}, the manifest says {wanted}")]
    Border {
        /// Graph name.
        graph: String,
        /// Input or output.
        side: Side,
        /// Tensor name.
        name: String,
        /// Type and shape in the file.
        got: String,
        /// Type and shape in the manifest.
        wanted: String,
    },
    /// A tensor does not fit the graph.
    #[error("graph `{graph}` {side} `{name}`: got {got}, the manifest wants {wanted}")]
    Tensor {
        /// Graph name.
        graph: String,
        /// Input or output.
        side: Side,
        /// Tensor name.
        name: String,
        /// Type or shape of the tensor.
        got: String,
        /// Type or shape in the manifest.
        wanted: String,
    },
    /// The caller did not supply a tensor.
    #[error("graph `{graph}` input `{name}`: no tensor of this name was given")]
    MissingInput {
        /// Graph name.
        graph: String,
        /// Tensor name.
        name: String,
    },
    /// A tensor cannot be handed to ONNX Runtime or read back.
    #[error("tensor `{name}`: {reason}")]
    Value {
        /// Tensor name.
        name: String,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// A number of denoising steps that the policy cannot take.
    #[error("denoise steps: got {got}, the policy takes 1 to {most}")]
    Steps {
        /// Steps that were asked for.
        got: u64,
        /// The most it takes.
        most: u64,
    },
    /// A number of denoising steps for a policy that does not denoise.
    #[error("denoise steps: got {0}, the policy does not denoise")]
    NoSteps(usize),
    /// Noise of another length than the policy's sample.
    #[error("noise: got {got} numbers, the policy denoises {shape:?}")]
    NoiseLength {
        /// Numbers that were given.
        got: usize,
        /// Lengths of the sample.
        shape: Vec<usize>,
    },
    /// Noise or a prediction is NaN or infinite.
    #[error("tensor `{name}`, step {step} of the loop: value {index} is {value}")]
    NotFinite {
        /// Tensor name.
        name: String,
        /// Step of the loop, counted from 0.
        step: u64,
        /// Index of the first such value, row-major.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The policy wrote the token that ends an answer before the answer was whole.
    #[error("the policy ended its answer after {got} of {wanted} tokens")]
    EndedEarly {
        /// Tokens before the end.
        got: u64,
        /// Tokens of an answer.
        wanted: u64,
    },
    /// ONNX Runtime failed while it ran a graph.
    #[error("graph `{graph}`: run failed: {reason}")]
    Run {
        /// Graph name.
        graph: String,
        /// ONNX Runtime's words.
        reason: String,
    },
}

/// A side of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Side {
    Input,
    Output,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Side::Input => "input",
            Side::Output => "output",
        })
    }
}

/// Why the ONNX Runtime library cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// It is nowhere.
    #[error("ONNX Runtime was not found; run scripts/setup or set ORT_DYLIB_PATH; looked at {}", list(.looked_at))]
    Missing {
        /// Every place that was tried.
        looked_at: Vec<PathBuf>,
    },
    /// It is there and cannot be loaded.
    #[error("ONNX Runtime cannot be loaded ({reason}); run scripts/setup or set ORT_DYLIB_PATH: {path}")]
    Unusable {
        /// The loader's words.
        reason: String,
        /// The library.
        path: PathBuf,
    },
    /// Its operators are too old for our graphs.
    #[error(
        "ONNX Runtime is {version}, the graphs need 1.{OLDEST_MINOR} or later; \
         run scripts/setup or set ORT_DYLIB_PATH: {path}"
    )]
    TooOld {
        /// Version of the library.
        version: String,
        /// The library.
        path: PathBuf,
    },
}

/// ONNX Runtime's words, without source positions and error codes around them.
pub(super) fn reason(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let coded = text.split_once("[ONNXRuntimeError] : ").and_then(|(_, coded)| coded.splitn(3, " : ").nth(2));
    let plain = coded.unwrap_or(&text);
    plain.split_once(" ; GPU=").map_or(plain, |(before, _)| before).to_owned()
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_begins_where_onnx_runtime_begins_to_explain() {
        let text = "/src/provider_bridge_ort.cc:2043 Provider& Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load \
                    library /lib/libonnxruntime_providers_cuda.so with error: libcuda.so.1: cannot open : no file";
        assert_eq!(
            reason(&text),
            "Failed to load library /lib/libonnxruntime_providers_cuda.so with error: libcuda.so.1: cannot open : no file"
        );
        assert_eq!(reason(&"CUDA failure 35: driver too old ; GPU=-1 ; file=x.cc"), "CUDA failure 35: driver too old");
        assert_eq!(reason(&"Exiting due to terminate flag"), "Exiting due to terminate flag");
    }
}

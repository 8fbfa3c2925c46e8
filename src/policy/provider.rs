//! Execution providers as a choice with typed options, and their registration without silent fallback.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ort::ep::{CUDA, ExecutionProvider as _, ExecutionProviderDispatch, TensorRT};
use vla_bundle::{Dim, Graph, Manifest};

use super::error::PolicyError;
use super::library::RuntimeInfo;

/// Where the graphs run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// The CPU, everywhere.
    #[default]
    Cpu,
    /// An NVIDIA GPU through CUDA.
    Cuda(CudaOptions),
    /// An NVIDIA GPU through TensorRT engines; CUDA runs what TensorRT does not know.
    TensorRt(TensorRtOptions),
}

/// Options of [`Provider::Cuda`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CudaOptions {
    /// GPU index.
    pub device_id: i32,
    /// Upper bound of the memory arena in bytes; absent means the whole GPU.
    pub memory_limit_bytes: Option<usize>,
    /// TensorFloat-32 in fp32 matrix products: faster, 10 bits of mantissa.
    pub tf32: bool,
}

/// Options of [`Provider::TensorRt`]; the shape profiles come from the manifest's `dims`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorRtOptions {
    /// GPU index.
    pub device_id: i32,
    /// Lets engines compute in fp16 where the graph says fp32.
    pub fp16: bool,
    /// Folder that keeps built engines, one sub-folder per bundle; absent means building at every start.
    pub engine_cache: Option<PathBuf>,
    /// Memory that a layer may use while it runs, in bytes; absent means TensorRT's own bound.
    pub workspace_bytes: Option<usize>,
}

const CUDA_KEYS: &str = "device_id, memory_limit_bytes, tf32";
const TENSORRT_KEYS: &str = "device_id, engine_cache, fp16, workspace_bytes";

impl Provider {
    /// A provider from its name and `key`, `value` texts, as command lines and parameter files hold them.
    ///
    /// # Errors
    /// A name or key that does not exist, or a value of the wrong type.
    pub fn from_text(name: &str, options: &[(String, String)]) -> Result<Self, PolicyError> {
        let mut provider = match name {
            "cpu" => Provider::Cpu,
            "cuda" => Provider::Cuda(CudaOptions::default()),
            "tensorrt" => Provider::TensorRt(TensorRtOptions::default()),
            other => return Err(PolicyError::UnknownProvider(other.to_owned())),
        };
        for (key, value) in options {
            provider.set(key, value)?;
        }
        Ok(provider)
    }

    /// `cpu`, `cuda` or `tensorrt`.
    pub fn name(&self) -> &'static str {
        match self {
            Provider::Cpu => "cpu",
            Provider::Cuda(_) => "cuda",
            Provider::TensorRt(_) => "tensorrt",
        }
    }

    /// Index of the GPU that tensors stay on between graphs; `None` on the CPU.
    pub(super) fn gpu(&self) -> Option<i32> {
        match self {
            Provider::Cpu => None,
            Provider::Cuda(options) => Some(options.device_id),
            Provider::TensorRt(options) => Some(options.device_id),
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), PolicyError> {
        let option = Text { provider: self.name(), key, value };
        match (self, key) {
            (Provider::Cuda(options), "device_id") => options.device_id = option.number("a GPU index")?,
            (Provider::Cuda(options), "memory_limit_bytes") => {
                options.memory_limit_bytes = Some(option.number("a number of bytes")?);
            }
            (Provider::Cuda(options), "tf32") => options.tf32 = option.number("true or false")?,
            (Provider::TensorRt(options), "device_id") => options.device_id = option.number("a GPU index")?,
            (Provider::TensorRt(options), "fp16") => options.fp16 = option.number("true or false")?,
            (Provider::TensorRt(options), "engine_cache") => options.engine_cache = Some(PathBuf::from(value)),
            (Provider::TensorRt(options), "workspace_bytes") => {
                options.workspace_bytes = Some(option.number("a number of bytes")?);
            }
            (provider, _) => {
                let known = match provider {
                    Provider::Cpu => "none",
                    Provider::Cuda(_) => CUDA_KEYS,
                    Provider::TensorRt(_) => TENSORRT_KEYS,
                };
                return Err(PolicyError::UnknownOption {
                    provider: option.provider,
                    key: key.to_owned(),
                    known: known.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Whether the loaded library knows the provider at all; its GPU libraries and driver show only later.
    pub(super) fn check_compiled_in(&self, runtime: &RuntimeInfo) -> Result<(), PolicyError> {
        let there = match self {
            Provider::Cpu => Ok(true),
            Provider::Cuda(_) => CUDA::is_available(),
            Provider::TensorRt(_) => TensorRT::is_available(),
        };
        if there.unwrap_or(false) {
            return Ok(());
        }
        Err(PolicyError::Provider {
            provider: self.name(),
            reason: format!(
                "ONNX Runtime {} was built without it; set ORT_DYLIB_PATH to a build that has it: {}",
                runtime.version,
                runtime.path.display()
            ),
        })
    }

    /// What to register for one graph, in order of preference; a failure is an error, never a fallback.
    pub(super) fn registrations(
        &self,
        manifest: &Manifest,
        graph: &Graph,
        digest: &str,
    ) -> Vec<ExecutionProviderDispatch> {
        match self {
            Provider::Cpu => Vec::new(),
            Provider::Cuda(options) => vec![options.registration()],
            Provider::TensorRt(options) => {
                let cuda = CudaOptions { device_id: options.device_id, ..CudaOptions::default() };
                vec![options.registration(manifest, graph, digest), cuda.registration()]
            }
        }
    }
}

impl CudaOptions {
    fn registration(&self) -> ExecutionProviderDispatch {
        let mut provider = CUDA::default().with_device_id(self.device_id).with_tf32(self.tf32);
        if let Some(limit) = self.memory_limit_bytes {
            provider = provider.with_memory_limit(limit);
        }
        provider.build().error_on_failure()
    }
}

impl TensorRtOptions {
    fn registration(&self, manifest: &Manifest, graph: &Graph, digest: &str) -> ExecutionProviderDispatch {
        let mut provider = TensorRT::default().with_device_id(self.device_id).with_fp16(self.fp16);
        if let Some(bytes) = self.workspace_bytes {
            provider = provider.with_max_workspace_size(bytes);
        }
        if let Some(folder) = &self.engine_cache {
            let folder = engine_folder(folder, digest);
            provider = provider.with_engine_cache(true).with_engine_cache_path(folder.display());
        }
        let [min, opt, max] = profile(manifest, graph);
        if !min.is_empty() {
            // Without a profile that covers its range, a new length would build a new engine while the robot moves.
            provider = provider.with_profile_min_shapes(min).with_profile_opt_shapes(opt).with_profile_max_shapes(max);
        }
        provider.build().error_on_failure()
    }
}

/// Engines of different bundles must not meet: TensorRT's own cache key leaves too much out.
fn engine_folder(folder: &Path, digest: &str) -> PathBuf {
    folder.join(&digest[..digest.len().min(16)])
}

/// Smallest, best and largest shapes of the graph's dynamic inputs, as `a:1x3,b:1x7`.
fn profile(manifest: &Manifest, graph: &Graph) -> [String; 3] {
    let mut profile = [String::new(), String::new(), String::new()];
    for input in &graph.inputs {
        if !input.dims.iter().any(|dim| matches!(dim, Dim::Symbol(_))) {
            continue;
        }
        for (which, text) in profile.iter_mut().enumerate() {
            let lengths: Vec<_> = input
                .dims
                .iter()
                .map(|dim| match dim {
                    Dim::Fixed(length) => length.to_string(),
                    Dim::Symbol(symbol) => {
                        let range = manifest.dims[symbol];
                        [range.min, range.opt, range.max][which].to_string()
                    }
                })
                .collect();
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{}:{}", input.name, lengths.join("x"));
        }
    }
    profile
}

/// One `key=value` on its way to a typed option.
struct Text<'a> {
    provider: &'static str,
    key: &'a str,
    value: &'a str,
}

impl Text<'_> {
    fn number<T: std::str::FromStr>(&self, wanted: &'static str) -> Result<T, PolicyError> {
        // What is wanted says more than why the standard library could not parse it.
        self.value.parse().ok().ok_or_else(|| PolicyError::OptionValue {
            provider: self.provider,
            key: self.key.to_owned(),
            got: self.value.to_owned(),
            wanted,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vla_bundle::{Dtype, Range, TensorSpec};

    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn message(name: &str, pairs: &[(&str, &str)]) -> String {
        Provider::from_text(name, &options(pairs)).unwrap_err().to_string()
    }

    #[test]
    fn text_becomes_typed_options() {
        let pairs = options(&[("device_id", "1"), ("memory_limit_bytes", "2147483648"), ("tf32", "true")]);
        let want = CudaOptions { device_id: 1, memory_limit_bytes: Some(2_147_483_648), tf32: true };
        assert_eq!(Provider::from_text("cuda", &pairs).unwrap(), Provider::Cuda(want));
    }

    #[test]
    fn a_wrong_name_key_or_value_says_what_there_is() {
        assert_eq!(message("gpu", &[]), "provider `gpu` is unknown, wanted cpu, cuda or tensorrt");
        assert_eq!(message("cpu", &[("fp16", "true")]), "provider `cpu` has no option `fp16`, it has none");
        assert_eq!(
            message("tensorrt", &[("tf32", "true")]),
            "provider `tensorrt` has no option `tf32`, it has device_id, engine_cache, fp16, workspace_bytes"
        );
        assert_eq!(
            message("cuda", &[("tf32", "yes")]),
            "provider `cuda` option `tf32`: got `yes`, wanted true or false"
        );
    }

    #[test]
    fn an_engine_profile_holds_the_dynamic_inputs_at_their_ranges() {
        let spec = |name: &str, dims: Vec<Dim>| TensorSpec { name: name.into(), dtype: Dtype::Fp32, dims };
        let symbol = |name: &str| Dim::Symbol(name.into());
        let graph = Graph {
            file: "body.onnx".into(),
            weights: None,
            inputs: vec![
                spec("hidden", vec![Dim::Fixed(1), symbol("kept"), Dim::Fixed(24)]),
                spec("scale", vec![Dim::Fixed(3)]),
                spec("ids", vec![Dim::Fixed(1), symbol("prompt")]),
            ],
            outputs: vec![],
        };
        let ranges = BTreeMap::from([
            ("kept".to_owned(), Range { min: 1, opt: 231, max: 512 }),
            ("prompt".to_owned(), Range { min: 2, opt: 33, max: 128 }),
        ]);
        let text = include_str!("../../tests/data/bundles/tiny/manifest.json");
        let mut manifest: Manifest = serde_json::from_str(text).unwrap();
        manifest.dims = ranges;
        assert_eq!(
            profile(&manifest, &graph),
            ["hidden:1x1x24,ids:1x2", "hidden:1x231x24,ids:1x33", "hidden:1x512x24,ids:1x128"]
        );
    }
}

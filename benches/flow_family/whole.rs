//! The runtime's own way through a bundle, in a process of its own: ONNX Runtime allows a process one environment.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use vla_bundle::{Bundle, Integrity};
use vla_runtime::noise::Noise;
use vla_runtime::policy::{Observer, Policy, PolicyOptions};
use vla_runtime::tensor::{Tensor, TensorData};

use super::policy::{ACTIONS, CAMERAS, CHUNK, NETWORK, SIDE, STEPS, TEXT};
use super::timed::{Error, THREADS, noise};

/// Makes this program answer each line with a run of the bundle behind it.
pub const FLAG: &str = "--serve";

/// A process that runs a bundle.
pub struct Whole {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
    /// Seconds per run: all of it, from the prefill on, and one step.
    seconds: Vec<[f64; 3]>,
}

impl Whole {
    pub fn start(bundle: &Path) -> Result<Self, Error> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(FLAG).arg(bundle).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ask = child.stdin.take().ok_or("no stdin")?;
        let answer = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut whole = Self { child, ask, answer, seconds: Vec::new() };
        // The first inference computes what depends on the instruction alone.
        whole.run()?;
        whole.seconds.clear();
        Ok(whole)
    }

    pub fn run(&mut self) -> Result<(), Error> {
        self.ask.write_all(b"run\n")?;
        let mut line = String::new();
        self.answer.read_line(&mut line)?;
        let numbers = line.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        self.seconds.push(numbers.try_into().map_err(|numbers| format!("got {numbers:?}"))?);
        Ok(())
    }

    pub fn medians(&self) -> [f64; 3] {
        [0, 1, 2].map(|what| {
            let mut sorted: Vec<f64> = self.seconds.iter().map(|run| run[what]).collect();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 2]
        })
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // It ends by itself with its input; where it does not, nobody waits for it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the bundle once per line of the input; the answer of the last run stays beside the bundle.
pub fn serve(bundle: &Path) -> Result<(), Error> {
    let options = PolicyOptions { intra_op_threads: NonZeroUsize::new(THREADS), ..PolicyOptions::default() };
    let mut policy = Policy::load(&Bundle::load(bundle, Integrity::Sizes)?, &options)?;
    let (inputs, start) = (inputs(), floats(&[CHUNK, NETWORK], 103));
    let noise = Noise::Given(Arc::from(start.as_f32().unwrap_or_default()));
    let mut stdout = std::io::stdout();
    for line in std::io::stdin().lines() {
        line?;
        let mut clock = StageClock::default();
        let outputs = policy.run(inputs.clone(), &noise, &mut clock)?;
        let [all, from_prefill, step] = clock.end();
        writeln!(stdout, "{all} {from_prefill} {step}")?;
        keep(
            &bundle.with_file_name("run.safetensors"),
            &inputs,
            &[("flow.noise", &start), (ACTIONS, &outputs.actions)],
        )?;
    }
    Ok(())
}

fn floats(shape: &[usize], seed: u64) -> Tensor {
    Tensor::new(shape.to_vec(), TensorData::F32(noise(shape.iter().product(), seed)))
}

fn inputs() -> Vec<(String, Tensor)> {
    let ids = (0..TEXT).map(|i| if i == 0 { 2 } else { 300 + 7 * i as i64 }).collect();
    vec![
        ("pixel_values".to_owned(), floats(&[CAMERAS, 3, SIDE, SIDE], 101)),
        ("input_ids".to_owned(), Tensor::new(vec![1, TEXT], TensorData::I64(ids))),
        ("state".to_owned(), floats(&[1, NETWORK], 102)),
    ]
}

/// Keeps what went in and what came out.
fn keep(path: &Path, inputs: &[(String, Tensor)], more: &[(&str, &Tensor)]) -> Result<(), Error> {
    let inputs = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let bytes = |tensor: &Tensor| -> (safetensors::Dtype, Vec<u8>) {
        match tensor.data() {
            TensorData::F32(values) => (safetensors::Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            TensorData::I64(values) => (safetensors::Dtype::I64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            TensorData::Bool(values) => (safetensors::Dtype::BOOL, values.iter().map(|v| u8::from(*v)).collect()),
        }
    };
    let all: Vec<_> = inputs
        .chain(more.iter().copied())
        .map(|(name, tensor)| (name, tensor.shape().to_vec(), bytes(tensor)))
        .collect();
    let views = all
        .iter()
        .map(|(name, shape, (dtype, bytes))| {
            Ok((*name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(safetensors::serialize_to_file(views, None, path)?)
}

/// When each stage of an inference began.
#[derive(Default)]
struct StageClock(Vec<(String, Instant)>);

impl Observer for StageClock {
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    fn stage(&mut self, name: &str) {
        self.0.push((name.to_owned(), Instant::now()));
    }
}

impl StageClock {
    /// Seconds of the whole inference, of what follows the beginning of the prefill, and of one step.
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    fn end(self) -> [f64; 3] {
        let end = Instant::now();
        let since = |name: Option<&str>| {
            let begin = self.0.iter().find(|(stage, _)| name.is_none_or(|name| stage == name));
            begin.map_or(0.0, |(_, begin)| end.duration_since(*begin).as_secs_f64())
        };
        [since(None), since(Some("prefill")), since(Some("denoise")) / STEPS as f64]
    }
}

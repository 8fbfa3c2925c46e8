//! Sessions, clocks and random numbers for benchmarks of graphs.

use std::path::Path;
use std::time::Instant;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{DynValue, Tensor};

/// Threads that share one operator.
pub const THREADS: usize = 2;

pub type Error = Box<dyn std::error::Error>;

/// A session with its inputs, and how long its runs took.
pub struct Timed {
    session: Session,
    inputs: Vec<(String, DynValue)>,
    seconds: Vec<f64>,
}

impl Timed {
    /// A session that was not run yet.
    pub fn new(session: Session, inputs: Vec<(&str, DynValue)>) -> Self {
        let inputs = inputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { session, inputs, seconds: Vec::new() }
    }

    /// Runs once and says how long it took.
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    pub fn run(&mut self) -> Result<f64, Error> {
        let inputs: Vec<_> = self.inputs.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let start = Instant::now();
        self.session.run(inputs)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Median of the runs that were remembered.
    pub fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// Runs all of them once to warm up, then `runs` times one after the other, and each time `more` behind them.
pub fn interleaved(
    all: &mut [&mut Timed],
    runs: usize,
    more: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    all.iter_mut().try_for_each(|warm_up| warm_up.run().map(drop))?;
    for _ in 0..runs {
        for timed in all.iter_mut() {
            let seconds = timed.run()?;
            timed.seconds.push(seconds);
        }
        more()?;
    }
    Ok(())
}

/// A session as `policy` makes them.
pub fn session(runtime: &Environment, path: &Path) -> Result<Session, Error> {
    // As `policy` makes them: threads of one session that spin take the cores from the next one.
    Ok(Session::builder(runtime)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(THREADS)?
        .with_intra_op_spinning(false)?
        .commit_from_file(path)?)
}

/// Values of [`noise`] in this shape.
pub fn random(shape: &[u64], seed: u64) -> Result<DynValue, Error> {
    Ok(Tensor::from_array((signed(shape), noise(shape.iter().product::<u64>() as usize, seed)))?.into_dyn())
}

/// Reproducible values in [-1, 1): xorshift64*.
pub fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A shape as the library takes it.
pub fn signed(shape: &[u64]) -> Vec<i64> {
    shape.iter().map(|length| *length as i64).collect()
}

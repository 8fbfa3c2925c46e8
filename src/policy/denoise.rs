//! The loop from noise to actions: the body's graphs run once per step, the rule makes the next sample on the host.
//!
//! What was made before the loop, a prefix's keys and values say, is handed to every step where it is, uncopied.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use half::bf16;
use ort::value::DynValue;
use vla_bundle::{Denoise, Dim, Dtype, Manifest};

use super::check::Lengths;
use super::error::PolicyError;
use super::observer::{Observer, observe};
use super::schedule::Schedule;
use super::stage::Stage;
use super::value;
use crate::noise::Noise;
use crate::tensor::{Tensor, TensorData};

/// A denoising, ready to run.
pub(super) struct DenoiseLoop {
    plan: Denoise,
    body: Vec<Stage>,
    schedule: Schedule,
    /// Lengths of the sample.
    shape: Vec<usize>,
    /// Per step, per time input of the plan.
    times: Vec<Vec<DynValue>>,
}

impl DenoiseLoop {
    /// The loop over the loaded graphs of its body, with `steps` where it is another number than the plan's.
    pub fn new(
        plan: &Denoise,
        body: Vec<Stage>,
        manifest: &Manifest,
        steps: Option<NonZeroUsize>,
    ) -> Result<Self, PolicyError> {
        let steps = steps.map_or(plan.steps, |steps| steps.get() as u64);
        let schedule = Schedule::new(&plan.rule, steps)
            .ok_or_else(|| PolicyError::Steps { got: steps, most: plan.rule.max_steps() })?;
        let inputs = plan.body.iter().flat_map(|graph| &manifest.graphs[graph].inputs);
        let spec = inputs.into_iter().find(|spec| spec.name == plan.sample);
        let length = |dim: &Dim| if let Dim::Fixed(length) = dim { *length as usize } else { 1 };
        let shape = spec.expect("a checked plan has a reader of its sample").dims.iter().map(length).collect();
        let mut times = Vec::with_capacity(steps as usize);
        for step in 0..steps {
            let time =
                |input: &vla_bundle::TimeInput| value::from_host(&input.tensor, schedule.time(&input.encoding, step));
            times.push(plan.times.iter().map(time).collect::<Result<_, _>>()?);
        }
        Ok(Self { plan: plan.clone(), body, schedule, shape, times })
    }

    /// Steps of one run.
    pub fn steps(&self) -> u64 {
        self.schedule.steps()
    }

    /// Runs all steps; `outer` knows what was made before. Gives the last sample under the result's name.
    pub fn run<'v>(
        &'v mut self,
        outer: &dyn Fn(&str) -> Option<&'v DynValue>,
        noise: &Noise,
        lengths: &Lengths<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(String, DynValue), PolicyError> {
        let all = observer.wants_tensors();
        let noise = self.noise(noise)?;
        if all {
            observer.tensor(&self.plan.noise.tensor, &noise);
        }
        let mut sample = value::from_host(&self.plan.sample, noise)?;
        for (step, times) in (0..).zip(&self.times) {
            let mut lengths = lengths.clone();
            let mut made = BTreeMap::new();
            for stage in &mut self.body {
                observer.stage(&stage.name);
                let time = |name: &str| self.plan.times.iter().position(|input| input.tensor == name);
                let lookup = |name: &str| {
                    let own = if name == self.plan.sample { Some(&sample) } else { time(name).map(|at| &times[at]) };
                    own.or_else(|| made.get(name)).or_else(|| outer(name))
                };
                let on_host = |name: &str| all || name == self.plan.prediction;
                let new = stage.run(&lookup, &on_host, &mut lengths)?;
                observe(observer, &new, Some(step))?;
                made.extend(new);
            }
            self.advance(step, &mut sample, made.get(&self.plan.prediction))?;
        }
        if all {
            observer.tensor(&self.plan.result, &value::to_host(&self.plan.result, &sample)?);
        }
        Ok((self.plan.result.clone(), sample))
    }

    fn noise(&self, source: &Noise) -> Result<Tensor, PolicyError> {
        let wanted = self.shape.iter().product();
        let mut numbers =
            source.numbers(wanted).map_err(|got| PolicyError::NoiseLength { got, shape: self.shape.clone() })?;
        if self.plan.noise.dtype == Dtype::Bf16 && matches!(source, Noise::Seeded { .. }) {
            numbers = numbers.into_iter().map(|number| bf16::from_f32(number).to_f32()).collect();
        }
        finite(&self.plan.noise.tensor, 0, &numbers)?;
        Ok(Tensor::new(self.shape.clone(), TensorData::F32(numbers)))
    }

    fn advance(&self, step: u64, sample: &mut DynValue, prediction: Option<&DynValue>) -> Result<(), PolicyError> {
        let name = &self.plan.prediction;
        let fail = |e: ort::Error| PolicyError::Value { name: name.clone(), reason: e.to_string() };
        let prediction = prediction.expect("a checked plan has a maker of its prediction");
        let (_, prediction) = prediction.try_extract_tensor::<f32>().map_err(fail)?;
        finite(name, step, prediction)?;
        let (_, sample) = sample.try_extract_tensor_mut::<f32>().map_err(fail)?;
        self.schedule.advance(step, sample, prediction);
        Ok(())
    }
}

/// A number that is none would spread over the whole sample.
fn finite(name: &str, step: u64, values: &[f32]) -> Result<(), PolicyError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(PolicyError::NotFinite { name: name.to_owned(), step, index, value: values[index] }),
    }
}

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
use super::stage::{Bound, Stage};
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
    times: Vec<Vec<Tensor>>,
    /// The times of the step that runs, per time input of the plan.
    now: Vec<DynValue>,
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
        let at = |step| plan.times.iter().map(|input| schedule.time(&input.encoding, step)).collect::<Vec<_>>();
        let times: Vec<_> = (0..steps).map(at).collect();
        let first = plan.times.iter().zip(times[0].clone());
        let now = first.map(|(input, time)| value::from_host(&input.tensor, time)).collect::<Result<_, _>>()?;
        Ok(Self { plan: plan.clone(), body, schedule, shape, times, now })
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
        if self.body.iter().all(Stage::makes_fixed_lengths) {
            self.run_bound((outer, lengths), &mut sample, observer)?;
        } else {
            self.run_anew((outer, lengths), &mut sample, observer)?;
        }
        if all {
            observer.tensor(&self.plan.result, &value::to_host(&self.plan.result, &sample)?);
        }
        Ok((self.plan.result.clone(), sample))
    }

    /// All tensors of the body are bound once, and nothing is allocated per step.
    fn run_bound(
        &mut self,
        (outer, lengths): Outside<'_, '_, '_>,
        sample: &mut DynValue,
        observer: &mut dyn Observer,
    ) -> Result<(), PolicyError> {
        let Self { plan, body, times, now, schedule, .. } = self;
        let all = observer.wants_tensors();
        let on_host = |name: &str| all || name == plan.prediction;
        let mut lengths = lengths.clone();
        let mut bound: Vec<Bound> = Vec::with_capacity(body.len());
        for stage in &*body {
            let lookup = |name: &str| {
                let made = || bound.iter().find_map(|bound| bound.made(name));
                own(plan, (name, sample, now)).or_else(made).or_else(|| outer(name))
            };
            let next = stage.bind(&lookup, &on_host, &mut lengths)?;
            bound.push(next);
        }
        for (step, times) in (0..).zip(&*times) {
            set(plan, now, times)?;
            for (stage, bound) in body.iter_mut().zip(&mut bound) {
                observer.stage(&stage.name);
                stage.renew(bound, &plan.sample, sample)?;
                for (input, time) in plan.times.iter().zip(&*now) {
                    stage.renew(bound, &input.tensor, time)?;
                }
                stage.repeat(bound)?;
                observe(observer, &bound.made, Some(step))?;
            }
            let prediction = bound.iter().find_map(|bound| bound.made(&plan.prediction));
            advance((plan, schedule), step, sample, prediction)?;
        }
        Ok(())
    }

    /// Every step finds room for what it makes, because its lengths are known then only.
    fn run_anew(
        &mut self,
        (outer, lengths): Outside<'_, '_, '_>,
        sample: &mut DynValue,
        observer: &mut dyn Observer,
    ) -> Result<(), PolicyError> {
        let Self { plan, body, times, now, schedule, .. } = self;
        let all = observer.wants_tensors();
        for (step, times) in (0..).zip(&*times) {
            set(plan, now, times)?;
            let mut lengths = lengths.clone();
            let mut made = BTreeMap::new();
            for stage in &mut *body {
                observer.stage(&stage.name);
                let lookup =
                    |name: &str| own(plan, (name, sample, now)).or_else(|| made.get(name)).or_else(|| outer(name));
                let on_host = |name: &str| all || name == plan.prediction;
                let new = stage.run(&lookup, &on_host, &mut lengths)?;
                observe(observer, &new, Some(step))?;
                made.extend(new);
            }
            advance((plan, schedule), step, sample, made.get(&plan.prediction))?;
        }
        Ok(())
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
}

/// What was made before the loop, and its lengths.
type Outside<'a, 'v, 'm> = (&'a dyn Fn(&str) -> Option<&'v DynValue>, &'a Lengths<'m>);

/// The sample or a time, where that is what the name stands for.
fn own<'v>(plan: &Denoise, (name, sample, now): (&str, &'v DynValue, &'v [DynValue])) -> Option<&'v DynValue> {
    if name == plan.sample {
        return Some(sample);
    }
    plan.times.iter().zip(now).find_map(|(input, time)| (input.tensor == name).then_some(time))
}

/// Makes `times` the present ones.
fn set(plan: &Denoise, now: &mut [DynValue], times: &[Tensor]) -> Result<(), PolicyError> {
    let inputs = plan.times.iter().zip(times).zip(now);
    inputs.into_iter().try_for_each(|((input, time), now)| value::overwrite(&input.tensor, now, time))
}

/// The sample of the next step.
fn advance(
    (plan, schedule): (&Denoise, &Schedule),
    step: u64,
    sample: &mut DynValue,
    prediction: Option<&DynValue>,
) -> Result<(), PolicyError> {
    let name = &plan.prediction;
    let fail = |e: ort::Error| PolicyError::Value { name: name.clone(), reason: e.to_string() };
    let prediction = prediction.expect("a checked plan has a maker of its prediction");
    let (_, prediction) = prediction.try_extract_tensor::<f32>().map_err(fail)?;
    finite(name, step, prediction)?;
    let (_, sample) = sample.try_extract_tensor_mut::<f32>().map_err(fail)?;
    schedule.advance(step, sample, prediction);
    Ok(())
}

/// A number that is none would spread over the whole sample.
fn finite(name: &str, step: u64, values: &[f32]) -> Result<(), PolicyError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(PolicyError::NotFinite { name: name.to_owned(), step, index, value: values[index] }),
    }
}

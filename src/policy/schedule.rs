//! The times of a denoising's steps, and what a prediction does to the sample. Pure numbers.

use std::f64::consts::TAU;

use vla_bundle::{Denominator, Rule, SinusoidOrder, TimeEncoding, TimeGrid};

use crate::tensor::{Tensor, TensorData};

/// A rule with a number of steps.
#[derive(Debug)]
pub(super) struct Schedule {
    rule: Rule,
    steps: u64,
}

impl Schedule {
    /// The schedule; `None` where the rule does not take this number of steps.
    pub fn new(rule: &Rule, steps: u64) -> Option<Self> {
        (1..=rule.max_steps()).contains(&steps).then(|| Self { rule: rule.clone(), steps })
    }

    /// Steps of the loop.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The time of step `step` as the network wants it.
    pub fn time(&self, encoding: &TimeEncoding, step: u64) -> Tensor {
        match encoding {
            TimeEncoding::Scalar => Tensor::new(vec![1], TensorData::F32(vec![self.at(step) as f32])),
            TimeEncoding::Bucket { buckets } => {
                Tensor::new(vec![1], TensorData::I64(vec![self.whole(step, *buckets) as i64]))
            }
            TimeEncoding::PeriodSinusoid { width, min_period, max_period, order } => {
                let (time, n) = (self.at(step), (*width / 2) as usize);
                let share = |j: usize| j as f64 / (n as f64 - 1.0);
                let frequency = |j: usize| TAU / (min_period * (max_period / min_period).powf(share(j)));
                let angles: Vec<f64> = (0..n).map(|j| time * frequency(j)).collect();
                let half = |of: fn(f64) -> f64| angles.iter().map(|angle| of(*angle) as f32).collect();
                sinusoid(*order, half(f64::sin), half(f64::cos))
            }
            TimeEncoding::ThetaSinusoid { width, theta, denominator, order, buckets } => {
                let n = (*width / 2) as usize;
                let d = match denominator {
                    Denominator::Half => n as f32,
                    Denominator::HalfMinusOne => n as f32 - 1.0,
                };
                let time = if buckets.is_some() { self.whole(step, *buckets) } else { self.at(step) } as f32;
                let exponent = -f64::from(*theta).ln() as f32;
                let angles: Vec<f32> = (0..n).map(|j| time * (exponent * j as f32 / d).exp()).collect();
                let half = |of: fn(f32) -> f32| angles.iter().map(|angle| of(*angle)).collect();
                sinusoid(*order, half(f32::sin), half(f32::cos))
            }
        }
    }

    /// Replaces the sample of step `step` by that of the next one.
    pub fn advance(&self, step: u64, sample: &mut [f32], prediction: &[f32]) {
        match &self.rule {
            Rule::Flow { .. } => {
                let dt = self.dt() as f32;
                for (x, velocity) in sample.iter_mut().zip(prediction) {
                    *x += dt * velocity;
                }
            }
            Rule::Ddim { alphas_cumprod, clip_sample } => {
                let now = self.timestep(step, alphas_cumprod.len() as u64);
                let before = now.checked_sub(alphas_cumprod.len() as u64 / self.steps);
                let alpha = alphas_cumprod[now as usize];
                let alpha_before = before.map_or(1.0, |before| alphas_cumprod[before as usize]);
                let clip = clip_sample.unwrap_or(f32::INFINITY);
                for (x, noise) in sample.iter_mut().zip(prediction) {
                    let data = (*x - (1.0 - alpha).sqrt() * noise) / alpha.sqrt();
                    *x = alpha_before.sqrt() * data.clamp(-clip, clip) + (1.0 - alpha_before).sqrt() * noise;
                }
            }
        }
    }

    /// Change of a flow's time per step.
    fn dt(&self) -> f64 {
        match self.rule {
            Rule::Flow { t_noise: 1, .. } => -1.0 / self.steps as f64,
            _ => 1.0 / self.steps as f64,
        }
    }

    fn at(&self, step: u64) -> f64 {
        match &self.rule {
            Rule::Flow { t_noise, grid: TimeGrid::UniformFp64, .. } => f64::from(*t_noise) + step as f64 * self.dt(),
            Rule::Flow { t_noise, grid: TimeGrid::AccumulatedFp32, .. } => {
                let dt = self.dt() as f32;
                f64::from((0..step).fold(f32::from(*t_noise), |t, _| t + dt))
            }
            Rule::Ddim { alphas_cumprod, .. } => self.timestep(step, alphas_cumprod.len() as u64) as f64,
        }
    }

    /// The time as a whole number.
    fn whole(&self, step: u64, buckets: Option<u64>) -> f64 {
        match buckets {
            Some(buckets) => (step as f64 / self.steps as f64 * buckets as f64).floor(),
            None => self.at(step),
        }
    }

    /// "leading" spacing: multiples of the whole ratio, the largest first.
    fn timestep(&self, step: u64, train_steps: u64) -> u64 {
        (self.steps - 1 - step) * (train_steps / self.steps)
    }
}

fn sinusoid(order: SinusoidOrder, sines: Vec<f32>, cosines: Vec<f32>) -> Tensor {
    let values = match order {
        SinusoidOrder::SinCos => [sines, cosines],
        SinusoidOrder::CosSin => [cosines, sines],
    }
    .concat();
    Tensor::new(vec![1, values.len()], TensorData::F32(values))
}

#[cfg(test)]
mod tests {
    use std::f32::consts::FRAC_1_SQRT_2;

    use vla_bundle::FlowTarget;

    use super::*;

    fn flow(t_noise: u8, grid: TimeGrid, steps: u64) -> Schedule {
        let target = if t_noise == 1 { FlowTarget::NoiseMinusData } else { FlowTarget::DataMinusNoise };
        Schedule::new(&Rule::Flow { t_noise, target, grid }, steps).unwrap()
    }

    /// `squaredcos_cap_v2` with 50 timesteps, as diffusers 0.30.3 computes it.
    const ALPHAS: [f64; 50] = [
        0.998_252_5,
        0.994_570_02,
        0.988_966_8,
        0.981_464_74,
        0.972_092_8,
        0.960_887_5,
        0.947_892_4,
        0.933_157_8,
        0.916_741_07,
        0.898_705_96,
        0.879_122_56,
        0.858_066_86,
        0.835_620_64,
        0.811_871_1,
        0.786_910_53,
        0.760_835_9,
        0.733_748_44,
        0.705_753_27,
        0.676_959_3,
        0.647_478_3,
        0.617_424_7,
        0.586_915_3,
        0.556_068_66,
        0.525_004_5,
        0.493_843_6,
        0.462_706_86,
        0.431_715_28,
        0.400_989_23,
        0.370_648_1,
        0.340_809_64,
        0.311_589_84,
        0.283_102_12,
        0.255_457_22,
        0.228_762_45,
        0.203_121_5,
        0.178_633_99,
        0.155_395,
        0.133_494_82,
        0.113_018_52,
        0.094_045_62,
        0.076_649_82,
        0.060_898_69,
        0.046_853_4,
        0.034_568_5,
        0.024_091_73,
        0.015_463_76,
        0.008_718_12,
        0.003_881,
        0.000_971_19,
        9.7e-7,
    ];

    fn ddim(steps: u64) -> Option<Schedule> {
        Schedule::new(
            &Rule::Ddim { alphas_cumprod: ALPHAS.map(|alpha| alpha as f32).to_vec(), clip_sample: Some(1.0) },
            steps,
        )
    }

    fn close(got: &[f32], want: &[f32], tolerance: f32) {
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() <= tolerance), "got {got:?}, wanted {want:?}");
    }

    fn timesteps(steps: u64) -> Vec<f64> {
        let schedule = ddim(steps).unwrap();
        (0..steps).map(|step| schedule.at(step)).collect()
    }

    #[test]
    fn a_flow_visits_its_times_from_noise_to_data_and_never_the_data() {
        let times = |schedule: &Schedule| (0..schedule.steps()).map(|k| schedule.at(k)).collect::<Vec<_>>();
        assert_eq!(times(&flow(1, TimeGrid::UniformFp64, 4)), [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(times(&flow(0, TimeGrid::UniformFp64, 4)), [0.0, 0.25, 0.5, 0.75]);
        // numpy: np.cumsum of float32(-0.1) from 1.
        let accumulated: Vec<f32> =
            times(&flow(1, TimeGrid::AccumulatedFp32, 10)).into_iter().map(|t| t as f32).collect();
        assert_eq!(accumulated[9], 0.099_999_93);
    }

    #[test]
    fn buckets_are_shares_of_the_steps_rounded_down() {
        let schedule = flow(0, TimeGrid::UniformFp64, 4);
        let bucket = |step| match schedule.time(&TimeEncoding::Bucket { buckets: Some(1000) }, step).data() {
            TensorData::I64(values) => values[0],
            other => panic!("{other:?}"),
        };
        assert_eq!([0, 1, 2, 3].map(bucket), [0, 250, 500, 750]);
    }

    #[test]
    fn timesteps_lead_with_the_whole_ratio() {
        assert_eq!(timesteps(5), [40.0, 30.0, 20.0, 10.0, 0.0]);
        assert_eq!(timesteps(1), [0.0]);
        assert_eq!(timesteps(7), [42.0, 35.0, 28.0, 21.0, 14.0, 7.0, 0.0]);
        assert_eq!(timesteps(50)[..3], [49.0, 48.0, 47.0]);
        assert!(ddim(51).is_none() && ddim(0).is_none());
    }

    #[test]
    fn a_step_of_ddim_is_that_of_diffusers() {
        // diffusers 0.30.3: DDIMScheduler(50, squaredcos_cap_v2).step(eps, t, x), x = [0.5, -1.2], eps = [0.3, 0.7].
        for (step, want) in [(0, [0.331_0, 0.668_5]), (49, [0.487_9, -1.0])] {
            let mut sample = [0.5, -1.2];
            ddim(50).unwrap().advance(step, &mut sample, &[0.3, 0.7]);
            close(&sample, &want, 5e-5);
        }
    }

    #[test]
    fn a_flow_goes_along_the_velocity_in_the_direction_of_the_data() {
        let mut sample = [0.5, -1.0];
        flow(1, TimeGrid::UniformFp64, 4).advance(2, &mut sample, &[1.0, -2.0]);
        assert_eq!(sample, [0.25, -0.5]);
        flow(0, TimeGrid::UniformFp64, 4).advance(2, &mut sample, &[1.0, -2.0]);
        assert_eq!(sample, [0.5, -1.0]);
    }

    #[test]
    fn a_sinusoid_by_periods_has_the_published_values() {
        // openpi's create_sinusoidal_pos_embedding in PyTorch: periods 0.004, 0.04, 0.4, 4.
        let encoding =
            TimeEncoding::PeriodSinusoid { width: 8, min_period: 0.004, max_period: 4.0, order: SinusoidOrder::SinCos };
        let schedule = flow(1, TimeGrid::UniformFp64, 10);
        let want = [
            (0, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, 0.0]),
            (1, [0.0, 0.0, 1.0, 0.987_688_3, 1.0, -1.0, 0.0, 0.156_434_5]),
            (5, [0.0, 0.0, 1.0, FRAC_1_SQRT_2, 1.0, -1.0, 0.0, FRAC_1_SQRT_2]),
        ];
        for (step, want) in want {
            close(schedule.time(&encoding, step).as_f32().unwrap(), &want, 1e-6);
        }
    }

    #[test]
    fn a_sinusoid_by_theta_has_the_published_values() {
        // starVLA's two bases at bucket 250, and the diffusion head's time encoder at timestep 37, all in PyTorch.
        let encoding = |width, denominator, order, buckets| TimeEncoding::ThetaSinusoid {
            width,
            theta: 10_000.0,
            denominator,
            order,
            buckets,
        };
        let quarter = flow(0, TimeGrid::UniformFp64, 4);
        let steps = encoding(8, Denominator::HalfMinusOne, SinusoidOrder::CosSin, Some(1000));
        let want =
            [0.240_988_3, 0.571_553_5, 0.858_423_2, 0.999_687_5, -0.970_528, -0.820_564_8, 0.512_942_1, 0.024_997_4];
        close(quarter.time(&steps, 1).as_f32().unwrap(), &want, 2e-5);
        let actions = encoding(8, Denominator::Half, SinusoidOrder::SinCos, Some(1000));
        let want =
            [-0.970_528, -0.132_351_8, 0.598_472_1, 0.247_404, 0.240_988_3, 0.991_202_8, -0.801_143_6, 0.968_912_4];
        close(quarter.time(&actions, 1).as_f32().unwrap(), &want, 2e-5);
        let steps = encoding(4096, Denominator::HalfMinusOne, SinusoidOrder::SinCos, None);
        let time = ddim(50).unwrap().time(&steps, 12);
        let time = time.as_f32().unwrap();
        let picked = [0, 1, 2047, 2048, 4095].map(|index| time[index]);
        close(&picked, &[-0.643_538_1, -0.761_234_8, 0.003_699_99, 0.765_414_06, 0.999_993_15], 2e-6);
    }
}

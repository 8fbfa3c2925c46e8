//! Walks the plan: every tensor made once, before it is used, with one type and shape, no staler than its users say.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Autoregress, Cadence, Denoise, Denominator, Dim, Dtype, FlowTarget, Graph, Manifest, Rule, Source, Stage,
    TensorSpec, TimeEncoding,
};

/// Tokens that a loop may write: more than any policy answers with.
const MAX_TOKENS: u64 = 4096;
/// Width of a sinusoid: more than any network has.
const MAX_WIDTH: u64 = 65_536;

/// Reports what is wrong with the plan and with the result that it makes.
pub(super) fn check(manifest: &Manifest, found: &mut Vec<String>) {
    let mut walk = Walk { manifest, made: Made::new(), used: BTreeSet::new(), found };
    for input in &manifest.inputs {
        let cadence = match input.source {
            Source::Task { .. } | Source::Constant { .. } => Cadence::Instruction,
            Source::Cameras { .. }
            | Source::Intrinsics { .. }
            | Source::State { .. }
            | Source::TaskWithState { .. } => Cadence::Observation,
        };
        walk.make(&input.tensor, Tensor { cadence, form: None });
    }
    for stage in &manifest.plan {
        match stage {
            Stage::Run { graph, every } => walk.run(graph, *every),
            Stage::Denoise(denoise) => walk.denoise(denoise),
            Stage::Autoregress(autoregress) => walk.autoregress(autoregress),
        }
    }
    walk.result();
}

type Made<'a> = BTreeMap<&'a str, Tensor<'a>>;

/// What is known of a tensor.
#[derive(Clone)]
struct Tensor<'a> {
    cadence: Cadence,
    /// Type and dimensions; none for the tensors that come from outside.
    form: Option<Form<'a>>,
}

type Form<'a> = (Dtype, Cow<'a, [Dim]>);

fn form(spec: &TensorSpec) -> Form<'_> {
    (spec.dtype, Cow::Borrowed(&spec.dims))
}

struct Walk<'a, 'f> {
    manifest: &'a Manifest,
    made: Made<'a>,
    /// Graphs that run already.
    used: BTreeSet<&'a str>,
    found: &'f mut Vec<String>,
}

impl<'a> Walk<'a, '_> {
    fn note(&mut self, problem: String) {
        self.found.push(problem);
    }

    fn make(&mut self, name: &'a str, tensor: Tensor<'a>) {
        if self.made.insert(name, tensor).is_some() {
            self.note(format!("tensor `{name}` is made twice"));
        }
    }

    fn run(&mut self, name: &'a str, every: Cadence) {
        let manifest = self.manifest;
        let Some(graph) = manifest.graphs.get(name) else {
            return self.note(format!("plan runs graph `{name}`, which `graphs` does not list"));
        };
        if !self.used.insert(name) {
            self.note(format!("plan runs graph `{name}` in two places"));
        }
        for spec in &graph.inputs {
            self.dims(name, spec);
            match self.made.get(spec.name.as_str()).cloned() {
                None => {
                    self.note(format!("graph `{name}` takes tensor `{}`, which nothing before it makes", spec.name));
                }
                Some(tensor) => {
                    if tensor.cadence > every {
                        self.note(format!(
                            "graph `{name}` runs per instruction, but its input `{}` changes per observation",
                            spec.name
                        ));
                    }
                    if let Some(form) = &tensor.form {
                        self.agree(name, form, spec);
                    }
                }
            }
        }
        for spec in &graph.outputs {
            self.dims(name, spec);
            self.make(&spec.name, Tensor { cadence: every, form: Some(form(spec)) });
        }
    }

    /// Runs `body` where `own` tensors are there as well, and gives what it made; nothing of it stays.
    fn body(&mut self, body: &'a [String], own: Vec<(&'a str, Option<Form<'a>>)>) -> Made<'a> {
        let outside = self.made.clone();
        for (name, form) in own {
            self.make(name, Tensor { cadence: Cadence::Observation, form });
        }
        for graph in body {
            self.run(graph, Cadence::Observation);
        }
        std::mem::replace(&mut self.made, outside)
    }

    fn denoise(&mut self, denoise: &'a Denoise) {
        let Denoise { body, noise, sample, times, prediction, result, steps, rule } = denoise;
        self.rule(rule);
        if !(1..=rule.max_steps()).contains(steps) {
            self.note(format!("denoise: steps is {steps}, the rule takes 1 to {}", rule.max_steps()));
        }
        if !matches!(noise.dtype, Dtype::Fp32 | Dtype::Bf16) {
            self.note(format!("denoise: noise `{}` is {}, wanted fp32 or bf16", noise.tensor, noise.dtype));
        }
        let read = self.input(body, sample).map(form);
        match &read {
            None => self.note(format!("denoise: no graph of the body takes the sample `{sample}`")),
            Some((Dtype::Fp32, dims)) if dims.iter().all(|dim| matches!(dim, Dim::Fixed(_))) => {}
            Some((dtype, dims)) => {
                self.note(format!(
                    "denoise: sample `{sample}` is {dtype} [{}], wanted fp32 of fixed lengths",
                    list(dims)
                ));
            }
        }
        let mut own = vec![(sample.as_str(), read.clone())];
        for time in times {
            own.push((&time.tensor, Some(self.time(&time.tensor, &time.encoding, rule))));
        }
        let made = self.body(body, own);
        match (&read, made.get(prediction.as_str()).and_then(|tensor| tensor.form.as_ref())) {
            (_, None) => self.note(format!("denoise: prediction `{prediction}` is made by no graph of the body")),
            (Some(sample), Some(made)) if made != sample => self.note(format!(
                "denoise: prediction `{prediction}` is {} [{}], wanted the sample's {} [{}]",
                made.0,
                list(&made.1),
                sample.0,
                list(&sample.1)
            )),
            _ => {}
        }
        self.make(&noise.tensor, Tensor { cadence: Cadence::Observation, form: read.clone() });
        self.make(result, Tensor { cadence: Cadence::Observation, form: read });
    }

    fn rule(&mut self, rule: &Rule) {
        match rule {
            Rule::Flow { t_noise: 1, target: FlowTarget::NoiseMinusData, .. }
            | Rule::Flow { t_noise: 0, target: FlowTarget::DataMinusNoise, .. } => {}
            Rule::Flow { t_noise: 0 | 1, target, .. } => {
                let belongs = match target {
                    FlowTarget::NoiseMinusData => "noise_minus_data belongs to t_noise 1",
                    FlowTarget::DataMinusNoise => "data_minus_noise belongs to t_noise 0",
                };
                self.note(format!("denoise: target {belongs}, got the other one"));
            }
            Rule::Flow { t_noise, .. } => self.note(format!("denoise: t_noise is {t_noise}, wanted 0 or 1")),
            Rule::Ddim { alphas_cumprod, clip_sample } => {
                let in_range = alphas_cumprod.iter().all(|alpha| *alpha > 0.0 && *alpha < 1.0);
                let is_falling = alphas_cumprod.windows(2).all(|pair| pair[1] < pair[0]);
                if alphas_cumprod.is_empty() || !in_range || !is_falling {
                    self.note("denoise: alphas_cumprod must fall from below 1 to above 0".to_owned());
                }
                if let Some(clip) = clip_sample
                    && !(clip.is_finite() && *clip > 0.0)
                {
                    self.note(format!("denoise: clip_sample is {clip}, wanted a number above 0"));
                }
            }
        }
    }

    /// Type and shape of a time tensor.
    fn time(&mut self, name: &str, encoding: &TimeEncoding, rule: &Rule) -> Form<'a> {
        let at = format!("denoise: time `{name}`");
        if let TimeEncoding::Bucket { buckets } | TimeEncoding::ThetaSinusoid { buckets, .. } = encoding {
            match (buckets, rule) {
                (Some(0), _) => self.note(format!("{at}: buckets is 0")),
                (Some(_), Rule::Ddim { .. }) => {
                    self.note(format!("{at}: the times of DDIM are whole, they have no buckets"))
                }
                (None, Rule::Flow { .. }) if matches!(encoding, TimeEncoding::Bucket { .. }) => {
                    self.note(format!("{at}: the times of a flow are no whole numbers without buckets"));
                }
                _ => {}
            }
        }
        match encoding {
            TimeEncoding::Scalar => (Dtype::Fp32, Cow::Owned(vec![Dim::Fixed(1)])),
            TimeEncoding::Bucket { .. } => (Dtype::Int64, Cow::Owned(vec![Dim::Fixed(1)])),
            TimeEncoding::PeriodSinusoid { width, min_period, max_period, .. } => {
                if !(*min_period > 0.0 && min_period < max_period && max_period.is_finite()) {
                    self.note(format!("{at}: periods from {min_period} to {max_period}, wanted 0 < min < max"));
                }
                self.sinusoid(&at, *width, 4)
            }
            TimeEncoding::ThetaSinusoid { width, theta, denominator, .. } => {
                if !(*theta > 1.0 && theta.is_finite()) {
                    self.note(format!("{at}: theta is {theta}, wanted a number above 1"));
                }
                let least = if *denominator == Denominator::Half { 2 } else { 4 };
                self.sinusoid(&at, *width, least)
            }
        }
    }

    fn sinusoid(&mut self, at: &str, width: u64, least: u64) -> Form<'a> {
        if !(least..=MAX_WIDTH).contains(&width) || !width.is_multiple_of(2) {
            self.note(format!("{at}: width is {width}, wanted an even number from {least} to {MAX_WIDTH}"));
        }
        (Dtype::Fp32, Cow::Owned(vec![Dim::Fixed(1), Dim::Fixed(width)]))
    }

    fn autoregress(&mut self, loops: &'a Autoregress) {
        let Autoregress { body, carry, first_token, token, count, result, .. } = loops;
        if !(2..=MAX_TOKENS).contains(count) {
            self.note(format!("autoregress: count is {count}, wanted 2 to {MAX_TOKENS}"));
        }
        let mut own = Vec::new();
        for carried in carry {
            match self.made.get(carried.first.as_str()) {
                None => self.note(format!(
                    "autoregress: `{}` starts as `{}`, which nothing before it makes",
                    carried.tensor, carried.first
                )),
                Some(tensor) => own.push((carried.tensor.as_str(), tensor.form.clone())),
            }
        }
        let mut handed_on = BTreeSet::new();
        if let Some(twice) = carry.iter().find(|carried| !handed_on.insert(&carried.next)) {
            self.note(format!("autoregress: `{}` goes on under two names", twice.next));
        }
        let first = self.made.get(first_token.as_str()).cloned();
        self.token(first_token, first.as_ref());
        let made = self.body(body, own);
        self.token(token, made.get(token.as_str()));
        for carried in carry {
            match (self.input(body, &carried.tensor), made.get(carried.next.as_str())) {
                (Some(spec), Some(Tensor { form: Some(form), .. })) => self.agree("autoregress", form, spec),
                (Some(_), _) => self.note(format!(
                    "autoregress: `{}` goes on as `{}`, which no graph of the body makes",
                    carried.tensor, carried.next
                )),
                (None, _) => self.note(format!("autoregress: no graph of the body takes `{}`", carried.tensor)),
            }
        }
        let form = Some((Dtype::Int64, Cow::Owned(vec![Dim::Fixed(*count)])));
        self.make(result, Tensor { cadence: Cadence::Observation, form });
    }

    fn token(&mut self, name: &str, tensor: Option<&Tensor<'a>>) {
        let is_one = |dims: &[Dim]| dims.iter().all(|dim| *dim == Dim::Fixed(1));
        match tensor.and_then(|tensor| tensor.form.as_ref()) {
            Some((Dtype::Int64, dims)) if is_one(dims) => {}
            Some((dtype, dims)) => {
                let dims = list(dims);
                self.note(format!("autoregress: token `{name}` is {dtype} [{dims}], wanted one value of int64"));
            }
            None => self.note(format!("autoregress: token `{name}` is made by no graph")),
        }
    }

    /// The first input of the graphs of `body` that has this name.
    fn input(&self, body: &[String], name: &str) -> Option<&'a TensorSpec> {
        let graphs = body.iter().filter_map(|graph| self.manifest.graphs.get(graph));
        let inputs = |graph: &'a Graph| graph.inputs.iter();
        graphs.flat_map(inputs).find(|spec| spec.name == name)
    }

    fn agree(&mut self, graph: &str, (dtype, dims): &Form<'a>, user: &TensorSpec) {
        let fits = *dtype == user.dtype
            && dims.len() == user.dims.len()
            && dims.iter().zip(&user.dims).all(|pair| !matches!(pair, (Dim::Fixed(a), Dim::Fixed(b)) if a != b));
        if !fits {
            self.note(format!(
                "graph `{graph}` input `{}`: wants {} [{}], the plan makes {dtype} [{}]",
                user.name,
                user.dtype,
                list(&user.dims),
                list(dims)
            ));
        }
    }

    fn dims(&mut self, graph: &str, spec: &TensorSpec) {
        for dim in &spec.dims {
            if let Dim::Symbol(symbol) = dim {
                match self.manifest.dims.get(symbol) {
                    Some(range) if 0 < range.min && range.min <= range.opt && range.opt <= range.max => {}
                    Some(range) => self.note(format!(
                        "dimension `{symbol}`: min {}, opt {}, max {} are not in order",
                        range.min, range.opt, range.max
                    )),
                    None => self.note(format!(
                        "graph `{graph}` tensor `{}`: dimension `{symbol}` has no range in `dims`",
                        spec.name
                    )),
                }
            }
        }
    }

    /// The plan must make the action tensor, as wide and long as `actions` says, and the kept-token mask if one is named.
    fn result(&mut self) {
        let actions = &self.manifest.actions;
        let want = [Dim::Fixed(actions.chunk_size as u64), Dim::Fixed(actions.network_dim() as u64)];
        match self.made.get(actions.tensor.as_str()).map(|tensor| &tensor.form) {
            Some(Some((Dtype::Fp32, dims))) if **dims == want => {}
            Some(Some((dtype, dims))) => {
                let (got, [rows, columns]) = (list(dims), want);
                self.note(format!(
                    "action tensor `{}`: got {dtype} [{got}], wanted fp32 [{rows}, {columns}]",
                    actions.tensor
                ));
            }
            _ => self.note(format!("action tensor `{}` is made by no graph of the plan", actions.tensor)),
        }
        if let Some(kept) = &actions.kept_tokens {
            let form = self.made.get(kept.as_str()).and_then(|tensor| tensor.form.as_ref());
            if !matches!(form, Some((Dtype::Bool, _))) {
                self.note(format!("kept-token mask `{kept}` is not a bool tensor that the plan makes"));
            }
        }
    }
}

fn list(dims: &[Dim]) -> String {
    dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

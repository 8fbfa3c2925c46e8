//! The loop that writes tokens: each step gets what the one before it made, keys and values say, where it is, uncopied.

use std::collections::BTreeMap;

use ort::value::DynValue;
use vla_bundle::Autoregress;

use super::check::Lengths;
use super::error::PolicyError;
use super::observer::{Observer, observe};
use super::stage::Stage;
use super::value;
use crate::tensor::{Tensor, TensorData};

/// A loop over tokens, ready to run.
pub(super) struct AutoregressLoop {
    plan: Autoregress,
    body: Vec<Stage>,
}

impl AutoregressLoop {
    /// The loop over the loaded graphs of its body.
    pub fn new(plan: &Autoregress, body: Vec<Stage>) -> Self {
        Self { plan: plan.clone(), body }
    }

    /// Runs all steps; `outer` knows what was made before. Gives the tokens under the result's name.
    pub fn run<'v>(
        &'v mut self,
        outer: &dyn Fn(&str) -> Option<&'v DynValue>,
        lengths: &Lengths<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(String, DynValue), PolicyError> {
        let Autoregress { first_token, token, count, end, result, carry, .. } = &self.plan;
        let all = observer.wants_tensors();
        let first = outer(first_token).expect("a checked plan makes the first token before the loop");
        let mut tokens = vec![one(first_token, first)?];
        let mut carried: BTreeMap<&str, DynValue> = BTreeMap::new();
        for step in 0..count - 1 {
            if tokens.last().copied() == *end {
                return Err(PolicyError::EndedEarly { got: tokens.len() as u64 - 1, wanted: *count });
            }
            let mut lengths = lengths.clone();
            let mut made = BTreeMap::new();
            for stage in &mut self.body {
                observer.stage(&stage.name);
                let lookup = |name: &str| {
                    let first =
                        || carry.iter().find(|carry| carry.tensor == name).and_then(|carry| outer(&carry.first));
                    carried.get(name).or_else(first).or_else(|| made.get(name)).or_else(|| outer(name))
                };
                let on_host = |name: &str| all || name == token;
                let new = stage.run(&lookup, &on_host, &mut lengths)?;
                observe(observer, &new, Some(step))?;
                made.extend(new);
            }
            tokens.push(one(token, &made[token])?);
            for carry in carry {
                let next = made.remove(&carry.next).expect("a checked plan hands every tensor on once");
                carried.insert(&carry.tensor, next);
            }
        }
        let tokens = Tensor::new(vec![tokens.len()], TensorData::I64(tokens));
        if all {
            observer.tensor(result, &tokens);
        }
        Ok((result.clone(), value::from_host(result, tokens)?))
    }
}

fn one(name: &str, value: &DynValue) -> Result<i64, PolicyError> {
    match value::to_host(name, value)?.data() {
        TensorData::I64(values) if values.len() == 1 => Ok(values[0]),
        _ => Err(PolicyError::Value { name: name.to_owned(), reason: "wanted one token".to_owned() }),
    }
}

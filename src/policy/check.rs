//! Holds tensors and graph files against the manifest's tensor specifications.

use std::collections::BTreeMap;

use ort::value::{Outlet, TensorElementType, ValueType};
use vla_bundle::{Dim, Dtype, Graph, Range, TensorSpec};

use super::error::{PolicyError, Side};

/// Lengths of the symbolic dimensions in one run: each symbol has one length everywhere. Every step of a loop goes on
/// from those that were known before the loop.
#[derive(Clone)]
pub(super) struct Lengths<'m> {
    ranges: &'m BTreeMap<String, Range>,
    known: BTreeMap<String, u64>,
}

impl<'m> Lengths<'m> {
    pub fn new(ranges: &'m BTreeMap<String, Range>) -> Self {
        Self { ranges, known: BTreeMap::new() }
    }

    /// Checks a tensor against its specification and remembers the lengths of its symbols.
    pub fn check(&mut self, graph: &str, side: Side, spec: &TensorSpec, found: &ValueType) -> Result<(), PolicyError> {
        self.difference(spec, found).map_or(Ok(()), |(got, wanted)| {
            Err(PolicyError::Tensor { graph: graph.to_owned(), side, name: spec.name.clone(), got, wanted })
        })
    }

    /// What was got and what was wanted, where they differ.
    fn difference(&mut self, spec: &TensorSpec, found: &ValueType) -> Option<(String, String)> {
        let ValueType::Tensor { ty, shape, .. } = found else {
            return Some((describe(found), spec.dtype.to_string()));
        };
        if dtype(*ty) != Some(spec.dtype) {
            return Some((type_name(*ty), spec.dtype.to_string()));
        }
        let (got, wanted) = (format!("{:?}", &shape[..]), list(&spec.dims));
        let pairs = || spec.dims.iter().zip(shape.iter().map(|length| length.unsigned_abs()));
        let fixed = pairs().all(|(dim, length)| !matches!(dim, Dim::Fixed(want) if *want != length));
        if shape.len() != spec.dims.len() || !fixed {
            return Some((got, wanted));
        }
        for (dim, length) in pairs() {
            let Dim::Symbol(symbol) = dim else { continue };
            let Range { min, max, .. } = self.ranges[symbol];
            if !(min..=max).contains(&length) {
                return Some((got, format!("{wanted} with {symbol} from {min} to {max}")));
            }
            let known = *self.known.entry(symbol.clone()).or_insert(length);
            if known != length {
                return Some((got, format!("{wanted} with {symbol} = {known} as elsewhere in this run")));
            }
        }
        None
    }
}

/// Checks names, types, ranks and fixed dimensions of a loaded graph's two sides.
pub(super) fn check_graph(name: &str, graph: &Graph, sides: [&[Outlet]; 2]) -> Result<(), PolicyError> {
    for (side, specs, outlets) in [(Side::Input, &graph.inputs, sides[0]), (Side::Output, &graph.outputs, sides[1])] {
        let refuse = |tensor: &str, got: String, wanted: String| {
            Err(PolicyError::Border { graph: name.to_owned(), side, name: tensor.to_owned(), got, wanted })
        };
        for spec in specs {
            let wanted = format!("{} {}", spec.dtype, list(&spec.dims));
            match outlets.iter().find(|outlet| outlet.name() == spec.name) {
                None => return refuse(&spec.name, "no such tensor".to_owned(), wanted),
                Some(outlet) if !agrees(outlet.dtype(), spec) => {
                    return refuse(&spec.name, describe(outlet.dtype()), wanted);
                }
                Some(_) => {}
            }
        }
        if let Some(extra) = outlets.iter().find(|outlet| specs.iter().all(|spec| spec.name != outlet.name())) {
            return refuse(extra.name(), describe(extra.dtype()), "no such tensor".to_owned());
        }
    }
    Ok(())
}

/// The manifest's word for an element type; `None` for types that no bundle has.
pub(super) fn dtype(ty: TensorElementType) -> Option<Dtype> {
    match ty {
        TensorElementType::Float32 => Some(Dtype::Fp32),
        TensorElementType::Float16 => Some(Dtype::Fp16),
        TensorElementType::Bfloat16 => Some(Dtype::Bf16),
        TensorElementType::Int64 => Some(Dtype::Int64),
        TensorElementType::Bool => Some(Dtype::Bool),
        _ => None,
    }
}

/// A dimension that the file leaves open may be anything; the tensors are checked at every run anyway.
fn agrees(file: &ValueType, spec: &TensorSpec) -> bool {
    let ValueType::Tensor { ty, shape, .. } = file else { return false };
    dtype(*ty) == Some(spec.dtype)
        && shape.len() == spec.dims.len()
        && spec.dims.iter().zip(shape.iter()).all(|(dim, length)| match dim {
            Dim::Fixed(want) => *length < 0 || *want == length.unsigned_abs(),
            Dim::Symbol(_) => *length < 0,
        })
}

fn describe(file: &ValueType) -> String {
    let ValueType::Tensor { ty, shape, dimension_symbols } = file else { return "no tensor".to_owned() };
    let dims: Vec<_> = shape
        .iter()
        .zip(dimension_symbols.iter())
        .map(|(length, symbol)| if *length < 0 { symbol.clone() } else { length.to_string() })
        .collect();
    format!("{} [{}]", type_name(*ty), dims.join(", "))
}

fn type_name(ty: TensorElementType) -> String {
    dtype(ty).map_or_else(|| ty.to_string(), |dtype| dtype.to_string())
}

fn list(dims: &[Dim]) -> String {
    format!("[{}]", dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use ort::value::{Shape, SymbolicDimensions};

    use super::*;

    fn value(ty: TensorElementType, shape: &[i64]) -> ValueType {
        let dimension_symbols = SymbolicDimensions::empty(shape.len());
        ValueType::Tensor { ty, shape: Shape::new(shape.iter().copied()), dimension_symbols }
    }

    fn f32s(shape: &[i64]) -> ValueType {
        value(TensorElementType::Float32, shape)
    }

    fn hidden() -> TensorSpec {
        let dims = vec![Dim::Fixed(1), Dim::Symbol("kept".into()), Dim::Fixed(24)];
        TensorSpec { name: "hidden".into(), dtype: Dtype::Fp32, dims }
    }

    #[test]
    fn a_tensor_that_does_not_fit_is_described_with_both_sides() {
        let ranges = BTreeMap::from([("kept".to_owned(), Range { min: 2, opt: 5, max: 9 })]);
        let message = |found: ValueType| {
            Lengths::new(&ranges).check("body", Side::Input, &hidden(), &found).unwrap_err().to_string()
        };
        let at = "graph `body` input `hidden`: got";
        let wants = "the manifest wants";
        assert_eq!(message(f32s(&[1, 3, 25])), format!("{at} [1, 3, 25], {wants} [1, kept, 24]"));
        assert_eq!(message(f32s(&[3, 24])), format!("{at} [3, 24], {wants} [1, kept, 24]"));
        assert_eq!(
            message(f32s(&[1, 10, 24])),
            format!("{at} [1, 10, 24], {wants} [1, kept, 24] with kept from 2 to 9")
        );
        assert_eq!(message(value(TensorElementType::Int64, &[1, 3, 24])), format!("{at} int64, {wants} fp32"));
    }

    #[test]
    fn a_symbol_has_one_length_in_one_run() {
        let ranges = BTreeMap::from([("kept".to_owned(), Range { min: 2, opt: 5, max: 9 })]);
        let mut lengths = Lengths::new(&ranges);
        lengths.check("prune", Side::Output, &hidden(), &f32s(&[1, 4, 24])).unwrap();
        assert_eq!(
            lengths.check("body", Side::Input, &hidden(), &f32s(&[1, 5, 24])).unwrap_err().to_string(),
            "graph `body` input `hidden`: got [1, 5, 24], the manifest wants [1, kept, 24] with kept = 4 as elsewhere \
             in this run"
        );
    }
}

//! What a bundle computes per inference, beside the same model without pruning.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use onnx_export::cost::{Choice, Cost, Kept, Lengths, cost};
use vla_bundle::{Bundle, Cadence, Dim, Stage, TensorSpec};

/// Decimal digits of a count of operations.
const DIGITS: usize = 3;

/// One graph of the plan.
struct Counted {
    graph: String,
    every: Cadence,
    /// Runs per instruction or observation.
    times: u64,
    pruned: Cost,
    whole: Cost,
}

/// Lines about operations and kept tokens, at the lengths that the bundle is tuned for.
///
/// # Errors
/// A graph that cannot be read.
pub fn lines(bundle: &Bundle) -> anyhow::Result<String> {
    let counted = count(bundle)?;
    let mut text = String::new();
    for graph in &counted {
        let place = format!("{} {}", graph.graph, times(graph.every, graph.times));
        line(&mut text, "flops", &format!("{place}: {}", share(graph)));
    }
    let sum = |pick: fn(&Counted) -> &Cost| -> u64 {
        let observation = counted.iter().filter(|graph| graph.every == Cadence::Observation);
        observation.map(|graph| pick(graph).flops * graph.times).sum()
    };
    let [pruned, whole] = [sum(|graph| &graph.pruned), sum(|graph| &graph.whole)];
    let beside = if pruned == whole { String::new() } else { without(pruned, whole) };
    line(&mut text, "", &format!("{} per observation, at the lengths tuned for{beside}", amount(pruned)));
    for kept in kept_lengths(bundle, &counted) {
        line(&mut text, "pruning", &kept);
    }
    for graph in &counted {
        if let Some(kept) = kept_per_place(&graph.pruned.kept) {
            line(&mut text, "pruning", &format!("{} {kept}", graph.graph));
        }
    }
    Ok(text)
}

fn line(text: &mut String, label: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{label:<12} {value}");
}

/// Walks the plan twice: as it is, and with every choice taking everything.
fn count(bundle: &Bundle) -> anyhow::Result<Vec<Counted>> {
    let mut counted = Vec::new();
    let [mut pruned_lengths, mut whole_lengths] = [BTreeMap::new(), BTreeMap::new()];
    for entry in &bundle.manifest().plan {
        let (every, times) = match entry {
            Stage::Run { every, .. } => (*every, 1),
            Stage::Denoise(denoise) => (Cadence::Observation, denoise.steps),
            // The first token is made before the loop.
            Stage::Autoregress(loop_) => (Cadence::Observation, loop_.count.saturating_sub(1)),
        };
        for name in entry.graphs() {
            let spec = &bundle.manifest().graphs[name];
            let path = bundle.path(&spec.file);
            let onnx =
                std::fs::read(&path).with_context(|| format!("cannot read graph `{name}`: {}", path.display()))?;
            let run = |made: &mut BTreeMap<String, Lengths>, choice| {
                let inputs =
                    spec.inputs.iter().map(|input| (input.name.clone(), lengths(bundle, input, made))).collect();
                let cost = cost(&onnx, &inputs, choice)
                    .map_err(|reason| anyhow::anyhow!("graph `{name}`: {reason}: {}", path.display()))?;
                made.extend(cost.outputs.clone());
                anyhow::Ok(cost)
            };
            let pruned = run(&mut pruned_lengths, Choice::AsExported)?;
            let whole = run(&mut whole_lengths, Choice::Everything)?;
            counted.push(Counted { graph: name.clone(), every, times, pruned, whole });
        }
    }
    Ok(counted)
}

/// Lengths of an input: what was made before, else what the bundle is tuned for.
fn lengths(bundle: &Bundle, input: &TensorSpec, made: &BTreeMap<String, Lengths>) -> Lengths {
    let tuned = input.dims.iter().map(|dim| match dim {
        Dim::Fixed(length) => Some(*length),
        Dim::Symbol(name) => bundle.manifest().dims.get(name).map(|range| range.opt),
    });
    let known = made.get(&input.name);
    tuned.enumerate().map(|(axis, tuned)| known.and_then(|known| *known.get(axis)?).or(tuned)).collect()
}

/// Dynamic lengths that pruning shortens.
fn kept_lengths(bundle: &Bundle, counted: &[Counted]) -> Vec<String> {
    let mut found = BTreeMap::new();
    for graph in counted {
        for output in &bundle.manifest().graphs[&graph.graph].outputs {
            let [pruned, whole] = [&graph.pruned, &graph.whole].map(|cost| cost.outputs.get(&output.name));
            for (axis, dim) in output.dims.iter().enumerate() {
                let Dim::Symbol(name) = dim else { continue };
                let Some(range) = bundle.manifest().dims.get(name) else { continue };
                let all = whole.and_then(|lengths| *lengths.get(axis)?);
                // A length that the data decide is not known beforehand.
                if let (None, Some(all)) = (pruned.and_then(|lengths| *lengths.get(axis)?), all) {
                    let text = format!("{name}: {} of {all} tokens go on, {} to {}", range.opt, range.min, range.max);
                    found.insert(name, text);
                }
            }
        }
    }
    found.into_values().collect()
}

/// `keeps of 128 picture tokens: layers.8 108, layers.9 103`.
fn kept_per_place(kept: &[Kept]) -> Option<String> {
    let of = kept.first()?.of;
    let place = |kept: &Kept| {
        let path = kept.path.split_once(".kept.").map_or(kept.path.as_str(), |(place, _)| place);
        format!("{path} {}", kept.count)
    };
    Some(format!("keeps, of {of} picture tokens: {}", kept.iter().map(place).collect::<Vec<_>>().join(", ")))
}

fn times(every: Cadence, times: u64) -> String {
    let word = match every {
        Cadence::Instruction => "per instruction",
        Cadence::Observation => "per observation",
    };
    if times == 1 { word.to_owned() } else { format!("{times} times {word}") }
}

fn share(graph: &Counted) -> String {
    let Cost { flops, uncounted, .. } = &graph.pruned;
    let beside = if *flops == graph.whole.flops { String::new() } else { without(*flops, graph.whole.flops) };
    let more =
        if uncounted.is_empty() { String::new() } else { format!(", and {} nodes of unknown length", uncounted.len()) };
    format!("{}{beside}{more}", amount(*flops))
}

fn without(pruned: u64, whole: u64) -> String {
    format!(", {} without pruning ({:.2} times)", amount(whole), whole as f64 / pruned.max(1) as f64)
}

/// `3.35 TFLOP`.
fn amount(flops: u64) -> String {
    let (mut scaled, mut prefix) = (flops as f64, "");
    for next in ["k", "M", "G", "T"] {
        if scaled >= 1000.0 {
            (scaled, prefix) = (scaled / 1000.0, next);
        }
    }
    let whole = scaled.max(1.0).log10() as usize + 1;
    format!("{scaled:.*} {prefix}FLOP", if prefix.is_empty() { 0 } else { DIGITS.saturating_sub(whole) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_three_digits_and_a_prefix() {
        assert_eq!(
            [0, 742, 3_350_000_000_000, 92_310_000_000].map(amount),
            ["0 FLOP", "742 FLOP", "3.35 TFLOP", "92.3 GFLOP"]
        );
    }
}

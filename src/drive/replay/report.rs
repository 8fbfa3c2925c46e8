//! A run on one screen.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::difference::{Deviation, from_chunks, from_commands};
use super::{Run, Step};
use crate::deploy::Deployment;
use crate::drive::stages::StageCost;
use crate::engine::Verdict;
use crate::time::{Span, Stamp};

const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)];

/// What was decided and why not, how far it is from the recorded run, and what it cost; lines of text.
pub fn report(deployment: &Deployment, run: &Run) -> String {
    let mut text = decisions(run);
    for (word, count, reason) in run.notes.lines() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "{word:<12} {count:>6}  {reason}");
    }
    text += &kept_tokens(&run.steps);
    text += &deviations("difference to recorded chunks", &from_chunks(deployment, &run.steps, &run.recorded));
    text += &deviations("difference to recorded commands", &from_commands(deployment, &run.steps, &run.recorded));
    text += &stages(&run.steps);
    text
}

fn decisions(run: &Run) -> String {
    let mut counts = [("sent", 0), ("dry_run", 0)];
    let mut rejected = BTreeMap::<&str, (u64, String)>::new();
    for Step { decision, .. } in &run.steps {
        match &decision.verdict {
            Verdict::Sent => counts[0].1 += 1,
            Verdict::DryRun => counts[1].1 += 1,
            Verdict::Rejected(reason) => rejected.entry(reason.class()).or_insert((0, reason.to_string())).0 += 1,
        }
    }
    let length = run.covered.map_or(Span::ZERO, |[first, last]: [Stamp; 2]| last.since(first));
    let mut text = format!("{:<12} {:>6}  in {:.3} s\n", "decisions", run.steps.len(), length.secs());
    for (word, count) in counts {
        let _ = writeln!(text, "{word:<12} {count:>6}");
    }
    let _ = writeln!(text, "{:<12} {:>6}", "rejected", rejected.values().map(|(count, _)| count).sum::<u64>());
    for (class, (count, first)) in rejected {
        let _ = writeln!(text, "  {class:<10} {count:>6}  {first}");
    }
    text
}

fn kept_tokens(steps: &[Step]) -> String {
    let mut kept: Vec<_> = steps.iter().map(|step| step.decision.kept_tokens).collect();
    kept.sort_unstable();
    match kept[..] {
        [] | [.., 0] => String::new(),
        [min, .., max] => format!("{:<12} min {min}, median {}, max {max}\n", "kept tokens", kept[kept.len() / 2]),
        [only] => format!("{:<12} {only}\n", "kept tokens"),
    }
}

fn deviations(title: &str, deviations: &[Deviation]) -> String {
    if deviations.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{title:<36} {:>8} {:>12} {:>12}\n", "values", "mean", "max");
    for Deviation { name, unit, count, mean, max } in deviations {
        let name = format!("{name} [{}]", unit.word());
        let _ = writeln!(text, "{name:<36} {count:>8} {mean:>12.6} {max:>12.6}");
    }
    text
}

fn stages(steps: &[Step]) -> String {
    let mut costs = StageCost::of_inferences(steps.iter().map(|step| &step.stages));
    if costs.is_empty() {
        return String::new();
    }
    let total = |step: &Step| step.stages.iter().fold(Span::ZERO, |sum, (_, length)| sum + *length);
    costs.push(StageCost::new("total", steps.iter().map(total).collect()));
    let mut text = format!("\n{:<28} {:>7}", "stage, ms on this machine", "runs");
    for (word, _) in SHARES {
        let _ = write!(text, " {word:>9}");
    }
    text.push('\n');
    for cost in costs {
        let _ = write!(text, "{:<28} {:>7}", cost.name, cost.runs());
        for (_, share) in SHARES {
            let _ = write!(text, " {:>9.3}", cost.quantile(share).millis());
        }
        text.push('\n');
    }
    text
}

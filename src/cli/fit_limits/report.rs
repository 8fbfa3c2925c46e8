//! The proposal as YAML, and beside it in comments what it rests on.

use std::fmt::Write as _;

use super::{FitLimits, Fitted};
use crate::motion::{Bounds, Flags};
use crate::profile::Carries;

const CLASSES: [&str; 5] = ["position", "step", "velocity", "acceleration", "jerk"];

/// A limit that is less than this many standard deviations of its noise says more about the noise than about motion.
const CLEAR: f64 = 5.0;

pub(super) fn report(asked: &FitLimits, joints: &[Fitted<'_>]) -> String {
    let mut text = String::new();
    let FitLimits { percentile, margin, window_ms, rate_hz, .. } = asked;
    line(
        &mut text,
        &format!(
            "# {}: --percentile {percentile} --margin {margin} --window-ms {window_ms} --rate-hz {rate_hz}",
            asked.bag.display()
        ),
    );
    text += "joints:\n";
    for joint in joints {
        line(&mut text, &yaml(joint));
    }
    text += "#\n# what it rests on: samples with a filled window, and one standard deviation of noise alone\n";
    for joint in joints {
        basis(&mut text, joint);
    }
    flagged(&mut text, joints);
    text
}

/// A line of the profile with the limits that are proposed.
fn yaml(joint: &Fitted<'_>) -> String {
    let (dim, Bounds { range, step, derivatives }) = (joint.dim, joint.proposal);
    if !has_moved(&joint.proposal) {
        return format!("# {} did not move; nothing is proposed for it", dim.name);
    }
    let fields = match (dim.carries, range) {
        (Carries::Position { sign, offset }, Some([low, high])) => {
            vec![("sign", sign), ("offset", offset), ("min", -round_up(-low)), ("max", round_up(high))]
        }
        (Carries::Position { sign, offset }, None) => vec![("sign", sign), ("offset", offset)],
        // Where a gripper is open and closed is not for its motion to say.
        (Carries::Opening { open, closed }, _) => vec![("open", open), ("closed", closed)],
    };
    let [velocity, acceleration, jerk] = derivatives;
    let limits =
        [("max_step", step), ("max_velocity", velocity), ("max_acceleration", acceleration), ("max_jerk", jerk)];
    let limits = limits.into_iter().filter_map(|(name, value)| value.map(|value| (name, round_up(value))));
    let fields: String = fields.into_iter().chain(limits).map(|(name, value)| format!(", {name}: {value}")).collect();
    format!("- {{joint: {}, action: {}, unit: {}{fields}}}", dim.name, dim.action, dim.unit.word())
}

/// A limit of zero would be no limit of a motion but its end.
pub(super) fn has_moved(proposal: &Bounds) -> bool {
    let mut limits = proposal.derivatives.into_iter().chain([proposal.step]).flatten();
    limits.all(|limit| limit > 0.0) && proposal.range.is_none_or(|[low, high]| low < high)
}

fn basis(text: &mut String, joint: &Fitted<'_>) {
    let (estimates, unit) = (&joint.estimates, joint.dim.unit.word());
    let [position, velocity, acceleration, jerk] = estimates.noise.map(three_digits);
    let left_out: String = [
        (estimates.left_out, "without a filled window"),
        (joint.merged, "with a stamp that another one had"),
        (joint.dropped, "not finite"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!(", {count} {what}"))
    .collect();
    line(
        text,
        &format!(
            "# {}: {} samples{left_out}; {position} {unit}, {velocity} {unit}/s, {acceleration} {unit}/s^2, {jerk} {unit}/s^3",
            joint.dim.name,
            estimates.all.len(),
        ),
    );
    for ((limit, noise), what) in joint.proposal.derivatives.into_iter().zip(&estimates.noise[1..]).zip(&CLASSES[2..]) {
        if limit.is_some_and(|limit| limit < CLEAR * noise) {
            line(text, &format!("#   its {what} is not above its noise; a longer --window-ms has less"));
        }
    }
}

fn flagged(text: &mut String, joints: &[Fitted<'_>]) {
    line(text, "#");
    line(text, "# share of this motion that is outside of: the proposal; a proposal from the other four fifths of it;");
    line(text, "# the profile as it is");
    for joint in joints {
        let shares =
            |counts: &dyn Fn(&Flags) -> bool| joint.flagged.each_ref().map(|flags| share(flags, counts)).join(" ");
        let any = shares(&|flags| flags.contains(&true));
        let classes = CLASSES.iter().enumerate();
        let classes: String =
            classes.map(|(class, name)| format!("; {name} {}", shares(&|flags| flags[class]))).collect();
        line(text, &format!("# {}: any {any}{classes}", joint.dim.name));
    }
}

fn share(flags: &[Flags], counts: &dyn Fn(&Flags) -> bool) -> String {
    let counted = flags.iter().filter(|flags| counts(flags)).count();
    format!("{:.2} %", 100.0 * counted as f64 / flags.len().max(1) as f64)
}

fn line(text: &mut String, content: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{content}");
}

/// Three digits, towards plus infinity.
fn round_up(value: f64) -> f64 {
    let Some(digit) = last_digit(value) else { return value };
    let rounded = three_digits(value);
    // Decimal digits decide, so that 0.3 stays 0.3.
    if rounded >= value { rounded } else { three_digits(rounded + digit) }
}

fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// What one step of the third digit is worth; `None` of zero.
fn last_digit(value: f64) -> Option<f64> {
    (value != 0.0 && value.is_finite()).then(|| 10_f64.powf(value.abs().log10().floor() - 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_rounded_outwards_to_three_digits() {
        let rounded = [0.3, 1.2341, 1.2349, 999.6, -0.012_345, 0.0, 1234.0, -1.0].map(round_up);
        assert_eq!(rounded, [0.3, 1.24, 1.24, 1000.0, -0.0123, 0.0, 1240.0, -1.0]);
    }
}

//! Which layers of the language model prune, and how many picture tokens each of them keeps (`modeling_llama.py`).

use std::collections::BTreeMap;
use std::f64::consts::PI;

/// Layers of the model that the decay was written for; the original never passes another number.
const DECAY_LAYERS: f64 = 32.0;

/// Share of the picture tokens that each pruning layer keeps, by layer; the other layers take every token.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(BTreeMap<u64, f64>);

impl Schedule {
    /// The schedule `kind` (`lfp_type`) with its `factor` (`lfp_average_factor`) in a model of `layers`.
    ///
    /// # Errors
    /// A kind that the original does not know, one that leaves no layer, or a share that is none; in words.
    pub fn new(kind: &str, factor: f64, layers: u64) -> Result<Self, String> {
        let constant = |range: std::ops::Range<u64>| range.map(|layer| (layer, factor)).collect();
        let shares: BTreeMap<u64, f64> = match kind {
            "deep_all" => constant(2..layers),
            "deep_all_wo_last" => constant(2..layers.saturating_sub(1)),
            "interleave" => (1..layers).step_by(2).map(|layer| (layer, factor)).collect(),
            _ => {
                let Some(decay) = Decay::parse(kind) else {
                    return Err(format!(
                        "`{kind}`, wanted deep_all, deep_all_wo_last, interleave, or shiftedcos or shiftedlinear \
                         with _decay_MAX_MIN"
                    ));
                };
                let share = |layer: u64| decay.share(layer as f64, factor);
                (0..layers).filter_map(|layer| Some((layer, share(layer)?))).collect()
            }
        };
        if shares.is_empty() {
            return Err(format!("`{kind}` with factor {factor}, which leaves none of {layers} layers to prune"));
        }
        if let Some((layer, share)) = shares.iter().find(|(_, share)| !(0.0..=1.0).contains(*share)) {
            return Err(format!("`{kind}` with factor {factor}, by which layer {layer} keeps {share} of the tokens"));
        }
        Ok(Self(shares))
    }

    /// Pruning layers, ascending.
    pub fn layers(&self) -> Vec<u64> {
        self.0.keys().copied().collect()
    }

    /// How many of `patches` each pruning layer keeps.
    pub fn kept(&self, patches: u64) -> BTreeMap<u64, u64> {
        self.0.iter().map(|(layer, share)| (*layer, (patches as f64 * share) as u64)).collect()
    }
}

/// A share that falls from layer to layer, never below `min`; layers above `max` do not prune at all.
struct Decay {
    curve: Curve,
    max: f64,
    min: f64,
}

#[derive(Clone, Copy)]
enum Curve {
    Cosine,
    Line,
}

impl Decay {
    /// `shiftedcos_decay_0.85_0.15`: both numbers have digits on both sides of the point, and what follows is ignored,
    /// as Python's `re.match` does.
    fn parse(kind: &str) -> Option<Self> {
        let curves = [("shiftedcos", Curve::Cosine), ("shiftedlinear", Curve::Line)];
        let (curve, rest) = curves
            .iter()
            .find_map(|(name, curve)| Some((*curve, kind.strip_prefix(name)?.strip_prefix("_decay_")?)))?;
        let (max, rest) = number(rest)?;
        let (min, _) = number(rest.strip_prefix('_')?)?;
        Some(Self { curve, max, min })
    }

    /// `None` where the layer does not prune.
    fn share(&self, layer: f64, factor: f64) -> Option<f64> {
        let last = DECAY_LAYERS - 1.0;
        let raw = match self.curve {
            Curve::Cosine => (layer * PI / last).cos() / 2.0 + factor,
            Curve::Line => (-layer / last + 0.5) + factor,
        };
        let share = raw.max(self.min);
        (share <= self.max).then_some(share)
    }
}

/// The number at the start of `text`, and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let fraction = digits(text.get(whole..)?.strip_prefix('.')?);
    let end = whole + 1 + fraction;
    (whole > 0 && fraction > 0).then(|| Some((text[..end].parse().ok()?, &text[end..])))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kept tokens of 64, 128, 192 and 256 in layers 8 to 31 of the published schedule, counted with the original code.
    const PUBLISHED: [[u64; 4]; 24] = [
        [54, 108, 162, 216],
        [51, 103, 154, 206],
        [48, 97, 146, 195],
        [46, 92, 138, 184],
        [43, 86, 129, 172],
        [40, 80, 120, 160],
        [36, 73, 110, 147],
        [33, 67, 100, 134],
        [30, 60, 91, 121],
        [27, 54, 81, 108],
        [23, 47, 71, 95],
        [20, 41, 62, 83],
        [17, 35, 53, 71],
        [15, 30, 45, 60],
        [12, 24, 37, 49],
        [9, 19, 29, 39],
        [9, 19, 28, 38],
        [9, 19, 28, 38],
        [9, 19, 28, 38],
        [9, 19, 28, 38],
        [9, 19, 28, 38],
        [9, 19, 28, 38],
        [9, 19, 28, 38],
        [9, 19, 28, 38],
    ];

    #[test]
    fn the_published_schedule_keeps_what_the_original_keeps() {
        let schedule = Schedule::new("shiftedcos_decay_0.85_0.15", 0.5, 32).unwrap();
        assert_eq!(schedule.layers(), (8..32).collect::<Vec<_>>());
        for (column, patches) in [64, 128, 192, 256].into_iter().enumerate() {
            let kept: Vec<u64> = schedule.kept(patches).into_values().collect();
            assert_eq!(kept, PUBLISHED.map(|row| row[column]), "{patches} patches");
        }
    }

    #[test]
    fn the_pruning_layers_follow_from_kind_and_factor() {
        let cases: [(&str, f64, u64, Vec<u64>); 11] = [
            ("shiftedcos_decay_0.85_0.15", 0.4, 32, (5..32).collect()),
            ("shiftedcos_decay_0.85_0.15", 0.6, 32, (11..32).collect()),
            ("shiftedlinear_decay_0.85_0.15", 0.5, 32, (5..32).collect()),
            ("shiftedlinear_decay_0.85_0.15", 0.4, 32, (2..32).collect()),
            ("shiftedlinear_decay_0.85_0.15", 0.6, 32, (8..32).collect()),
            // The divisor stays 31 in a smaller model: the reference run of eight layers prunes 2 to 7.
            ("shiftedcos_decay_0.74_0.15", 0.25, 8, (2..8).collect()),
            ("shiftedcos_decay_0.85_0.15_and_more", 0.4, 32, (5..32).collect()),
            ("shiftedcos_decay_1.00_0.15", 0.5, 32, (0..32).collect()),
            ("deep_all", 0.5, 8, (2..8).collect()),
            ("deep_all_wo_last", 0.5, 8, (2..7).collect()),
            ("interleave", 0.5, 8, vec![1, 3, 5, 7]),
        ];
        for (kind, factor, layers, wanted) in cases {
            assert_eq!(Schedule::new(kind, factor, layers).unwrap().layers(), wanted, "{kind} {factor}");
        }
        // 1 - 5/31, 1 - 6/31, .., at least 0.15, of 1000 tokens.
        let line: Vec<u64> =
            Schedule::new("shiftedlinear_decay_0.85_0.15", 0.5, 32).unwrap().kept(1000).into_values().collect();
        assert_eq!((&line[..3], &line[21..]), (&[838, 806, 774][..], &[161, 150, 150, 150, 150, 150][..]));
        let constant = Schedule::new("interleave", 0.3, 6).unwrap();
        assert_eq!(constant.kept(25), BTreeMap::from([(1, 7), (3, 7), (5, 7)]));
    }

    #[test]
    fn what_is_no_schedule_is_said_in_words() {
        let refusal = |kind: &str, factor, layers| Schedule::new(kind, factor, layers).unwrap_err();
        let known = "wanted deep_all, deep_all_wo_last, interleave, or shiftedcos or shiftedlinear with _decay_MAX_MIN";
        for kind in ["deep", "shiftedcos_decay_1_0.15", "shiftedcos_decay_.85_0.15", "cos_decay_0.85_0.15"] {
            assert_eq!(refusal(kind, 0.5, 32), format!("`{kind}`, {known}"));
        }
        assert_eq!(
            refusal("shiftedcos_decay_0.10_0.05", 0.9, 32),
            "`shiftedcos_decay_0.10_0.05` with factor 0.9, which leaves none of 32 layers to prune"
        );
        assert_eq!(refusal("deep_all", 0.5, 2), "`deep_all` with factor 0.5, which leaves none of 2 layers to prune");
        assert_eq!(
            refusal("interleave", 1.25, 4),
            "`interleave` with factor 1.25, by which layer 1 keeps 1.25 of the tokens"
        );
    }
}

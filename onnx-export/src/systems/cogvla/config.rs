//! The part of `config.json` that this system adds to its family's.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::ExportError;
use crate::blocks::Condition;
use crate::checkpoint::{Weights, read_json};

use super::schedule::Schedule;
use crate::systems::prismatic::Prismatic;
use crate::systems::prismatic::fusion::Fusion;

const FILE: &str = "config.json";

/// What this system adds to its family.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How the features of the two towers become tokens (`vision_aggregate_type`).
    pub fusion: Fusion,
    /// Aggregation tokens per picture and tower, which stand for its patches; none where the patches are taken.
    pub summary: Option<u64>,
    /// Which layers prune; none where no layer does.
    pub schedule: Option<Schedule>,
    /// What the routers of the pruning layers know.
    pub condition: Condition,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default = "default_fusion")]
    vision_aggregate_type: String,
    #[serde(default)]
    use_film: bool,
    #[serde(default)]
    use_aggr: bool,
    #[serde(default = "default_summary")]
    num_vision_aggr: u64,
    text_config: RawText,
}

/// Defaults are those of the original's configuration class.
#[derive(Deserialize)]
#[serde(default)]
struct RawText {
    use_lfp: bool,
    lfp_average_factor: f64,
    lfp_type: String,
    lfp_enable_film: bool,
}

impl Default for RawText {
    fn default() -> Self {
        Self {
            use_lfp: false,
            lfp_average_factor: 0.5,
            lfp_type: "shiftedcos_decay_0.85_0.15".to_owned(),
            lfp_enable_film: false,
        }
    }
}

fn default_fusion() -> String {
    "moe".to_owned()
}

fn default_summary() -> u64 {
    32
}

impl Config {
    /// Reads the configuration of the checkpoint in `dir`, whose other files are `policy`.
    pub fn read(dir: &Path, policy: &Prismatic) -> Result<Self, ExportError> {
        let raw: Raw = read_json(dir, FILE)?;
        let refuse = |what: &str, got: String, wanted: &str| ExportError::Mismatch {
            what: what.to_owned(),
            got,
            wanted: wanted.to_owned(),
            path: dir.join(FILE),
        };
        let fusion = match (raw.vision_aggregate_type.as_str(), policy.config.towers.len()) {
            ("moe", 2) => Fusion::Mixed,
            ("moe", towers) => {
                return Err(refuse("`vision_aggregate_type` moe", format!("{towers} tower"), "two towers to mix"));
            }
            ("concat", _) => Fusion::Concatenated,
            (other, _) => return Err(refuse("`vision_aggregate_type`", format!("`{other}`"), "moe or concat")),
        };
        let summary = raw.summary(dir)?;
        if raw.use_film != policy.film.is_some() {
            let got = if raw.use_film { "no vision_backbone file" } else { "a vision_backbone file" };
            let wanted = format!("what `use_film` {} says", raw.use_film);
            return Err(refuse("vision towers", got.to_owned(), &wanted));
        }
        let RawText { use_lfp, lfp_average_factor, lfp_type, lfp_enable_film } = raw.text_config;
        let layers = policy.config.llama.layers;
        let schedule = use_lfp.then(|| Schedule::new(&lfp_type, lfp_average_factor, layers)).transpose();
        let schedule = schedule
            .map_err(|got| refuse("`lfp_type`", got, "a schedule by which some layers prune, or `use_lfp` false"))?;
        let condition = if lfp_enable_film { Condition::Text } else { Condition::Nothing };
        Ok(Self { fusion, summary, schedule, condition })
    }

    /// Refuses routers of other layers than those that prune: the original would invent the missing ones.
    pub fn check_routers(&self, model: &Weights, dir: &Path) -> Result<(), ExportError> {
        let layer_of = |name: &str| {
            let (layer, rest) = name.strip_prefix("language_model.model.layers.")?.split_once('.')?;
            rest.starts_with("router.").then(|| layer.parse().ok())?
        };
        let found: BTreeSet<u64> = model.names().filter_map(layer_of).collect();
        let wanted: BTreeSet<u64> = self.schedule.iter().flat_map(Schedule::layers).collect();
        if found == wanted {
            return Ok(());
        }
        Err(ExportError::Mismatch {
            what: "layers with a router".to_owned(),
            got: layers(&found),
            wanted: format!("{} (`lfp_type` and `lfp_average_factor` of {FILE})", layers(&wanted)),
            path: dir.to_owned(),
        })
    }
}

impl Raw {
    /// Aggregation tokens live in the towers with FiLM: the original's class without FiLM hands them an argument that
    /// they do not take, so that no checkpoint can have been trained or run that way.
    fn summary(&self, dir: &Path) -> Result<Option<u64>, ExportError> {
        match (self.use_aggr, self.use_film, self.num_vision_aggr) {
            (false, ..) => Ok(None),
            (true, true, 1..) => Ok(Some(self.num_vision_aggr)),
            (true, true, 0) => Err(ExportError::Mismatch {
                what: "`num_vision_aggr`".to_owned(),
                got: "0".to_owned(),
                wanted: "at least 1 with `use_aggr`".to_owned(),
                path: dir.join(FILE),
            }),
            (true, false, _) => Err(ExportError::Unsupported {
                what: "`use_aggr` without `use_film` (the original fails on it, so there is nothing to agree with)"
                    .to_owned(),
                path: dir.join(FILE),
            }),
        }
    }
}

fn layers(all: &BTreeSet<u64>) -> String {
    let text: Vec<String> = all.iter().map(u64::to_string).collect();
    if text.is_empty() { "none".to_owned() } else { text.join(", ") }
}

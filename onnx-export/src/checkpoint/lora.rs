//! Low-rank adapters (LoRA, Hu et al. 2021) that a checkpoint holds beside the weights they belong to.
//!
//! `W + scale * B A` is computed in f32 while the weight is written and is not rounded to the checkpoint's type again.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;

use super::files::read_json;
use super::stored::Stored;
use super::{CheckpointError, Weights};

/// Where the training saves its adapter.
pub(super) const FOLDER: &str = "lora_adapter";

/// What the training knows about its adapter.
const CONFIG: &str = "lora_adapter/adapter_config.json";

/// What PEFT calls the factors of the layer `X`: inside a saved module, and in an adapter's own file.
const FACTORS: [[&str; 2]; 2] =
    [[".lora_A.default.weight", ".lora_B.default.weight"], [".lora_A.weight", ".lora_B.weight"]];

/// Name that an adapted layer has inside its wrapper.
const WRAPPED: &str = ".base_layer.";

/// How adapters become weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank of every adapter.
    pub rank: u64,
    /// What the product of the factors is multiplied with.
    pub scale: f32,
}

/// The part of `adapter_config.json` that decides about numbers; the defaults are PEFT's.
#[derive(Deserialize)]
struct RawConfig {
    peft_type: Option<String>,
    r: u64,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    rank_pattern: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    alpha_pattern: serde_json::Map<String, serde_json::Value>,
}

impl LoraConfig {
    /// Reads `lora_adapter/adapter_config.json` of the checkpoint in `dir`.
    ///
    /// # Errors
    /// No such file, no rank or no alpha in it, or a kind of adapter that is more than `scale * B A`.
    pub fn read(dir: &Path) -> Result<Self, CheckpointError> {
        let raw: RawConfig = read_json(dir, CONFIG)?;
        let refuse = |reason| Err(CheckpointError::File { what: CONFIG, reason, path: dir.join(CONFIG) });
        if let Some(kind) = raw.peft_type.filter(|kind| kind != "LORA") {
            return refuse(format!("peft_type is `{kind}`, wanted LORA"));
        }
        let of_another_kind = [
            ("use_dora", raw.use_dora),
            ("fan_in_fan_out", raw.fan_in_fan_out),
            ("rank_pattern", !raw.rank_pattern.is_empty()),
            ("alpha_pattern", !raw.alpha_pattern.is_empty()),
        ];
        if let Some((field, _)) = of_another_kind.iter().find(|(_, set)| *set) {
            return refuse(format!("`{field}` is set, wanted one rank and one alpha for plain adapters"));
        }
        if raw.r == 0 || !raw.lora_alpha.is_finite() {
            return refuse(format!("r is {} and lora_alpha {}, wanted numbers above 0", raw.r, raw.lora_alpha));
        }
        let divisor = if raw.use_rslora { (raw.r as f64).sqrt() } else { raw.r as f64 };
        Ok(Self { rank: raw.r, scale: (raw.lora_alpha / divisor) as f32 })
    }
}

impl Weights {
    /// Merges every adapter among these tensors into the weight it belongs to: the factors leave the list, `X.weight` is
    /// read with them from now on. The scale comes from the checkpoint in `dir`, which is asked only where there are
    /// adapters. Gives the names of the weights, sorted.
    ///
    /// # Errors
    /// Adapters without a configuration ([`LoraConfig::read`]), a factor without the other one or without its weight,
    /// factors of another rank than the configuration's or of another width than the weight's.
    pub fn merge_lora(&mut self, dir: &Path) -> Result<Vec<String>, CheckpointError> {
        let wrapped: Vec<String> = self.names().filter(|name| name.contains(WRAPPED)).map(str::to_owned).collect();
        for name in wrapped {
            self.rename(&name, &name.replace(WRAPPED, "."))?;
        }
        let pairs: Vec<(String, [&str; 2])> = FACTORS
            .iter()
            .flat_map(|pair| self.names().filter_map(|name| Some((name.strip_suffix(pair[0])?.to_owned(), *pair))))
            .collect();
        let Some((first, _)) = pairs.first() else { return Ok(Vec::new()) };
        if !dir.join(CONFIG).exists() {
            let count = pairs.len();
            let reason =
                format!("got {count} adapters, the first of `{first}`, and no {CONFIG} that says r and lora_alpha");
            return Err(CheckpointError::File { what: "LoRA", reason, path: dir.to_owned() });
        }
        let config = LoraConfig::read(dir)?;
        self.note_source(dir.join(CONFIG));
        let mut merged = Vec::new();
        for (layer, factors) in pairs {
            let weight = format!("{layer}.weight");
            self.adapt(&weight, &factors.map(|factor| format!("{layer}{factor}")), config)?;
            merged.push(weight);
        }
        merged.sort();
        Ok(merged)
    }
}

/// The factors of an adapter: `down [rank, ..]` (A) and `up [rows, rank, 1, ..]` (B).
#[derive(Clone, Copy, Debug)]
pub(super) struct LowRank<'a> {
    pub down: Stored<'a>,
    pub up: Stored<'a>,
    pub scale: f32,
}

/// The factors of an adapter in memory.
pub(super) struct Update {
    /// `[rank, width]`.
    down: Vec<f32>,
    /// `[rows, rank]`.
    up: Vec<f32>,
    rank: usize,
    width: usize,
    scale: f32,
}

impl Update {
    pub fn read(LowRank { down, up, scale }: LowRank<'_>) -> Self {
        let (rank, width) = (down.rows() as usize, down.row_length() as usize);
        Self { down: down.to_f32(), up: up.to_f32(), rank, width, scale }
    }

    /// Adds the part of row `row` of `scale * up * down` to `values`.
    pub fn add_to_row(&self, row: u64, part: Range<u64>, values: &mut [f32]) {
        let mut product = vec![0.0_f32; values.len()];
        let row = row as usize * self.rank;
        for (index, up) in self.up[row..row + self.rank].iter().enumerate() {
            let first = index * self.width;
            let down = &self.down[first + part.start as usize..first + part.end as usize];
            product.iter_mut().zip(down).for_each(|(sum, down)| *sum += up * down);
        }
        values.iter_mut().zip(&product).for_each(|(value, product)| *value += self.scale * product);
    }
}

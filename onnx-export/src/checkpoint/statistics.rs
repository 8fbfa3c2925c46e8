//! Statistics of the training data, by which actions and states were normalised.
//!
//! Layout of `dataset_statistics.json`, the same as of `norm_stats` in the older `config.json`:
//! `{key: {"action": {"q01": [..], "q99": [..], "min": [..], "max": [..], "mask": [..]}, "proprio": {..}}}`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::CheckpointError;
use super::files::read_json;

const FILE: &str = "dataset_statistics.json";
const CONFIG: &str = "config.json";
const PROCESSOR: &str = "processor_config.json";

/// Where a system's statistics may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticsSource {
    /// `dataset_statistics.json` only.
    File,
    /// `dataset_statistics.json`, or `norm_stats` of `config.json` where that file is absent.
    FileOrConfig,
    /// `statistics` of `processor_config.json`.
    Processor,
}

/// Which of the statistics bound the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// 1 % and 99 % quantiles.
    Quantile,
    /// Smallest and largest value.
    MinMax,
}

/// The statistics of one data set.
#[derive(Debug)]
pub struct Statistics {
    key: String,
    entry: Entry,
    path: PathBuf,
}

/// Bounds per dimension in the data set's units; `low <= high`.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// Lower bound per dimension.
    pub low: Vec<f64>,
    /// Upper bound per dimension.
    pub high: Vec<f64>,
    /// Dimensions that were normalised at all; all of them where the file has no mask.
    pub mask: Vec<bool>,
    /// One sentence per normalised dimension without a range: the formula turns it into a constant.
    pub warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    action: Columns,
    #[serde(alias = "state")]
    proprio: Option<Columns>,
}

#[derive(Debug, Deserialize)]
struct Columns {
    min: Option<Vec<f64>>,
    max: Option<Vec<f64>>,
    q01: Option<Vec<f64>>,
    q99: Option<Vec<f64>>,
    mask: Option<Vec<bool>>,
}

#[derive(Deserialize)]
struct Processor {
    statistics: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct Config {
    norm_stats: Option<BTreeMap<String, serde_json::Value>>,
}

impl Statistics {
    /// The statistics under `key`, or the only ones.
    ///
    /// # Errors
    /// No statistics, several and no `key`, none under `key`, or an entry of another form.
    pub fn read(dir: &Path, source: StatisticsSource, key: Option<&str>) -> Result<Self, CheckpointError> {
        let (mut entries, file): (BTreeMap<String, serde_json::Value>, _) = match source {
            StatisticsSource::FileOrConfig if !dir.join(FILE).exists() => {
                let Config { norm_stats } = read_json(dir, CONFIG)?;
                (norm_stats.unwrap_or_default(), CONFIG)
            }
            StatisticsSource::File | StatisticsSource::FileOrConfig => (read_json(dir, FILE)?, FILE),
            StatisticsSource::Processor => {
                let Processor { statistics } = read_json(dir, PROCESSOR)?;
                (statistics.unwrap_or_default(), PROCESSOR)
            }
        };
        let path = dir.join(file);
        let refuse = |reason| CheckpointError::File { what: "statistics", reason, path: path.clone() };
        let key = choose(&entries, key).map_err(refuse)?;
        let entry = entries.remove(&key).unwrap_or_default();
        let entry = serde_json::from_value(entry).map_err(|e| refuse(format!("`{key}`: {e}")))?;
        Ok(Self { key, entry, path })
    }

    /// The key that was chosen.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The file that was read, for the checkpoint's digest.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Values of an action; 0 where these statistics have no such bounds.
    pub fn action_dim(&self, norm: Norm) -> usize {
        let [low, _] = self.entry.action.named(norm);
        low.1.as_ref().map_or(0, Vec::len)
    }

    /// Bounds of an action of `dim` values.
    ///
    /// # Errors
    /// Statistics that are absent, of another width, or upside down.
    pub fn action(&self, norm: Norm, dim: usize) -> Result<Bounds, CheckpointError> {
        self.bounds("action", Some(&self.entry.action), norm, dim)
    }

    /// Bounds of a proprioception vector of `dim` values.
    ///
    /// # Errors
    /// As [`Statistics::action`].
    pub fn proprio(&self, norm: Norm, dim: usize) -> Result<Bounds, CheckpointError> {
        self.bounds("proprio", self.entry.proprio.as_ref(), norm, dim)
    }

    fn bounds(
        &self,
        group: &str,
        columns: Option<&Columns>,
        norm: Norm,
        dim: usize,
    ) -> Result<Bounds, CheckpointError> {
        let bounds = match columns {
            Some(columns) => columns.bounds(norm, dim),
            None => Err("not in the statistics".to_owned()),
        };
        let mut bounds = bounds.map_err(|reason| {
            let reason = format!("`{}`: {group}: {reason}", self.key);
            CheckpointError::File { what: "statistics", reason, path: self.path.clone() }
        })?;
        for warning in &mut bounds.warnings {
            *warning = format!("statistics `{}`: {group}: {warning}", self.key);
        }
        Ok(bounds)
    }
}

impl Columns {
    /// The lower and the upper bounds with their names.
    fn named(&self, norm: Norm) -> [(&'static str, &Option<Vec<f64>>); 2] {
        match norm {
            Norm::Quantile => [("q01", &self.q01), ("q99", &self.q99)],
            Norm::MinMax => [("min", &self.min), ("max", &self.max)],
        }
    }

    fn bounds(&self, norm: Norm, dim: usize) -> Result<Bounds, String> {
        let [(low_name, low), (high_name, high)] = self.named(norm);
        let low = column(low_name, low.as_ref(), dim)?;
        let high = column(high_name, high.as_ref(), dim)?;
        let mask = match &self.mask {
            Some(mask) => column("mask", Some(mask), dim)?,
            None => vec![true; dim],
        };
        let mut warnings = vec![];
        for (i, (low, high)) in low.iter().zip(&high).enumerate() {
            if low > high {
                return Err(format!("dimension {i}: {low_name} is {low}, above {high_name} {high}"));
            }
            if low == high && mask[i] {
                warnings.push(format!("dimension {i}: {low_name} = {high_name} = {low}, it will be constant"));
            }
        }
        Ok(Bounds { low, high, mask, warnings })
    }
}

/// A column of the wanted width; JSON holds only finite numbers.
fn column<T: Clone>(name: &str, values: Option<&Vec<T>>, dim: usize) -> Result<Vec<T>, String> {
    let values = values.ok_or_else(|| format!("no {name}"))?;
    if values.len() != dim {
        return Err(format!("{name}: got {} values, wanted {dim}", values.len()));
    }
    Ok(values.clone())
}

fn choose(entries: &BTreeMap<String, serde_json::Value>, key: Option<&str>) -> Result<String, String> {
    let listed = || entries.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let mut keys = entries.keys();
    match (key, keys.next(), keys.next()) {
        (_, None, _) => Err("got no data set".to_owned()),
        (Some(key), ..) if entries.contains_key(key) => Ok(key.to_owned()),
        (Some(key), ..) => Err(format!("got no key `{key}`, but {}", listed())),
        (None, Some(only), None) => Ok(only.clone()),
        (None, ..) => Err(format!("got several keys, wanted --unnorm-key to name one of {}", listed())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{
        "pick": {
            "action": {"min": [-2, -3, 0], "max": [2.5, 3.5, 1], "q01": [-1, 0.25, 0], "q99": [1.5, 0.25, 0],
                       "mask": [true, true, false], "mean": [0, 0, 0]},
            "proprio": {"min": [5], "max": [4]},
            "num_transitions": 7
        },
        "place": {"action": {"q01": [0], "q99": [1]}}
    }"#;

    fn folder(file: &str, text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file), text).unwrap();
        dir
    }

    fn message(dir: &tempfile::TempDir, error: &CheckpointError) -> String {
        error.to_string().replace(&dir.path().display().to_string(), "DIR")
    }

    #[test]
    fn bounds_come_from_the_named_data_set_and_norm() {
        let dir = folder(FILE, TWO);
        let statistics = Statistics::read(dir.path(), StatisticsSource::File, Some("pick")).unwrap();
        assert_eq!(statistics.key(), "pick");
        assert_eq!(statistics.path(), dir.path().join(FILE));
        let mask = vec![true, true, false];
        let min_max =
            Bounds { low: vec![-2.0, -3.0, 0.0], high: vec![2.5, 3.5, 1.0], mask: mask.clone(), warnings: vec![] };
        assert_eq!(statistics.action(Norm::MinMax, 3).unwrap(), min_max);
        let quantile = Bounds {
            low: vec![-1.0, 0.25, 0.0],
            high: vec![1.5, 0.25, 0.0],
            mask,
            // Dimension 2 has no range either, and was not normalised.
            warnings: vec!["statistics `pick`: action: dimension 1: q01 = q99 = 0.25, it will be constant".to_owned()],
        };
        assert_eq!(statistics.action(Norm::Quantile, 3).unwrap(), quantile);
        assert_eq!(statistics.action_dim(Norm::Quantile), 3);
    }

    #[test]
    fn without_a_mask_every_dimension_was_normalised() {
        let dir = folder(FILE, TWO);
        let statistics = Statistics::read(dir.path(), StatisticsSource::File, Some("place")).unwrap();
        assert_eq!(statistics.action(Norm::Quantile, 1).unwrap().mask, [true]);
    }

    #[test]
    fn bounds_that_do_not_fit_are_refused() {
        let dir = folder(FILE, TWO);
        let pick = Statistics::read(dir.path(), StatisticsSource::File, Some("pick")).unwrap();
        let place = Statistics::read(dir.path(), StatisticsSource::File, Some("place")).unwrap();
        let cases = [
            (pick.action(Norm::Quantile, 4), "`pick`: action: q01: got 3 values, wanted 4"),
            (pick.proprio(Norm::MinMax, 1), "`pick`: proprio: dimension 0: min is 5, above max 4"),
            (place.action(Norm::MinMax, 1), "`place`: action: no min"),
            (place.proprio(Norm::Quantile, 1), "`place`: proprio: not in the statistics"),
        ];
        for (got, reason) in cases {
            let wanted = format!("statistics: {reason}: DIR/dataset_statistics.json");
            assert_eq!(message(&dir, &got.unwrap_err()), wanted);
        }
    }

    #[test]
    fn a_mask_of_another_width_is_refused() {
        let dir = folder(FILE, r#"{"k": {"action": {"q01": [0, 1], "q99": [2, 3], "mask": [true]}}}"#);
        let statistics = Statistics::read(dir.path(), StatisticsSource::File, None).unwrap();
        assert_eq!(
            message(&dir, &statistics.action(Norm::Quantile, 2).unwrap_err()),
            "statistics: `k`: action: mask: got 1 values, wanted 2: DIR/dataset_statistics.json"
        );
    }

    #[test]
    fn the_key_is_chosen_or_asked_for() {
        let refusal = |text: &str, key: Option<&str>| {
            let dir = folder(FILE, text);
            message(&dir, &Statistics::read(dir.path(), StatisticsSource::File, key).unwrap_err())
        };
        assert_eq!(
            refusal(TWO, None),
            "statistics: got several keys, wanted --unnorm-key to name one of `pick`, `place`: DIR/dataset_statistics.json"
        );
        assert_eq!(
            refusal(TWO, Some("pack")),
            "statistics: got no key `pack`, but `pick`, `place`: DIR/dataset_statistics.json"
        );
        assert_eq!(refusal("{}", None), "statistics: got no data set: DIR/dataset_statistics.json");
        assert_eq!(
            refusal(r#"{"k": {"proprio": {}}}"#, None),
            "statistics: `k`: missing field `action`: DIR/dataset_statistics.json"
        );
    }

    #[test]
    fn the_config_stands_in_only_where_asked_and_only_for_an_absent_file() {
        let dir = folder(CONFIG, r#"{"norm_stats": {"old": {"action": {"q01": [0], "q99": [1]}}}}"#);
        let read = |source| Statistics::read(dir.path(), source, None);
        assert_eq!(
            message(&dir, &read(StatisticsSource::File).unwrap_err()),
            "cannot read dataset_statistics.json: No such file or directory (os error 2): DIR/dataset_statistics.json"
        );
        let statistics = read(StatisticsSource::FileOrConfig).unwrap();
        assert_eq!((statistics.key(), statistics.path()), ("old", dir.path().join(CONFIG).as_path()));
        std::fs::write(dir.path().join(FILE), r#"{"new": {"action": {"q01": [0], "q99": [1]}}}"#).unwrap();
        assert_eq!(read(StatisticsSource::FileOrConfig).unwrap().key(), "new");
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        std::fs::write(dir.path().join(CONFIG), "{}").unwrap();
        assert_eq!(
            message(&dir, &read(StatisticsSource::FileOrConfig).unwrap_err()),
            "statistics: got no data set: DIR/config.json"
        );
    }
}

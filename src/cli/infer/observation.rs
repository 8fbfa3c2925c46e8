//! An observation from files.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Map, Value};
use vla_bundle::Manifest;

use crate::noise::Noise;
use crate::time::Stamp;
use crate::types::{Encoding, Frame, Observation};

/// Keys of a state object that hold the whole vector.
const WHOLE_STATE: &[&str] = &["observation.state", "state"];

/// Reads pictures and state; every camera that the bundle names must be there, and no other.
pub fn read(
    manifest: &Manifest,
    task: &str,
    images: &[(String, String)],
    state: Option<&Path>,
) -> anyhow::Result<Observation> {
    let names: Vec<_> = manifest.streams.cameras.iter().map(|camera| camera.name.as_str()).collect();
    check_cameras(&names, images)?;
    let frames = names
        .iter()
        .filter_map(|name| images.iter().find(|(given, _)| given == name))
        .map(|(name, file)| frame(name, Path::new(file)).map(Arc::new))
        .collect::<anyhow::Result<_>>()?;
    let state = match state {
        None => None,
        Some(path) => {
            let at = || format!("state: {}", path.display());
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the {}", at()))?;
            parse_state(manifest, &text).with_context(at)?
        }
    };
    let state = match (&manifest.streams.state, state) {
        (None, None) => None,
        (None, Some(_)) => {
            tracing::warn!("the policy takes no state; the one given is ignored");
            None
        }
        (Some(stream), None) => bail!("the policy takes a state of {} values: --state is missing", stream.dim),
        (Some(stream), Some(values)) if values.len() == stream.dim => Some(values),
        (Some(stream), Some(values)) => bail!("state: got {} values, the policy takes {}", values.len(), stream.dim),
    };
    let (stamp, frame_id, noise) = (Stamp::default(), String::new(), Noise::default());
    Ok(Observation { stamp, frame_id, frames, optics: Vec::new(), state, task: Arc::from(task), noise })
}

fn check_cameras(names: &[&str], images: &[(String, String)]) -> anyhow::Result<()> {
    let wanted = || names.join(", ");
    for (index, (given, _)) in images.iter().enumerate() {
        if !names.contains(&given.as_str()) {
            bail!("--image {given}: the policy has no camera of this name, it wants {}", wanted());
        }
        if images[..index].iter().any(|(earlier, _)| earlier == given) {
            bail!("--image {given} is given twice");
        }
    }
    let missing: Vec<_> =
        names.iter().filter(|name| images.iter().all(|(given, _)| given != **name)).copied().collect();
    if !missing.is_empty() {
        bail!("--image is missing for {}, the policy wants {}", missing.join(", "), wanted());
    }
    Ok(())
}

fn frame(name: &str, file: &Path) -> anyhow::Result<Frame> {
    let data = std::fs::read(file).with_context(|| format!("cannot read image `{name}`: {}", file.display()))?;
    let encoding = match data.get(..4) {
        Some([0x89, b'P', b'N', b'G']) => Encoding::Png,
        Some([0xff, 0xd8, 0xff, _]) => Encoding::Jpeg,
        _ => bail!("image `{name}` is neither PNG nor JPEG: {}", file.display()),
    };
    Ok(Frame { frame_id: name.to_owned(), encoding, width: 0, height: 0, step: 0, data: data.into() })
}

/// The state vector; `None` where the file says that there is none.
fn parse_state(manifest: &Manifest, text: &str) -> anyhow::Result<Option<Vec<f64>>> {
    match serde_json::from_str(text)? {
        Value::Null => Ok(None),
        Value::Array(values) => numbers(&values).map(Some),
        Value::Object(object) => from_object(manifest, &object),
        _ => Err(anyhow!("wanted an array of numbers or an object")),
    }
}

fn from_object(manifest: &Manifest, object: &Map<String, Value>) -> anyhow::Result<Option<Vec<f64>>> {
    let dims: Vec<_> = manifest.io.iter().flat_map(|io| &io.state).map(|dim| dim.name.as_str()).collect();
    let pieces = manifest.streams.state.iter().flat_map(|state| &state.pieces);
    let pieces: Vec<_> = pieces.map(|piece| (piece.name.as_str(), piece.dim)).collect();
    let known =
        |key: &str| WHOLE_STATE.contains(&key) || dims.contains(&key) || pieces.iter().any(|(name, _)| *name == key);
    for key in object.keys().filter(|key| !known(key)) {
        tracing::warn!(key, "unknown key in the state file is ignored");
    }
    let present = |name: &str| object.get(name).filter(|value| !value.is_null());
    if pieces.iter().any(|(name, _)| present(name).is_some()) {
        return joined(&pieces, &present).map(Some);
    }
    if let Some(whole) = WHOLE_STATE.iter().find_map(|key| object.get(*key)) {
        return match whole {
            Value::Null => Ok(None),
            Value::Array(values) => numbers(values).map(Some),
            _ => Err(anyhow!("the state vector must be an array of numbers")),
        };
    }
    let given: Vec<_> = dims.iter().filter_map(|name| present(name)).collect();
    if given.is_empty() {
        return Ok(None);
    }
    if given.len() < dims.len() {
        let missing = dims.iter().filter(|name| present(name).is_none());
        bail!("{} is missing", missing.copied().collect::<Vec<_>>().join(", "));
    }
    numbers(given).map(Some)
}

/// The pieces one after the other; a piece of one value may be a plain number.
fn joined<'v>(pieces: &[(&str, usize)], present: &impl Fn(&str) -> Option<&'v Value>) -> anyhow::Result<Vec<f64>> {
    let mut state = Vec::new();
    for (name, dim) in pieces {
        let values = match present(name) {
            None => bail!("{name} is missing"),
            Some(Value::Array(values)) => numbers(values),
            Some(value) => numbers([value]),
        };
        let values = values.with_context(|| (*name).to_owned())?;
        if values.len() != *dim {
            bail!("{name}: got {} values, wanted {dim}", values.len());
        }
        state.extend(values);
    }
    Ok(state)
}

fn numbers<'v>(values: impl IntoIterator<Item = &'v Value>) -> anyhow::Result<Vec<f64>> {
    let number = |(index, value): (usize, &Value)| {
        value.as_f64().ok_or_else(|| anyhow!("value {index} is {value}, wanted a number"))
    };
    values.into_iter().enumerate().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(named: &[&str]) -> Manifest {
        let text = include_str!("../../../tests/data/bundles/tiny/manifest.json");
        let mut manifest: Manifest = serde_json::from_str(text).unwrap();
        let state: Vec<_> = named
            .iter()
            .map(|name| serde_json::json!({"name": name, "unit": "rad", "source": "joint_position"}))
            .collect();
        let io = serde_json::json!({"rate_hz": 10.0, "actions": [], "state": state});
        manifest.io = Some(serde_json::from_value(io).unwrap());
        manifest
    }

    fn state(text: &str) -> Result<Option<Vec<f64>>, String> {
        parse_state(&manifest(&["shoulder", "elbow"]), text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_state_is_an_array_or_an_object_by_names() {
        let want = Ok(Some(vec![0.1, -2.5]));
        assert_eq!(state("[0.1, -2.5]"), want);
        assert_eq!(state(r#"{"observation.state": [0.1, -2.5], "note": 3}"#), want);
        assert_eq!(state(r#"{"elbow": -2.5, "shoulder": 0.1}"#), want);
    }

    #[test]
    fn null_means_absent_and_half_a_state_is_an_error() {
        assert_eq!(state("null"), Ok(None));
        assert_eq!(state(r#"{"state": null}"#), Ok(None));
        assert_eq!(state(r#"{"shoulder": 0.1, "elbow": null}"#), Err("elbow is missing".to_owned()));
        assert_eq!(state(r#"[0.1, "x"]"#), Err("value 1 is \"x\", wanted a number".to_owned()));
    }

    #[test]
    fn cameras_that_are_missing_unknown_or_given_twice_are_told_what_is_wanted() {
        let message = |given: &[&str]| {
            let images: Vec<_> = given.iter().map(|name| ((*name).to_owned(), "a.png".to_owned())).collect();
            check_cameras(&["front", "wrist"], &images).unwrap_err().to_string()
        };
        assert_eq!(message(&["wrist"]), "--image is missing for front, the policy wants front, wrist");
        assert_eq!(
            message(&["front", "left"]),
            "--image left: the policy has no camera of this name, it wants front, wrist"
        );
        assert_eq!(message(&["front", "wrist", "front"]), "--image front is given twice");
    }
}

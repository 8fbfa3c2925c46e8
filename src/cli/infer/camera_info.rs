//! How cameras see, from a file.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;
use vla_bundle::Manifest;

use crate::msg::{CameraInfo, InfoError, RegionOfInterest};
use crate::types::{Arrives, Optics};

/// `sensor_msgs/CameraInfo` as JSON, and what ROS knows from the topic.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInfo {
    #[serde(default, rename = "header")]
    _header: IgnoredAny,
    width: u32,
    height: u32,
    #[serde(default)]
    distortion_model: String,
    d: Vec<f64>,
    k: [f64; 9],
    #[serde(default)]
    r: [f64; 9],
    p: [f64; 12],
    #[serde(default)]
    binning_x: u32,
    #[serde(default)]
    binning_y: u32,
    #[serde(default)]
    roi: RawRegion,
    image_is_rectified: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRegion {
    x_offset: u32,
    y_offset: u32,
    height: u32,
    width: u32,
    do_rectify: bool,
}

/// Reads one camera info per camera of the bundle where it takes intrinsics, and none where it does not.
pub fn read(manifest: &Manifest, file: Option<&Path>) -> anyhow::Result<Vec<Option<Arc<Optics>>>> {
    let names: Vec<_> = manifest.streams.cameras.iter().map(|camera| camera.name.as_str()).collect();
    let file = match (manifest.streams.intrinsics, file) {
        (Some(_), Some(file)) => file,
        (Some(_), None) => bail!("the policy takes the intrinsics of {}: --camera-info is missing", names.join(", ")),
        (None, Some(_)) => {
            tracing::warn!("the policy takes no intrinsics; the camera info given is ignored");
            return Ok(Vec::new());
        }
        (None, None) => return Ok(Vec::new()),
    };
    let at = || format!("camera info: {}", file.display());
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the {}", at()))?;
    parse(&names, &text).with_context(at)
}

fn parse(names: &[&str], text: &str) -> anyhow::Result<Vec<Option<Arc<Optics>>>> {
    let infos: Vec<Option<RawInfo>> = serde_json::from_str(text)?;
    if infos.len() != names.len() {
        bail!("got {} entries, wanted one per camera, {}", infos.len(), names.join(", "));
    }
    let optics = |(info, name): (Option<RawInfo>, &&str)| {
        let info = info.with_context(|| format!("camera `{name}`: got none, the policy takes its intrinsics"))?;
        let optics = info.optics().map_err(|error| anyhow!("camera `{name}`: {error}"))?;
        Ok(Some(Arc::new(optics)))
    };
    infos.into_iter().zip(names).map(optics).collect()
}

impl RawInfo {
    fn optics(self) -> Result<Optics, InfoError> {
        let is_rectified = self.image_is_rectified;
        let RawRegion { x_offset, y_offset, height, width, do_rectify } = self.roi;
        let info = CameraInfo {
            height: self.height,
            width: self.width,
            distortion_model: self.distortion_model,
            d: self.d,
            k: self.k,
            r: self.r,
            p: self.p,
            binning_x: self.binning_x,
            binning_y: self.binning_y,
            roi: RegionOfInterest { x_offset, y_offset, height, width, do_rectify },
            ..CameraInfo::default()
        };
        Ok(if is_rectified { info.to_optics(Arrives::Rectified)? } else { Optics::Straight(info.to_raw_pinhole()?) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::types::Pinhole;

    fn info() -> Value {
        json!({
            "header": {"frame_id": "eye"}, "width": 641, "height": 363,
            "distortion_model": "plumb_bob", "d": [0.0, 0.0, 0.0, 0.0, 0.0],
            "k": [500.5, 0, 311.5, 0, 480.25, 190.25, 0, 0, 1],
            "r": [1, 0, 0, 0, 1, 0, 0, 0, 1],
            "p": [450.5, 0, 300.25, -30, 0, 440.75, 181.5, 0, 0, 0, 1, 0],
            "binning_x": 0, "binning_y": 0,
            "roi": {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": false},
            "image_is_rectified": true
        })
    }

    fn changed(change: impl FnOnce(&mut Value)) -> anyhow::Result<Vec<Option<Arc<Optics>>>> {
        let mut info = info();
        change(&mut info);
        parse(&["front"], &json!([info]).to_string())
    }

    fn refused(change: impl FnOnce(&mut Value)) -> String {
        format!("{:#}", changed(change).unwrap_err())
    }

    #[test]
    fn rectified_pictures_are_p_s_and_raw_ones_k_s() {
        let pinhole = |change: fn(&mut Value)| *changed(change).unwrap()[0].as_ref().unwrap().pinhole();
        let size = [641, 363];
        assert_eq!(pinhole(|_| {}), Pinhole { size, focal: [450.5, 440.75], center: [300.25, 181.5] });
        let raw = pinhole(|info| info["image_is_rectified"] = json!(false));
        assert_eq!(raw, Pinhole { size, focal: [500.5, 480.25], center: [311.5, 190.25] });
    }

    #[test]
    fn a_camera_info_that_says_too_little_is_refused() {
        let uncalibrated = "camera `front`: the camera is not calibrated: `k` of its camera info is zero";
        assert_eq!(refused(|info| info["k"][0] = json!(0)), uncalibrated);
        let bent = refused(|info| {
            info["d"][1] = json!(0.125);
            info["image_is_rectified"] = json!(false);
        });
        let said = "the lens bends the pictures (0.125 in `distortion_coefficients`), wanted straight ones";
        assert_eq!(bent, format!("camera `front`: camera info: {said}"));
        let silent = refused(|info| {
            info.as_object_mut().unwrap().remove("image_is_rectified");
        });
        assert!(silent.starts_with("missing field `image_is_rectified`"), "{silent}");
        assert!(refused(|info| info["K"] = json!([])).starts_with("unknown field `K`"));
        let none = parse(&["front"], "[null]").unwrap_err().to_string();
        assert_eq!(none, "camera `front`: got none, the policy takes its intrinsics");
        let one = parse(&["front", "wrist"], &json!([info()]).to_string()).unwrap_err().to_string();
        assert_eq!(one, "got 1 entries, wanted one per camera, front, wrist");
    }
}

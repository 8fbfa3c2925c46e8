//! A camera topic, and what its pictures need before a policy sees them.

use std::path::Path;

use serde::Deserialize;

use super::{Align, camera_info};
use crate::types::{Arrives, Flip, Optics, Region, Rotation, View};

/// A camera topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Name of the bundle's camera that this topic shows.
    pub camera: String,
    /// Topic; `None` for the default of its transport.
    pub topic: Option<String>,
    /// Message type.
    pub transport: Transport,
    /// Oldest frame that may be used, ms, positive.
    pub max_age_ms: f64,
    /// Whether the same picture may come again and again: a simulated scene at rest does that, a camera does not.
    pub may_stand_still: bool,
    /// Which picture belongs to the anchor camera's; `None` where the profile does not say it.
    pub align: Option<Align>,
    /// Time from the light to the message's stamp, ms, not negative.
    pub latency_ms: f64,
    /// Width and height of its pictures, positive; `None` where any will do.
    pub size: Option<[u32; 2]>,
    /// Where its optics come from, in the place of those in `view`; `None` where no topic tells them.
    pub camera_info: Option<InfoTopic>,
    /// What is done to every picture; a region lies in pictures of `size`.
    pub view: View,
}

/// A `sensor_msgs/CameraInfo` topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoTopic {
    /// Topic; `None` for the default.
    pub topic: Option<String>,
    /// What the pictures are that it is about.
    pub arrives: Arrives,
}

/// Message type of a camera topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// `sensor_msgs/Image`.
    Raw,
    /// `sensor_msgs/CompressedImage`.
    Compressed,
}

/// A camera as people write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCamera {
    camera: String,
    topic: Option<String>,
    transport: Transport,
    max_age_ms: f64,
    #[serde(default)]
    may_stand_still: bool,
    align: Option<Align>,
    #[serde(default)]
    latency_ms: f64,
    width: Option<u32>,
    height: Option<u32>,
    undistort: Option<String>,
    rectified: Option<String>,
    camera_info: Option<String>,
    region: Option<Region>,
    #[serde(default)]
    rotate: u32,
    flip: Option<Flip>,
}

impl RawCamera {
    /// The camera; `folder` is where its files are named from, `problems` gets all that is wrong with it.
    pub(super) fn check(self, folder: &Path, problems: &mut Vec<String>) -> Camera {
        let name = self.camera.clone();
        let mut refuse = |problem: String| problems.push(format!("camera `{name}`: {problem}"));
        if self.max_age_ms <= 0.0 {
            refuse(format!("`max_age_ms` is {}, wanted a positive number", self.max_age_ms));
        }
        if self.latency_ms < 0.0 {
            refuse(format!("`latency_ms` is {}, wanted 0 or more", self.latency_ms));
        }
        let rotation = rotation(self.rotate).map_err(&mut refuse).unwrap_or_default();
        let (optics, size) = self.optics_and_size(folder).map_err(&mut refuse).unwrap_or_default();
        let camera_info = self.info_topic().map_err(&mut refuse).unwrap_or_default();
        let Self { camera, topic, transport, max_age_ms, may_stand_still, align, latency_ms, region, flip, .. } = self;
        if let Some(problem) = region.and_then(|region| misplaced(region, size)) {
            refuse(problem);
        }
        let view = View { optics, region, rotation, flip };
        Camera { camera, topic, transport, max_age_ms, may_stand_still, align, latency_ms, size, camera_info, view }
    }

    /// Where the optics come from, a file or [`BY_TOPIC`], and what the pictures are that they are of.
    fn calibration(&self) -> Result<Option<(&str, Arrives)>, String> {
        match (self.undistort.as_deref(), self.rectified.as_deref()) {
            (Some(_), Some(_)) => {
                Err("`undistort` and `rectified` contradict each other, wanted one: a rectified picture is straight"
                    .into())
            }
            (Some(from), None) => Ok(Some((from, Arrives::Bent))),
            (None, Some(from)) => Ok(Some((from, Arrives::Rectified))),
            (None, None) => Ok(None),
        }
    }

    fn info_topic(&self) -> Result<Option<InfoTopic>, String> {
        // What is wrong with it is said once.
        match (self.calibration().unwrap_or_default(), &self.camera_info) {
            (Some((BY_TOPIC, arrives)), topic) => Ok(Some(InfoTopic { topic: topic.clone(), arrives })),
            (_, None) => Ok(None),
            (_, Some(_)) => {
                Err("`camera_info` names a topic, wanted `undistort: topic` or `rectified: topic` with it".to_owned())
            }
        }
    }

    fn optics_and_size(&self, folder: &Path) -> Result<(Option<Optics>, Option<[u32; 2]>), String> {
        let file = self.calibration()?.filter(|(file, _)| *file != BY_TOPIC);
        let optics = file.map(|(file, arrives)| camera_info::load(&folder.join(file), arrives)).transpose();
        let field = if self.rectified.is_some() { "rectified" } else { "undistort" };
        let optics = optics.map_err(|reason| format!("`{field}`: {reason}"))?;
        let size = self.size(optics.as_ref())?;
        Ok((optics, size))
    }

    /// What the profile says and the camera was calibrated with.
    fn size(&self, optics: Option<&Optics>) -> Result<Option<[u32; 2]>, String> {
        let calibrated = optics.map(Optics::size);
        let given = match (self.width, self.height) {
            (None, None) => return Ok(calibrated),
            (Some(width), Some(height)) => [width, height],
            _ => return Err("wanted `width` and `height`, or neither".to_owned()),
        };
        let [width, height] = given;
        if width == 0 || height == 0 {
            return Err(format!("`width` is {width} and `height` is {height}, wanted positive numbers"));
        }
        match calibrated {
            Some(other) if other != given => {
                Err(format!("its camera info is of {} x {} pixels, it has {width} x {height}", other[0], other[1]))
            }
            _ => Ok(Some(given)),
        }
    }
}

/// The word in a file's place for optics that come as a message.
const BY_TOPIC: &str = "topic";

fn rotation(degrees: u32) -> Result<Rotation, String> {
    Ok(match degrees {
        0 => Rotation::Upright,
        90 => Rotation::Right,
        180 => Rotation::UpsideDown,
        270 => Rotation::Left,
        _ => return Err(format!("`rotate` is {degrees}, wanted 0, 90, 180 or 270")),
    })
}

/// What is wrong with a region of pictures of this size.
fn misplaced(region: Region, size: Option<[u32; 2]>) -> Option<String> {
    let Some(size) = size else { return Some("`region` wants `width` and `height` of the picture too".to_owned()) };
    let Region { x, y, width, height } = region;
    let message = || format!("`region` of {width} x {height} pixels at {x}, {y} is not in {} x {}", size[0], size[1]);
    (!region.lies_in(size)).then(message)
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::*;
    use crate::types::Pinhole;

    fn camera(fields: &str) -> Result<Camera, String> {
        let text = format!(
            "format: 1\nrobot: r\ninputs:\n- {{kind: camera, camera: front, transport: raw, max_age_ms: 50{fields}}}\noutputs: []\n"
        );
        let origin = "tests/data/pictures/profile.yaml";
        Profile::parse(&text, origin).map(|profile| profile.cameras()[0].clone()).map_err(|error| error.to_string())
    }

    fn refused(fields: &str) -> String {
        let error = camera(fields).unwrap_err();
        let error = error.strip_prefix("robot profile: camera `front`: ").unwrap_or(&error);
        error.strip_suffix(": tests/data/pictures/profile.yaml").unwrap_or(error).to_owned()
    }

    #[test]
    fn a_camera_without_more_is_shown_as_it_is() {
        let camera = camera("").unwrap();
        assert_eq!((camera.view, camera.size, camera.latency_ms), (View::default(), None, 0.0));
    }

    #[test]
    fn a_camera_keeps_what_is_done_to_its_pictures() {
        let fields = ", latency_ms: 12.5, undistort: plumb_bob.yaml, region: {x: 3, y: 1, width: 20, height: 28}, \
                      rotate: 270, flip: horizontal";
        let camera = camera(fields).unwrap();
        assert_eq!((camera.size, camera.latency_ms), (Some([37, 29]), 12.5));
        let View { optics, region, rotation, flip } = camera.view;
        assert!(matches!(optics, Some(Optics::Bent(lens)) if lens.size == [37, 29]));
        assert_eq!(region, Some(Region { x: 3, y: 1, width: 20, height: 28 }));
        assert_eq!((rotation, flip), (Rotation::Left, Some(Flip::Horizontal)));
    }

    #[test]
    fn a_lens_may_come_as_a_message() {
        let info = |topic: Option<&str>, arrives| Some(InfoTopic { topic: topic.map(str::to_owned), arrives });
        assert_eq!(camera(", undistort: topic").unwrap().camera_info, info(None, Arrives::Bent));
        assert_eq!(camera(", rectified: topic").unwrap().camera_info, info(None, Arrives::Rectified));
        let named = camera(", undistort: topic, camera_info: /eye/info, rotate: 90").unwrap();
        assert_eq!(named.camera_info, info(Some("/eye/info"), Arrives::Bent));
        assert_eq!((named.view.optics, named.size), (None, None));
        let alone = "`camera_info` names a topic, wanted `undistort: topic` or `rectified: topic` with it";
        assert_eq!(refused(", camera_info: /eye/info"), alone);
        assert_eq!(refused(", undistort: plumb_bob.yaml, camera_info: /eye/info"), alone);
    }

    /// P of the file.
    #[test]
    fn a_file_says_how_rectified_pictures_were_seen() {
        let camera = camera(", rectified: plumb_bob.yaml").unwrap();
        let pinhole = Pinhole { size: [37, 29], focal: [21.0, 23.5], center: [18.5, 14.25] };
        assert_eq!((camera.view.optics, camera.size), (Some(Optics::Straight(pinhole)), Some([37, 29])));
        assert_eq!(
            refused(", rectified: topic, undistort: topic"),
            "`undistort` and `rectified` contradict each other, wanted one: a rectified picture is straight"
        );
        assert!(refused(", rectified: absent.yaml").starts_with("`rectified`: cannot read it ("));
    }

    #[test]
    fn what_cannot_be_done_to_a_picture_is_refused() {
        assert_eq!(refused(", rotate: 45"), "`rotate` is 45, wanted 0, 90, 180 or 270");
        assert_eq!(refused(", latency_ms: -0.5"), "`latency_ms` is -0.5, wanted 0 or more");
        assert_eq!(refused(", width: 640"), "wanted `width` and `height`, or neither");
        assert_eq!(refused(", width: 640, height: 0"), "`width` is 640 and `height` is 0, wanted positive numbers");
        let region = ", region: {x: 30, y: 2, width: 8, height: 4}";
        assert_eq!(refused(region), "`region` wants `width` and `height` of the picture too");
        assert_eq!(
            refused(&format!(", undistort: plumb_bob.yaml{region}")),
            "`region` of 8 x 4 pixels at 30, 2 is not in 37 x 29"
        );
        assert_eq!(
            refused(", undistort: plumb_bob.yaml, width: 37, height: 30"),
            "its camera info is of 37 x 29 pixels, it has 37 x 30"
        );
        let absent = refused(", undistort: absent.yaml");
        assert_eq!(
            absent,
            "`undistort`: cannot read it (No such file or directory (os error 2)): tests/data/pictures/absent.yaml"
        );
        assert!(refused(", flip: both").contains("unknown variant `both`"));
        assert!(refused(", region: {x: 1, y: 2, width: 3, hight: 4}").contains("unknown field `hight`"));
    }
}

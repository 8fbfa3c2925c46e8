//! From a camera's picture to the one that a policy was trained to see.

use serde::Deserialize;

use super::Optics;

/// What is done to every picture of a camera before the policy's own steps, in the order of the fields.
///
/// A lens bends the whole picture, so it is straightened first; a region is then in the pixels of the straight picture
/// and stays true when the camera is turned; turning and mirroring come last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Straightens what the lens bends, and says how the straight picture was seen.
    pub optics: Option<Optics>,
    /// The part that is kept.
    pub region: Option<Region>,
    /// How far the picture is turned.
    pub rotation: Rotation,
    /// Mirrors the turned picture.
    pub flip: Option<Flip>,
}

/// A part of a picture, pixels from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Region {
    /// Whether it has pixels and a picture of this width and height holds all of them.
    pub fn lies_in(&self, [width, height]: [u32; 2]) -> bool {
        let inside = |from: u32, length: u32, all: u32| length > 0 && u64::from(from) + u64::from(length) <= all.into();
        inside(self.x, self.width, width) && inside(self.y, self.height, height)
    }
}

/// How far a picture is turned, clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// Not at all.
    #[default]
    Upright,
    /// 90 degrees: the left edge becomes the upper one.
    Right,
    /// 180 degrees.
    UpsideDown,
    /// 270 degrees: the right edge becomes the upper one.
    Left,
}

/// A mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// Left becomes right.
    Horizontal,
    /// The upper edge becomes the lower one.
    Vertical,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_lies_in_a_picture_that_holds_its_last_pixel() {
        let region = Region { x: 3, y: 1, width: 5, height: 4 };
        assert!(region.lies_in([8, 5]));
        assert!(!region.lies_in([7, 5]) && !region.lies_in([8, 4]));
        assert!(!Region { width: 0, ..region }.lies_in([8, 5]));
        assert!(!Region { x: u32::MAX, ..region }.lies_in([8, 5]));
    }
}

//! Sizes of a picture that is scaled into a frame and padded there.

use vla_bundle::Border;

use crate::types::Pinhole;

/// Where a scaled picture stands in its frame; width before height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Of the scaled picture.
    pub size: [u32; 2],
    /// Its first pixel in the frame.
    pub start: [u32; 2],
}

/// The largest picture of the aspect of `input` within `frame`; sides are rounded down, as Python's `int` does.
pub fn place(input: [u32; 2], frame: [u32; 2], border: Border) -> Placement {
    let [width, height] = input.map(f64::from);
    let ratio = (width / f64::from(frame[0])).max(height / f64::from(frame[1]));
    // A side of a very long picture does not vanish.
    let size = [width, height].map(|side| ((side / ratio) as u32).max(1));
    let free = [frame[0] - size[0].min(frame[0]), frame[1] - size[1].min(frame[1])];
    let start = match border {
        Border::Around => free.map(|pixels| pixels / 2),
        Border::LeftTop => free,
    };
    Placement { size, start }
}

impl Placement {
    /// The camera of a picture in a `frame` where this is its place.
    pub fn pinhole(self, from: Pinhole, frame: [u32; 2]) -> Pinhole {
        from.scaled_to(self.size).placed_in(frame, self.start.map(i64::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 640 / 224 = 2.857.., 480 / 2.857.. = 168.0; 100 / 224 and 37 / 0.446.. = 82.88, 141 pixels are free.
    #[test]
    fn a_picture_keeps_its_aspect_and_an_odd_border_is_larger_at_the_end() {
        let placed = |input, border| place(input, [224, 224], border);
        assert_eq!(placed([640, 480], Border::Around), Placement { size: [224, 168], start: [0, 28] });
        assert_eq!(placed([640, 480], Border::LeftTop), Placement { size: [224, 168], start: [0, 56] });
        assert_eq!(placed([100, 37], Border::Around), Placement { size: [224, 82], start: [0, 71] });
        assert_eq!(placed([37, 100], Border::Around), Placement { size: [82, 224], start: [71, 0] });
        assert_eq!(place([200, 100], [50, 40], Border::Around), Placement { size: [50, 25], start: [0, 7] });
        assert_eq!(placed([4000, 3], Border::LeftTop), Placement { size: [224, 1], start: [0, 223] });
    }
}

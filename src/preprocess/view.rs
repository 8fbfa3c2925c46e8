//! A camera's [`View`], ready to run on its pictures; its table is built once.

use super::picture::Picture;
use super::undistort::Undistort;
use crate::types::{Flip, Optics, Pinhole, Region, Rotation, View};

/// Turns decoded pictures into what the policy is shown. Costs nothing where the view changes nothing.
#[derive(Default)]
pub(super) struct Viewer {
    undistort: Option<Undistort>,
    /// The camera of the whole straight picture, where somebody knows it.
    pinhole: Option<Pinhole>,
    region: Option<Region>,
    rotation: Rotation,
    flip: Option<Flip>,
    scratch: Picture,
}

/// Why a picture has no such view.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ViewError {
    #[error("picture of {} x {} pixels, its camera info is of {} x {}", .got[0], .got[1], .wanted[0], .wanted[1])]
    Size { got: [u32; 2], wanted: [u32; 2] },
    #[error("picture of {} x {} pixels does not hold {region:?}", .got[0], .got[1])]
    Region { got: [u32; 2], region: Region },
}

impl Viewer {
    pub fn new(view: &View) -> Self {
        let &View { ref optics, region, rotation, flip } = view;
        let mut viewer = Self { region, rotation, flip, ..Self::default() };
        if let Some(optics) = optics {
            viewer.see(optics);
        }
        viewer
    }

    /// Pictures were seen like this from now on; a table is built where a lens is another one than before.
    pub fn see(&mut self, optics: &Optics) {
        self.pinhole = Some(*optics.pinhole());
        match optics {
            Optics::Bent(lens) if self.undistort.as_ref().is_some_and(|undistort| undistort.lens() == lens) => {}
            Optics::Bent(lens) => self.undistort = Some(Undistort::new(lens)),
            Optics::Straight(_) => self.undistort = None,
        }
    }

    /// The camera of the view; `None` where nobody knows it, and of a mirrored picture, which no camera sees.
    pub fn pinhole(&self) -> Option<Pinhole> {
        let whole = self.pinhole.filter(|_| self.flip.is_none())?;
        let part = match self.region {
            None => whole,
            Some(Region { x, y, width, height }) => {
                whole.placed_in([width, height], [x, y].map(|start| -i64::from(start)))
            }
        };
        Some(part.turned(self.rotation))
    }

    /// Replaces `picture` by its view.
    pub fn apply(&mut self, picture: &mut Picture) -> Result<(), ViewError> {
        let got = [picture.width, picture.height];
        if let Some(Pinhole { size: wanted, .. }) = self.pinhole.filter(|pinhole| pinhole.size != got) {
            return Err(ViewError::Size { got, wanted });
        }
        if let Some(undistort) = &self.undistort {
            undistort.apply(picture, &mut self.scratch);
            std::mem::swap(picture, &mut self.scratch);
        }
        if self.region.is_some() || self.rotation != Rotation::Upright || self.flip.is_some() {
            self.turn(picture)?;
            std::mem::swap(picture, &mut self.scratch);
        }
        Ok(())
    }

    /// Copies the region, turned and mirrored, to the scratch picture.
    fn turn(&mut self, from: &Picture) -> Result<(), ViewError> {
        let got = [from.width, from.height];
        let region = self.region.unwrap_or(Region { x: 0, y: 0, width: from.width, height: from.height });
        if !region.lies_in(got) {
            return Err(ViewError::Region { got, region });
        }
        let [width, height] = match self.rotation {
            Rotation::Upright | Rotation::UpsideDown => [region.width, region.height],
            Rotation::Right | Rotation::Left => [region.height, region.width],
        };
        self.scratch.resize(width, height);
        let source = |x: i64, y: i64| {
            let [x, y] = self.before_turning([x, y], region);
            y * i64::from(from.width) + x
        };
        // Turning is affine: one step to the right or down is the same step in the source everywhere.
        let origin = source(0, 0);
        let [right, down] = [source(1, 0) - origin, source(0, 1) - origin];
        let pixels = from.rgb.as_chunks::<3>().0;
        let rows = self.scratch.rgb.as_chunks_mut::<3>().0.chunks_exact_mut(width as usize);
        for (start, row) in (0..).map(|y| origin + y * down).zip(rows) {
            for (index, to) in (0..).map(|x| start + x * right).zip(row) {
                *to = pixels[index as usize];
            }
        }
        Ok(())
    }

    /// Where a pixel of the result lies in the picture that `region` is cut from.
    fn before_turning(&self, [x, y]: [i64; 2], region: Region) -> [i64; 2] {
        let Region { x: left, y: top, .. } = region;
        let [right, bottom] = [region.width, region.height].map(|side| i64::from(side) - 1);
        let [x, y] = match (self.flip, self.rotation) {
            (None, _) => [x, y],
            (Some(Flip::Horizontal), Rotation::Upright | Rotation::UpsideDown) => [right - x, y],
            (Some(Flip::Horizontal), Rotation::Right | Rotation::Left) => [bottom - x, y],
            (Some(Flip::Vertical), Rotation::Upright | Rotation::UpsideDown) => [x, bottom - y],
            (Some(Flip::Vertical), Rotation::Right | Rotation::Left) => [x, right - y],
        };
        let [x, y] = match self.rotation {
            Rotation::Upright => [x, y],
            Rotation::Right => [y, bottom - x],
            Rotation::UpsideDown => [right - x, bottom - y],
            Rotation::Left => [right - y, x],
        };
        [i64::from(left) + x, i64::from(top) + y]
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;
    use crate::profile::Profile;

    /// 3 x 2 pixels whose red values are 1 to 6.
    fn small() -> Picture {
        Picture { width: 3, height: 2, rgb: (1..=6).flat_map(|red| [red, 100 + red, 200 + red]).collect() }
    }

    fn seen(view: &View, mut picture: Picture) -> Picture {
        Viewer::new(view).apply(&mut picture).unwrap();
        picture
    }

    /// Red values row by row.
    fn rows(rotation: Rotation, flip: Option<Flip>) -> Vec<Vec<u8>> {
        let picture = seen(&View { rotation, flip, ..View::default() }, small());
        let pixels: Vec<u8> = picture.rgb.as_chunks::<3>().0.iter().map(|[red, ..]| *red).collect();
        pixels.chunks(picture.width as usize).map(<[u8]>::to_vec).collect()
    }

    /// The view of a camera with these fields in its profile.
    fn camera(fields: &str) -> View {
        let head = "format: 1\nrobot: r\noutputs: []\ninputs:\n";
        let camera = format!("- {{kind: camera, camera: front, transport: raw, max_age_ms: 50, {fields}}}\n");
        let profile = Profile::parse(&format!("{head}{camera}"), "tests/data/pictures/profile.yaml").unwrap();
        profile.cameras()[0].view.clone()
    }

    #[test]
    fn a_picture_turns_clockwise_and_is_then_mirrored() {
        assert_eq!(rows(Rotation::Upright, None), [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(rows(Rotation::Right, None), [[4, 1], [5, 2], [6, 3]]);
        assert_eq!(rows(Rotation::UpsideDown, None), [[6, 5, 4], [3, 2, 1]]);
        assert_eq!(rows(Rotation::Left, None), [[3, 6], [2, 5], [1, 4]]);
        let [horizontal, vertical] = [Some(Flip::Horizontal), Some(Flip::Vertical)];
        assert_eq!(rows(Rotation::Upright, horizontal), [[3, 2, 1], [6, 5, 4]]);
        assert_eq!(rows(Rotation::Right, horizontal), [[1, 4], [2, 5], [3, 6]]);
        assert_eq!(rows(Rotation::Right, vertical), [[6, 3], [5, 2], [4, 1]]);
        assert_eq!(rows(Rotation::UpsideDown, vertical), [[3, 2, 1], [6, 5, 4]]);
    }

    #[test]
    fn every_view_is_what_opencv_shows() {
        let expected = std::fs::read("tests/data/pictures/expected.safetensors").unwrap();
        let expected = SafeTensors::deserialize(&expected).unwrap();
        let picture = |name: &str| {
            let tensor = expected.tensor(name).unwrap();
            let &[height, width, 3] = tensor.shape() else { panic!("{name}") };
            Picture { width: width as u32, height: height as u32, rgb: tensor.data().to_vec() }
        };
        for lens in ["plumb_bob", "rational_polynomial"] {
            let straight = camera(&format!("undistort: {lens}.yaml"));
            assert_eq!(seen(&straight, picture("view.camera")), picture(&format!("view.{lens}")), "{lens}");
            let mut told = Viewer::default();
            for other in ["rational_polynomial", "plumb_bob", lens] {
                told.see(&camera(&format!("undistort: {other}.yaml")).optics.unwrap());
            }
            let mut by_message = picture("view.camera");
            told.apply(&mut by_message).unwrap();
            assert_eq!(by_message, picture(&format!("view.{lens}")), "the lens that was told last counts");
            let region = "region: {x: 3, y: 1, width: 20, height: 11}";
            let turned = camera(&format!("undistort: {lens}.yaml, {region}, rotate: 90, flip: vertical"));
            assert_eq!(seen(&turned, picture("view.camera")), picture(&format!("view.{lens}.turned")), "{lens}");
        }
    }

    /// By hand, from P 21, 23.5, 18.5, 14.25 of 37 x 29 pixels: the region begins at 3, 1 and has 20 x 11 pixels; turned
    /// right, its bottom row is the left column: 11 - 1 - (14.25 - 1).
    #[test]
    fn a_view_has_the_camera_of_its_own_pixels() {
        let seen = |fields: &str| Viewer::new(&camera(fields)).pinhole();
        let region = "region: {x: 3, y: 1, width: 20, height: 11}";
        let wanted = Pinhole { size: [11, 20], focal: [23.5, 21.0], center: [-3.25, 15.5] };
        for optics in ["undistort", "rectified"] {
            assert_eq!(seen(&format!("{optics}: plumb_bob.yaml, {region}, rotate: 90")), Some(wanted), "{optics}");
        }
        assert_eq!(seen("rectified: plumb_bob.yaml, flip: vertical"), None);
        assert_eq!(seen("width: 37, height: 29"), None);
    }

    #[test]
    fn a_rectified_picture_stays_as_it_is_and_has_the_size_of_its_camera_info() {
        let viewer = || Viewer::new(&camera("rectified: plumb_bob.yaml"));
        let mut picture = Picture { width: 37, height: 29, rgb: (0..37 * 29 * 3).map(|i| (i % 251) as u8).collect() };
        let before = picture.clone();
        viewer().apply(&mut picture).unwrap();
        assert!(picture == before);
        let refused = viewer().apply(&mut small()).unwrap_err().to_string();
        assert_eq!(refused, "picture of 3 x 2 pixels, its camera info is of 37 x 29");
    }

    #[test]
    fn a_picture_of_another_size_has_no_view() {
        let region = Region { x: 1, y: 0, width: 3, height: 2 };
        let view = View { region: Some(region), ..View::default() };
        let refused = Viewer::new(&view).apply(&mut small()).unwrap_err().to_string();
        assert_eq!(refused, "picture of 3 x 2 pixels does not hold Region { x: 1, y: 0, width: 3, height: 2 }");
    }
}

//! The newest transform of every frame, and the pose of one frame in another along them.
//!
//! Nothing is interpolated: a pose is as old as the oldest moving link of its chain.

use std::collections::BTreeMap;

use super::DropReason;
use super::stream::Held;
use crate::geometry::Pose;
use crate::time::Stamp;
use crate::types::Transform;

/// More frames than any robot has; beyond, new ones are refused, so that nobody can fill the memory.
const FRAMES: usize = 4096;

/// Frames by name, each with the link to its parent.
#[derive(Debug, Default)]
pub(super) struct Transforms(BTreeMap<String, Link>);

#[derive(Debug)]
struct Link {
    parent: String,
    pose: Pose,
    /// Stamp and arrival; `None` for a link that never moves.
    times: Option<[Stamp; 2]>,
}

impl Transforms {
    /// Makes a transform its frame's link, unless the one at hand is newer or the transform is none.
    pub fn put(&mut self, transform: Transform, received: Stamp, horizon: Stamp) -> Result<(), DropReason> {
        let Transform { parent, child, stamp, pose } = transform;
        let pose = match pose {
            Ok(pose) => pose,
            Err(error) => return Err(DropReason::Transform { child, error }),
        };
        let known = self.0.get(&child);
        if let (Some(Link { times: Some([newest, _]), .. }), Some(stamp)) = (known, stamp)
            && *newest <= horizon
            && stamp < *newest
        {
            return Err(DropReason::NotNewer { by: newest.since(stamp) });
        }
        if known.is_none() && self.0.len() >= FRAMES {
            return Err(DropReason::Frames { limit: FRAMES });
        }
        let times = stamp.map(|stamp| [stamp, received]);
        self.0.insert(child, Link { parent, pose, times });
        Ok(())
    }

    /// Forgets all links that move.
    pub fn forget(&mut self) {
        self.0.retain(|_, link| link.times.is_none());
    }

    /// Where `tip` is, seen from `base`; `None` where no chain joins them or nothing on it moves.
    pub fn look_up(&self, base: &str, tip: &str) -> Option<Held<Pose>> {
        let (up, down) = (self.ancestors(tip), self.ancestors(base));
        let (up_to, down_to) = meet(tip, &up, base, &down)?;
        let (up, down) = (up.get(..up_to)?, down.get(..down_to)?);
        let chained =
            |links: &[&Link]| links.iter().rev().map(|link| link.pose).reduce(|outer, inner| outer.then(&inner));
        let value = match (chained(down), chained(up)) {
            (Some(base), Some(tip)) => base.inverse().then(&tip),
            (Some(base), None) => base.inverse(),
            (None, Some(tip)) => tip,
            (None, None) => return None,
        };
        let times = || up.iter().chain(down).filter_map(|link| link.times);
        let stamp = times().map(|[stamp, _]| stamp).min()?;
        let received = times().map(|[_, received]| received).min()?;
        Some(Held { stamp, received, value })
    }

    /// Whether `frame` is on the way from `base` or `tip` to their root.
    pub fn is_between(&self, base: &str, tip: &str, frame: &str) -> bool {
        let above = |start: &str| start == frame || self.ancestors(start).iter().any(|link| link.parent == frame);
        above(base) || above(tip)
    }

    /// The links from `frame` to its root; a circle ends where it closes.
    fn ancestors(&self, frame: &str) -> Vec<&Link> {
        let mut links: Vec<&Link> = Vec::new();
        let mut at = frame;
        while let Some(link) = self.0.get(at) {
            if links.iter().any(|known| known.parent == link.parent) {
                break;
            }
            links.push(link);
            at = &link.parent;
        }
        links
    }
}

/// How many links lead from each frame to the first one that both have above them.
fn meet(tip: &str, up: &[&Link], base: &str, down: &[&Link]) -> Option<(usize, usize)> {
    let names = |start: &'_ str, links: &'_ [&Link]| -> Vec<String> {
        std::iter::once(start.to_owned()).chain(links.iter().map(|link| link.parent.clone())).collect()
    };
    let (up, down) = (names(tip, up), names(base, down));
    up.iter().enumerate().find_map(|(index, name)| Some((index, down.iter().position(|other| other == name)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PoseError;
    use crate::time::Span;

    fn at(ms: f64) -> Stamp {
        Stamp::from_ros(1000, 0) + Span::from_millis(ms)
    }

    fn link(parent: &str, child: &str, stamp: Option<f64>, pose: ([f64; 3], [f64; 4])) -> Transform {
        let (parent, child) = (parent.to_owned(), child.to_owned());
        Transform { parent, child, stamp: stamp.map(at), pose: Pose::new(pose.0, pose.1) }
    }

    const STRAIGHT: [f64; 4] = [0.0, 0.0, 0.0, 1.0];
    /// Half way round z.
    const TURNED: [f64; 4] = [0.0, 0.0, 1.0, 0.0];

    fn arm() -> Transforms {
        let mut arm = Transforms::default();
        for transform in [
            link("world", "base", None, ([10.0, 20.0, 0.0], TURNED)),
            link("base", "link", Some(5.0), ([0.0, 0.0, 1.0], TURNED)),
            link("link", "tool", Some(3.0), ([0.5, 0.25, 0.0], STRAIGHT)),
            link("world", "camera", None, ([0.0, 0.0, 2.0], STRAIGHT)),
        ] {
            arm.put(transform, at(6.0), at(100.0)).unwrap();
        }
        arm
    }

    #[test]
    fn a_chain_is_as_old_as_its_oldest_moving_link() {
        let found = arm().look_up("base", "tool").unwrap();
        assert_eq!((found.stamp, found.received), (at(3.0), at(6.0)));
        assert_eq!(found.value, Pose::new([-0.5, -0.25, 1.0], TURNED).unwrap());
    }

    #[test]
    fn frames_of_two_branches_meet_at_their_common_ancestor() {
        // The tool stands at (10, 20, 0) + (0.5, 0.25, 1), turned twice, in the world; the camera is 2 m above it.
        let found = arm().look_up("camera", "tool").unwrap().value;
        assert_eq!(found.position, [10.5, 20.25, -1.0]);
        assert!(found.rotation.angle_to(crate::geometry::Rotation::NONE) < 1e-12);
        let back = arm().look_up("tool", "camera").unwrap().value;
        assert_eq!(back.position, [-10.5, -20.25, 1.0]);
    }

    #[test]
    fn a_frame_is_seen_from_one_below_it() {
        let found = arm().look_up("tool", "base").unwrap().value;
        assert_eq!(found, Pose::new([-0.5, -0.25, -1.0], [0.0, 0.0, -1.0, 0.0]).unwrap());
    }

    #[test]
    fn a_chain_is_as_silent_as_its_link_that_came_first() {
        let mut arm = arm();
        arm.put(link("link", "tool", Some(9.0), ([0.5, 0.25, 0.0], STRAIGHT)), at(12.0), at(100.0)).unwrap();
        let found = arm.look_up("base", "tool").unwrap();
        assert_eq!((found.stamp, found.received), (at(5.0), at(6.0)));
    }

    #[test]
    fn what_lies_above_either_end_is_between_them() {
        let arm = arm();
        let between = ["world", "base", "link", "tool", "camera"].map(|frame| arm.is_between("camera", "tool", frame));
        assert_eq!(between, [true; 5]);
        assert!(!arm.is_between("base", "tool", "camera"));
    }

    #[test]
    fn frames_that_nothing_joins_or_moves_have_no_pose() {
        assert!(arm().look_up("base", "gripper").is_none());
        assert!(arm().look_up("world", "camera").is_none());
        assert!(arm().look_up("tool", "tool").is_none());
        let mut circle = Transforms::default();
        for (parent, child) in [("a", "b"), ("b", "c"), ("c", "a")] {
            circle.put(link(parent, child, Some(0.0), ([1.0; 3], STRAIGHT)), at(0.0), at(0.0)).unwrap();
        }
        circle.put(link("a", "beside", Some(0.0), ([1.0; 3], STRAIGHT)), at(0.0), at(0.0)).unwrap();
        assert!(circle.look_up("other", "c").is_none());
        assert!(circle.look_up("other", "beside").is_none());
    }

    #[test]
    fn older_and_broken_transforms_leave_the_link_as_it_is() {
        let mut arm = arm();
        let older = arm.put(link("base", "link", Some(4.0), ([9.0; 3], STRAIGHT)), at(7.0), at(100.0));
        assert_eq!(older, Err(DropReason::NotNewer { by: Span::from_millis(1.0) }));
        let broken = arm.put(link("base", "link", Some(8.0), ([0.0; 3], [0.0; 4])), at(8.0), at(100.0)).unwrap_err();
        assert_eq!(broken.to_string(), "frame `link`: the quaternion's length is 0, wanted 1");
        assert_eq!(
            broken,
            DropReason::Transform { child: "link".to_owned(), error: PoseError::Length { length: 0.0 } }
        );
        assert_eq!(arm.look_up("base", "tool").unwrap().value.position, [-0.5, -0.25, 1.0]);
        // A stamp from beyond the horizon does not stand in the way.
        arm.put(link("base", "link", Some(4.0), ([0.0; 3], STRAIGHT)), at(7.0), at(4.5)).unwrap();
        assert_eq!(arm.look_up("base", "tool").unwrap().value.position, [0.5, 0.25, 0.0]);
    }

    #[test]
    fn frames_without_end_are_refused() {
        let mut many = Transforms::default();
        let put = |many: &mut Transforms, index: usize| {
            many.put(link("root", &index.to_string(), Some(0.0), ([0.0; 3], STRAIGHT)), at(0.0), at(0.0))
        };
        (0..FRAMES).for_each(|index| put(&mut many, index).unwrap());
        assert_eq!(put(&mut many, FRAMES).unwrap_err().to_string(), "more than 4096 frames");
        put(&mut many, 0).unwrap();
    }
}

//! From URDF text to a [`Robot`]: everything that is read is checked, with its line.

use std::collections::BTreeMap;
use std::sync::Arc;

use roxmltree::{Document, Node};
use vla_bundle::RotationConvention;

use super::{Joint, Limits, Mimic, Motion, Robot};
use crate::geometry::{Pose, Rotation, norm};

/// Why a text is no robot.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UrdfError {
    /// Not XML, or with a document type, which no URDF has.
    #[error("robot description: not XML: {0}")]
    Xml(String),
    /// Another root element.
    #[error("robot description: the root element is `{0}`, wanted `robot`")]
    Root(String),
    /// Something missing or wrong at a place.
    #[error("robot description line {line}: {at}: {what}")]
    At {
        /// Line of the element.
        line: u32,
        /// The element: `joint `a` origin`.
        at: String,
        /// What is wrong.
        what: String,
    },
    /// Links and joints that are no tree.
    #[error("robot description: {0}")]
    Tree(String),
}

/// Axes that are shorter have no direction.
const SHORTEST: f64 = 1e-6;

pub(super) fn parse(text: &str) -> Result<Robot, UrdfError> {
    let document = Document::parse(text).map_err(|error| UrdfError::Xml(error.to_string()))?;
    let root = document.root_element();
    if root.tag_name().name() != "robot" {
        return Err(UrdfError::Root(root.tag_name().name().to_owned()));
    }
    let name = root.attribute("name").unwrap_or_default().to_owned();
    let mut links = BTreeMap::new();
    for link in children(root, "link") {
        let place = Place { node: link, at: "link".to_owned() };
        let name = place.text("name")?;
        if links.insert(Arc::from(name), None).is_some() {
            return Err(place.wrong(format!("`{name}` is there twice")));
        }
    }
    let mut joints: Vec<Joint> = Vec::new();
    let mut by_name = BTreeMap::new();
    for node in children(root, "joint") {
        let (place, joint) = read_joint(node)?;
        if by_name.insert(Arc::clone(&joint.name), joints.len()).is_some() {
            return Err(place.wrong("it is there twice".to_owned()));
        }
        if !links.contains_key(&joint.parent) {
            return Err(place.wrong(format!("no link `{}` to be its parent", joint.parent)));
        }
        match links.get_mut(&joint.child) {
            None => return Err(place.wrong(format!("no link `{}` to be its child", joint.child))),
            Some(Some(_)) => return Err(place.wrong(format!("link `{}` has another parent already", joint.child))),
            Some(above) => *above = Some(joints.len()),
        }
        joints.push(joint);
    }
    check_mimics(&joints, &by_name)?;
    let robot = Robot { name, links, joints };
    check_tree(&robot)?;
    Ok(robot)
}

fn read_joint<'a, 'i>(node: Node<'a, 'i>) -> Result<(Place<'a, 'i>, Joint), UrdfError> {
    let name = Place { node, at: "joint".to_owned() }.text("name")?;
    let place = Place { node, at: format!("joint `{name}`") };
    let origin = place.child("origin").map_or(Ok(NOWHERE), |origin| read_origin(&origin))?;
    let link = |tag: &'static str| place.wanted_child(tag).and_then(|child| child.text("link").map(Arc::from));
    let (parent, child) = (link("parent")?, link("child")?);
    let mimic = place.child("mimic").map(|mimic| read_mimic(&mimic)).transpose()?;
    let motion = read_motion(&place)?;
    Ok((place, Joint { name: Arc::from(name), parent, child, origin, motion, mimic }))
}

const NOWHERE: Pose = Pose { position: [0.0; 3], rotation: Rotation::NONE };

fn read_origin(place: &Place<'_, '_>) -> Result<Pose, UrdfError> {
    let position = place.vector("xyz")?.unwrap_or_default();
    let turn = place.vector("rpy")?.unwrap_or_default();
    let rotation = Rotation::read(RotationConvention::EulerXyz, &turn);
    let rotation = rotation.ok_or_else(|| place.wrong("`rpy` is no rotation".to_owned()))?;
    Ok(Pose { position, rotation })
}

fn read_mimic(place: &Place<'_, '_>) -> Result<Mimic, UrdfError> {
    let number = |name: &str, otherwise: f64| place.number(name).map(|value| value.unwrap_or(otherwise));
    Ok(Mimic {
        joint: Arc::from(place.text("joint")?),
        multiplier: number("multiplier", 1.0)?,
        offset: number("offset", 0.0)?,
    })
}

fn read_motion(place: &Place<'_, '_>) -> Result<Motion, UrdfError> {
    Ok(match place.text("type")? {
        "fixed" => Motion::Fixed,
        "revolute" => Motion::Revolute { axis: read_axis(place)?, limits: read_limits(place)? },
        "prismatic" => Motion::Prismatic { axis: read_axis(place)?, limits: read_limits(place)? },
        "continuous" => {
            let velocity = place.child("limit").map(|limit| limit.number("velocity")).transpose()?.flatten();
            Motion::Continuous { axis: read_axis(place)?, velocity }
        }
        "floating" => Motion::Free { kind: "floating" },
        "planar" => Motion::Free { kind: "planar" },
        other => {
            let wanted = "wanted fixed, revolute, continuous, prismatic, planar or floating";
            return Err(place.wrong(format!("`type` is `{other}`, {wanted}")));
        }
    })
}

/// The x axis where the URDF does not say.
fn read_axis(place: &Place<'_, '_>) -> Result<[f64; 3], UrdfError> {
    let Some(axis) = place.child("axis") else { return Ok([1.0, 0.0, 0.0]) };
    let xyz = axis.vector("xyz")?.ok_or_else(|| axis.wrong("no `xyz`".to_owned()))?;
    let length = norm(xyz);
    if length.is_finite() && length > SHORTEST {
        Ok(xyz.map(|part| part / length))
    } else {
        Err(axis.wrong(format!("`xyz` is {length} long, wanted a direction")))
    }
}

/// `lower` and `upper` are 0 where the URDF does not say, as its specification has it.
fn read_limits(place: &Place<'_, '_>) -> Result<Limits, UrdfError> {
    let limit = place.wanted_child("limit")?;
    let lower = limit.number("lower")?.unwrap_or_default();
    let upper = limit.number("upper")?.unwrap_or_default();
    if lower > upper {
        return Err(limit.wrong(format!("`lower` is {lower} and `upper` is {upper}, wanted two numbers in this order")));
    }
    Ok(Limits { lower, upper, velocity: limit.number("velocity")? })
}

fn check_mimics(joints: &[Joint], by_name: &BTreeMap<Arc<str>, usize>) -> Result<(), UrdfError> {
    let follows = |joint: &Joint| joint.mimic.as_ref().map(|mimic| by_name.get(&mimic.joint));
    // 0: not looked at; otherwise the number of the walk that came by.
    let mut seen = vec![0; joints.len()];
    for (walk, first) in joints.iter().enumerate() {
        let mut at = walk;
        while let Some(mimicked) = joints.get(at).and_then(follows) {
            if seen[at] == walk + 1 {
                return Err(UrdfError::Tree(format!("joint `{}` mimics itself in the end", first.name)));
            }
            if seen[at] != 0 {
                break;
            }
            seen[at] = walk + 1;
            let Some(next) = mimicked else {
                return Err(UrdfError::Tree(format!("joint `{}` mimics a joint that is not there", joints[at].name)));
            };
            at = *next;
        }
    }
    Ok(())
}

fn check_tree(robot: &Robot) -> Result<(), UrdfError> {
    let mut roots = robot.links.iter().filter(|(_, above)| above.is_none()).map(|(link, _)| link);
    let root = match (roots.next(), roots.next()) {
        (Some(root), None) => root,
        (Some(one), Some(other)) => {
            return Err(UrdfError::Tree(format!("links `{one}` and `{other}` both have no parent, wanted one root")));
        }
        (None, _) => return Err(UrdfError::Tree("no link is the root".to_owned())),
    };
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for joint in &robot.joints {
        below.entry(&joint.parent).or_default().push(&joint.child);
    }
    let (mut open, mut reached) = (vec![&**root], 0);
    while let Some(link) = open.pop() {
        reached += 1;
        open.extend(below.remove(link).unwrap_or_default());
    }
    if reached < robot.links.len() {
        return Err(UrdfError::Tree(format!("{} links are their own parents in the end", robot.links.len() - reached)));
    }
    Ok(())
}

fn children<'a, 'i>(node: Node<'a, 'i>, tag: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == tag)
}

/// An element and how errors call it.
struct Place<'a, 'i> {
    node: Node<'a, 'i>,
    at: String,
}

impl<'a, 'i> Place<'a, 'i> {
    fn child(&self, tag: &'static str) -> Option<Place<'a, 'i>> {
        children(self.node, tag).next().map(|node| Place { node, at: format!("{} {tag}", self.at) })
    }

    fn wanted_child(&self, tag: &'static str) -> Result<Place<'a, 'i>, UrdfError> {
        self.child(tag).ok_or_else(|| self.wrong(format!("no `{tag}`")))
    }

    fn text(&self, name: &str) -> Result<&'a str, UrdfError> {
        self.node.attribute(name).ok_or_else(|| self.wrong(format!("no `{name}`")))
    }

    fn number(&self, name: &str) -> Result<Option<f64>, UrdfError> {
        let Some(text) = self.node.attribute(name) else { return Ok(None) };
        let value = finite(text.trim());
        value.map(Some).ok_or_else(|| self.wrong(format!("`{name}` is `{text}`, wanted a number")))
    }

    fn vector(&self, name: &str) -> Result<Option<[f64; 3]>, UrdfError> {
        let Some(text) = self.node.attribute(name) else { return Ok(None) };
        let numbers: Option<Vec<f64>> = text.split_whitespace().map(finite).collect();
        let vector = numbers.and_then(|numbers| <[f64; 3]>::try_from(numbers).ok());
        vector.map(Some).ok_or_else(|| self.wrong(format!("`{name}` is `{text}`, wanted three numbers")))
    }

    fn wrong(&self, what: String) -> UrdfError {
        let line = self.node.document().text_pos_at(self.node.range().start).row;
        UrdfError::At { line, at: self.at.clone(), what }
    }
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

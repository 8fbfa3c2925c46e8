//! Which topics of a bag the deployment listens to, and samples out of their messages.

use std::sync::Arc;

use super::ReplayError;
use crate::bag::{BagReader, RawMessage, Topic};
use crate::deploy::{Deployment, EStopInput, EStopMessage, EefSource, TF_STATIC_TOPIC, TF_TOPIC};
use crate::drive::ros_args::RosArgs;
use crate::msg::{
    Bool, CameraInfo, CompressedImage, Empty, Float64MultiArray, Image, JointState, Joy, Message, PoseStamped,
    StringMessage, TFMessage, TypeName,
};
use crate::time::Stamp;
use crate::types::{Arrives, Frame, Sample, Switch, Value};

const COMPRESSED: &str = "/compressed";
const PICTURES: [TypeName; 2] = [Image::TYPE, CompressedImage::TYPE];

/// The deployment's inputs by their topics in the bag.
#[derive(Debug, PartialEq)]
pub(super) struct Streams(Vec<(String, Stream)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Image(usize),
    CompressedImage(usize),
    CameraInfo(usize, Arrives),
    Joints,
    Pose,
    Transforms,
    FixedTransforms,
    Array,
    Instruction,
    EStop(usize),
    Heartbeat(usize),
    /// The button with this index.
    Deadman(usize),
    Takeover,
}

impl Streams {
    /// Finds every input. A camera's pictures are taken raw or compressed, as the bag has them; the instruction may be
    /// absent where the parameters give a task.
    pub fn find(deployment: &Deployment, names: &RosArgs, bag: &BagReader) -> Result<Self, ReplayError> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (index, camera) in deployment.cameras().iter().enumerate() {
            let topic = names.resolve(&camera.topic)?;
            match picture_topic(bag, &topic) {
                Some(topic) if CompressedImage::TYPE.matches(&topic.type_name) => {
                    found.push((topic.name.clone(), Stream::CompressedImage(index)));
                }
                Some(topic) => found.push((topic.name.clone(), Stream::Image(index))),
                None => missing.push(format!("{} (camera `{}`)", wanted(bag, &topic, &PICTURES), camera.name)),
            }
            let Some(info) = &camera.camera_info else { continue };
            let topic = names.resolve(&info.topic)?;
            if has(bag, &topic, CameraInfo::TYPE) {
                found.push((topic, Stream::CameraInfo(index, info.arrives)));
            } else {
                let wanted = wanted(bag, &topic, &[CameraInfo::TYPE]);
                missing.push(format!("{wanted} (camera info of `{}`)", camera.name));
            }
        }
        if let Some(joints) = deployment.joints() {
            let topic = names.resolve(&joints.topic)?;
            if has(bag, &topic, JointState::TYPE) {
                found.push((topic, Stream::Joints));
            } else {
                missing.push(format!("{} (joint states)", wanted(bag, &topic, &[JointState::TYPE])));
            }
        }
        for (topic, kind, stream) in state_topics(deployment) {
            let topic = names.resolve(topic)?;
            if has(bag, &topic, kind) {
                found.push((topic, stream));
            } else if stream != Stream::FixedTransforms {
                // A robot whose frames all move has no fixed ones.
                missing.push(format!("{} (state)", wanted(bag, &topic, &[kind])));
            }
        }
        for (topic, kind, stream) in switch_topics(deployment) {
            let topic = names.resolve(topic)?;
            if has(bag, &topic, kind) {
                found.push((topic, stream));
            } else if stream != Stream::Takeover {
                // Whoever never took over need not have said so.
                missing.push(format!("{} (interlock)", wanted(bag, &topic, &[kind])));
            }
        }
        let topic = names.resolve(deployment.instruction_topic())?;
        if has(bag, &topic, StringMessage::TYPE) {
            found.push((topic, Stream::Instruction));
        } else if deployment.task().is_none() {
            let wanted = wanted(bag, &topic, &[StringMessage::TYPE]);
            missing.push(format!("{wanted} (instruction; parameter `task` would do)"));
        }
        if missing.is_empty() { Ok(Self(found)) } else { Err(ReplayError::missing(&missing, bag)) }
    }

    /// Whether messages on `topic` become samples.
    pub fn listen_to(&self, topic: &str) -> bool {
        self.0.iter().any(|(known, _)| known == topic)
    }

    /// The samples of one message: one, none where nobody listens, more where cameras share a topic.
    ///
    /// It arrived at `received`. A message that cannot be used is an `Err` in words, as it is to the node.
    pub fn samples(&self, message: &RawMessage, received: Stamp) -> Vec<Result<Sample, String>> {
        let listening = self.0.iter().filter(|(topic, _)| topic == message.topic);
        listening.map(|(_, stream)| stream.sample(message, received)).collect()
    }
}

fn has(bag: &BagReader, topic: &str, kind: TypeName) -> bool {
    bag.topic(topic).is_ok_and(|found| kind.matches(&found.type_name))
}

/// The topic, and what it should be where the bag has it as something else.
fn wanted(bag: &BagReader, topic: &str, kinds: &[TypeName]) -> String {
    let kinds: Vec<_> = kinds.iter().map(ToString::to_string).collect();
    match bag.topic(topic) {
        Ok(_) => format!("`{topic}` as {}", kinds.join(" or ")),
        Err(_) => format!("`{topic}`"),
    }
}

/// Topics that tell the state beside the joints.
fn state_topics(deployment: &Deployment) -> Vec<(&str, TypeName, Stream)> {
    let mut topics = match deployment.eef().map(|eef| &eef.source) {
        Some(EefSource::Topic { topic, .. }) => vec![(topic.as_str(), PoseStamped::TYPE, Stream::Pose)],
        Some(EefSource::Frames { .. }) => vec![
            (TF_TOPIC, TFMessage::TYPE, Stream::Transforms),
            (TF_STATIC_TOPIC, TFMessage::TYPE, Stream::FixedTransforms),
        ],
        None => Vec::new(),
    };
    topics.extend(deployment.array().map(|array| (array.topic.as_str(), Float64MultiArray::TYPE, Stream::Array)));
    topics
}

/// What a person stops the robot with.
fn switch_topics(deployment: &Deployment) -> Vec<(&str, TypeName, Stream)> {
    let rules = deployment.interlocks();
    let mut topics = Vec::new();
    for (index, EStopInput { topic, message, .. }) in rules.estops.iter().enumerate() {
        topics.push(match message {
            EStopMessage::Bool => (topic.as_str(), Bool::TYPE, Stream::EStop(index)),
            EStopMessage::Empty => (topic.as_str(), Empty::TYPE, Stream::Heartbeat(index)),
        });
    }
    topics.extend(rules.deadman.iter().map(|deadman| (&*deadman.topic, Joy::TYPE, Stream::Deadman(deadman.button))));
    topics.extend(rules.takeover.iter().map(|topic| (topic.as_str(), Bool::TYPE, Stream::Takeover)));
    topics
}

/// `topic` itself, or what stands beside it when pictures are recorded the other way.
fn picture_topic<'b>(bag: &'b BagReader, topic: &str) -> Option<&'b Topic> {
    let is_picture = |found: &&Topic| PICTURES.iter().any(|kind| kind.matches(&found.type_name));
    let beside = topic.strip_suffix(COMPRESSED).map_or_else(|| format!("{topic}{COMPRESSED}"), str::to_owned);
    [topic, &beside].into_iter().find_map(|name| bag.topic(name).ok().filter(is_picture))
}

impl Stream {
    fn sample(self, message: &RawMessage, received: Stamp) -> Result<Sample, String> {
        let switch = |switch, on| (received, Value::Switch { switch, on });
        let frame = |camera, frame: Frame| Value::Frame { camera, frame: Arc::new(frame) };
        let (stamp, value) = match self {
            Stream::Image(camera) => {
                let image: Image = message.decode().map_err(|e| e.to_string())?;
                (image.header.stamp.into(), frame(camera, image.to_frame().map_err(|e| e.to_string())?))
            }
            Stream::CompressedImage(camera) => {
                let image: CompressedImage = message.decode().map_err(|e| e.to_string())?;
                (image.header.stamp.into(), frame(camera, image.to_frame().map_err(|e| e.to_string())?))
            }
            Stream::CameraInfo(camera, arrives) => {
                let info: CameraInfo = message.decode().map_err(|e| e.to_string())?;
                let optics = Arc::new(info.to_optics(arrives).map_err(|e| e.to_string())?);
                (received, Value::Optics { camera, optics })
            }
            Stream::Joints => {
                let joints: JointState = message.decode().map_err(|e| e.to_string())?;
                (Stamp::from(joints.header.stamp), Value::Joints(joints.to_joints().map_err(|e| e.to_string())?))
            }
            Stream::Pose => {
                let pose: PoseStamped = message.decode().map_err(|e| e.to_string())?;
                (Stamp::from(pose.header.stamp), Value::Pose(pose.to_pose().map_err(|e| e.to_string())?))
            }
            Stream::Transforms => {
                let tf: TFMessage = message.decode().map_err(|e| e.to_string())?;
                (received, Value::Transforms(tf.moving()))
            }
            Stream::FixedTransforms => {
                let tf: TFMessage = message.decode().map_err(|e| e.to_string())?;
                (received, Value::Transforms(tf.fixed()))
            }
            Stream::Array => {
                let array: Float64MultiArray = message.decode().map_err(|e| e.to_string())?;
                (received, Value::Array(array.data))
            }
            Stream::EStop(index) => {
                let flag: Bool = message.decode().map_err(|e| e.to_string())?;
                switch(Switch::EStop(index), flag.data)
            }
            Stream::Heartbeat(index) => {
                let _: Empty = message.decode().map_err(|e| e.to_string())?;
                switch(Switch::EStop(index), false)
            }
            Stream::Deadman(button) => {
                let joy: Joy = message.decode().map_err(|e| e.to_string())?;
                switch(Switch::Deadman, joy.is_held(button))
            }
            Stream::Takeover => {
                let flag: Bool = message.decode().map_err(|e| e.to_string())?;
                switch(Switch::Takeover, flag.data)
            }
            Stream::Instruction => {
                let text: StringMessage = message.decode().map_err(|e| e.to_string())?;
                (received, Value::Instruction(text.data.into()))
            }
        };
        Ok(Sample { stamp, received, value })
    }
}

//! Bundle + robot profile + run parameters = one checked [`Deployment`].
//!
//! The three documents own different facts; here they meet, and every mismatch is listed at once.
//! Holding a [`Deployment`] is the proof that this policy can drive this robot today.

mod declared;
mod eef;
mod flight;
mod inputs;
mod interlocks;
mod output;
mod outputs;
mod parameters;
#[cfg(test)]
pub(crate) mod samples;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use vla_bundle::{Bundle, Io, RotationConvention, Unit};

use crate::execute::{Execution, Feasibility};
use crate::profile::{Profile, Transport};
use crate::time::Span;
use crate::types::{Arrives, View};

pub use crate::profile::Align;
pub use declared::{Declared, ParamKind, Setting, declare};
pub use flight::FlightRules;
pub use interlocks::{AfterRelease, DeadmanInput, EStopInput, EStopMessage, InterlockRules, StartRule};
pub use output::{
    Aim, Content, Form, Output, OutputDim, PoseRule, PositionRule, Rest, RotationRule, Rule, Term, TwistRule,
};
pub use parameters::{Motion, ParamValue, ParameterError, RunParameters};

/// A policy, a robot and a way to run that fit together.
#[derive(Clone, Debug)]
pub struct Deployment {
    bundle_digest: String,
    robot: String,
    cameras: Vec<CameraInput>,
    joints: Option<JointsInput>,
    eef: Option<EefInput>,
    array: Option<ArrayInput>,
    state: Option<Vec<StateValue>>,
    instruction_topic: String,
    action_chunk_topic: String,
    outputs: Vec<Output>,
    actions: Vec<Action>,
    chunk_size: usize,
    action_dt: Span,
    control_dt: Span,
    actuation_latency: Span,
    parameters: RunParameters,
}

/// Where a camera's frames come from.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraInput {
    /// Name in the bundle.
    pub name: Arc<str>,
    /// Topic as written: absolute, relative or private (`~/`).
    pub topic: String,
    /// Message type.
    pub transport: Transport,
    /// Oldest frame that may be used.
    pub max_age: Span,
    /// Whether the same picture may come again and again.
    pub may_stand_still: bool,
    /// Which picture belongs to the anchor camera's.
    pub align: Align,
    /// Time from the light to the message's stamp.
    pub latency: Span,
    /// Width and height that its pictures have; `None` where any will do.
    pub size: Option<[u32; 2]>,
    /// Its `sensor_msgs/CameraInfo`; `None` where nobody needs it.
    pub camera_info: Option<InfoInput>,
    /// What is done to every picture before the policy's own steps.
    pub view: View,
}

/// Where a camera's infos come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoInput {
    /// Topic as written: absolute, relative or private (`~/`).
    pub topic: String,
    /// What the pictures are that it is about.
    pub arrives: Arrives,
}

/// Where joint positions come from.
#[derive(Clone, Debug, PartialEq)]
pub struct JointsInput {
    /// Topic as written: absolute, relative or private (`~/`).
    pub topic: String,
    /// Oldest position that may be used.
    pub max_age: Span,
    /// Which positions belong to a picture.
    pub align: Align,
    /// Joints that are wanted, in the order of the measured vector; a message may hold some of them.
    pub names: Vec<Arc<str>>,
}

/// Where the end effector's pose comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct EefInput {
    /// A topic or two frames.
    pub source: EefSource,
    /// Oldest pose that may be used.
    pub max_age: Span,
    /// Which pose belongs to a picture.
    pub align: Align,
}

/// Where the end effector's pose comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum EefSource {
    /// `geometry_msgs/PoseStamped`.
    Topic {
        /// Topic as written: absolute, relative or private (`~/`).
        topic: String,
        /// Frame from which the pose is seen.
        frame: Arc<str>,
    },
    /// [`TF_TOPIC`] and [`TF_STATIC_TOPIC`].
    Frames {
        /// Frame from which the pose is seen.
        base: Arc<str>,
        /// Frame of the end effector.
        tip: Arc<str>,
    },
}

/// Transforms that move, `tf2_msgs/TFMessage`.
pub const TF_TOPIC: &str = "/tf";
/// Transforms that never move, latched, `tf2_msgs/TFMessage`.
pub const TF_STATIC_TOPIC: &str = "/tf_static";

/// Where state values without names come from.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayInput {
    /// Topic as written: absolute, relative or private (`~/`).
    pub topic: String,
    /// Oldest message that may be used, by its arrival.
    pub max_age: Span,
    /// Which message belongs to a picture, by its arrival.
    pub align: Align,
    /// Values in every message.
    pub size: usize,
    /// Indices of the values that are used.
    pub used: Vec<usize>,
}

/// What a state value is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A joint's position: an index into [`JointsInput::names`].
    Joint(usize),
    /// The end effector's position along axis 0, 1 or 2, m.
    EefPosition(usize),
    /// A component of the end effector's rotation.
    EefRotation(RotationConvention, usize),
    /// A value of the state array.
    Element(usize),
}

/// How one state value comes from what is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateValue {
    /// What it is made of.
    pub from: Measure,
    /// From the robot's unit to the policy's.
    pub line: Line,
}

/// `gain * x + bias`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Factor: sign and unit.
    pub gain: f64,
    /// Added afterwards.
    pub bias: f64,
}

impl Line {
    /// Value of the line at `x`.
    pub fn at(self, x: f64) -> f64 {
        self.gain * x + self.bias
    }
}

/// One action dimension of the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Name.
    pub name: Arc<str>,
    /// Unit of the un-normalised value.
    pub unit: Unit,
}

/// Every way in which the three documents do not fit together.
#[derive(Debug, thiserror::Error)]
#[error("bundle, profile and parameters do not fit together: {}", .0.join("; "))]
pub struct DeployError(pub Vec<String>);

impl Deployment {
    /// Fits the three documents together.
    ///
    /// # Errors
    /// [`DeployError`] lists every mismatch at once.
    pub fn check(bundle: &Bundle, profile: &Profile, parameters: RunParameters) -> Result<Self, DeployError> {
        let manifest = bundle.manifest();
        let mut problems = Vec::new();
        let cameras = inputs::cameras(&manifest.streams, profile, &parameters, &mut problems);
        schedule(manifest.actions.chunk_size, &parameters, &mut problems);
        let Some(io) = &manifest.io else {
            problems.push(UNNAMED.to_owned());
            return Err(DeployError(problems));
        };
        rate(io, &parameters, &mut problems);
        control_rate(io, profile, &mut problems);
        let joints = inputs::Joints::wanted(&io.state, profile);
        let state = state::state(&io.state, profile, &joints, &mut problems);
        let outputs = outputs::outputs(io, profile, &joints, &mut problems);
        let outputs = outputs::on_topics(outputs, &parameters, &mut problems);
        if !problems.is_empty() {
            return Err(DeployError(problems));
        }
        let topics = parameters.topics.clone();
        let instruction = topics.instruction.or_else(|| profile.instruction_topic().map(str::to_owned));
        Ok(Self {
            bundle_digest: bundle.digest().to_owned(),
            robot: profile.robot().to_owned(),
            cameras,
            joints: joints.into_input(topics.joint_states),
            eef: inputs::eef(profile, &state),
            array: inputs::array(profile, &state),
            state: manifest.streams.state.as_ref().map(|_| state),
            instruction_topic: instruction.unwrap_or_else(|| "~/instruction".to_owned()),
            action_chunk_topic: topics.action_chunk.unwrap_or_else(|| "~/action_chunk".to_owned()),
            outputs,
            actions: io.actions.iter().map(|dim| Action { name: dim.name.as_str().into(), unit: dim.unit }).collect(),
            chunk_size: manifest.actions.chunk_size,
            action_dt: Span::from_secs(1.0 / io.rate_hz),
            control_dt: profile.control_rate_hz().map_or(UNSAMPLED, |rate| Span::from_secs(1.0 / rate)),
            actuation_latency: Span::from_millis(profile.actuation_latency_ms()),
            parameters,
        })
    }

    /// Lower-case hex sha256 of the bundle's manifest.
    pub fn bundle_digest(&self) -> &str {
        &self.bundle_digest
    }

    /// The robot's name, for people.
    pub fn robot(&self) -> &str {
        &self.robot
    }

    /// Cameras in the bundle's order; the first is the anchor.
    pub fn cameras(&self) -> &[CameraInput] {
        &self.cameras
    }

    /// The cameras' views, in the bundle's order.
    pub fn views(&self) -> impl Iterator<Item = &View> {
        self.cameras.iter().map(|camera| &camera.view)
    }

    /// Joint positions; `None` where neither the state nor an output needs them.
    pub fn joints(&self) -> Option<&JointsInput> {
        self.joints.as_ref()
    }

    /// The end effector's pose; `None` where nothing needs it.
    pub fn eef(&self) -> Option<&EefInput> {
        self.eef.as_ref()
    }

    /// State values without names; `None` where nothing needs them.
    pub fn array(&self) -> Option<&ArrayInput> {
        self.array.as_ref()
    }

    /// The state vector in the bundle's order; `None` where the policy takes none.
    pub fn state(&self) -> Option<&[StateValue]> {
        self.state.as_deref()
    }

    /// Topic of the instruction (`std_msgs/String`).
    pub fn instruction_topic(&self) -> &str {
        &self.instruction_topic
    }

    /// Topic of the chunks (`vla_msgs/ActionChunk`).
    pub fn action_chunk_topic(&self) -> &str {
        &self.action_chunk_topic
    }

    /// Topics that move the robot; together they carry every action once.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Action dimensions in the bundle's order.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Steps predicted per inference.
    pub fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Steps executed per inference, 1 to [`Self::chunk_size`].
    pub fn n_action_steps(&self) -> usize {
        self.parameters.n_action_steps
    }

    /// Time from one action row to the next.
    pub fn action_dt(&self) -> Span {
        self.action_dt
    }

    /// Time from one sample of a command to the next; where no output is sampled, time is only counted so.
    pub fn control_dt(&self) -> Span {
        self.control_dt
    }

    /// Time from a command to the motion that it makes.
    pub fn actuation_latency(&self) -> Span {
        self.actuation_latency
    }

    /// How far a command reaches before it begins to stop.
    pub fn horizon(&self) -> Span {
        self.parameters.horizon
    }

    /// Longer than this nothing is late: then the clock or the process stood still, and nobody knows where the robot is.
    pub fn longest_gap(&self) -> Span {
        Span::from_nanos(self.parameters.horizon.nanos() / 2)
    }

    /// How chunks follow each other.
    pub fn execution(&self) -> Execution {
        self.parameters.execution
    }

    /// Oldest observation whose chunk may still begin.
    pub fn max_observation_age(&self) -> Span {
        let chunk = self.action_dt.times(self.parameters.n_action_steps.saturating_sub(1) as i64);
        self.parameters.max_observation_age.unwrap_or(chunk)
    }

    /// Whether a policy answers in time.
    pub fn feasibility(&self) -> Feasibility {
        Feasibility {
            execution: self.execution(),
            n_action_steps: self.n_action_steps(),
            chunk_size: self.chunk_size,
            action_dt: self.action_dt,
            camera_latency: self.cameras.first().map_or(Span::ZERO, |camera| camera.latency),
            actuation_latency: self.actuation_latency,
            max_observation_age: self.max_observation_age(),
        }
    }

    /// Beat of the inferences: at most one starts per period.
    pub fn inference_period(&self) -> Span {
        Span::from_secs(1.0 / self.parameters.inference_rate_hz)
    }

    /// Largest difference between the anchor's stamp and another stream's, and between a stamp ahead of us and now.
    pub fn max_skew(&self) -> Span {
        self.parameters.max_skew
    }

    /// How long before the newest sample one may lie that still belongs to a picture.
    pub fn longest_look_back(&self) -> Span {
        let anchor = self.cameras.first().map_or(Span::ZERO, |camera| camera.max_age);
        anchor + self.parameters.max_skew.times(2)
    }

    /// Inference latency that replay assumes where the bag does not say it.
    pub fn assumed_latency(&self) -> Span {
        self.parameters.assumed_latency
    }

    /// Seed of the noise that a denoising starts from; the inference's number is its stream.
    pub fn noise_seed(&self) -> u64 {
        self.parameters.noise_seed
    }

    /// Whether commands leave the process.
    pub fn motion(&self) -> Motion {
        self.parameters.motion
    }

    /// The instruction until one arrives.
    pub fn task(&self) -> Option<&str> {
        self.parameters.task.as_deref()
    }

    /// What else has a say in whether the robot moves.
    pub fn interlocks(&self) -> &InterlockRules {
        &self.parameters.interlocks
    }

    /// The run parameters it was checked with.
    pub fn parameters(&self) -> &RunParameters {
        &self.parameters
    }
}

/// So finely executed time is counted where no output is sampled.
const UNSAMPLED: Span = Span::from_nanos(10_000_000);

const UNNAMED: &str = "the bundle does not say what its action and state dimensions mean (`io` is absent), so nothing \
                       can be moved by it: export it with an IO file";

fn schedule(chunk_size: usize, parameters: &RunParameters, problems: &mut Vec<String>) {
    if parameters.n_action_steps > chunk_size {
        problems.push(format!(
            "parameter `n_action_steps` is {}, the bundle predicts {chunk_size} steps",
            parameters.n_action_steps
        ));
    }
}

fn rate(io: &Io, parameters: &RunParameters, problems: &mut Vec<String>) {
    if parameters.inference_rate_hz > io.rate_hz {
        problems.push(format!(
            "parameter `inference_rate_hz` is {}, the policy acts at {} Hz",
            parameters.inference_rate_hz, io.rate_hz
        ));
    }
}

fn control_rate(io: &Io, profile: &Profile, problems: &mut Vec<String>) {
    if let Some(rate) = profile.control_rate_hz()
        && rate < io.rate_hz
    {
        problems.push(format!("`control_rate_hz` of the profile is {rate}, the policy acts at {} Hz", io.rate_hz));
    }
}

/// Factor from one unit to another of the same quantity; `None` for another quantity.
fn factor(from: Unit, to: Unit) -> Option<f64> {
    match (from, to) {
        _ if from == to => Some(1.0),
        (Unit::Rad, Unit::Deg) => Some(1.0_f64.to_degrees()),
        (Unit::Deg, Unit::Rad) => Some(1.0_f64.to_radians()),
        _ => None,
    }
}

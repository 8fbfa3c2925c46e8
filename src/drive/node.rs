//! The live node: ROS messages in, decisions of the engine out.
//!
//! Threads: `ros` receives, this one owns the engine, `inference` the policy, `publish` the publishers, `flight` what the
//! flight recorder keeps.

mod burst;
mod diagnostics;
mod grippers;
mod inbox;
mod inference;
mod publish;
mod running;

use std::io;
use std::sync::Arc;

use crossbeam::channel::Receiver;

use crate::deploy::{Deployment, EStopMessage, EefSource, Form, Motion, TF_STATIC_TOPIC, TF_TOPIC, declare};
use crate::drive::answer::Answer;
use crate::drive::chunk_messages::{ChunkMessages, Source};
use crate::drive::clock::Clock;
use crate::drive::control;
use crate::drive::flight::{FlightRecorder, StartError};
use crate::drive::parameters::Parameters;
use crate::drive::playback::Playback;
use crate::drive::ros::{Transport, TransportError};
use crate::drive::ros_args::{NameError, RosArgs};
use crate::profile;
use crate::types::Switch;

use diagnostics::Diagnostics;
use grippers::GripperOutput;
use inbox::Inbox;
use inference::InferenceThread;
use publish::{OutputPublisher, PublishThread, Publishers};
use running::{Managed, Running};

/// Name of the node where the command line gives none.
pub const DEFAULT_NAME: &str = "vla_node";

/// Why the node ended before it was asked to.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NodeError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    #[error("flight recorder: {0}")]
    Recorder(#[from] StartError),
    #[error("the policy cannot be loaded: {0}")]
    Policy(String),
    #[error("the {0} thread panicked; nothing is published any more")]
    Died(&'static str),
}

/// Runs until `stop` says so (or is dropped). `load` makes the policy, warm, whenever the node is configured.
///
/// # Errors
/// See [`NodeError`]; a thread that dies ends the node, because a silent node is worse than none.
pub fn run<T: Transport, P: Answer>(
    deployment: &Deployment,
    load: impl FnMut() -> Result<P, String> + Send + 'static,
    names: &RosArgs,
    mut transport: T,
    stop: &Receiver<()>,
) -> Result<(), NodeError> {
    let clock = if deployment.parameters().use_sim_time() { Clock::simulated() } else { Clock::system() };
    let mut inbox = Inbox::new(clock.clone());
    let recorder = FlightRecorder::start(deployment, names)?;
    if recorder.is_on() {
        transport.keep_originals(&inbox.keep_originals());
    }
    if deployment.parameters().use_sim_time() {
        let topic = names.resolve("/clock")?;
        transport.subscribe_clock(&topic, inbox.times())?;
        tracing::info!(topic, "subscribed to the time");
    }
    subscribe(deployment, names, &mut transport, &mut inbox)?;
    let cameras = deployment.cameras().iter().map(|camera| &*camera.name);
    transport.serve_parameters(Parameters::new(
        declare(names.parameters(), cameras),
        clock.clone(),
        inbox.changes(),
    ))?;
    let (asking, answering) = control::line();
    transport.serve_control(asking)?;
    let publishers = publishers(deployment, names, &mut transport)?;
    let inference = InferenceThread::start(load)?;
    let publish = PublishThread::start(
        publishers,
        ChunkMessages::new(deployment, Source::Live),
        Playback::new(deployment),
        clock.clone(),
    )?;
    let session = transport.start()?;
    match deployment.motion() {
        Motion::DryRun => tracing::info!(robot = deployment.robot(), "started; dry run, nothing will move"),
        Motion::Live => tracing::warn!(robot = deployment.robot(), "started; commands move the robot"),
    }
    let diagnostics = Diagnostics::new(&names.fully_qualified_name(), inbox.streams());
    let managed = Managed::new(answering, deployment.parameters());
    let running = Running::new(deployment, (inbox, diagnostics), (inference, publish, recorder), managed);
    let ended = running.until(stop, &session);
    // First no more commands, then out of the graph, and last what may take long.
    let (inference, publish, recorder) = ended.threads;
    let published = publish.join();
    drop(session);
    let inferred = inference.join();
    // How it did has been told already.
    drop(recorder.finish());
    ended.result?;
    match (published, inferred) {
        (true, true) => Ok(()),
        (false, _) => Err(NodeError::Died("publish")),
        (true, false) => Err(NodeError::Died("inference")),
    }
}

fn subscribe<T: Transport>(
    deployment: &Deployment,
    names: &RosArgs,
    transport: &mut T,
    inbox: &mut Inbox,
) -> Result<(), NodeError> {
    // First, because the inbox hands out the streams in this order, and a stop comes before a picture.
    subscribe_switches(deployment, names, transport, inbox)?;
    for (index, camera) in deployment.cameras().iter().enumerate() {
        let topic = names.resolve(&camera.topic)?;
        let sink = inbox.frames(&format!("images.{}", camera.name), index);
        match camera.transport {
            profile::Transport::Raw => {
                burst::warn_before_the_first();
                transport.subscribe_image(&topic, sink)?;
            }
            profile::Transport::Compressed => transport.subscribe_compressed_image(&topic, sink)?,
        }
        tracing::info!(camera = %camera.name, topic, transport = ?camera.transport, "subscribed");
        if let Some(info) = &camera.camera_info {
            let topic = names.resolve(&info.topic)?;
            let sink = inbox.optics(&format!("camera_info.{}", camera.name), index);
            transport.subscribe_camera_info(&topic, info.arrives, sink)?;
            tracing::info!(camera = %camera.name, topic, "subscribed to the camera info");
        }
    }
    if let Some(joints) = deployment.joints() {
        let topic = names.resolve(&joints.topic)?;
        transport.subscribe_joints(&topic, inbox.joints("joint_states"))?;
        tracing::info!(topic, joints = joints.names.len(), "subscribed");
    }
    subscribe_state(deployment, names, transport, inbox)?;
    let topic = names.resolve(deployment.instruction_topic())?;
    transport.subscribe_text(&topic, inbox.instructions("instruction"))?;
    tracing::info!(topic, until_then = deployment.task(), "subscribed to the instruction");
    Ok(())
}

/// What a person stops the robot with.
fn subscribe_switches<T: Transport>(
    deployment: &Deployment,
    names: &RosArgs,
    transport: &mut T,
    inbox: &mut Inbox,
) -> Result<(), NodeError> {
    let rules = deployment.interlocks();
    for (index, estop) in rules.estops.iter().enumerate() {
        let topic = names.resolve(&estop.topic)?;
        match estop.message {
            EStopMessage::Bool => transport.subscribe_flag(&topic, inbox.switch("estop", Switch::EStop(index)))?,
            EStopMessage::Empty => {
                transport.subscribe_beat(&topic, inbox.switch("estop_heartbeat", Switch::EStop(index)))?;
            }
        }
        tracing::info!(topic, timeout = %estop.timeout, "subscribed to the e-stop");
    }
    if let Some(deadman) = &rules.deadman {
        let topic = names.resolve(&deadman.topic)?;
        transport.subscribe_button(&topic, deadman.button, inbox.switch("deadman", Switch::Deadman))?;
        tracing::info!(topic, button = deadman.button, timeout = %deadman.timeout, "subscribed to the deadman");
    }
    if let Some(topic) = &rules.takeover {
        let topic = names.resolve(topic)?;
        transport.subscribe_latched_flag(&topic, inbox.switch("takeover", Switch::Takeover))?;
        tracing::info!(topic, "subscribed to the takeover");
    }
    Ok(())
}

/// What tells the state beside the joints.
fn subscribe_state<T: Transport>(
    deployment: &Deployment,
    names: &RosArgs,
    transport: &mut T,
    inbox: &mut Inbox,
) -> Result<(), NodeError> {
    match deployment.eef().map(|eef| &eef.source) {
        Some(EefSource::Topic { topic, frame }) => {
            let topic = names.resolve(topic)?;
            transport.subscribe_pose(&topic, inbox.poses("eef_pose"))?;
            tracing::info!(topic, %frame, "subscribed to the end effector's pose");
        }
        Some(EefSource::Frames { base, tip }) => {
            let (moving, fixed) = (names.resolve(TF_TOPIC)?, names.resolve(TF_STATIC_TOPIC)?);
            transport.subscribe_transforms(&moving, inbox.transforms("tf"))?;
            transport.subscribe_fixed_transforms(&fixed, inbox.transforms("tf_static"))?;
            tracing::info!(moving, fixed, %base, %tip, "subscribed to transforms");
        }
        None => {}
    }
    if let Some(array) = deployment.array() {
        let topic = names.resolve(&array.topic)?;
        transport.subscribe_array(&topic, inbox.arrays("state"))?;
        tracing::info!(topic, values = array.size, "subscribed to state values");
    }
    Ok(())
}

fn publishers<T: Transport>(
    deployment: &Deployment,
    names: &RosArgs,
    transport: &mut T,
) -> Result<Publishers, NodeError> {
    let mut outputs = Vec::with_capacity(deployment.outputs().len());
    for output in deployment.outputs() {
        let topic = names.resolve(&output.topic)?;
        outputs.push(match &output.form {
            Form::Trajectory => OutputPublisher::Trajectory(transport.publisher(&topic)?),
            Form::Array => OutputPublisher::Array(transport.publisher(&topic)?),
            Form::Number => OutputPublisher::Number(transport.publisher(&topic)?),
            Form::Goal { action, edges } => {
                let (client, joint) =
                    (transport.gripper(&topic, *action)?, output.names.first().map_or("", |name| &**name));
                OutputPublisher::Goal(Box::new(GripperOutput::new(client, joint, *edges)))
            }
            Form::Pose { frame } => OutputPublisher::Pose(transport.publisher(&topic)?, Arc::clone(frame)),
            Form::Twist { frame } => OutputPublisher::Twist(transport.publisher(&topic)?, Arc::clone(frame)),
        });
        tracing::info!(topic, kind = output.kind.word(), values = output.names.len(), "publishes");
    }
    let chunks = names.resolve(deployment.action_chunk_topic())?;
    let diagnostics = names.resolve("/diagnostics")?;
    tracing::info!(chunks, diagnostics, "publishes");
    Ok(Publishers { chunks: transport.publisher(&chunks)?, diagnostics: transport.publisher(&diagnostics)?, outputs })
}

#[cfg(test)]
mod tests;

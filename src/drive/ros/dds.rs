//! [`Transport`] over DDS with `ros2-client`; named here and below only.

mod ask;
mod callers;
mod control;
mod endpoints;
mod gripper;
mod parameters;
mod service;

use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::net::Ipv4Addr;
use std::pin::{Pin, pin};
use std::thread::JoinHandle;

use ros2_client::dds::rustdds::{DomainParticipantBuilder, Topic, TopicKind};
use ros2_client::dds::{Node, ServiceMapping, Subscription};
use ros2_client::qos::{Durability, History, WhenFull};
use ros2_client::ros2::{QosPolicies, QosPolicyBuilder, policy};
use ros2_client::{Context, Gid, MessageInfo, NodeName, NodeOptions, QosProfile, ReadError};
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde::{Deserialize, Deserializer, Serialize};
use smol::LocalExecutor;
use smol::stream::{Stream, StreamExt};

use control::{ControlServers, TRANSITION_EVENT, TransitionEvent};
use endpoints::Endpoints;
use parameters::ParameterServers;

use super::{
    DdsSettings, GripperClient, InputError, Keeper, Mismatch, Network, Originals, Publish, PublishError, Services,
    Session, Sink, Stamped, Text, Transport, TransportError,
};
use crate::drive::clock;
use crate::drive::control::Asking;
use crate::drive::parameters::Parameters;
use crate::msg::{
    Bool, CameraInfo, Clock, CompressedImage, Empty, Float64MultiArray, FrameError, Image, JointState, Joy, Message,
    PoseStamped, StringMessage, TFMessage, TypeName,
};
use crate::profile::GripperAction;
use crate::time::Stamp;
use crate::types::{Arrives, Frame, JointSample, Optics, PoseSample, Transform};

/// Asked of the kernel for every socket, which clamps it: an image arrives as a burst of up to its whole size.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;
/// Samples that the cache of an image topic holds; without a limit it keeps 64 pictures.
const IMAGE_SAMPLES: i32 = 4;
/// Joint states, poses or arrays that may wait while a picture is being copied.
const JOINT_STATES: usize = 16;
/// Transforms that may wait: many programs publish on one topic.
const TRANSFORMS: usize = 100;
/// Latched messages from before we came; only the last one counts.
const LATCHED: usize = 1;
/// Publishers whose last message is remembered to tell a repeated instruction from a new one.
const REMEMBERED_PUBLISHERS: usize = 16;

/// A node on the DDS network whose messages do not flow yet.
pub struct Dds {
    context: Context,
    node: Node,
    receivers: Vec<Receiver>,
    endpoints: Endpoints,
    services: ServiceMapping,
    originals: Option<Originals>,
}

/// Makes the future that receives one topic; called on the thread that runs it.
type Receiver = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A node on the DDS network; messages flow until it is dropped.
pub struct DdsSession {
    // In this order: the thread ends before the node leaves the graph.
    thread: ReceiveThread,
    _node: Node,
    context: Context,
    endpoints: Endpoints,
}

struct ReceiveThread {
    stop: smol::channel::Sender<()>,
    handle: Option<JoinHandle<()>>,
}

impl Dds {
    /// Joins the domain as `namespace`/`name`; visible in the ROS graph from here on.
    pub fn join(settings: DdsSettings, namespace: &str, name: &str) -> Result<Self, TransportError> {
        let failed = |reason: String| TransportError::Join {
            domain: settings.domain,
            node: format!("{}/{name}", namespace.trim_end_matches('/')),
            reason,
        };
        let mut participant =
            DomainParticipantBuilder::new(settings.domain).socket_receive_buffer_size(RECEIVE_BUFFER_BYTES);
        if settings.network == Network::Localhost {
            participant = participant.with_only_networks([Ipv4Addr::LOCALHOST]);
        }
        let participant = participant.build().map_err(|error| failed(error.to_string()))?;
        let context = Context::from_domain_participant(participant).map_err(|error| failed(error.to_string()))?;
        let node_name = NodeName::new(namespace, name).map_err(|error| failed(error.to_string()))?;
        // The crate's parameter services answer Fast DDS only and describe nothing.
        let options = NodeOptions::new().start_parameter_services(false);
        let node = context.new_node(node_name, options).map_err(|error| failed(error.to_string()))?;
        let services = match settings.services {
            Services::Enhanced => ServiceMapping::Enhanced,
            Services::Cyclone => ServiceMapping::Cyclone,
        };
        Ok(Self { context, node, receivers: Vec::new(), endpoints: Endpoints::default(), services, originals: None })
    }

    fn topic(&self, topic: &str, kind: TypeName, qos: &QosPolicies) -> Result<Topic, String> {
        let dds_type = format!("{}::msg::dds_::{}_", kind.package, kind.name);
        let participant = self.context.domain_participant();
        participant.create_topic(format!("rt{topic}"), dds_type, qos, TopicKind::NoKey).map_err(|e| e.to_string())
    }

    fn subscription<M: 'static>(
        &mut self,
        topic: &str,
        kind: TypeName,
        qos: &QosPolicies,
    ) -> Result<Subscription<M>, TransportError> {
        let made = self.topic(topic, kind, qos);
        if let Ok(made) = &made {
            self.endpoints.add_reader(made, qos);
        }
        let made = made.and_then(|made| self.node.create_subscription(&made, None).map_err(|e| e.to_string()));
        made.map_err(|reason| TransportError::Endpoint { action: "subscribe to", topic: topic.to_owned(), reason })
    }

    fn subscribe_values<M, T>(
        &mut self,
        topic: &str,
        qos: &QosProfile,
        convert: impl Fn(M) -> Result<T, InputError> + Send + 'static,
        sink: Sink<T>,
    ) -> Result<(), TransportError>
    where
        M: Message + DeserializeOwned + Serialize + Send + 'static,
        T: 'static,
    {
        let subscription = self.subscription::<M>(topic, M::TYPE, &qos.into())?;
        let keeper = self.keeper(topic);
        let convert = move |message: M| {
            keep(keeper.as_ref(), &message);
            convert(message)
        };
        self.receivers
            .push(Box::new(move || Box::pin(async move { deliver(subscription.async_stream(), convert, sink).await })));
        Ok(())
    }

    /// Two readers: one that asks for latched messages matches only publishers that latch, one that does not ask
    /// matches every publisher but need not get what was said before it came. A latching publisher reaches both, and
    /// the middleware may hand either one's messages to the other: when it was sent tells what is latched.
    fn subscribe_latched<M, T>(
        &mut self,
        topic: &str,
        convert: impl Fn(M, &MessageInfo) -> T + Send + 'static,
        sink: Sink<T>,
    ) -> Result<(), TransportError>
    where
        M: Message + DeserializeOwned + Serialize + Send + 'static,
        T: 'static,
    {
        let keeper = self.keeper(topic);
        let reliable = QosProfile::subscription_default()
            .reliability_reliable(WhenFull::Fail)
            .history(History::KeepLast { depth: LATCHED });
        let latched = reliable.clone().durability(Durability::TransientLocal);
        let newcomer = self.subscription::<M>(topic, M::TYPE, &(&reliable).into())?;
        let latecomer = self.subscription::<M>(topic, M::TYPE, &(&latched).into())?;
        self.receivers.push(Box::new(move || {
            Box::pin(async move {
                let mut seen = Seen::default();
                let new = smol::stream::race(newcomer.async_stream(), latecomer.async_stream())
                    .filter(move |item| item.as_ref().map_or(true, |(_, info)| seen.is_new(info)))
                    .map(move |item| {
                        let (message, info) = item?;
                        keep(keeper.as_ref(), &message);
                        Ok((convert(message, &info), info))
                    });
                deliver(new, Ok, sink).await;
            })
        }));
        Ok(())
    }

    fn keeper(&self, topic: &str) -> Option<Keeper> {
        self.originals.as_ref().and_then(|originals| originals.keeper(topic))
    }

    fn subscribe_frames<P: Picture>(&mut self, topic: &str, sink: Sink<Stamped<Frame>>) -> Result<(), TransportError> {
        let limits = policy::ResourceLimits {
            max_samples: IMAGE_SAMPLES,
            max_instances: 1,
            max_samples_per_instance: IMAGE_SAMPLES,
        };
        let qos = QosPolicyBuilder::new()
            .best_effort()
            .durability(policy::Durability::Volatile)
            .history(policy::History::KeepLast { depth: 1 })
            .resource_limits(limits)
            .build();
        let subscription = self.subscription::<PictureResult>(topic, P::TYPE, &qos)?;
        let keeper = self.keeper(topic);
        self.receivers.push(Box::new(move || {
            Box::pin(async move {
                let seed = PictureSeed::<P> { keeper, picture: PhantomData };
                let pictures = subscription.async_stream_seed(seed);
                let convert = |picture: PictureResult| picture.map_err(InputError::from);
                deliver(pictures, convert, sink).await;
            })
        }));
        Ok(())
    }
}

impl Transport for Dds {
    type Session = DdsSession;

    fn keep_originals(&mut self, originals: &Originals) {
        self.originals = Some(originals.clone());
    }

    fn subscribe_image(&mut self, topic: &str, sink: Sink<Stamped<Frame>>) -> Result<(), TransportError> {
        self.subscribe_frames::<RawPicture>(topic, sink)
    }

    fn subscribe_compressed_image(&mut self, topic: &str, sink: Sink<Stamped<Frame>>) -> Result<(), TransportError> {
        self.subscribe_frames::<CompressedPicture>(topic, sink)
    }

    fn subscribe_camera_info(
        &mut self,
        topic: &str,
        arrives: Arrives,
        sink: Sink<Optics>,
    ) -> Result<(), TransportError> {
        self.subscribe_values(topic, &newest(1), move |info: CameraInfo| Ok(info.to_optics(arrives)?), sink)
    }

    fn subscribe_joints(&mut self, topic: &str, sink: Sink<Stamped<JointSample>>) -> Result<(), TransportError> {
        let convert = |state: JointState| Ok(Stamped { stamp: state.header.stamp.into(), value: state.to_joints()? });
        self.subscribe_values(topic, &newest(JOINT_STATES), convert, sink)
    }

    fn subscribe_pose(&mut self, topic: &str, sink: Sink<Stamped<PoseSample>>) -> Result<(), TransportError> {
        let convert = |pose: PoseStamped| Ok(Stamped { stamp: pose.header.stamp.into(), value: pose.to_pose()? });
        self.subscribe_values(topic, &newest(JOINT_STATES), convert, sink)
    }

    fn subscribe_transforms(&mut self, topic: &str, sink: Sink<Vec<Transform>>) -> Result<(), TransportError> {
        self.subscribe_values(topic, &newest(TRANSFORMS), |message: TFMessage| Ok(message.moving()), sink)
    }

    fn subscribe_fixed_transforms(&mut self, topic: &str, sink: Sink<Vec<Transform>>) -> Result<(), TransportError> {
        let latched = newest(TRANSFORMS).reliability_reliable(WhenFull::Fail).durability(Durability::TransientLocal);
        self.subscribe_values(topic, &latched, |message: TFMessage| Ok(message.fixed()), sink)
    }

    fn subscribe_array(&mut self, topic: &str, sink: Sink<Vec<f64>>) -> Result<(), TransportError> {
        self.subscribe_values(topic, &newest(JOINT_STATES), |array: Float64MultiArray| Ok(array.data), sink)
    }

    fn subscribe_clock(&mut self, topic: &str, sink: Sink<Stamp>) -> Result<(), TransportError> {
        let qos = QosProfile::subscription_default().history(History::KeepLast { depth: 1 });
        let subscription = self.subscription::<Clock>(topic, Clock::TYPE, &(&qos).into())?;
        self.receivers.push(Box::new(move || {
            Box::pin(async move {
                deliver(subscription.async_stream(), |message: Clock| Ok(message.clock.into()), sink).await;
            })
        }));
        Ok(())
    }

    fn subscribe_text(&mut self, topic: &str, sink: Sink<Text>) -> Result<(), TransportError> {
        let listening_since = clock::now();
        let convert = move |message: StringMessage, info: &MessageInfo| text(message, info, listening_since);
        self.subscribe_latched(topic, convert, sink)
    }

    fn subscribe_flag(&mut self, topic: &str, sink: Sink<bool>) -> Result<(), TransportError> {
        self.subscribe_values(topic, &newest(JOINT_STATES), |flag: Bool| Ok(flag.data), sink)
    }

    fn subscribe_beat(&mut self, topic: &str, sink: Sink<bool>) -> Result<(), TransportError> {
        self.subscribe_values(topic, &newest(JOINT_STATES), |_: Empty| Ok(false), sink)
    }

    fn subscribe_button(&mut self, topic: &str, button: usize, sink: Sink<bool>) -> Result<(), TransportError> {
        self.subscribe_values(topic, &newest(JOINT_STATES), move |joy: Joy| Ok(joy.is_held(button)), sink)
    }

    fn subscribe_latched_flag(&mut self, topic: &str, sink: Sink<bool>) -> Result<(), TransportError> {
        self.subscribe_latched(topic, |flag: Bool, _: &MessageInfo| flag.data, sink)
    }

    fn publisher<M: Message + Serialize + Send + 'static>(
        &mut self,
        topic: &str,
    ) -> Result<Box<dyn Publish<M>>, TransportError> {
        // A full send window fails at once: the next message is worth more than waiting with this one.
        let qos = QosProfile::publisher_default()
            .reliability_reliable(WhenFull::Fail)
            .history(History::KeepLast { depth: 1 });
        let qos = (&qos).into();
        let made = self.topic(topic, M::TYPE, &qos);
        if let Ok(made) = &made {
            self.endpoints.add_writer(made, &qos);
        }
        let made = made.and_then(|made| self.node.create_publisher::<M>(&made, None).map_err(|e| e.to_string()));
        match made {
            Ok(publisher) => Ok(Box::new(DdsPublisher { topic: topic.to_owned(), publisher })),
            Err(reason) => Err(TransportError::Endpoint { action: "publish", topic: topic.to_owned(), reason }),
        }
    }

    fn gripper(&mut self, action: &str, kind: GripperAction) -> Result<GripperClient, TransportError> {
        let made = gripper::client(&mut self.node, self.services, action, kind);
        let (client, sender) = made.map_err(|reason| TransportError::Endpoint {
            action: "be a client of",
            topic: action.to_owned(),
            reason,
        })?;
        self.receivers.push(Box::new(move || Box::pin(sender.run())));
        Ok(client)
    }

    fn serve_parameters(&mut self, parameters: Parameters) -> Result<(), TransportError> {
        let servers = ParameterServers::new(&self.context, &mut self.node, self.services);
        let servers = servers.map_err(|error| TransportError::Endpoint {
            action: "serve the parameters of",
            topic: self.node.fully_qualified_name(),
            reason: error.to_string(),
        })?;
        self.receivers.push(Box::new(move || Box::pin(servers.serve(parameters))));
        Ok(())
    }

    fn serve_control(&mut self, asking: Asking) -> Result<(), TransportError> {
        let qos = (&service::qos()).into();
        let topic = format!("{}/transition_event", self.node.fully_qualified_name());
        let made = self.topic(&topic, TRANSITION_EVENT, &qos);
        if let Ok(made) = &made {
            self.endpoints.add_writer(made, &qos);
        }
        let changes = made
            .and_then(|made| self.node.create_publisher::<TransitionEvent>(&made, None).map_err(|e| e.to_string()))
            .map_err(|reason| TransportError::Endpoint { action: "publish", topic, reason })?;
        let servers = ControlServers::new(&self.context, &mut self.node, self.services, changes);
        let servers = servers.map_err(|error| TransportError::Endpoint {
            action: "serve the lifecycle of",
            topic: self.node.fully_qualified_name(),
            reason: error.to_string(),
        })?;
        self.receivers.push(Box::new(move || Box::pin(async move { servers.serve(asking).await })));
        Ok(())
    }

    fn start(mut self) -> Result<DdsSession, TransportError> {
        let spinner = self.node.spinner().map_err(|error| TransportError::Endpoint {
            action: "watch the graph as",
            topic: self.node.fully_qualified_name(),
            reason: error.to_string(),
        })?;
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let receivers = self.receivers;
        let run = move || {
            let executor = LocalExecutor::new();
            // Graph events keep `ros2 node list` and the matching of endpoints up to date.
            let spin = executor.spawn(async move { spinner.spin().await.map_err(|error| error.to_string()) });
            let tasks: Vec<_> = receivers.into_iter().map(|make| executor.spawn(make())).collect();
            // Ends when the session drops its sender.
            let ended = smol::block_on(executor.run(stopped.recv()));
            debug_assert!(ended.is_err(), "nobody sends on the stop channel");
            drop((spin, tasks));
        };
        let handle = std::thread::Builder::new().name("ros".to_owned()).spawn(run).map_err(TransportError::Thread)?;
        Ok(DdsSession {
            thread: ReceiveThread { stop, handle: Some(handle) },
            _node: self.node,
            context: self.context,
            endpoints: self.endpoints,
        })
    }
}

impl Session for DdsSession {
    fn mismatches(&self) -> Vec<Mismatch> {
        self.endpoints.mismatches(&self.context.domain_participant())
    }

    fn is_alive(&self) -> bool {
        self.thread.handle.as_ref().is_some_and(|handle| !handle.is_finished())
    }
}

impl Drop for ReceiveThread {
    fn drop(&mut self) {
        self.stop.close();
        if let Some(handle) = self.handle.take()
            && handle.join().is_err()
        {
            tracing::error!("the ROS thread panicked");
        }
    }
}

/// Best effort, the newest `depth` messages.
fn newest(depth: usize) -> QosProfile {
    QosProfile::subscription_default().history(History::KeepLast { depth })
}

/// Hands every message to the sink until the reader closes.
async fn deliver<M, T>(
    messages: impl Stream<Item = Received<M>>,
    convert: impl Fn(M) -> Result<T, InputError>,
    mut sink: Sink<T>,
) {
    let mut messages = pin!(messages);
    while let Some(message) = messages.next().await {
        match message {
            Ok((message, _)) => sink(convert(message)),
            Err(error @ (ReadError::Deserialization { .. } | ReadError::Malformed)) => {
                sink(Err(InputError::Bytes(error.to_string())));
            }
            Err(error) => {
                sink(Err(InputError::Bytes(error.to_string())));
                return;
            }
        }
    }
}

/// Keeps a message, where somebody keeps messages.
fn keep<M: Message + Serialize>(keeper: Option<&Keeper>, message: &M) {
    if let Some(keeper) = keeper {
        keeper.put(message);
    }
}

type Received<M> = Result<(M, MessageInfo), ReadError>;

/// Fresh where its publisher sent it, by its own clock, since we listen; without that time it counts as latched.
fn text(message: StringMessage, info: &MessageInfo, listening_since: Stamp) -> Text {
    let sent = info.source_timestamp().map(|time| Stamp::from_nanos(time.to_nanos()));
    match sent {
        Some(sent) if sent >= listening_since => Text::Fresh(message.data),
        _ => Text::Latched(message.data),
    }
}

/// The last message of each publisher, by whichever reader: what two readers both bring is delivered once.
#[derive(Default)]
struct Seen(VecDeque<(Gid, i64)>);

impl Seen {
    fn is_new(&mut self, info: &MessageInfo) -> bool {
        let (publisher, number) = (info.publisher_gid(), info.sequence_number());
        let known = self.0.iter().position(|(known, _)| *known == publisher).and_then(|at| self.0.remove(at));
        let last = known.map(|(_, last)| last);
        self.0.truncate(REMEMBERED_PUBLISHERS - 1);
        self.0.push_front((publisher, last.map_or(number, |last| last.max(number))));
        last.is_none_or(|last| number > last)
    }
}

type PictureResult = Result<Stamped<Frame>, FrameError>;

/// A message that becomes a frame while its bytes are still borrowed from the middleware.
trait Picture: 'static {
    const TYPE: TypeName;
    fn read<'de, D: Deserializer<'de>>(deserializer: D, keeper: Option<&Keeper>) -> Result<PictureResult, D::Error>;
}

enum RawPicture {}
enum CompressedPicture {}

impl Picture for RawPicture {
    const TYPE: TypeName = <Image<'_> as Message>::TYPE;

    fn read<'de, D: Deserializer<'de>>(deserializer: D, keeper: Option<&Keeper>) -> Result<PictureResult, D::Error> {
        let image = Image::deserialize(deserializer)?;
        keep(keeper, &image);
        Ok(image.to_frame().map(|value| Stamped { stamp: image.header.stamp.into(), value }))
    }
}

impl Picture for CompressedPicture {
    const TYPE: TypeName = <CompressedImage<'_> as Message>::TYPE;

    fn read<'de, D: Deserializer<'de>>(deserializer: D, keeper: Option<&Keeper>) -> Result<PictureResult, D::Error> {
        let image = CompressedImage::deserialize(deserializer)?;
        keep(keeper, &image);
        Ok(image.to_frame().map(|value| Stamped { stamp: image.header.stamp.into(), value }))
    }
}

struct PictureSeed<P> {
    keeper: Option<Keeper>,
    picture: PhantomData<P>,
}

impl<P> Clone for PictureSeed<P> {
    fn clone(&self) -> Self {
        Self { keeper: self.keeper.clone(), picture: PhantomData }
    }
}

impl<'de, P: Picture> DeserializeSeed<'de> for PictureSeed<P> {
    type Value = PictureResult;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<PictureResult, D::Error> {
        P::read(deserializer, self.keeper.as_ref())
    }
}

struct DdsPublisher<M: Serialize> {
    topic: String,
    publisher: ros2_client::dds::Publisher<M>,
}

impl<M: Serialize + Send> Publish<M> for DdsPublisher<M> {
    fn publish(&self, message: M) -> Result<(), PublishError> {
        let failed = |reason: String| PublishError { topic: self.topic.clone(), reason };
        self.publisher.publish(message).map_err(|error| failed(error.to_string()))
    }
}

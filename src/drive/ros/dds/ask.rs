//! Asks a running controller what it is, over the services that every ROS node and every lifecycle node has.
//!
//! Not over `list_controllers` of the controller manager, whose answer is laid out differently from release to release:
//! state and parameters of the controller itself say the same in a layout that never changed.

use std::time::Duration;

use ros2_client::dds::Client;
use ros2_client::dds::rustdds::DomainParticipant;
use ros2_client::qos::History;
use ros2_client::rcl_interfaces::{GetParametersRequest, GetParametersResponse};
use ros2_client::{Message, Name, ParameterValue, QosProfile, ServiceTypeName};
use serde::{Deserialize, Serialize};
use smol::Timer;
use smol::future::or;

use super::Dds;
use crate::controller::Reported;
use crate::drive::clock::Stopwatch;
use crate::drive::ros::AskError;
use crate::time::Span;

/// As `rmw_qos_profile_services_default` keeps.
const WAITING: usize = 10;
/// From one look for the service to the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Who waits in vain for this long asks again: endpoints become known in any order, and an answer without a reader is
/// lost.
const ATTEMPT: Duration = Duration::from_millis(500);

#[derive(Clone, Serialize, Deserialize)]
struct GetStateRequest {
    structure_needs_at_least_one_member: u8,
}
impl Message for GetStateRequest {}

#[derive(Clone, Serialize, Deserialize)]
struct GetStateResponse {
    id: u8,
    label: String,
}
impl Message for GetStateResponse {}

/// How long everything that is to be asked may take.
struct Patience {
    clock: Stopwatch,
    within: Span,
}

/// A service of another node.
struct Service<Q: Message, A: Message> {
    name: String,
    client: Client<Q, A>,
    /// DDS topics of requests and of answers.
    topics: [String; 2],
    participant: DomainParticipant,
}

impl Dds {
    /// What the controller that is the node `controller` (absolute name) says about itself; where it has no
    /// `update_rate` of its own, that of `manager`.
    ///
    /// # Errors
    /// No answer within `within`, or the middleware's refusal.
    pub fn ask_controller(
        &mut self,
        controller: &str,
        manager: Option<&str>,
        within: Span,
    ) -> Result<Reported, AskError> {
        let patience = Patience { clock: Stopwatch::start(), within };
        let states: Service<GetStateRequest, GetStateResponse> =
            self.service((controller, "get_state"), &ServiceTypeName::new("lifecycle_msgs", "GetState"))?;
        let state = states.ask(&GetStateRequest { structure_needs_at_least_one_member: 0 }, &patience)?;
        let parameters = self.parameters_of(controller)?;
        let get = |name: &str| parameters.parameter(name, &patience);
        let mut update_rate = integer(&get("update_rate")?).filter(|rate| *rate > 0);
        if let (None, Some(manager)) = (update_rate, manager) {
            update_rate = integer(&self.parameters_of(manager)?.parameter("update_rate", &patience)?);
        }
        Ok(Reported {
            state: state.label,
            joints: texts(get("joints")?),
            command_interfaces: texts(get("command_interfaces")?),
            interpolation_method: text(get("interpolation_method")?),
            open_loop_control: boolean(&get("open_loop_control")?),
            interpolate_from_desired_state: boolean(&get("interpolate_from_desired_state")?),
            allow_nonzero_velocity_at_trajectory_end: boolean(&get("allow_nonzero_velocity_at_trajectory_end")?),
            update_rate,
        })
    }

    fn parameters_of(&mut self, node: &str) -> Result<Service<GetParametersRequest, GetParametersResponse>, AskError> {
        self.service((node, "get_parameters"), &ServiceTypeName::new("rcl_interfaces", "GetParameters"))
    }

    fn service<Q: Message + Clone + 'static, A: Message + 'static>(
        &mut self,
        (node, name): (&str, &str),
        kind: &ServiceTypeName,
    ) -> Result<Service<Q, A>, AskError> {
        let service = format!("{node}/{name}");
        let failed = |reason: String| AskError::Failed { service: service.clone(), reason };
        let full_name = Name::new(node, name).map_err(|error| failed(error.to_string()))?;
        let qos = QosProfile::publisher_default().history(History::KeepLast { depth: WAITING });
        let client = self.node.create_client(self.services, &full_name, kind, qos.clone(), qos);
        let client = client.map_err(|error| failed(error.to_string()))?;
        let topics = [format!("rq{service}Request"), format!("rr{service}Reply")];
        Ok(Service { client, topics, participant: self.context.domain_participant(), name: service })
    }
}

impl Service<GetParametersRequest, GetParametersResponse> {
    /// One alone: a node that does not declare one of several may answer for none.
    fn parameter(&self, name: &str, patience: &Patience) -> Result<ParameterValue, AskError> {
        let answer = self.ask(&GetParametersRequest { names: vec![name.to_owned()] }, patience)?;
        Ok(answer.values.into_iter().next().map_or(ParameterValue::NotSet, ParameterValue::from))
    }
}

impl<Q: Message + Clone + 'static, A: Message + 'static> Service<Q, A> {
    fn ask(&self, request: &Q, patience: &Patience) -> Result<A, AskError> {
        let answer = async {
            while !self.is_there() {
                Timer::after(LOOK_EVERY).await;
            }
            loop {
                let call = async { Some(self.client.async_call_service(request.clone()).await) };
                if let Some(answer) = or(call, elapsed(ATTEMPT)).await {
                    return Some(answer);
                }
            }
        };
        let left = patience.within - patience.clock.elapsed();
        let left = Duration::from_nanos(left.nanos().max(0).unsigned_abs());
        match smol::block_on(or(answer, elapsed(left))) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(AskError::Failed { service: self.name.clone(), reason: format!("{error:?}") }),
            None => Err(AskError::Silent { service: self.name.clone(), within: patience.within }),
        }
    }

    /// Whether somebody takes requests and somebody sends answers.
    fn is_there(&self) -> bool {
        let [requests, answers] = &self.topics;
        self.participant
            .discovered_readers()
            .iter()
            .any(|reader| reader.subscription_topic_data.topic_name() == requests)
            && self
                .participant
                .discovered_writers()
                .iter()
                .any(|writer| writer.publication_topic_data.topic_name == *answers)
    }
}

async fn elapsed<T>(time: Duration) -> Option<T> {
    Timer::after(time).await;
    None
}

fn texts(value: ParameterValue) -> Vec<String> {
    if let ParameterValue::StringArray(values) = value { values } else { Vec::new() }
}

fn text(value: ParameterValue) -> Option<String> {
    if let ParameterValue::String(value) = value { Some(value) } else { None }
}

fn boolean(value: &ParameterValue) -> Option<bool> {
    if let ParameterValue::Boolean(value) = value { Some(*value) } else { None }
}

fn integer(value: &ParameterValue) -> Option<i64> {
    if let ParameterValue::Integer(value) = value { Some(*value) } else { None }
}

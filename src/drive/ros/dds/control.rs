//! The services and the topic of a managed node, and those that start and stop the robot.

mod run_policy;

use std::pin::Pin;

use ros2_client::Message;
use ros2_client::dds::{Context, Node, Publisher, ServiceMapping};
use ros2_client::error::CreateResult;
use serde::{Deserialize, Serialize};
use smol::future::zip;

use run_policy::RunPolicyServer;

use super::service::Service;
use crate::drive::control::{Asking, Request, Told, Trigger};
use crate::drive::lifecycle::{self, STATES, State, TRANSITIONS, available};
use crate::time::Stamp;

/// The servers, not answering yet.
pub(super) struct ControlServers {
    change: Service<ChangeStateRequest, ChangeStateResponse>,
    state: Service<Empty, GetStateResponse>,
    states: Service<Empty, StatesResponse>,
    transitions: Service<Empty, TransitionsResponse>,
    graph: Service<Empty, TransitionsResponse>,
    triggers: Vec<(Trigger, Service<Empty, TriggerResponse>)>,
    runs: RunPolicyServer,
    changes: Publisher<TransitionEvent>,
}

/// Type of the topic `~/transition_event`.
pub(super) const TRANSITION_EVENT: crate::msg::TypeName =
    crate::msg::TypeName { package: "lifecycle_msgs", name: "TransitionEvent" };

impl ControlServers {
    /// `changes` publishes on `~/transition_event`.
    pub fn new(
        context: &Context,
        node: &mut Node,
        mapping: ServiceMapping,
        changes: Publisher<TransitionEvent>,
    ) -> CreateResult<Self> {
        const LIFECYCLE: &str = "lifecycle_msgs";
        let graph = "GetAvailableTransitions";
        let trigger = |trigger: Trigger, node: &mut Node| {
            let names = (trigger.service(), "std_srvs", "Trigger");
            Ok((trigger, Service::new(context, node, mapping, names)?))
        };
        Ok(Self {
            triggers: Trigger::ALL.into_iter().map(|each| trigger(each, node)).collect::<CreateResult<_>>()?,
            runs: RunPolicyServer::new(context, node, mapping)?,
            change: Service::new(context, node, mapping, ("change_state", LIFECYCLE, "ChangeState"))?,
            state: Service::new(context, node, mapping, ("get_state", LIFECYCLE, "GetState"))?,
            states: Service::new(context, node, mapping, ("get_available_states", LIFECYCLE, "GetAvailableStates"))?,
            transitions: Service::new(context, node, mapping, ("get_available_transitions", LIFECYCLE, graph))?,
            graph: Service::new(context, node, mapping, ("get_transition_graph", LIFECYCLE, graph))?,
            changes,
        })
    }

    /// Answers until it is dropped.
    pub async fn serve(self, asking: Asking) {
        let asking = &asking;
        let mut serving: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = vec![
            Box::pin(self.change.serve(async |wanted| change(asking, wanted).await)),
            Box::pin(self.state.serve(async |_| Some(GetStateResponse { current_state: asking.state().into() }))),
            Box::pin(self.states.serve(async |_| Some(StatesResponse { states: STATES.map(Into::into).to_vec() }))),
            Box::pin(self.transitions.serve(async |_| Some(listed(available(asking.state()))))),
            Box::pin(self.graph.serve(async |_| Some(listed(TRANSITIONS)))),
            Box::pin(self.tell(asking)),
            Box::pin(self.runs.serve(asking)),
        ];
        for (trigger, service) in &self.triggers {
            serving.push(Box::pin(service.serve(async |_| pull(asking, *trigger).await)));
        }
        all(serving).await;
    }

    /// Publishes what the node tells.
    async fn tell(&self, asking: &Asking) {
        while let Some(told) = asking.told().await {
            match told {
                Told::Changed(at, transition) => {
                    if let Err(error) = self.changes.publish(TransitionEvent::new(at, transition)) {
                        tracing::warn!(%error, "a transition is not told");
                    }
                }
                Told::Progress(progress) => self.runs.feed_back(progress),
                Told::Ended(ended) => self.runs.end(ended),
            }
        }
    }
}

/// Runs all of them.
async fn all(futures: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    let nothing: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(async {});
    let both = |a, b| -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            zip(a, b).await;
        })
    };
    futures.into_iter().fold(nothing, both).await;
}

async fn change(asking: &Asking, wanted: ChangeStateRequest) -> Option<ChangeStateResponse> {
    let TransitionMessage { id, label } = wanted.transition;
    let success = asking.ask(|answer| Request::Change { id, label, answer }).await?;
    Some(ChangeStateResponse { success })
}

async fn pull(asking: &Asking, trigger: Trigger) -> Option<TriggerResponse> {
    Some(match asking.ask(|answer| Request::Trigger { trigger, answer }).await? {
        Ok(message) => TriggerResponse { success: true, message },
        Err(message) => TriggerResponse { success: false, message },
    })
}

fn listed(transitions: impl IntoIterator<Item = lifecycle::Transition>) -> TransitionsResponse {
    TransitionsResponse { transitions: transitions.into_iter().map(Into::into).collect() }
}

/// A request without fields; the wire knows no empty structures.
#[derive(Clone, Serialize, Deserialize)]
struct Empty {
    structure_needs_at_least_one_member: u8,
}

#[derive(Clone, Serialize, Deserialize)]
struct StateMessage {
    id: u8,
    label: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct TransitionMessage {
    id: u8,
    label: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct TransitionDescription {
    transition: TransitionMessage,
    start_state: StateMessage,
    goal_state: StateMessage,
}

#[derive(Clone, Serialize, Deserialize)]
struct ChangeStateRequest {
    transition: TransitionMessage,
}

#[derive(Serialize, Deserialize)]
struct ChangeStateResponse {
    success: bool,
}

#[derive(Serialize, Deserialize)]
struct GetStateResponse {
    current_state: StateMessage,
}

#[derive(Serialize, Deserialize)]
struct StatesResponse {
    states: Vec<StateMessage>,
}

#[derive(Serialize, Deserialize)]
struct TransitionsResponse {
    transitions: Vec<TransitionDescription>,
}

#[derive(Serialize, Deserialize)]
struct TriggerResponse {
    success: bool,
    message: String,
}

/// What `~/transition_event` says.
#[derive(Serialize, Deserialize)]
pub(super) struct TransitionEvent {
    /// Nanoseconds since the epoch.
    timestamp: u64,
    transition: TransitionMessage,
    start_state: StateMessage,
    goal_state: StateMessage,
}

impl TransitionEvent {
    fn new(at: Stamp, transition: lifecycle::Transition) -> Self {
        let TransitionDescription { transition, start_state, goal_state } = transition.into();
        let timestamp = u64::try_from(at.nanos()).unwrap_or(0);
        Self { timestamp, transition, start_state, goal_state }
    }
}

impl Message for Empty {}
impl Message for ChangeStateRequest {}
impl Message for ChangeStateResponse {}
impl Message for GetStateResponse {}
impl Message for StatesResponse {}
impl Message for TransitionsResponse {}
impl Message for TriggerResponse {}

impl From<State> for StateMessage {
    fn from(state: State) -> Self {
        Self { id: state.id(), label: state.label().to_owned() }
    }
}

impl From<lifecycle::Transition> for TransitionDescription {
    fn from(transition: lifecycle::Transition) -> Self {
        Self {
            transition: TransitionMessage { id: transition.id, label: transition.label.to_owned() },
            start_state: transition.start.into(),
            goal_state: transition.goal.into(),
        }
    }
}

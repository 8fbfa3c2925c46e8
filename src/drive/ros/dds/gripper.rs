//! Clients of the actions that move a gripper: the newest goal is sent, and who does not take it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ros2_client::action::ActionClientQosPolicies;
use ros2_client::dds::{ActionClient, Node, ServiceMapping};
use ros2_client::qos::{Durability, History};
use ros2_client::{ActionTypeName, Message, Name};
use smol::Timer;

use super::service::qos;
use crate::drive::gripper::GripperGoal;
use crate::drive::ros::{GripperClient, Publish, PublishError};
use crate::msg::{
    GripperCommandGoal, GripperCommandState, Header, JointState, ParallelGripperCommandFeedback,
    ParallelGripperCommandGoal, ParallelGripperCommandResult,
};
use crate::profile::GripperAction;

/// So long a goal may go without an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Goals that wait while one is being sent; the oldest is of no use any more.
const WAITING: usize = 1;

impl Message for GripperCommandGoal {}
impl Message for GripperCommandState {}
impl Message for ParallelGripperCommandGoal {}
impl Message for ParallelGripperCommandResult {}
impl Message for ParallelGripperCommandFeedback {}

/// What sends the goals, to be run by the middleware's thread.
pub(super) struct GripperSender {
    client: Client,
    goals: smol::channel::Receiver<GripperGoal>,
    lost: Arc<AtomicBool>,
    action: String,
}

enum Client {
    Command(Box<ActionClient<GripperCommandGoal, GripperCommandState, GripperCommandState>>),
    Parallel(
        Box<ActionClient<ParallelGripperCommandGoal, ParallelGripperCommandResult, ParallelGripperCommandFeedback>>,
    ),
}

struct GripperPublisher {
    action: String,
    goals: smol::channel::Sender<GripperGoal>,
}

/// Both ends of a client of `action`, by its absolute name.
pub(super) fn client(
    node: &mut Node,
    mapping: ServiceMapping,
    action: &str,
    kind: GripperAction,
) -> Result<(GripperClient, GripperSender), String> {
    let name = Name::parse(action).map_err(|error| error.to_string())?;
    let client = match kind {
        GripperAction::GripperCommand => {
            let kind = ActionTypeName::new("control_msgs", "GripperCommand");
            let made = node.create_action_client(mapping, &name, &kind, policies());
            Client::Command(Box::new(made.map_err(|error| error.to_string())?))
        }
        GripperAction::ParallelGripperCommand => {
            let kind = ActionTypeName::new("control_msgs", "ParallelGripperCommand");
            let made = node.create_action_client(mapping, &name, &kind, policies());
            Client::Parallel(Box::new(made.map_err(|error| error.to_string())?))
        }
    };
    let (goals, waiting) = smol::channel::bounded(WAITING);
    let (lost, action) = (Arc::new(AtomicBool::new(false)), action.to_owned());
    let publisher = Box::new(GripperPublisher { action: action.clone(), goals });
    let sender = GripperSender { client, goals: waiting, lost: Arc::clone(&lost), action };
    Ok((GripperClient { goals: publisher, lost }, sender))
}

fn policies() -> ActionClientQosPolicies {
    ActionClientQosPolicies {
        goal_service: qos(),
        result_service: qos(),
        cancel_service: qos(),
        feedback_subscription: qos().history(History::KeepLast { depth: 1 }),
        status_subscription: qos().history(History::KeepLast { depth: 1 }).durability(Durability::TransientLocal),
    }
}

impl Publish<GripperGoal> for GripperPublisher {
    fn publish(&self, goal: GripperGoal) -> Result<(), PublishError> {
        // The newest wins.
        self.goals.force_send(goal).map(drop).map_err(|_closed| PublishError {
            topic: self.action.clone(),
            reason: "the ros thread has ended".to_owned(),
        })
    }
}

impl GripperSender {
    /// Sends goals until it is dropped.
    pub async fn run(self) {
        while let Ok(goal) = self.goals.recv().await {
            let position = goal.position;
            let silence = async {
                Timer::after(PATIENCE).await;
                Err("no answer".to_owned())
            };
            match smol::future::or(self.send(goal), silence).await {
                Ok(()) => tracing::debug!(action = self.action, position, "gripper goal accepted"),
                Err(reason) => {
                    tracing::warn!(action = self.action, position, reason, "gripper goal lost");
                    self.lost.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    async fn send(&self, goal: GripperGoal) -> Result<(), String> {
        let GripperGoal { joint, position, max_effort } = goal;
        let answer = match &self.client {
            Client::Command(client) => client.async_send_goal(GripperCommandGoal { position, max_effort }).await,
            Client::Parallel(client) => {
                let command = JointState {
                    header: Header::default(),
                    name: vec![joint],
                    position: vec![position],
                    velocity: Vec::new(),
                    effort: vec![max_effort],
                };
                client.async_send_goal(ParallelGripperCommandGoal { command }).await
            }
        };
        match answer {
            Ok((_, answer)) if answer.accepted => Ok(()),
            Ok(_) => Err("it is refused".to_owned()),
            Err(error) => Err(format!("{error:?}")),
        }
    }
}

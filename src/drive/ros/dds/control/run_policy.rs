//! The action `~/run_policy`: the book of its goals. What becomes of a goal is decided by the node.

use std::cell::RefCell;
use std::time::Duration as Wait;

use byteorder::LittleEndian;
use ros2_client::action::{
    ActionServerQosPolicies, CancelGoalRequest, CancelGoalResponse, GetResultResponse, GoalInfo, GoalStatusEnum,
    SendGoalRequest, SendGoalResponse,
};
use ros2_client::action_msgs::{CancelGoalResponseEnum, GoalId as Uuid, GoalStatus, GoalStatusArray};
use ros2_client::builtin_interfaces::Time;
use ros2_client::dds::{ActionServer, Context, Node, ServiceMapping};
use ros2_client::error::CreateResult;
use ros2_client::qos::{Durability, History};
use ros2_client::{ActionTypeName, Message, RmwRequestId};
use serde::{Deserialize, Serialize};
use smol::Timer;

use super::super::callers::Callers;
use super::super::service::{private, qos};
use crate::drive::clock;
use crate::drive::control::{Asking, Request};
use crate::drive::runs::{EndStatus, Ended, GoalId, Progress};
use crate::msg::Duration;

const ACTION: &str = "run_policy";
/// The crate lends its three servers only one at a time to whoever waits, so all are looked at in turn.
const LOOK_EVERY: Wait = Wait::from_millis(10);
/// Goals that are over and whose result can still be asked for.
const REMEMBERED: usize = 16;

/// `vla_msgs/action/RunPolicy`.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Goal {
    prompt: String,
    max_duration: Duration,
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct RunResult {
    success: bool,
    reason: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Feedback {
    chunks: u64,
    state: String,
}

impl Message for Goal {}
impl Message for RunResult {}
impl Message for Feedback {}

/// The server, not answering yet.
pub(super) struct RunPolicyServer {
    server: ActionServer<Goal, RunResult, Feedback>,
    /// Who hears the answers about goals, cancelling and results.
    callers: [Callers; 3],
    book: RefCell<Vec<Entry>>,
}

/// One accepted goal.
struct Entry {
    goal: Uuid,
    accepted: Time,
    status: GoalStatusEnum,
    result: RunResult,
    /// Who waits for the result.
    waiting: Vec<RmwRequestId>,
}

impl Entry {
    fn is(&self, goal: GoalId) -> bool {
        self.goal.uuid.as_bytes() == &goal.0
    }

    fn is_over(&self) -> bool {
        matches!(self.status, GoalStatusEnum::Succeeded | GoalStatusEnum::Canceled | GoalStatusEnum::Aborted)
    }

    fn info(&self) -> GoalInfo {
        GoalInfo { goal_id: self.goal, stamp: self.accepted }
    }
}

impl RunPolicyServer {
    pub fn new(context: &Context, node: &mut Node, mapping: ServiceMapping) -> CreateResult<Self> {
        let status = qos().history(History::KeepLast { depth: 1 }).durability(Durability::TransientLocal);
        let policies = ActionServerQosPolicies {
            goal_service: qos(),
            result_service: qos(),
            cancel_service: qos(),
            feedback_publisher: qos(),
            status_publisher: status,
        };
        let name = private(node, ACTION);
        let kind = ActionTypeName::new("vla_msgs", "RunPolicy");
        let server = node.create_action_server(mapping, &name, &kind, policies)?;
        let base = format!("{}/{ACTION}/_action", node.fully_qualified_name());
        let callers = ["send_goal", "cancel_goal", "get_result"]
            .map(|service| Callers::of(context.domain_participant(), mapping, &format!("{base}/{service}")));
        Ok(Self { server, callers, book: RefCell::default() })
    }

    /// Answers until it is dropped.
    pub async fn serve(&self, asking: &Asking) {
        loop {
            while let Some((id, request)) = taken(self.server.receive_goal()) {
                self.take_goal(asking, id, request).await;
            }
            while let Some((id, request)) = taken(self.server.receive_cancel_request()) {
                self.cancel(asking, id, &request).await;
            }
            while let Some((id, request)) = taken(self.server.receive_result_request()) {
                self.callers[2].ready(id.writer_gid).await;
                self.give_result(id, request.goal_id);
            }
            Timer::after(LOOK_EVERY).await;
        }
    }

    /// Publishes how a run goes on.
    pub fn feed_back(&self, progress: Progress) {
        let book = self.book.borrow();
        let Some(entry) = book.iter().find(|entry| entry.is(progress.goal)) else { return };
        let feedback = Feedback { chunks: progress.chunks, state: progress.state };
        let sent = self.server.send_feedback(entry.goal, feedback);
        told(sent.map_err(|error| error.to_string()));
    }

    /// Notes how a run ended, and tells who waits for it.
    pub fn end(&self, ended: Ended) {
        let status = match ended.status {
            EndStatus::Succeeded => GoalStatusEnum::Succeeded,
            EndStatus::Canceled => GoalStatusEnum::Canceled,
            EndStatus::Aborted => GoalStatusEnum::Aborted,
        };
        let mut book = self.book.borrow_mut();
        let Some(entry) = book.iter_mut().find(|entry| entry.is(ended.goal)) else { return };
        entry.status = status;
        entry.result = RunResult { success: ended.status == EndStatus::Succeeded, reason: ended.reason };
        let (waiting, result) = (std::mem::take(&mut entry.waiting), entry.result.clone());
        drop(book);
        for id in waiting {
            self.send_result(id, status, result.clone());
        }
        self.publish_status();
    }

    async fn take_goal(&self, asking: &Asking, id: RmwRequestId, request: SendGoalRequest<Goal>) {
        let (goal, Goal { prompt, max_duration }) = (request.goal_id, request.goal);
        let is_known = self.book.borrow().iter().any(|entry| entry.goal == goal);
        let accepted = Time::from_nanos(clock::now().nanos());
        let name = GoalId(goal.uuid.into_bytes());
        if !is_known {
            // Before the node is asked, so that a run which ends at once finds its entry.
            let (status, result) = (GoalStatusEnum::Executing, RunResult::default());
            self.book.borrow_mut().push(Entry { goal, accepted, status, result, waiting: Vec::new() });
        }
        let run = |answer| Request::Run { goal: name, prompt, max_duration: max_duration.into(), answer };
        let is_accepted = !is_known && asking.ask(run).await == Some(true);
        if !is_known && !is_accepted {
            self.book.borrow_mut().retain(|entry| entry.goal != goal);
        }
        self.callers[0].ready(id.writer_gid).await;
        let response = SendGoalResponse { accepted: is_accepted, stamp: accepted };
        told(self.server.send_goal_response(id, response).map_err(|error| error.to_string()));
        self.forget();
        self.publish_status();
    }

    async fn cancel(&self, asking: &Asking, id: RmwRequestId, request: &CancelGoalRequest) {
        let Some(wanted) = wanted(request) else { return };
        let (code, wanted) = self.to_cancel(&wanted);
        let (mut goals_canceling, mut return_code) = (Vec::new(), code);
        for info in wanted {
            let goal = GoalId(info.goal_id.uuid.into_bytes());
            if asking.ask(|answer| Request::Cancel { goal, answer }).await == Some(true) {
                let mut book = self.book.borrow_mut();
                let running = book.iter_mut().find(|entry| entry.goal == info.goal_id && !entry.is_over());
                if let Some(entry) = running {
                    entry.status = GoalStatusEnum::Canceling;
                }
                goals_canceling.push(info);
            }
        }
        if goals_canceling.is_empty() && return_code == CancelGoalResponseEnum::None {
            return_code = CancelGoalResponseEnum::Rejected;
        }
        self.callers[1].ready(id.writer_gid).await;
        let response = CancelGoalResponse { return_code, goals_canceling };
        told(self.server.send_cancel_response(id, response).map_err(|error| error.to_string()));
    }

    /// The goals that a request means and that are not over; what to answer where there is none.
    fn to_cancel(&self, wanted: &GoalInfo) -> (CancelGoalResponseEnum, Vec<GoalInfo>) {
        let book = self.book.borrow();
        let any = wanted.goal_id == Uuid::ZERO;
        let is_early = |entry: &&Entry| wanted.stamp != Time::ZERO && entry.accepted <= wanted.stamp;
        let is_meant =
            |entry: &&Entry| entry.goal == wanted.goal_id || is_early(entry) || (any && wanted.stamp == Time::ZERO);
        let code = match book.iter().find(|entry| entry.goal == wanted.goal_id) {
            None if !any => CancelGoalResponseEnum::UnknownGoal,
            Some(entry) if entry.is_over() => CancelGoalResponseEnum::GoalTerminated,
            _ => CancelGoalResponseEnum::None,
        };
        let meant: Vec<GoalInfo> =
            book.iter().filter(|entry| !entry.is_over()).filter(is_meant).map(Entry::info).collect();
        (if meant.is_empty() { code } else { CancelGoalResponseEnum::None }, meant)
    }

    fn give_result(&self, id: RmwRequestId, goal: Uuid) {
        let mut book = self.book.borrow_mut();
        let (status, result) = match book.iter_mut().find(|entry| entry.goal == goal) {
            Some(entry) if !entry.is_over() => return entry.waiting.push(id),
            Some(entry) => (entry.status, entry.result.clone()),
            None => (GoalStatusEnum::Unknown, RunResult::default()),
        };
        self.send_result(id, status, result);
    }

    fn send_result(&self, id: RmwRequestId, status: GoalStatusEnum, result: RunResult) {
        let sent = self.server.send_result(id, GetResultResponse { status, result });
        told(sent.map_err(|error| error.to_string()));
    }

    fn publish_status(&self) {
        let status = |entry: &Entry| GoalStatus { goal_info: entry.info(), status: entry.status };
        let status_list = self.book.borrow().iter().map(status).collect();
        let sent = self.server.send_goal_statuses(GoalStatusArray { status_list });
        told(sent.map_err(|error| error.to_string()));
    }

    /// Only the last goals that are over are remembered.
    fn forget(&self) {
        let mut book = self.book.borrow_mut();
        let mut over = book.iter().filter(|entry| entry.is_over()).count();
        book.retain(|entry| {
            let is_old = entry.is_over() && over > REMEMBERED;
            over -= usize::from(is_old);
            !is_old
        });
    }
}

/// The crate keeps the only field of this message to itself; its bytes are those of the field.
fn wanted(request: &CancelGoalRequest) -> Option<GoalInfo> {
    let bytes = cdr_encoding::to_vec::<_, LittleEndian>(request).ok()?;
    cdr_encoding::from_bytes::<GoalInfo, LittleEndian>(&bytes).ok().map(|(info, _)| info)
}

fn taken<T>(received: ros2_client::ReadResult<Option<T>>) -> Option<T> {
    received.unwrap_or_else(|error| {
        tracing::warn!(%error, action = ACTION, "a request cannot be read");
        None
    })
}

fn told(sent: Result<(), String>) {
    if let Err(error) = sent {
        tracing::warn!(error, action = ACTION, "something is not told");
    }
}

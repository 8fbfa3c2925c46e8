//! The states of a managed node and the ways between them, as tools of ROS 2 know them.
//!
//! Ids, labels and order are those of `lifecycle_msgs` and `rcl_lifecycle`. Nothing here does what a transition stands for.

/// A state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum State {
    Unknown,
    Unconfigured,
    Inactive,
    Active,
    Finalized,
    Configuring,
    CleaningUp,
    ShuttingDown,
    Activating,
    Deactivating,
    ErrorProcessing,
}

use State::{
    Activating, Active, CleaningUp, Configuring, Deactivating, ErrorProcessing, Finalized, Inactive, ShuttingDown,
    Unconfigured, Unknown,
};

/// Every state, in the order in which tools list them.
pub const STATES: [State; 11] = [
    Unknown,
    Unconfigured,
    Inactive,
    Active,
    Finalized,
    Configuring,
    CleaningUp,
    ShuttingDown,
    Activating,
    Deactivating,
    ErrorProcessing,
];

impl State {
    /// Its number in `lifecycle_msgs/State`.
    pub fn id(self) -> u8 {
        match self {
            Unknown => 0,
            Unconfigured => 1,
            Inactive => 2,
            Active => 3,
            Finalized => 4,
            Configuring => 10,
            CleaningUp => 11,
            ShuttingDown => 12,
            Activating => 13,
            Deactivating => 14,
            ErrorProcessing => 15,
        }
    }

    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Unknown => "unknown",
            Unconfigured => "unconfigured",
            Inactive => "inactive",
            Active => "active",
            Finalized => "finalized",
            Configuring => "configuring",
            CleaningUp => "cleaningup",
            ShuttingDown => "shuttingdown",
            Activating => "activating",
            Deactivating => "deactivating",
            ErrorProcessing => "errorprocessing",
        }
    }

    /// The state of this number.
    pub fn from_id(id: u8) -> Option<Self> {
        STATES.into_iter().find(|state| state.id() == id)
    }
}

/// A way from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Its number in `lifecycle_msgs/Transition`.
    pub id: u8,
    /// Its name; several have the same.
    pub label: &'static str,
    /// Where it begins.
    pub start: State,
    /// Where it leads.
    pub goal: State,
}

const fn way(id: u8, label: &'static str, start: State, goal: State) -> Transition {
    Transition { id, label, start, goal }
}

const SUCCESS: &str = "transition_success";
const FAILURE: &str = "transition_failure";
const ERROR: &str = "transition_error";

/// Every transition, in the order in which tools list them.
pub const TRANSITIONS: [Transition; 25] = [
    way(1, "configure", Unconfigured, Configuring),
    way(10, SUCCESS, Configuring, Inactive),
    way(11, FAILURE, Configuring, Unconfigured),
    way(12, ERROR, Configuring, ErrorProcessing),
    way(2, "cleanup", Inactive, CleaningUp),
    way(20, SUCCESS, CleaningUp, Unconfigured),
    way(21, FAILURE, CleaningUp, Inactive),
    way(22, ERROR, CleaningUp, ErrorProcessing),
    way(3, "activate", Inactive, Activating),
    way(30, SUCCESS, Activating, Active),
    way(31, FAILURE, Activating, Inactive),
    way(32, ERROR, Activating, ErrorProcessing),
    way(4, "deactivate", Active, Deactivating),
    way(40, SUCCESS, Deactivating, Inactive),
    way(41, FAILURE, Deactivating, Active),
    way(42, ERROR, Deactivating, ErrorProcessing),
    way(5, "shutdown", Unconfigured, ShuttingDown),
    way(6, "shutdown", Inactive, ShuttingDown),
    way(7, "shutdown", Active, ShuttingDown),
    way(50, SUCCESS, ShuttingDown, Finalized),
    way(51, FAILURE, ShuttingDown, Finalized),
    way(52, ERROR, ShuttingDown, ErrorProcessing),
    way(60, SUCCESS, ErrorProcessing, Unconfigured),
    way(61, FAILURE, ErrorProcessing, Finalized),
    way(62, ERROR, ErrorProcessing, Finalized),
];

/// How what a transition stands for went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Success,
    /// It is not done, and everything is as before.
    Failure,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Outcome::Success => SUCCESS,
            Outcome::Failure => FAILURE,
        }
    }
}

/// The state of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifecycle(State);

impl Default for Lifecycle {
    fn default() -> Self {
        Self(Unconfigured)
    }
}

impl Lifecycle {
    /// Where it is.
    pub fn state(self) -> State {
        self.0
    }

    /// Begins the transition that somebody wants by its label or, where that is empty, by its number; `None` where the
    /// present state has no such way. What ends a transition is not for others to say.
    pub fn begin(&mut self, id: u8, label: &str) -> Option<Transition> {
        let is_wanted = |way: &Transition| if label.is_empty() { way.id == id } else { way.label == label };
        let is_free = matches!(self.0, Unconfigured | Inactive | Active);
        self.take(|way| is_free && is_wanted(way))
    }

    /// Ends the transition that was begun; `None` where there is none.
    pub fn end(&mut self, outcome: Outcome) -> Option<Transition> {
        self.take(|way| way.label == outcome.label())
    }

    fn take(&mut self, is_wanted: impl Fn(&Transition) -> bool) -> Option<Transition> {
        let taken = available(self.0).find(is_wanted)?;
        self.0 = taken.goal;
        Some(taken)
    }
}

/// The ways from `state`.
pub fn available(state: State) -> impl Iterator<Item = Transition> {
    TRANSITIONS.into_iter().filter(move |way| way.start == state)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `ros2 lifecycle list --all` prints of a managed node: `ALL_LIFECYCLE_NODE_TRANSITIONS` in the tests of
    /// ros2cli's ros2lifecycle.
    const LISTED: &str = "configure 1 unconfigured configuring;transition_success 10 configuring inactive;\
        transition_failure 11 configuring unconfigured;transition_error 12 configuring errorprocessing;\
        cleanup 2 inactive cleaningup;transition_success 20 cleaningup unconfigured;\
        transition_failure 21 cleaningup inactive;transition_error 22 cleaningup errorprocessing;\
        activate 3 inactive activating;transition_success 30 activating active;\
        transition_failure 31 activating inactive;transition_error 32 activating errorprocessing;\
        deactivate 4 active deactivating;transition_success 40 deactivating inactive;\
        transition_failure 41 deactivating active;transition_error 42 deactivating errorprocessing;\
        shutdown 5 unconfigured shuttingdown;shutdown 6 inactive shuttingdown;shutdown 7 active shuttingdown;\
        transition_success 50 shuttingdown finalized;transition_failure 51 shuttingdown finalized;\
        transition_error 52 shuttingdown errorprocessing;transition_success 60 errorprocessing unconfigured;\
        transition_failure 61 errorprocessing finalized;transition_error 62 errorprocessing finalized";

    #[test]
    fn the_graph_is_the_one_that_tools_know() {
        let listed = TRANSITIONS
            .map(|way| format!("{} {} {} {}", way.label, way.id, way.start.label(), way.goal.label()))
            .join(";");
        assert_eq!(listed, LISTED);
        assert_eq!(STATES.map(State::id), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15]);
        assert!(STATES.iter().all(|state| State::from_id(state.id()) == Some(*state)));
    }

    #[test]
    fn a_transition_is_begun_by_number_or_by_label_and_the_label_counts() {
        let mut node = Lifecycle::default();
        assert_eq!(node.begin(3, "configure").map(|way| way.id), Some(1));
        assert_eq!(node.begin(1, ""), None, "one is running");
        assert_eq!(node.end(Outcome::Failure).map(|way| way.id), Some(11));
        assert_eq!((node.state(), node.end(Outcome::Success)), (Unconfigured, None));
        for (id, label) in [(1, ""), (0, "activate"), (0, "shutdown")] {
            assert!(node.begin(id, label).is_some());
            assert!(node.end(Outcome::Success).is_some());
        }
        assert_eq!((node.state(), node.begin(1, "")), (Finalized, None));
    }

    #[test]
    fn nobody_ends_a_transition_by_asking_for_its_end() {
        let mut node = Lifecycle::default();
        node.begin(1, "").unwrap();
        assert_eq!((node.begin(10, ""), node.begin(0, "transition_success")), (None, None));
        assert_eq!(node.state(), Configuring);
    }
}

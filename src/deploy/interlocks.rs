//! What else has a say in whether the robot moves: switched on by run parameters, one by one.

use super::parameters::Reader;
use crate::time::Span;

/// Who may stop the robot, and what starts it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InterlockRules {
    /// Each stops when it says so, and when it says nothing.
    pub estops: Vec<EStopInput>,
    /// Moves only while held; `None` where nobody has to.
    pub deadman: Option<DeadmanInput>,
    /// Topic (`std_msgs/Bool`) that is true while a person drives; `None` where nobody does.
    pub takeover: Option<String>,
    /// Whether it moves as soon as the node is active.
    pub start: StartRule,
}

/// An e-stop.
#[derive(Clone, Debug, PartialEq)]
pub struct EStopInput {
    /// Topic as written: absolute, relative or private (`~/`).
    pub topic: String,
    /// What it sends.
    pub message: EStopMessage,
    /// Longest silence.
    pub timeout: Span,
}

/// What an e-stop sends again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EStopMessage {
    /// `std_msgs/Bool`: true where it is pressed.
    Bool,
    /// `std_msgs/Empty`: silence is the only way to stop.
    Empty,
}

/// A button that is held while the robot may move.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadmanInput {
    /// Topic (`sensor_msgs/Joy`) as written: absolute, relative or private (`~/`).
    pub topic: String,
    /// Index of the button.
    pub button: usize,
    /// Longest silence.
    pub timeout: Span,
    /// What holding it once more does.
    pub after_release: AfterRelease,
}

/// What it takes to move again after the deadman was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRelease {
    /// `~/start`, and to hold it.
    WaitsForStart,
    /// To hold it.
    Resumes,
}

/// What starts the robot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartRule {
    /// It moves when the node is active.
    #[default]
    WhenActive,
    /// It moves after `~/start`.
    WhenTold,
}

impl InterlockRules {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let (pressed, heartbeat) = (reader.string("estop"), reader.string("estop_heartbeat"));
        let timeout = timeout(reader, "estop_timeout_ms", &[&pressed, &heartbeat], "`estop` or `estop_heartbeat`");
        let estop = |topic, message| EStopInput { topic, message, timeout };
        let estops = pressed.map(|topic| estop(topic, EStopMessage::Bool)).into_iter();
        let estops = estops.chain(heartbeat.map(|topic| estop(topic, EStopMessage::Empty))).collect();
        let waits = reader.bool("wait_for_start").unwrap_or(false);
        Self {
            estops,
            deadman: deadman(reader),
            takeover: reader.string("takeover"),
            start: if waits { StartRule::WhenTold } else { StartRule::WhenActive },
        }
    }
}

fn deadman(reader: &mut Reader) -> Option<DeadmanInput> {
    let topic = reader.string("deadman");
    let timeout = timeout(reader, "deadman_timeout_ms", &[&topic], "`deadman`");
    let (button, resumes) = (reader.index("deadman_button"), reader.bool("deadman_resumes"));
    if topic.is_none() && (button.is_some() || resumes.is_some()) {
        reader.problem("`deadman_button` or `deadman_resumes` is given without `deadman`");
    }
    if topic.is_some() && button.is_none() {
        reader.problem("`deadman` is given without `deadman_button`");
    }
    let after_release = if resumes == Some(true) { AfterRelease::Resumes } else { AfterRelease::WaitsForStart };
    Some(DeadmanInput { topic: topic?, button: button?, timeout, after_release })
}

/// The longest silence of an input that is there or not; a stand-in where that is already a problem or nobody asks.
fn timeout(reader: &mut Reader, name: &str, topics: &[&Option<String>], of: &str) -> Span {
    let given = reader.millis(name);
    match (given, topics.iter().any(|topic| topic.is_some())) {
        (Some(Span::ZERO), _) => reader.problem(&format!("`{name}` is 0, wanted a number above 0")),
        (Some(_), false) => reader.problem(&format!("`{name}` is given without {of}")),
        (None, true) => reader.problem(&format!("{of} is given without `{name}`")),
        (Some(_), true) | (None, false) => {}
    }
    given.unwrap_or(Span::ZERO)
}

use super::*;
use crate::deploy::samples::arm::at;
use crate::deploy::samples::arm_with;
use crate::deploy::{Deployment, ParamValue};

pub(super) fn text(value: &str) -> ParamValue {
    ParamValue::String(value.to_owned())
}

const LIVE: (&str, ParamValue) = ("dry_run", ParamValue::Bool(false));

/// An arm that may move, with `more` parameters.
pub(super) fn live(more: &[(&str, ParamValue)]) -> Deployment {
    arm_with(&[&[LIVE], more].concat())
}

/// Active from 0 ms on.
fn active(more: &[(&str, ParamValue)]) -> Interlocks {
    let mut interlocks = Interlocks::new(&live(more));
    interlocks.handle(at(0.0), Input::Activate).unwrap();
    interlocks
}

fn with_estop() -> Interlocks {
    active(&[("estop", text("/estop")), ("estop_timeout_ms", ParamValue::Int(100))])
}

fn say(interlocks: &mut Interlocks, ms: f64, (switch, on): (Switch, bool)) {
    interlocks.handle(at(ms), Input::Switch { switch, on }).unwrap();
}

fn words(interlocks: &Interlocks, ms: f64) -> String {
    match interlocks.authority(at(ms)) {
        Authority::Moves => "moves".to_owned(),
        Authority::Stopped(reason) => reason.to_string(),
    }
}

const ESTOP: Switch = Switch::EStop(0);

#[test]
fn without_options_it_moves_from_activation_to_deactivation() {
    let mut interlocks = Interlocks::new(&live(&[]));
    assert_eq!(words(&interlocks, 0.0), "the node is not active");
    assert_eq!(interlocks.handle(at(0.0), Input::Start), Err(Reason::Inactive));
    interlocks.handle(at(1.0), Input::Activate).unwrap();
    assert_eq!(interlocks.authority(at(1e9)), Authority::Moves);
    interlocks.handle(at(2.0), Input::Deactivate).unwrap();
    assert_eq!(interlocks.authority(at(2.0)), Authority::Stopped(Reason::Inactive));
}

#[test]
fn a_stop_lasts_until_a_start() {
    let mut interlocks = active(&[]);
    interlocks.handle(at(1.0), Input::Stop).unwrap();
    interlocks.handle(at(2.0), Input::EStopReset).unwrap();
    assert_eq!(words(&interlocks, 9e9), "stopped; it moves again after ~/start");
    interlocks.handle(at(3.0), Input::Deactivate).unwrap();
    interlocks.handle(at(4.0), Input::Activate).unwrap();
    assert_eq!(interlocks.authority(at(4.0)), Authority::Stopped(Reason::Asked));
    interlocks.handle(at(5.0), Input::Start).unwrap();
    assert_eq!(interlocks.authority(at(5.0)), Authority::Moves);
}

#[test]
fn a_protective_stop_lasts_until_a_start_and_is_not_forgotten_over_a_stop() {
    let mut interlocks = active(&[]);
    interlocks.handle(at(1.0), Input::Brake).unwrap();
    interlocks.handle(at(2.0), Input::Stop).unwrap();
    assert_eq!(words(&interlocks, 3.0), "protective stop; it moves again after ~/start");
    interlocks.handle(at(4.0), Input::Start).unwrap();
    assert_eq!(interlocks.authority(at(4.0)), Authority::Moves);
}

#[test]
fn where_a_start_is_waited_for_every_activation_wants_one() {
    let mut interlocks = active(&[("wait_for_start", ParamValue::Bool(true))]);
    assert_eq!(words(&interlocks, 1.0), "not started; it moves after ~/start");
    interlocks.handle(at(2.0), Input::Start).unwrap();
    assert_eq!(interlocks.authority(at(2.0)), Authority::Moves);
    interlocks.handle(at(3.0), Input::Deactivate).unwrap();
    interlocks.handle(at(4.0), Input::Activate).unwrap();
    assert_eq!(interlocks.authority(at(4.0)), Authority::Stopped(Reason::NotStarted));
}

#[test]
fn an_estop_that_was_never_heard_stops_and_its_first_word_is_enough() {
    let mut interlocks = with_estop();
    assert_eq!(words(&interlocks, 1.0), "an e-stop heartbeat was never heard");
    assert_eq!(interlocks.handle(at(2.0), Input::Start), Err(Reason::EStopNeverHeard));
    assert_eq!(interlocks.handle(at(2.0), Input::EStopReset), Err(Reason::EStopNeverHeard));
    say(&mut interlocks, 3.0, (ESTOP, false));
    assert_eq!(interlocks.authority(at(103.0)), Authority::Moves);
}

#[test]
fn a_pressed_estop_wants_a_release_a_reset_and_a_start_in_this_order() {
    let mut interlocks = with_estop();
    say(&mut interlocks, 1.0, (ESTOP, true));
    assert_eq!(words(&interlocks, 2.0), "e-stop: it was pressed");
    assert_eq!(
        interlocks.handle(at(3.0), Input::EStopReset),
        Err(Reason::EStop(EStopCause::Pressed)),
        "the cause lasts"
    );
    say(&mut interlocks, 4.0, (ESTOP, false));
    let released = Reason::EStopReleased(EStopCause::Pressed);
    assert_eq!(interlocks.handle(at(5.0), Input::Start), Err(released), "nobody has reset it");
    let want = "e-stop: it was pressed before; it moves again after ~/estop_reset and ~/start";
    assert_eq!(words(&interlocks, 5.0), want);
    interlocks.handle(at(6.0), Input::EStopReset).unwrap();
    assert_eq!(interlocks.authority(at(6.0)), Authority::Stopped(Reason::NotStarted));
    interlocks.handle(at(7.0), Input::Start).unwrap();
    assert_eq!(interlocks.authority(at(7.0)), Authority::Moves);
}

#[test]
fn a_heartbeat_that_comes_back_does_not_undo_its_silence() {
    let mut interlocks = with_estop();
    say(&mut interlocks, 0.0, (ESTOP, false));
    assert_eq!(interlocks.authority(at(100.0)), Authority::Moves);
    assert_eq!(words(&interlocks, 100.1), "e-stop: its heartbeat was lost");
    say(&mut interlocks, 101.0, (ESTOP, false));
    let released = Authority::Stopped(Reason::EStopReleased(EStopCause::Silent));
    assert_eq!(interlocks.authority(at(101.0)), released);
}

#[test]
fn a_clock_that_jumps_either_way_is_a_lost_heartbeat() {
    for jump in [-5000.0, 5000.0] {
        let mut interlocks = with_estop();
        say(&mut interlocks, 0.0, (ESTOP, false));
        assert_eq!(interlocks.authority(at(jump)), Authority::Stopped(Reason::EStop(EStopCause::Silent)));
        say(&mut interlocks, jump, (ESTOP, false));
        let released = Authority::Stopped(Reason::EStopReleased(EStopCause::Silent));
        assert_eq!(interlocks.authority(at(jump)), released);
    }
}

#[test]
fn each_of_two_estops_has_to_be_heard_and_may_stop() {
    let two = [("estop", text("/a")), ("estop_heartbeat", text("/b")), ("estop_timeout_ms", ParamValue::Int(100))];
    let mut interlocks = active(&two);
    say(&mut interlocks, 0.0, (Switch::EStop(0), false));
    assert_eq!(interlocks.authority(at(0.0)), Authority::Stopped(Reason::EStopNeverHeard));
    say(&mut interlocks, 0.0, (Switch::EStop(1), false));
    assert_eq!(interlocks.authority(at(0.0)), Authority::Moves);
    say(&mut interlocks, 90.0, (Switch::EStop(0), false));
    assert_eq!(interlocks.authority(at(101.0)), Authority::Stopped(Reason::EStop(EStopCause::Silent)));
}

fn with_deadman(resumes: ParamValue) -> Interlocks {
    active(&[
        ("deadman", text("/joy")),
        ("deadman_button", ParamValue::Int(4)),
        ("deadman_timeout_ms", ParamValue::Int(100)),
        ("deadman_resumes", resumes),
    ])
}

#[test]
fn it_moves_only_while_the_deadman_is_held() {
    let mut interlocks = with_deadman(ParamValue::Bool(true));
    assert_eq!(words(&interlocks, 0.0), "the deadman is not held");
    say(&mut interlocks, 1.0, (Switch::Deadman, true));
    assert_eq!(interlocks.authority(at(101.0)), Authority::Moves);
    assert_eq!(interlocks.authority(at(101.1)), Authority::Stopped(Reason::DeadmanNotHeld), "silence is a release");
    say(&mut interlocks, 102.0, (Switch::Deadman, true));
    assert_eq!(interlocks.authority(at(102.0)), Authority::Moves);
    say(&mut interlocks, 103.0, (Switch::Deadman, false));
    assert_eq!(interlocks.authority(at(103.0)), Authority::Stopped(Reason::DeadmanNotHeld));
}

#[test]
fn a_released_deadman_wants_a_start_unless_holding_it_is_said_to_be_enough() {
    for silence in [false, true] {
        let mut interlocks = with_deadman(ParamValue::Bool(false));
        say(&mut interlocks, 1.0, (Switch::Deadman, true));
        if silence {
            assert_eq!(interlocks.authority(at(150.0)), Authority::Stopped(Reason::DeadmanReleased));
        } else {
            say(&mut interlocks, 2.0, (Switch::Deadman, false));
        }
        say(&mut interlocks, 150.0, (Switch::Deadman, true));
        let want = "the deadman was released; it moves again after ~/start while it is held";
        assert_eq!(words(&interlocks, 151.0), want);
        interlocks.handle(at(152.0), Input::Start).unwrap();
        assert_eq!(interlocks.authority(at(152.0)), Authority::Moves);
    }
}

#[test]
fn while_a_person_drives_it_is_stopped_and_afterwards_it_goes_on() {
    let mut interlocks = active(&[("takeover", text("/teleop"))]);
    say(&mut interlocks, 1.0, (Switch::Takeover, true));
    assert_eq!(words(&interlocks, 1e6), "teleoperation has taken over");
    say(&mut interlocks, 1e6, (Switch::Takeover, false));
    assert_eq!(interlocks.authority(at(1e6)), Authority::Moves);
}

#[test]
fn a_dry_run_has_no_way_back() {
    let mut interlocks = active(&[]);
    interlocks.handle(at(1.0), Input::DryRun).unwrap();
    interlocks.handle(at(2.0), Input::Start).unwrap();
    assert_eq!((words(&interlocks, 2.0), Reason::DryRun.class()), ("dry run".to_owned(), "dry_run"));
}

#[test]
fn half_an_interlock_is_refused() {
    use crate::deploy::RunParameters;
    let given = [
        ("inference_rate_hz", ParamValue::Int(4)),
        ("n_action_steps", ParamValue::Int(8)),
        ("max_skew_ms", ParamValue::Int(12)),
    ];
    let refusal = |more: &[(&str, ParamValue)]| {
        let all = given.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        RunParameters::parse(&all).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(&[("estop", text("/estop")), ("deadman", text("/joy")), ("deadman_timeout_ms", ParamValue::Int(0))]),
        "parameters: `estop` or `estop_heartbeat` is given without `estop_timeout_ms`; `deadman_timeout_ms` is 0, \
         wanted a number above 0; `deadman` is given without `deadman_button`"
    );
    assert_eq!(
        refusal(&[("estop_timeout_ms", ParamValue::Int(5)), ("deadman_button", ParamValue::Int(1))]),
        "parameters: `estop_timeout_ms` is given without `estop` or `estop_heartbeat`; `deadman_button` or \
         `deadman_resumes` is given without `deadman`"
    );
}

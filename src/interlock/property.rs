//! Whatever happens in whatever order: what the interlocks say is held against the plain history of what happened.

use proptest::prelude::*;

use super::tests::{live, text};
use super::*;
use crate::deploy::ParamValue;

const TIMEOUT_MS: i64 = 100;

/// What happened, and when, ms.
type History = Vec<(i64, Input)>;

fn inputs() -> impl Strategy<Value = Input> {
    let switch = prop_oneof![
        3 => Just((Switch::EStop(0), false)),
        1 => Just((Switch::EStop(0), true)),
        3 => Just((Switch::Deadman, true)),
        1 => Just((Switch::Deadman, false)),
        2 => Just((Switch::Takeover, false)),
        1 => Just((Switch::Takeover, true)),
    ];
    prop_oneof![
        8 => switch.prop_map(|(switch, on)| Input::Switch { switch, on }),
        2 => Just(Input::Activate),
        1 => Just(Input::Deactivate),
        4 => Just(Input::Start),
        1 => Just(Input::Stop),
        2 => Just(Input::EStopReset),
        1 => Just(Input::Brake),
    ]
}

/// Mostly close together, sometimes with a gap that a heartbeat does not survive, sometimes back in time.
fn steps() -> impl Strategy<Value = Vec<(i64, Input)>> {
    let gap = prop_oneof![20 => 0..40_i64, 1 => 90..250_i64, 1 => -5000..0_i64];
    prop::collection::vec((gap, inputs()), 1..120)
}

/// The last thing that `pick` recognises, and its index.
fn last<T>(history: &History, pick: impl Fn(Input) -> Option<T>) -> Option<(usize, T)> {
    history.iter().enumerate().rev().find_map(|(index, (_, input))| Some((index, pick(*input)?)))
}

fn last_of(history: &History, wanted: Input) -> Option<usize> {
    last(history, |input| (input == wanted).then_some(())).map(|(index, ())| index)
}

fn switch(history: &History, wanted: Switch) -> Option<(usize, bool)> {
    last(history, |input| match input {
        Input::Switch { switch, on } if switch == wanted => Some(on),
        _ => None,
    })
}

/// Index of the last moment at which the e-stop stopped: pressed, or heard again after a silence.
fn last_stop(history: &History) -> Option<usize> {
    let mut heard: Option<i64> = None;
    let mut stop = None;
    for (index, (at, input)) in history.iter().enumerate() {
        if heard.is_some_and(|heard| (at - heard).abs() > TIMEOUT_MS) {
            stop = Some(index);
        }
        if let Input::Switch { switch: Switch::EStop(_), on } = input {
            heard = Some(*at);
            if *on {
                stop = Some(index);
            }
        }
    }
    stop
}

/// What must hold of the history where the robot moves at its end.
fn may_move(history: &History, now: i64) -> Result<(), TestCaseError> {
    let is_fresh = |index: usize| (now - history[index].0).abs() <= TIMEOUT_MS;
    let estop = switch(history, Switch::EStop(0));
    prop_assert!(estop.is_some_and(|(index, on)| !on && is_fresh(index)), "the e-stop is heard and not pressed");
    let deadman = switch(history, Switch::Deadman);
    prop_assert!(deadman.is_some_and(|(index, on)| on && is_fresh(index)), "the deadman is held");
    prop_assert!(switch(history, Switch::Takeover).is_none_or(|(_, on)| !on), "nobody drives");
    prop_assert!(last_of(history, Input::Activate) > last_of(history, Input::Deactivate), "it is active");
    let start = last_of(history, Input::Start);
    prop_assert!(start > last_of(history, Input::Stop) && start > last_of(history, Input::Brake), "it was started");
    if let Some(stop) = last_stop(history) {
        let resets = history.iter().enumerate().filter(|(_, (_, input))| *input == Input::EStopReset);
        let reset = resets.map(|(index, _)| index).find(|index| *index > stop);
        prop_assert!(reset.is_some() && start > reset, "reset after the e-stop, and started after the reset");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn it_moves_only_where_the_history_lets_it(steps in steps(), later in 0..150_i64) {
        let parameters = [
            ("estop", text("/estop")),
            ("estop_timeout_ms", ParamValue::Int(TIMEOUT_MS)),
            ("deadman", text("/joy")),
            ("deadman_button", ParamValue::Int(0)),
            ("deadman_timeout_ms", ParamValue::Int(TIMEOUT_MS)),
            ("deadman_resumes", ParamValue::Bool(true)),
            ("takeover", text("/teleop")),
            ("wait_for_start", ParamValue::Bool(true)),
        ];
        let mut interlocks = Interlocks::new(&live(&parameters));
        let stamp = |ms: i64| Stamp::from_nanos((1_000_000 + ms) * 1_000_000);
        let (mut now, mut history) = (0, History::new());
        for (gap, input) in steps {
            now += gap;
            // A refusal changes nothing, and the history holds only what was taken.
            if interlocks.handle(stamp(now), input).is_ok() {
                history.push((now, input));
            } else {
                // It only lets time pass.
                history.push((now, Input::Switch { switch: Switch::Takeover, on: switch(&history, Switch::Takeover).is_some_and(|(_, on)| on) }));
            }
            for look in [now, now + later] {
                if interlocks.authority(stamp(look)) == Authority::Moves {
                    may_move(&history, look)?;
                }
            }
        }
    }

    #[test]
    fn an_estop_stops_at_once_and_whatever_follows_but_a_reset_leaves_it_stopped(steps in steps()) {
        let parameters = [("estop", text("/estop")), ("estop_timeout_ms", ParamValue::Int(TIMEOUT_MS))];
        let mut interlocks = Interlocks::new(&live(&parameters));
        let stamp = |ms: i64| Stamp::from_nanos((1_000_000 + ms) * 1_000_000);
        interlocks.handle(stamp(0), Input::Activate).unwrap();
        interlocks.handle(stamp(0), Input::Switch { switch: Switch::EStop(0), on: false }).unwrap();
        prop_assert_eq!(interlocks.authority(stamp(0)), Authority::Moves);
        interlocks.handle(stamp(1), Input::Switch { switch: Switch::EStop(0), on: true }).unwrap();
        let mut now = 1;
        for (gap, input) in steps {
            prop_assert!(interlocks.authority(stamp(now)) != Authority::Moves);
            now += gap;
            if input != Input::EStopReset {
                // Starts are refused, as they should be.
                let _ = interlocks.handle(stamp(now), input);
            }
        }
    }
}

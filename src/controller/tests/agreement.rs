//! Controllers that are not what they are taken for.

use super::*;

fn reported() -> Reported {
    Reported {
        state: "active".into(),
        joints: vec!["elbow".into(), "shoulder".into()],
        command_interfaces: vec!["position".into(), "velocity".into()],
        allow_nonzero_velocity_at_trajectory_end: Some(true),
        update_rate: Some(100),
        ..Reported::default()
    }
}

fn told(config: &Config, reported: &Reported) -> Vec<String> {
    contradictions(config, reported).iter().map(ToString::to_string).collect()
}

#[test]
fn a_controller_that_is_what_it_is_taken_for_contradicts_nothing() {
    for distribution in [Distribution::Humble, Distribution::Jazzy] {
        assert_eq!(told(&config(distribution), &reported()), [""; 0]);
    }
}

#[test]
fn every_contradiction_is_told() {
    let wrong = Reported {
        state: "inactive".into(),
        joints: vec!["wrist".into(), "shoulder".into()],
        command_interfaces: vec!["velocity".into()],
        interpolation_method: Some("none".into()),
        open_loop_control: Some(true),
        interpolate_from_desired_state: None,
        allow_nonzero_velocity_at_trajectory_end: Some(false),
        update_rate: Some(500),
    };
    let mut wanted = [
        "`state` is inactive, the profile says active",
        "`joints` is shoulder, wrist, the profile says elbow, shoulder",
        "`command_interfaces` is velocity, the profile says position",
        "`interpolation_method` is none, the profile says splines",
        "`open_loop_control` is true, the profile says false",
        "`allow_nonzero_velocity_at_trajectory_end` is false, the profile says true",
        "`update_rate` is 500, the profile says 100.000",
    ];
    assert_eq!(told(&config(Distribution::Humble), &wrong), wanted);
    // Jazzy heeds the old name under the new one's.
    wanted[4] = "`interpolate_from_desired_state` is true, the profile says false";
    assert_eq!(told(&config(Distribution::Jazzy), &wrong), wanted);
}

#[test]
fn a_parameter_that_is_not_there_is_its_default() {
    let silent = Reported { allow_nonzero_velocity_at_trajectory_end: None, update_rate: None, ..reported() };
    assert_eq!(told(&config(Distribution::Humble), &silent), [""; 0]);
    let told = told(&config(Distribution::Jazzy), &silent);
    assert_eq!(told, ["`allow_nonzero_velocity_at_trajectory_end` is false, the profile says true"]);
}

#[test]
fn a_reference_that_stays_elsewhere_is_told_with_its_worst_joint() {
    let mut watch = Watch::new(vec![0.1, 0.01], Span::from_millis(100.0));
    let wanted = [1.0, 2.0];
    assert_eq!(watch.look(at(0.0), &wanted, &[1.0625, 2.007_812_5]), Following::Yes);
    assert_eq!(watch.look(at(10.0), &wanted, &[1.5, 2.125]), Following::Yes);
    assert_eq!(watch.look(at(110.0), &wanted, &[1.5, 2.125]), Following::Yes);
    let late = watch.look(at(111.0), &wanted, &[1.5, 2.125]);
    assert_eq!(late, Following::No { joint: 1, wanted: 2.0, got: 2.125, span: Span::from_millis(101.0) });
    // Once right, the time starts anew.
    assert_eq!(watch.look(at(120.0), &wanted, &wanted), Following::Yes);
    assert_eq!(watch.look(at(130.0), &wanted, &[9.0, 2.0]), Following::Yes);
}

#[test]
fn a_reference_without_numbers_follows_nothing() {
    for got in [&[1.0][..], &[1.0, f64::NAN], &[]] {
        let mut watch = Watch::new(vec![0.1, 0.1], Span::ZERO);
        assert_eq!(watch.look(at(0.0), &[1.0, 2.0], got), Following::Yes);
        assert!(matches!(watch.look(at(1.0), &[1.0, 2.0], got), Following::No { .. }), "{got:?}");
    }
}

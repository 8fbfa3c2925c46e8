//! Motions whose derivatives are known: polynomials, sines, and what a clock and an encoder make of them.

use std::f64::consts::PI;

use super::*;

/// Numbers in [-1, 1] that are the same in every run (Park and Miller's generator).
fn noise() -> impl FnMut() -> f64 {
    let mut state: u64 = 20_260_101;
    move || {
        state = state * 16_807 % 2_147_483_647;
        2.0 * state as f64 / 2_147_483_647.0 - 1.0
    }
}

fn at(secs: f64) -> Stamp {
    Stamp::from_ros(50, 0) + Span::from_secs(secs)
}

fn track(times: impl Iterator<Item = f64>, mut position: impl FnMut(f64) -> f64) -> Track {
    Track::new(times.map(|time| (at(time), position(time))).collect())
}

/// 100 Hz, each sample up to 4 ms early or late.
fn uneven(secs: f64) -> impl Iterator<Item = f64> {
    let mut noise = noise();
    (0..(100.0 * secs) as usize).map(move |index| 0.01 * index as f64 + 0.004 * noise())
}

const WINDOW: Span = Span::from_nanos(200_000_000);

#[test]
fn a_cubic_is_met_exactly_however_uneven_the_samples_are() {
    let p = |t: f64| 1000.0 + 0.5 * t - 2.0 * t * t + 0.75 * t * t * t;
    let estimates = track(uneven(3.0), p).estimate(WINDOW);
    assert!(estimates.all.len() > 250);
    for Estimate { at: stamp, derivatives } in estimates.all {
        let t = stamp.since(at(0.0)).secs();
        let wanted = [p(t), 0.5 - 4.0 * t + 2.25 * t * t, -4.0 + 4.5 * t, 4.5];
        for (order, (got, want)) in derivatives.into_iter().zip(wanted).enumerate() {
            // Digits of 1000 rad, divided by the window once per order.
            assert!((got - want).abs() < 1e-8 * 10_f64.powi(order as i32 + 1), "order {order} at {t}: {got} {want}");
        }
    }
}

#[test]
fn a_slow_sine_has_its_largest_velocity_acceleration_and_jerk() {
    // 0.4 rad at 0.5 Hz, five windows per half turn.
    let (size, turn) = (0.4, PI);
    let estimates = track(uneven(20.0), |t| size * (turn * t).sin()).estimate(WINDOW);
    let fit = Fit { share: 1.0, margin: 0.0, row_length: Span::from_millis(50.0) };
    let bounds = bounds(&estimates, fit).unwrap();
    let [velocity, acceleration, jerk] = bounds.derivatives.map(Option::unwrap);
    let near = |got: f64, want: f64, share: f64| assert!((got / want - 1.0).abs() < share, "{got} {want}");
    near(velocity, size * turn, 0.01);
    near(acceleration, size * turn * turn, 0.01);
    near(jerk, size * turn * turn * turn, 0.02);
    near(bounds.range.unwrap()[1], size, 1e-3);
    near(bounds.range.unwrap()[0], -size, 1e-3);
    // Across the middle, from -25 ms to 25 ms.
    near(bounds.step.unwrap(), 2.0 * size * (turn * 0.025).sin(), 1e-3);
}

#[test]
fn noise_is_told_and_a_longer_window_has_less_of_it() {
    let mut noise = noise();
    let resting = track(uneven(20.0), |_| 0.7 + 0.001 * noise());
    let [short, long] = [Span::from_millis(100.0), Span::from_millis(400.0)].map(|window| resting.estimate(window));
    for (estimates, window) in [(&short, 0.1), (&long, 0.4)] {
        for order in 0..4 {
            let mean = estimates.all.iter().map(|estimate| estimate.derivatives[order]).sum::<f64>();
            let mean = mean / estimates.all.len() as f64;
            let square = |estimate: &Estimate| (estimate.derivatives[order] - mean).powi(2);
            let got = (estimates.all.iter().map(square).sum::<f64>() / estimates.all.len() as f64).sqrt();
            assert!((got / estimates.noise[order] - 1.0).abs() < 0.25, "{window} {order}: {got}");
        }
    }
    // The spread of a third derivative falls with the window to the power 3.5.
    let gain = short.noise[3] / long.noise[3];
    assert!((64.0..256.0).contains(&gain), "{gain}");
}

#[test]
fn stamps_that_are_there_twice_or_out_of_order_and_values_that_are_none_do_no_harm() {
    let even = |t: f64| 2.0 * t * t;
    let clean = track((0..200).map(|index| 0.01 * f64::from(index)), even).estimate(WINDOW);
    let mut samples: Vec<_> = (0..200).map(|index| 0.01 * f64::from(index)).map(|t| (at(t), even(t))).collect();
    samples.extend([(at(0.5), even(0.5) + 0.01), (at(0.5), even(0.5) - 0.01), (at(1.2), f64::NAN)]);
    samples.swap(20, 150);
    let dirty = Track::new(samples);
    assert_eq!((dirty.merged(), dirty.dropped(), dirty.samples().len()), (2, 1, 200));
    for (got, want) in dirty.estimate(WINDOW).all.iter().zip(&clean.all) {
        assert_eq!(got.at, want.at);
        assert!((got.derivatives[3] - want.derivatives[3]).abs() < 1e-6);
        assert!((got.derivatives[2] - 4.0).abs() < 1e-6);
    }
}

#[test]
fn nothing_is_estimated_at_the_ends_and_beside_gaps() {
    let times = (0..100).map(|index| 0.01 * f64::from(index)).filter(|t| !(0.40..0.60).contains(t));
    let estimates = track(times, |t| t).estimate(WINDOW);
    let inside =
        |from: f64, to: f64| estimates.all.iter().filter(|estimate| (at(from)..=at(to)).contains(&estimate.at)).count();
    // Half of the 100 ms to each side must be there: from 50 ms to 340 ms, and from 650 ms to 940 ms.
    assert_eq!((inside(0.045, 0.345), inside(0.645, 0.945)), (30, 30));
    assert_eq!((estimates.all.len(), estimates.left_out), (60, 20));
    assert_eq!(
        track([0.0, 0.1].into_iter(), |t| t).estimate(WINDOW),
        Estimates { left_out: 2, ..Estimates::default() }
    );
    assert_eq!(bounds(&Estimates::default(), FIT), None);
}

const FIT: Fit = Fit { share: 0.9, margin: 0.5, row_length: Span::from_nanos(50_000_000) };

/// Estimates 100 ms apart with these positions, and velocities of ten times them.
fn estimates(positions: &[f64]) -> Estimates {
    let all = positions.iter().enumerate().map(|(index, position)| Estimate {
        at: at(0.1 * index as f64),
        derivatives: [*position, 10.0 * position, 0.0, 0.0],
    });
    Estimates { all: all.collect(), ..Estimates::default() }
}

#[test]
fn limits_are_the_asked_share_and_the_margin_beyond_it() {
    let rising: Vec<f64> = (0..=10).map(f64::from).collect();
    let bounds = bounds(&estimates(&rising), FIT).unwrap();
    // From 1 to 9 with half of 8 on both sides; 9 times 10 and half of it; 0.5 per 50 ms and half of it.
    assert_eq!(bounds.range, Some([-3.0, 13.0]));
    assert_eq!(bounds.derivatives, [Some(135.0), Some(0.0), Some(0.0)]);
    assert!((bounds.step.unwrap() - 0.75).abs() < 1e-9);
}

#[test]
fn what_is_outside_is_flagged_by_its_class() {
    let moved = estimates(&[0.0, 2.0, -3.0, 0.5]);
    let none = Bounds { range: None, step: None, derivatives: [None; 3] };
    assert_eq!(flags(&moved, &none, FIT.row_length), [[false; 5]; 4]);
    let some = Bounds { range: Some([-2.5, 1.5]), step: Some(1.5), derivatives: [Some(25.0), None, Some(0.0)] };
    let flags = flags(&moved, &some, FIT.row_length);
    // Steps within 50 ms are half of what the joint moves in 100 ms: 1, -2.5, 1.75, and none after the last.
    let wanted = [[false; 5], [true, true, false, false, false], [true, true, true, false, false], [false; 5]];
    assert_eq!(flags, wanted);
}

#[test]
fn motion_that_happens_once_is_flagged_by_limits_that_never_saw_it() {
    let fit = Fit { share: 1.0, margin: 0.1, ..FIT };
    // The last fifth goes where the rest never was.
    let mut positions: Vec<f64> = (0..50).map(|index| f64::from(index % 5)).collect();
    positions[45] = 9.0;
    let all = estimates(&positions);
    let count = |flags: Vec<Flags>| flags.iter().filter(|flags| flags[0]).count();
    assert_eq!(count(flags(&all, &bounds(&all, fit).unwrap(), fit.row_length)), 0);
    assert_eq!(count(held_out(&all, fit)), 1);
    assert_eq!(held_out(&all, fit).len(), 50);
}

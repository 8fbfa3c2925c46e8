//! Points in time and spans between them, as values. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, Neg, Sub};

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since the epoch of the clock in use (Unix time on a live robot, `/clock` in simulation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp(i64);

impl Stamp {
    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// From the two fields of `builtin_interfaces/Time`.
    pub const fn from_ros(sec: i32, nanosec: u32) -> Self {
        Self(sec as i64 * NANOS_PER_SEC + nanosec as i64)
    }

    /// The two fields of `builtin_interfaces/Time`: whole seconds (rounded down) and nanoseconds in [0, 1e9).
    pub const fn to_ros(self) -> (i32, u32) {
        (self.0.div_euclid(NANOS_PER_SEC) as i32, self.0.rem_euclid(NANOS_PER_SEC) as u32)
    }

    /// Time from `earlier` to `self`; negative where `earlier` is in fact later.
    pub const fn since(self, earlier: Stamp) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A signed length of time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span(i64);

const NANOS_PER_SEC: i64 = 1_000_000_000;

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From seconds, rounded to the nearest nanosecond; not finite or too long gives the longest span of that sign.
    pub fn from_secs(secs: f64) -> Self {
        Self((secs * NANOS_PER_SEC as f64).round() as i64)
    }

    /// From milliseconds, rounded to the nearest nanosecond.
    pub fn from_millis(millis: f64) -> Self {
        Self::from_secs(millis / 1e3)
    }

    /// Length in nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Length in seconds.
    pub fn secs(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }

    /// Length in milliseconds.
    pub fn millis(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// `n` times this span.
    pub const fn times(self, n: i64) -> Span {
        Span(self.0.saturating_mul(n))
    }

    /// The same length, never negative.
    pub const fn abs(self) -> Span {
        Span(self.0.saturating_abs())
    }
}

impl Add<Span> for Stamp {
    type Output = Stamp;
    fn add(self, span: Span) -> Stamp {
        Stamp(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Stamp {
    type Output = Stamp;
    fn sub(self, span: Span) -> Stamp {
        Stamp(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl Neg for Span {
    type Output = Span;
    fn neg(self) -> Span {
        Span(self.0.saturating_neg())
    }
}

impl fmt::Display for Span {
    /// Milliseconds with three decimals, `12.345 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms", self.millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_before_the_epoch_has_its_nanoseconds_in_range() {
        assert_eq!(Stamp::from_nanos(-1).to_ros(), (-1, 999_999_999));
        assert_eq!(Stamp::from_ros(-1, 999_999_999).nanos(), -1);
    }

    #[test]
    fn a_later_stamp_is_positively_since_an_earlier_one() {
        let (early, late) = (Stamp::from_ros(7, 250_000_000), Stamp::from_ros(9, 1));
        assert_eq!(late.since(early), Span::from_nanos(1_750_000_001));
        assert_eq!(early.since(late), -Span::from_nanos(1_750_000_001));
    }

    #[test]
    fn spans_saturate_instead_of_wrapping() {
        assert_eq!(Span::from_secs(f64::INFINITY).nanos(), i64::MAX);
        assert_eq!(Stamp::from_nanos(i64::MAX) + Span::from_millis(1.0), Stamp::from_nanos(i64::MAX));
    }
}

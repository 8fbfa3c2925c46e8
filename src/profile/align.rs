//! Which sample of a stream belongs to a picture.

use serde::Deserialize;

/// Which sample of a stream is observed together with the anchor camera's picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// The one nearest in time, at most `max_skew_ms` before or after the picture.
    #[default]
    Nearest,
    /// The newest one that is not after the picture, at most `max_skew_ms` before it: nothing is seen that the picture
    /// could not know.
    AsOf,
    /// The newest one, whatever the time of the picture: for what hardly changes.
    Hold,
}

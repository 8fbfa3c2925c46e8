//! `vla fit-limits`: limits for a robot profile, from motion that was good.

mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use vla_bundle::Unit;

use crate::bag::BagReader;
use crate::motion::{Bounds, Estimates, Fit, Flags, Track, bounds, flags, held_out};
use crate::msg::JointState;
use crate::profile::{Output, OutputDim, Profile};
use crate::time::{Span, Stamp};

/// Proposes limits of a robot's joints from recorded motion, and tells how often they would have stopped it.
///
/// Prints the moved joints of the profile as YAML lines for it; what is told beside them is comment. Positions are
/// taken from joint states by name. Velocity, acceleration and jerk are those of cubics that are fitted to windows of
/// samples, so that noise and uneven stamps do not count as motion: the longer the window, the less noise, and the less
/// is seen of motion faster than about two per window.
#[derive(Args)]
pub struct FitLimits {
    /// Folder of the bag, or one .mcap or .db3 file; each may be compressed with zstd.
    bag: PathBuf,
    /// Robot profile with the joints that are moved.
    #[arg(long, value_name = "YAML")]
    profile: PathBuf,
    /// Topic of the joint states; default: the profile's.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Percent of the motion that is to be inside, before the margin: above 50, at most 100.
    #[arg(long, value_name = "PERCENT")]
    percentile: f64,
    /// What is added, as a share of each limit and of the range of positions: 0.2 is a fifth.
    #[arg(long, value_name = "SHARE")]
    margin: f64,
    /// Length of the windows in which derivatives are estimated.
    #[arg(long, value_name = "MS")]
    window_ms: f64,
    /// Rows per second of the policy whose `max_step` is wanted.
    #[arg(long, value_name = "HZ")]
    rate_hz: f64,
}

/// A moved joint of the profile, what it did, and how often that would have been stopped.
struct Fitted<'a> {
    dim: &'a OutputDim,
    estimates: Estimates,
    merged: usize,
    dropped: usize,
    proposal: Bounds,
    flagged: [Vec<Flags>; 3],
}

impl FitLimits {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let fit = self.fit()?;
        let profile = Profile::load(&self.profile)?;
        let bag = BagReader::open(&self.bag)?;
        for warning in bag.warnings() {
            tracing::warn!("{warning}");
        }
        let tracks = self.tracks(&profile, &bag)?;
        let window = Span::from_millis(self.window_ms);
        let mut joints = Vec::new();
        for (dim, track) in &tracks {
            joints.push(fitted(dim, track, window, fit)?);
        }
        if !joints.iter().any(|joint| report::has_moved(&joint.proposal)) {
            bail!("none of the profile's joints moved: {}", self.bag.display());
        }
        super::print(&report::report(&self, &joints))
    }

    fn fit(&self) -> anyhow::Result<Fit> {
        let Self { percentile, margin, window_ms, rate_hz, .. } = self;
        if !(*percentile > 50.0 && *percentile <= 100.0) {
            bail!("--percentile is {percentile}, wanted a number above 50 and at most 100");
        }
        if !(*margin >= 0.0 && margin.is_finite()) {
            bail!("--margin is {margin}, wanted 0 or a positive number");
        }
        for (name, value) in [("--window-ms", window_ms), ("--rate-hz", rate_hz)] {
            if !(*value > 0.0 && value.is_finite()) {
                bail!("{name} is {value}, wanted a positive number");
            }
        }
        Ok(Fit { share: percentile / 100.0, margin: *margin, row_length: Span::from_secs(1.0 / rate_hz) })
    }

    /// The positions of every moved joint that the bag has, in the profile's unit.
    fn tracks<'a>(&self, profile: &'a Profile, bag: &BagReader) -> anyhow::Result<Vec<(&'a OutputDim, Track)>> {
        let joints: BTreeSet<&str> = profile.outputs().iter().flat_map(Output::joints).collect();
        if joints.is_empty() {
            bail!("the profile moves no joints: {}", self.profile.display());
        }
        let topic = self.topic(profile);
        let mut recorded = positions(bag, &topic, &joints)?;
        if recorded.is_empty() {
            let joints = joints.into_iter().collect::<Vec<_>>().join(", ");
            bail!("{topic} names none of the profile's joints {joints}: {}", self.bag.display());
        }
        let mut tracks = Vec::new();
        for dim in profile.outputs().iter().flat_map(Output::dims).filter(|dim| joints.contains(dim.name.as_str())) {
            let Some(samples) = recorded.remove(dim.name.as_str()) else {
                tracing::warn!(joint = dim.name, topic, "the bag does not have this joint");
                continue;
            };
            let factor = factor(profile, dim)?;
            tracks.push((dim, Track::new(samples.into_iter().map(|(at, value)| (at, factor * value)).collect())));
        }
        Ok(tracks)
    }

    fn topic(&self, profile: &Profile) -> String {
        let of_profile = || profile.joint_states().and_then(|joints| joints.topic.as_deref());
        let topic = self.topic.as_deref().or_else(of_profile).unwrap_or("joint_states");
        if topic.starts_with('/') { topic.to_owned() } else { format!("/{topic}") }
    }
}

/// What a topic of joint states says about `joints`.
fn positions<'a>(
    bag: &BagReader,
    topic: &str,
    joints: &BTreeSet<&'a str>,
) -> anyhow::Result<BTreeMap<&'a str, Vec<(Stamp, f64)>>> {
    bag.topic(topic)?;
    let mut recorded: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for message in bag.messages() {
        let message = message?;
        if message.topic != topic {
            continue;
        }
        let state: JointState = message.decode()?;
        let stamp = match Stamp::from(state.header.stamp) {
            // A driver without a clock of its own.
            unset if unset == Stamp::default() => message.log_time,
            stamp => stamp,
        };
        for (name, position) in state.name.iter().zip(&state.position) {
            if let Some(name) = joints.get(name.as_str()) {
                recorded.entry(name).or_default().push((stamp, *position));
            }
        }
    }
    Ok(recorded)
}

/// From the unit of the joint's messages to that of its limits.
fn factor(profile: &Profile, dim: &OutputDim) -> anyhow::Result<f64> {
    let measured = profile.joint_states().and_then(|states| states.joints.iter().find(|joint| joint.joint == dim.name));
    let from = measured.map_or(dim.unit, |joint| joint.unit);
    match (from, dim.unit) {
        (from, to) if from == to => Ok(1.0),
        (Unit::Rad, Unit::Deg) => Ok(1_f64.to_degrees()),
        (Unit::Deg, Unit::Rad) => Ok(1_f64.to_radians()),
        (from, to) => bail!("joint `{}` is measured in {} and moved in {}", dim.name, from.word(), to.word()),
    }
}

fn fitted<'a>(dim: &'a OutputDim, track: &Track, window: Span, fit: Fit) -> anyhow::Result<Fitted<'a>> {
    let estimates = track.estimate(window);
    let Some(proposal) = bounds(&estimates, fit) else {
        bail!(
            "joint `{}`: none of {} samples over {:.1} s has a filled window of {:.0} ms, wanted 7 samples in it",
            dim.name,
            track.samples().len(),
            track.length().secs(),
            window.millis()
        );
    };
    let flagged = [
        flags(&estimates, &proposal, fit.row_length),
        held_out(&estimates, fit),
        flags(&estimates, &present(dim), fit.row_length),
    ];
    Ok(Fitted { dim, estimates, merged: track.merged(), dropped: track.dropped(), proposal, flagged })
}

/// What the profile limits today.
fn present(dim: &OutputDim) -> Bounds {
    let limits = dim.limits;
    let derivatives = match dim.motion {
        Some(motion) => [motion.max_velocity, motion.max_acceleration, motion.max_jerk].map(Some),
        None => [None; 3],
    };
    Bounds { range: Some([limits.min, limits.max]), step: Some(limits.max_step), derivatives }
}

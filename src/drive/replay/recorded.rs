//! What the bag says was done: inference delays, chunks and commands of the recorded run.

use std::collections::BTreeMap;

use super::notes::Notes;
use crate::bag::{BagError, BagReader};
use crate::msg::{ActionChunk, JointTrajectory};
use crate::time::{Span, Stamp};

/// Commands further apart than this are not one movement; nothing is read between them.
const LONGEST_GAP: Span = Span::from_nanos(500_000_000);

/// The recorded run; empty where the bag has none of its topics.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    chunks: BTreeMap<Stamp, ActionChunk>,
    /// Values by joint name and the time they were due.
    commands: BTreeMap<String, BTreeMap<Stamp, f64>>,
}

impl Recorded {
    /// Reads chunks and joint trajectories from these topics, where the bag has them; what does not decode is noted.
    pub fn read(
        bag: &BagReader,
        chunk_topic: &str,
        trajectory_topics: &[String],
        notes: &mut Notes,
    ) -> Result<Self, BagError> {
        let mut recorded = Self::default();
        let wanted = |topic: &str| topic == chunk_topic || trajectory_topics.iter().any(|t| t == topic);
        if !bag.topics().any(|topic| wanted(&topic.name)) {
            return Ok(recorded);
        }
        for message in bag.messages() {
            let message = match message {
                // Whoever replays meets it again and notes it.
                Err(BagError::Message { .. }) => continue,
                message => message?,
            };
            let taken = if message.topic == chunk_topic {
                message.decode().map(|chunk: ActionChunk| {
                    recorded.chunks.insert(chunk.header.stamp.into(), chunk);
                })
            } else if wanted(message.topic) {
                message.decode().map(|trajectory: JointTrajectory| recorded.add(&trajectory, message.log_time))
            } else {
                Ok(())
            };
            if let Err(error) = taken {
                notes.unusable(message.topic, error.to_string());
            }
        }
        Ok(recorded)
    }

    /// How long the inference of the observation of `stamp` took.
    pub fn delay(&self, stamp: Stamp) -> Option<Span> {
        self.chunks.get(&stamp).map(|chunk| chunk.inference_delay.into())
    }

    /// The chunk that answered the observation of `stamp`.
    pub fn chunk(&self, stamp: Stamp) -> Option<&ActionChunk> {
        self.chunks.get(&stamp)
    }

    /// Position that `joint` was told to have at `due`, linear between the commands around it.
    pub fn command(&self, joint: &str, due: Stamp) -> Option<f64> {
        let commands = self.commands.get(joint)?;
        let (before, low) = commands.range(..=due).next_back()?;
        let (after, high) = commands.range(due..).next()?;
        let gap = after.since(*before);
        if gap == Span::ZERO {
            return Some(*low);
        }
        let share = due.since(*before).secs() / gap.secs();
        (gap <= LONGEST_GAP).then(|| low + share * (high - low))
    }

    /// A trajectory replaces what earlier ones said about the time from its first point on; stamp 0 means on arrival.
    fn add(&mut self, trajectory: &JointTrajectory, arrival: Stamp) {
        let stamp = Stamp::from(trajectory.header.stamp);
        let start = if stamp == Stamp::default() { arrival } else { stamp };
        for (joint, name) in trajectory.joint_names.iter().enumerate() {
            let commands = self.commands.entry(name.clone()).or_default();
            let points = trajectory
                .points
                .iter()
                .filter_map(|point| Some((start + Span::from(point.time_from_start), *point.positions.get(joint)?)));
            let points: Vec<_> = points.collect();
            if let Some((first, _)) = points.first() {
                commands.split_off(first);
            }
            commands.extend(points);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::{Header, JointTrajectoryPoint};

    const START: Stamp = Stamp::from_ros(50, 0);

    fn after(millis: f64) -> Stamp {
        START + Span::from_millis(millis)
    }

    fn trajectory(stamp: Stamp, points: &[(f64, f64)]) -> JointTrajectory {
        let point = |(millis, position): &(f64, f64)| JointTrajectoryPoint {
            positions: vec![0.0, *position],
            time_from_start: Span::from_millis(*millis).into(),
            ..JointTrajectoryPoint::default()
        };
        JointTrajectory {
            header: Header::new(stamp, ""),
            joint_names: vec!["hip".into(), "knee".into()],
            points: points.iter().map(point).collect(),
        }
    }

    #[test]
    fn commands_are_read_between_the_points_around_them() {
        let mut recorded = Recorded::default();
        recorded.add(&trajectory(START, &[(100.0, 1.0), (300.0, 2.0)]), START);
        let at = |millis: f64| recorded.command("knee", after(millis));
        assert_eq!([at(100.0), at(150.0), at(300.0)], [Some(1.0), Some(1.25), Some(2.0)]);
        assert_eq!([at(99.0), at(301.0)], [None, None]);
        assert_eq!(recorded.command("ankle", after(150.0)), None);
    }

    #[test]
    fn a_later_trajectory_replaces_the_rest_of_the_one_before() {
        let mut recorded = Recorded::default();
        recorded.add(&trajectory(START, &[(100.0, 1.0), (200.0, 2.0), (300.0, 3.0)]), START);
        recorded.add(&trajectory(after(100.0), &[(100.0, 6.0)]), START);
        assert_eq!(recorded.command("knee", after(150.0)), Some(3.5));
        assert_eq!(recorded.command("knee", after(250.0)), None);
    }

    #[test]
    fn a_trajectory_without_a_stamp_counts_from_when_it_arrived() {
        let mut recorded = Recorded::default();
        recorded.add(&trajectory(Stamp::default(), &[(100.0, 4.0)]), after(20.0));
        assert_eq!(recorded.command("knee", after(120.0)), Some(4.0));
    }

    #[test]
    fn a_pause_in_the_commands_is_not_bridged() {
        let mut recorded = Recorded::default();
        recorded.add(&trajectory(START, &[(0.0, 1.0)]), START);
        recorded.add(&trajectory(START, &[(501.0, 2.0)]), START);
        assert_eq!(recorded.command("knee", after(250.0)), None);
    }
}

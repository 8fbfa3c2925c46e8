//! How far a run is from what the bag recorded: from its chunks, and from the commands that the robot followed.

use vla_bundle::Unit;

use super::Step;
use super::recorded::Recorded;
use crate::deploy::Deployment;
use crate::profile::OutputKind;

/// Absolute differences of one dimension.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Deviation {
    /// Action or joint.
    pub name: String,
    /// Unit of the differences.
    pub unit: Unit,
    /// Values compared, at least one.
    pub count: u64,
    /// Mean of the absolute differences.
    pub mean: f64,
    /// Largest absolute difference.
    pub max: f64,
}

/// From the recorded chunks of the same observations, per action, over all steps.
pub(super) fn from_chunks(deployment: &Deployment, steps: &[Step], recorded: &Recorded) -> Vec<Deviation> {
    let pairs = |dim: usize, name: &str| {
        steps
            .iter()
            .filter_map(|step| Some((step, recorded.chunk(step.decision.stamp)?)))
            .filter_map(|(step, chunk)| Some((step, chunk, chunk.names.iter().position(|known| known == name)?)))
            .flat_map(|(step, chunk, column)| {
                let theirs = chunk.actions.chunks_exact(chunk.names.len()).map(move |row| row[column]);
                step.decision.chunk.rows().map(move |row| row[dim]).zip(theirs)
            })
            .collect::<Vec<_>>()
    };
    let actions = deployment.actions().iter().enumerate();
    actions.filter_map(|(dim, action)| deviation(&action.name, action.unit, &pairs(dim, &action.name))).collect()
}

/// From the recorded joint trajectories at the times when the executed steps were due, per joint.
///
/// Changes are left out: what they add up to depends on where the robot was, and it followed the recorded commands.
pub(super) fn from_commands(deployment: &Deployment, steps: &[Step], recorded: &Recorded) -> Vec<Deviation> {
    let outputs = deployment.outputs().iter().filter(|output| output.kind == OutputKind::JointTrajectory);
    let dims = outputs.flat_map(|output| output.names.iter().zip(output.dims()));
    dims.filter_map(|(joint, dim)| {
        let mut pairs = Vec::new();
        for step in steps {
            for (index, row) in step.decision.chunk.rows().take(deployment.n_action_steps()).enumerate() {
                let due = step.decision.stamp + deployment.action_dt().times(index as i64);
                pairs.extend(dim.rule.absolute(row[dim.action]).zip(recorded.command(joint, due)));
            }
        }
        deviation(joint, dim.unit, &pairs)
    })
    .collect()
}

fn deviation(name: &str, unit: Unit, pairs: &[(f64, f64)]) -> Option<Deviation> {
    let sizes = || pairs.iter().map(|(ours, theirs)| (ours - theirs).abs());
    let count = pairs.len() as u64;
    let mean = sizes().sum::<f64>() / count as f64;
    // Written so that NaN stays.
    let max = sizes().fold(0.0, |max: f64, size| if size > max || size.is_nan() { size } else { max });
    (count > 0).then(|| Deviation { name: name.to_owned(), unit, count, mean, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deviation_is_the_mean_and_the_largest_of_the_absolute_differences() {
        let pairs = [(1.0, 1.5), (2.0, -1.0), (0.25, 0.25)];
        let found = deviation("knee", Unit::Rad, &pairs).unwrap();
        assert_eq!((found.count, found.mean, found.max), (3, 3.5 / 3.0, 3.0));
        assert_eq!(deviation("knee", Unit::Rad, &[]), None);
    }

    #[test]
    fn a_difference_that_is_no_number_is_not_hidden() {
        let found = deviation("knee", Unit::Rad, &[(f64::NAN, 0.0), (1.0, 0.0)]).unwrap();
        assert!(found.max.is_nan() || found.mean.is_nan());
    }
}

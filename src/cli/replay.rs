//! `vla replay`: what a bundle would have done with a recorded bag.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use vla_bundle::{Bundle, Integrity};

use crate::bag::BagReader;
use crate::deploy::{Deployment, RunParameters};
use crate::drive::node::DEFAULT_NAME;
use crate::drive::replay::{Changes, Prepared, action_chunks, chunks, record, report};
use crate::drive::ros_args::RosArgs;
use crate::msg::ActionChunk;
use crate::profile::Profile;

use super::runtime;

/// Runs the engine of the node over a recorded bag, and tells what it decided.
#[derive(Args)]
pub struct Replay {
    /// Folder of the bundle.
    bundle: PathBuf,
    /// Folder of the bag, or one .mcap or .db3 file; each may be compressed with zstd.
    bag: PathBuf,
    /// Robot profile.
    #[arg(long, value_name = "YAML")]
    profile: PathBuf,
    /// Run parameters, the file that the node takes as --params-file.
    #[arg(long, value_name = "YAML")]
    params: PathBuf,
    /// Writes chunks, verdicts, sent commands and timing here, as a bag.
    #[arg(long, value_name = "MCAP")]
    out: Option<PathBuf>,
    /// Fails where the chunks differ from those that an earlier run wrote here.
    #[arg(long, value_name = "MCAP")]
    expect: Option<PathBuf>,
    /// Largest difference of an action to the earlier run, in the data set's units.
    #[arg(long, value_name = "X", default_value_t = 0.0, requires = "expect")]
    tolerance: f64,
    /// Remaps and parameters as the node takes them; ends the options.
    #[arg(long = "ros-args", value_name = "ARGS", num_args = 0.., allow_hyphen_values = true)]
    ros_args: Vec<String>,
}

impl Replay {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let names = self.names()?;
        let parameters = RunParameters::parse(names.parameters())?;
        let options = runtime::policy_options(&parameters)?;
        let bundle = Bundle::load(&self.bundle, Integrity::Sizes)?;
        let deployment = Deployment::check(&bundle, &Profile::load(&self.profile)?, parameters)?;
        let bag = BagReader::open(&self.bag)?;
        for warning in bag.warnings() {
            tracing::warn!("{warning}");
        }
        let earlier = self.expect.as_deref().map(|path| earlier_chunks(path, &deployment, &names)).transpose()?;
        // Loading may take minutes; what the bag lacks is told before.
        let prepared = Prepared::new(&bag, &deployment, &names)?;
        let run = prepared.run(&mut runtime::inference(&bundle, &deployment, &options)?)?;
        if let Some(out) = &self.out {
            record(out, &deployment, &names, &run)?;
        }
        super::print(&report(&deployment, &run))?;
        let (Some(path), Some(earlier)) = (&self.expect, earlier) else { return Ok(()) };
        let changes = Changes::between(&earlier, &action_chunks(&deployment, &run));
        if !changes.within(self.tolerance) {
            bail!("the run differs from {} by more than {}: {changes}", path.display(), self.tolerance);
        }
        super::print(&format!("\nas {}: {changes}\n", path.display()))
    }

    /// Names and parameters; what stands behind --ros-args comes last and wins.
    fn names(&self) -> anyhow::Result<RosArgs> {
        let params = self.params.to_str().context("the path of --params is not UTF-8")?;
        let first = ["--ros-args", "--params-file", params].map(str::to_owned);
        let names = RosArgs::parse(first.into_iter().chain(self.ros_args.iter().cloned()), DEFAULT_NAME)?;
        match names.rest() {
            [] => Ok(names),
            [first, ..] => bail!("`{first}` behind the end of --ros-args is not understood"),
        }
    }
}

fn earlier_chunks(path: &Path, deployment: &Deployment, names: &RosArgs) -> anyhow::Result<Vec<ActionChunk>> {
    let topic = names.resolve(deployment.action_chunk_topic())?;
    let read = || chunks(&BagReader::open(path)?, &topic);
    read().context("the run to compare with cannot be read")
}

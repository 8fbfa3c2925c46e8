//! `vla node`: the live node, configured by ROS arguments alone.

use anyhow::{Context as _, bail};
use clap::Args;
use vla_bundle::{Bundle, Integrity};

use crate::controller::contradictions;
use crate::deploy::{Deployment, RunParameters};
use crate::drive::node::{self, DEFAULT_NAME};
use crate::drive::ros::{Dds, DdsSettings};
use crate::drive::ros_args::{LogLevel, RosArgs};
use crate::drive::signals;
use crate::profile::{Ask, Controller, Profile};
use crate::time::Span;

use super::runtime;

/// Runs a policy as a ROS 2 node.
#[derive(Args)]
pub struct Node {
    /// ROS arguments: --ros-args [-r from:=to] [-p name:=value] [--params-file FILE] [--log-level LEVEL] ...
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "--ros-args ...")]
    arguments: Vec<String>,
}

impl Node {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let stop = signals::stop_requests().context("cannot wait for signals")?;
        let names = RosArgs::parse(self.arguments, DEFAULT_NAME)?;
        super::log_to_stderr(log_filter(&names).as_deref());
        if let Some(argument) = names.rest().first() {
            bail!("unknown argument `{argument}`; the node takes its arguments behind --ros-args");
        }
        let settings = DdsSettings::from_env(|name| std::env::var(name).ok())?;
        let parameters = RunParameters::parse(names.parameters())?;
        let bundle = parameters.bundle().context("parameter `bundle` is missing: the folder of the policy's bundle")?;
        let profile = parameters.profile().context("parameter `profile` is missing: the robot profile's file")?;
        let bundle = Bundle::load(bundle, Integrity::Digests)?;
        let profile = Profile::load(profile)?;
        let options = runtime::policy_options(&parameters)?;
        let deployment = Deployment::check(&bundle, &profile, parameters)?;
        tracing::info!(digest = bundle.digest(), provider = options.provider.name(), "bundle checked");
        let mut transport = Dds::join(settings, names.namespace(), names.node_name())?;
        tracing::info!(node = names.fully_qualified_name(), domain = settings.domain, network = ?settings.network, "joined");
        for controller in profile.outputs().iter().filter_map(|output| output.controller.as_ref()) {
            agree(&mut transport, controller)?;
        }
        let cameras = deployment.clone();
        let load = move || runtime::warm_inference(&bundle, &cameras, &options);
        node::run(&deployment, load, &names, transport, &stop)?;
        Ok(())
    }
}

/// How long a controller has for its answers.
const PATIENCE: Span = Span::from_nanos(10_000_000_000);

/// Asks a controller, where the profile says so, whether it is what the profile says.
fn agree(transport: &mut Dds, controller: &Controller) -> anyhow::Result<()> {
    let Some(Ask { node, manager }) = &controller.ask else { return Ok(()) };
    let reported = transport.ask_controller(node, Some(manager), PATIENCE)?;
    let found: Vec<_> = contradictions(&controller.config, &reported).iter().map(ToString::to_string).collect();
    if !found.is_empty() {
        bail!("controller `{node}`: {}", found.join("; "));
    }
    tracing::info!(controller = node, "is what the profile says");
    Ok(())
}

/// What `--log-level` asks for, as a filter of our own log; `None` where it is silent.
fn log_filter(names: &RosArgs) -> Option<String> {
    let ours = |logger: Option<&str>| logger.is_none_or(|logger| logger == names.node_name());
    let rule = names.log_levels().iter().rfind(|rule| ours(rule.logger.as_deref()))?;
    let level = match rule.level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error | LogLevel::Fatal => "error",
    };
    Some(format!("vla_runtime={level}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(rules: &[&str]) -> Option<String> {
        let rules = rules.iter().flat_map(|rule| ["--log-level".to_owned(), (*rule).to_owned()]);
        log_filter(&RosArgs::parse(std::iter::once("--ros-args".to_owned()).chain(rules), "arm").unwrap())
    }

    #[test]
    fn the_last_level_that_is_for_us_counts() {
        assert_eq!(filter(&[]), None);
        assert_eq!(filter(&["warn", "arm:=debug", "rcl:=fatal"]).as_deref(), Some("vla_runtime=debug"));
        assert_eq!(filter(&["arm:=debug", "FATAL"]).as_deref(), Some("vla_runtime=error"));
    }
}

//! `--ros-args` as `ros2 run` and `ros2 launch` pass it: remaps, parameters, log levels.
//!
//! The rules are those of rcl (`arguments.c`, `rcl_yaml_param_parser`) and rclcpp (`parameter_map.cpp`).

mod names;
mod params;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use names::NameError;
use names::{NodeIdentity, Remap, Target};
use params::ParamRules;
pub use params::{ParamValue, ParamsError};

/// Switches of rcl's log sinks, which this node has not: accepted, because launch passes them to every node.
const SINK_FLAGS: [&str; 6] = [
    "--enable-rosout-logs",
    "--disable-rosout-logs",
    "--enable-stdout-logs",
    "--disable-stdout-logs",
    "--enable-external-lib-logs",
    "--disable-external-lib-logs",
];

/// What the command line says about the node, and what it leaves to others.
#[derive(Clone, Debug, PartialEq)]
pub struct RosArgs {
    identity: NodeIdentity,
    remaps: Vec<Remap>,
    parameters: BTreeMap<String, ParamValue>,
    log_levels: Vec<LogLevelRule>,
    rest: Vec<String>,
}

/// A level for one logger, or for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevelRule {
    /// The logger; `None` for every logger that has no rule of its own.
    pub logger: Option<String>,
    /// What it prints at least.
    pub level: LogLevel,
}

/// ROS 2's levels, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

/// Why the arguments cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum RosArgsError {
    /// An option that we do not know.
    #[error("unknown ROS argument `{0}`")]
    Unknown(String),
    /// An option at the end that wants a value.
    #[error("`{0}` wants a value behind it")]
    NoValue(String),
    /// A rule without its `:=`, or with nothing on one side.
    #[error("`{option} {rule}` is not of the form {form}")]
    Rule {
        /// The option.
        option: String,
        /// What stands behind it.
        rule: String,
        /// What should.
        form: &'static str,
    },
    /// A level that ROS does not have.
    #[error("log level `{0}` is none of debug, info, warn, error, fatal")]
    LogLevel(String),
    /// A name that ROS forbids.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A parameter file that cannot be opened.
    #[error("cannot read parameter file: {source}: {}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A parameter file that is not one.
    #[error("{source}: {}", path.display())]
    Params {
        /// Where.
        path: PathBuf,
        /// Why.
        source: ParamsError,
    },
    /// A value on the command line that is not one.
    #[error("parameter `{name}`: {source}")]
    Value {
        /// Which.
        name: String,
        /// Why.
        source: ParamsError,
    },
}

impl RosArgs {
    /// Reads `args` (without the program's name) and the files that they name, for a node that is called
    /// `default_name` in the root namespace unless they say otherwise.
    pub fn parse(args: impl IntoIterator<Item = String>, default_name: &str) -> Result<Self, RosArgsError> {
        let mut reader = Reader::default();
        let mut args = args.into_iter();
        let mut in_section = false;
        while let Some(arg) = args.next() {
            match (in_section, arg.as_str()) {
                (_, "--ros-args") => in_section = true,
                (true, "--") => in_section = false,
                (true, _) => reader.option(arg, &mut args)?,
                (false, _) => reader.rest.push(arg),
            }
        }
        Ok(reader.finish(default_name))
    }

    /// Name of the node, without its namespace.
    pub fn node_name(&self) -> &str {
        &self.identity.name
    }

    /// Namespace of the node, absolute: `/` or `/arm/left`.
    pub fn namespace(&self) -> &str {
        &self.identity.namespace
    }

    /// Namespace and name as one: `/arm/left/vla_node`.
    pub fn fully_qualified_name(&self) -> String {
        self.identity.fully_qualified_name()
    }

    /// Values of the parameters of this node; nested ones have dotted names.
    pub fn parameters(&self) -> &BTreeMap<String, ParamValue> {
        &self.parameters
    }

    /// Levels in the order given; a later one for the same logger wins.
    pub fn log_levels(&self) -> &[LogLevelRule] {
        &self.log_levels
    }

    /// Arguments outside of every `--ros-args` section.
    pub fn rest(&self) -> &[String] {
        &self.rest
    }

    /// The absolute name of a topic that the node calls `name` (`camera`, `~/command`, `/diagnostics`), remapped.
    pub fn resolve(&self, name: &str) -> Result<String, NameError> {
        let expanded = self.identity.expand(name)?;
        for remap in self.remaps.iter().filter(|remap| remap.is_for(&self.identity.name)) {
            if let Target::Topic { from, to } = &remap.target
                && self.identity.expand(from)? == expanded
            {
                return self.identity.expand(to);
            }
        }
        Ok(expanded)
    }
}

/// Collects the sections.
#[derive(Default)]
struct Reader {
    remaps: Vec<Remap>,
    params: ParamRules,
    log_levels: Vec<LogLevelRule>,
    rest: Vec<String>,
}

impl Reader {
    fn option(&mut self, option: String, args: &mut impl Iterator<Item = String>) -> Result<(), RosArgsError> {
        let mut value = || args.next().ok_or_else(|| RosArgsError::NoValue(option.clone()));
        match option.as_str() {
            "-r" | "--remap" => self.remaps.push(remap(&option, value()?)?),
            "-p" | "--param" => self.param(&option, &value()?)?,
            "--params-file" => self.params_file(PathBuf::from(value()?))?,
            "--log-level" => self.log_levels.push(log_level(&value()?)?),
            // Security enclaves and files of rcl's logger: accepted for the same reason as the switches.
            "-e" | "--enclave" | "--log-config-file" | "--log-file-name" => drop(value()?),
            flag if SINK_FLAGS.contains(&flag) => {}
            _ => return Err(RosArgsError::Unknown(option)),
        }
        Ok(())
    }

    fn param(&mut self, option: &str, rule: &str) -> Result<(), RosArgsError> {
        let form = "name:=value or node:name:=value";
        let malformed = |rule: &str| RosArgsError::Rule { option: option.to_owned(), rule: rule.to_owned(), form };
        let (left, text) = rule.split_once(":=").ok_or_else(|| malformed(rule))?;
        let (node, name) = left.split_once(':').unwrap_or(("/**", left));
        if node.is_empty() || name.is_empty() {
            return Err(malformed(rule));
        }
        let value = params::parse_value(text);
        let value = value.map_err(|source| RosArgsError::Value { name: name.to_owned(), source })?;
        self.params.set(node, name, value);
        Ok(())
    }

    fn params_file(&mut self, path: PathBuf) -> Result<(), RosArgsError> {
        match std::fs::read_to_string(&path) {
            Ok(text) => self.params.read(&text).map_err(|source| RosArgsError::Params { path, source }),
            Err(source) => Err(RosArgsError::File { path, source }),
        }
    }

    fn finish(self, default_name: &str) -> RosArgs {
        let mut identity = NodeIdentity { namespace: "/".to_owned(), name: default_name.to_owned() };
        let named = |remap: &&Remap| remap.is_for(default_name);
        if let Some(name) = self.remaps.iter().filter(named).find_map(|remap| remap.target.node_name()) {
            name.clone_into(&mut identity.name);
        }
        let named = |remap: &&Remap| remap.is_for(&identity.name);
        let namespace = self.remaps.iter().filter(named).find_map(|remap| remap.target.namespace());
        if let Some(namespace) = namespace {
            identity.namespace = namespace.to_owned();
        }
        let parameters = self.params.of_node(&identity.fully_qualified_name());
        let Self { remaps, log_levels, rest, .. } = self;
        RosArgs { identity, remaps, parameters, log_levels, rest }
    }
}

fn remap(option: &str, rule: String) -> Result<Remap, RosArgsError> {
    let form = "from:=to or node:from:=to";
    match Remap::parse(&rule)? {
        Some(remap) => Ok(remap),
        None => Err(RosArgsError::Rule { option: option.to_owned(), rule, form }),
    }
}

fn log_level(rule: &str) -> Result<LogLevelRule, RosArgsError> {
    let (logger, level) = match rule.split_once(":=") {
        Some((logger, level)) => (Some(logger.to_owned()), level),
        None => (None, rule),
    };
    let level = match level.to_ascii_lowercase().as_str() {
        "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "warn" => LogLevel::Warn,
        "error" => LogLevel::Error,
        "fatal" => LogLevel::Fatal,
        _ => return Err(RosArgsError::LogLevel(level.to_owned())),
    };
    Ok(LogLevelRule { logger, level })
}

#[cfg(test)]
mod tests;

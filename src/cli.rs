//! The command line: arguments become one checked request and one call.

mod bench;
mod export;
mod fit_limits;
mod infer;
mod inspect;
mod node;
mod replay;
mod runtime;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::drive::ros::LOG_FILTER;

/// Runs Vision-Language-Action policies on robots.
#[derive(Parser)]
#[command(name = "vla", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Export(export::Export),
    Infer(infer::Infer),
    Node(node::Node),
    Bench(bench::Bench),
    Inspect(inspect::Inspect),
    Replay(replay::Replay),
    FitLimits(fit_limits::FitLimits),
}

/// Runs `vla` on the process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where stderr is gone.
            let _ = writeln!(std::io::stderr(), "vla: error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        // The node's log level stands in its ROS arguments, which name files that may be readable only once.
        if !matches!(self, Command::Node(_)) {
            log_to_stderr(None);
        }
        match self {
            Command::Export(command) => command.run(),
            Command::Infer(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Replay(command) => command.run(),
            Command::FitLimits(command) => command.run(),
            Command::Node(command) => command.run(),
        }
    }
}

/// What is chatty by nature is quiet unless RUST_LOG asks for it; `more` stands behind the usual filter.
fn log_to_stderr(more: Option<&str>) {
    let more = more.unwrap_or_default();
    let usual = || EnvFilter::new(format!("info,ort=warn,{LOG_FILTER},{more}"));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| usual());
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_target(false).with_ansi(colours).init();
}

/// The error and its causes; a cause that the line already holds is not said twice.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}

/// Prints a command's result; a reader that has gone away (`vla inspect B | head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_contradict_nothing() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_error_is_one_line_and_says_nothing_twice() {
        let error = Err::<(), _>(anyhow::anyhow!("no such\n  file")).context("a").context("b: a").unwrap_err();
        assert_eq!(one_line(&error), "b: a: no such file");
    }
}

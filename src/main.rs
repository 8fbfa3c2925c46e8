//! `vla`: exports, runs, replays and measures Vision-Language-Action policies.

fn main() -> std::process::ExitCode {
    vla_runtime::cli::main()
}

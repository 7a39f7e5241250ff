//! `cargo xtask …`: the workspace's own commands, one file each.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks through its standard streams"
)]

mod bench_codecs;
mod bench_peers;
mod build_backend;
mod build_plugin;
mod cargo;
mod check_cuda;
mod check_report;
mod check_track;
mod check_wgpu;
mod codecs_page;
mod emulate_cuda;
mod emulator;
mod new_plugin;
mod plugins;
mod run;
mod soak;
mod test;
mod tidy;
mod time_build;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds plugins, runs experiments and checks this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the plugins an experiment names and the host, then run the experiment
    Run(run::Args),
    /// Build the plugins an experiment names and the host, then calibrate its fitted codecs
    Fit(run::Args),
    BuildBackend(build_backend::Args),
    BuildPlugin(build_plugin::Args),
    NewPlugin(new_plugin::Args),
    Test(test::Args),
    Tidy(tidy::Args),
    BenchCodecs(bench_codecs::Args),
    BenchPeers(bench_peers::Args),
    CheckCuda(check_cuda::Args),
    CheckReport(check_report::Args),
    CheckTrack(check_track::Args),
    CheckWgpu(check_wgpu::Args),
    EmulateCuda(emulate_cuda::Args),
    Soak(soak::Args),
    TimeBuild(time_build::Args),
}

fn main() -> ExitCode {
    let outcome = time_build::compile().unwrap_or_else(|| match Cli::parse().task {
        Task::Run(args) => run::run(&args, run::Action::Run),
        Task::Fit(args) => run::run(&args, run::Action::Fit),
        Task::BuildBackend(args) => build_backend::run(&args),
        Task::BuildPlugin(args) => build_plugin::run(&args),
        Task::NewPlugin(args) => new_plugin::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Tidy(args) => tidy::run(&args),
        Task::BenchCodecs(args) => bench_codecs::run(&args),
        Task::BenchPeers(args) => bench_peers::run(&args),
        Task::CheckCuda(args) => check_cuda::run(&args),
        Task::CheckReport(args) => check_report::run(&args),
        Task::CheckTrack(args) => check_track::run(&args),
        Task::CheckWgpu(args) => check_wgpu::run(&args),
        Task::EmulateCuda(args) => emulate_cuda::run(&args),
        Task::Soak(args) => soak::run(&args),
        Task::TimeBuild(args) => time_build::run(&args),
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

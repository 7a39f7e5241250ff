//! `cargo xtask test`: the whole gate, which runs the cheapest steps first and stops at the first
//! failure.

mod declared;
mod tally;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::build_plugin;
use crate::cargo::{self, Lock};
use crate::check_cuda;
use crate::plugins;
use crate::tidy;
use crate::workspace::Workspace;
use tally::Tally;

/// Run everything that continuous integration runs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

type Step = (&'static str, fn(&Workspace) -> Result<Option<Tally>>);

const STEPS: &[Step] = &[
    ("formatting", formatting),
    ("tidy", check_tidy),
    ("clippy", clippy),
    ("documentation", documentation),
    ("plugins", build_plugins),
    ("tests", tests),
    ("declared codecs", declared_codecs),
    ("CUDA", cuda),
];

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut tally = None;
    let mut outcome = Ok(());
    for (index, (name, step)) in STEPS.iter().enumerate() {
        let heading = format!("== {}/{} {name}", index + 1, STEPS.len());
        eprintln!("{heading}");
        let begin = now();
        let result = step(&workspace);
        let elapsed = seconds(begin.elapsed().as_secs_f64());
        match result {
            Ok(counted) => {
                tally = counted.or(tally);
                let failed = counted.is_some_and(|counted| counted.failed > 0);
                eprintln!("{heading}: {} after {elapsed}", if failed { "failed" } else { "ok" });
                if failed {
                    outcome = Err(anyhow::anyhow!("{name}: tests failed; their names are above"));
                }
            }
            Err(error) => {
                eprintln!("{heading}: failed after {elapsed}");
                outcome = Err(error.context(*name));
            }
        }
        if outcome.is_err() {
            break;
        }
    }
    if let Err(error) = &outcome {
        eprintln!("error: {error:#}");
    }
    if let Some(tally) = tally {
        println!("{tally}");
    }
    Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(
    clippy::disallowed_methods,
    reason = "tells a person how long each step took; no result depends on it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn formatting(workspace: &Workspace) -> Result<Option<Tally>> {
    succeed(
        cargo::command().current_dir(&workspace.root).args(["fmt", "--all", "--", "--check"]),
        "run cargo fmt --all",
    )
}

fn check_tidy(workspace: &Workspace) -> Result<Option<Tally>> {
    let violations = tidy::check(workspace)?;
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => Ok(None),
        count => bail!("rules of CONTRIBUTING.md broken, listed above: {count}"),
    }
}

fn clippy(workspace: &Workspace) -> Result<Option<Tally>> {
    let arguments = ["clippy", "--release", "--locked", "--workspace", "--all-targets"];
    succeed(
        cargo::command()
            .current_dir(&workspace.root)
            .args(arguments)
            .args(["--", "-D", "warnings"]),
        "mend the warnings above",
    )
}

fn documentation(workspace: &Workspace) -> Result<Option<Tally>> {
    succeed(
        cargo::command().current_dir(&workspace.root).env("RUSTDOCFLAGS", "-D warnings").args([
            "doc",
            "--release",
            "--locked",
            "--workspace",
            "--no-deps",
        ]),
        "mend the documentation warnings above",
    )
}

fn build_plugins(workspace: &Workspace) -> Result<Option<Tally>> {
    let known = plugins::all(workspace)?;
    build_plugin::build(workspace, &build_plugin::bundled(&known), Lock::Locked)?;
    Ok(None)
}

fn tests(workspace: &Workspace) -> Result<Option<Tally>> {
    let mut command = cargo::command();
    command.current_dir(&workspace.root).args([
        "test",
        "--release",
        "--locked",
        "--workspace",
        "--no-fail-fast",
    ]);
    tally::run(&mut command, &mut std::io::stdout().lock()).map(Some)
}

fn declared_codecs(workspace: &Workspace) -> Result<Option<Tally>> {
    declared::check(workspace)?;
    Ok(None)
}

/// Runs the short form of `check-cuda` on the emulator, if there is a compiler that can build it.
fn cuda(workspace: &Workspace) -> Result<Option<Tally>> {
    if check_cuda::short_form(workspace)? == Some(false) {
        bail!("what runs on CUDA does not agree with the CPU: see the table above");
    }
    Ok(None)
}

fn succeed(command: &mut Command, otherwise: &str) -> Result<Option<Tally>> {
    let status = command.status().context("cargo did not start")?;
    if !status.success() {
        bail!("{otherwise}");
    }
    Ok(None)
}

/// A duration for display: `0.4 s`, `59.9 s`, `3 min 07 s`.
fn seconds(elapsed_s: f64) -> String {
    if elapsed_s < 59.95 {
        return format!("{elapsed_s:.1} s");
    }
    let whole = elapsed_s.round();
    format!("{:.0} min {:02.0} s", (whole / 60.0).floor(), whole % 60.0)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(seconds(0.04), "0.0 s");
        assert_eq!(seconds(59.94), "59.9 s");
        assert_eq!(seconds(59.96), "1 min 00 s");
        assert_eq!(seconds(187.2), "3 min 07 s");
    }

    #[cfg(unix)]
    #[test]
    fn a_failing_command_says_what_to_do() {
        let error = succeed(&mut Command::new("false"), "do this").unwrap_err();
        assert_eq!(error.to_string(), "do this");
    }
}

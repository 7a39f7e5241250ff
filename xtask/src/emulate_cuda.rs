//! `cargo xtask emulate-cuda`: builds the CUDA emulator and runs a command that sees it as `cuda:0`.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::emulator;
use crate::workspace::Workspace;

/// Run a command with the emulator in place of an NVIDIA driver, or print what it needs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command; without one the variables are printed that `env` takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let emulator = match emulator::build(&Workspace::load()?)? {
        Ok(emulator) => emulator,
        Err(reason) => bail!("there is no emulator: {reason}"),
    };
    let environment = emulator.environment();
    let Some((program, rest)) = args.command.split_first() else {
        for (name, value) in environment {
            println!("{name}={}", value.display());
        }
        return Ok(ExitCode::SUCCESS);
    };
    let mut command = Command::new(program);
    command.args(rest).envs(environment);
    let status = command.status().with_context(|| format!("starting {}", program.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

//! `strait completions` and `strait man`: for shells and for `man`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::output::say;

/// Which shell.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

/// Where the pages go.
#[derive(clap::Args)]
pub(crate) struct ManArguments {
    /// Write a page for every command into this folder instead of printing that of `strait`.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints a completion script.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Arguments::command(), "strait", &mut out);
    say(&String::from_utf8_lossy(&out))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints or writes manual pages.
pub(crate) fn man(arguments: &ManArguments) -> anyhow::Result<ExitCode> {
    let command = crate::Arguments::command();
    match &arguments.dir {
        Some(dir) => {
            let fail = || format!("cannot write manual pages to {}", dir.display());
            fs::create_dir_all(dir).with_context(fail)?;
            clap_mangen::generate_to(command, dir).with_context(fail)?;
        }
        None => {
            let mut out = Vec::new();
            clap_mangen::Man::new(command).render(&mut out)?;
            say(&String::from_utf8_lossy(&out))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

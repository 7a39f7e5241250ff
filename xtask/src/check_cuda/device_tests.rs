//! Tests of other crates on `cuda:0`: each kernel against its definition, each family of models against
//! Transformers.

use std::fmt;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::process;
use super::{shown, work_folder};
use crate::cargo;
use crate::emulator::Emulator;
use crate::workspace::Workspace;

/// How many tests passed, and how long they took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Tests {
    pub(super) suite: &'static str,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) seconds: f64,
}

/// An integration test, and what its short form omits or selects.
struct Suite {
    package: &'static str,
    test: &'static str,
    short: &'static [&'static str],
}

const SUITES: [Suite; 2] = [
    Suite {
        package: "strait-kernels",
        test: "kernels",
        short: &["--skip", "every_kernel_multiplies"],
    },
    Suite {
        package: "strait-model",
        test: "model",
        short: &["divergence_agrees", "every_device_gives", "what_is_removed_is_gone"],
    },
];

const LIMIT: Duration = Duration::from_secs(7200);

pub(super) fn run(
    workspace: &Workspace,
    emulator: Option<&Emulator>,
    long: bool,
) -> Result<Vec<Tests>> {
    SUITES.iter().map(|suite| run_suite(suite, workspace, emulator, long)).collect()
}

fn run_suite(
    suite: &Suite,
    workspace: &Workspace,
    emulator: Option<&Emulator>,
    long: bool,
) -> Result<Tests> {
    let package = workspace.packages.iter().find(|package| package.name == suite.package);
    let package = package.with_context(|| format!("no package {}", suite.package))?;
    let program = cargo::build_test(workspace, package, suite.test)?;
    let manifest = package.manifest_path.parent().context("a manifest lies in a folder")?;
    let mut command = Command::new(program);
    command.current_dir(manifest).args(["--test-threads", "1"]);
    if !long {
        command.args(suite.short);
    }
    command.env("STRAIT_TEST_DEVICES", "cuda:0").env("CARGO_MANIFEST_DIR", manifest);
    if let Some(emulator) = emulator {
        command.envs(emulator.environment());
    }
    eprintln!("the tests of {} on cuda:0", suite.package);
    let ended = process::run(command, &work_folder(workspace).join(suite.test), LIMIT)?;
    let text = fs::read_to_string(&ended.stdout)?;
    let Some((passed, failed)) = counts(&text) else {
        bail!("the tests of {} did not run: {}", suite.package, ended.reason());
    };
    let tests = Tests { suite: suite.test, passed, failed, seconds: ended.seconds };
    if failed > 0 || !ended.succeeded() {
        let failures = text.find("\nfailures:").map_or("", |at| &text[at..]);
        eprintln!("{failures}\n{}", shown(&workspace.root, &ended.stderr));
    }
    eprintln!("{tests}");
    Ok(tests)
}

/// Numbers of passed and failed tests from the harness's last line.
fn counts(text: &str) -> Option<(usize, usize)> {
    let line = text.lines().rfind(|line| line.starts_with("test result: "))?;
    let words: Vec<&str> = line.split([' ', ';']).collect();
    let before = |word: &str| {
        let at = words.iter().position(|found| *found == word)?;
        words.get(at.checked_sub(1)?)?.parse().ok()
    };
    Some((before("passed")?, before("failed")?))
}

impl fmt::Display for Tests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suite, passed, failed, seconds } = self;
        write!(f, "tests `{suite}` on the device: {passed} passed, {failed} failed, {seconds:.0} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_is_understood() {
        let text = "running 3 tests\ntest a ... ok\n\n\
                    test result: FAILED. 21 passed; 2 failed; 0 ignored; 0 measured; 1 filtered out; \
                    finished in 61.10s\n";
        assert_eq!(counts(text), Some((21, 2)));
        assert_eq!(counts("thread main panicked\n"), None);
    }
}

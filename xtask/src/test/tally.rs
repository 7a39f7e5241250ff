//! Runs `cargo test`, passes its output through and adds up the results of all test binaries.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs the command and copies its output to `output`. A run that failed for any reason other than
/// failed tests is an error.
pub(super) fn run(command: &mut Command, output: &mut impl Write) -> Result<Tally> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cargo did not start")?;
    let stdout = child.stdout.take().context("cargo's output is piped")?;
    let tally = pass_through(stdout, output)?;
    let status = child.wait().context("waiting for cargo")?;
    if !status.success() && tally.failed == 0 {
        bail!("a test binary did not build or did not finish; {tally} until then");
    }
    if tally == Tally::default() {
        bail!("no test ran");
    }
    Ok(tally)
}

/// Copies the lines to `output` and adds up the results among them.
fn pass_through(input: impl Read, output: &mut impl Write) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).context("reading the tests' output")? > 0 {
        output.write_all(&line).context("writing the tests' output")?;
        if let Some(found) = parse(&String::from_utf8_lossy(&line)) {
            tally.passed += found.passed;
            tally.failed += found.failed;
        }
        line.clear();
    }
    Ok(tally)
}

/// Reads `test result: ok. 5 passed; 0 failed; 0 ignored; …`.
fn parse(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| {
        counts.split("; ").find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 2 tests
test a ... ok
test b ... FAILED
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 1.20s
a test may print test result: ok. 9 passed; 9 failed;
";

    #[test]
    fn results_are_added_up_and_the_output_is_unchanged() {
        let mut shown = Vec::new();
        let tally = pass_through(OUTPUT.as_bytes(), &mut shown).unwrap();
        assert_eq!(tally, Tally { passed: 13, failed: 1 });
        assert_eq!(tally.to_string(), "13 passed, 1 failed");
        assert_eq!(shown, OUTPUT.as_bytes());
    }

    #[cfg(unix)]
    #[test]
    fn a_run_without_results_or_that_breaks_is_an_error() {
        let shell = |script: &str| run(Command::new("sh").args(["-c", script]), &mut Vec::new());
        assert_eq!(shell("true").unwrap_err().to_string(), "no test ran");
        let broken = "echo 'test result: ok. 3 passed; 0 failed; 0 ignored'; exit 101";
        assert!(shell(broken).unwrap_err().to_string().contains("did not finish"));
        let failed = "echo 'test result: FAILED. 3 passed; 2 failed; 0 ignored'; exit 101";
        assert_eq!(shell(failed).unwrap(), Tally { passed: 3, failed: 2 });
    }
}

//! A command that ended, was killed on purpose, or did not end; and what nobody may see of it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::test::now;

/// How a command ended, and what it said.
#[derive(Debug)]
pub(super) struct Ended {
    /// Exit code; `None` if a signal ended it.
    pub(super) code: Option<i32>,
    signal: Option<i32>,
    /// Whether it was killed on purpose.
    pub(super) killed: bool,
    in_time: bool,
    pub(super) seconds: f64,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Interval at which a running command is polled.
const STEP: Duration = Duration::from_millis(1);
/// Whatever runs here takes seconds; one that takes this long hangs.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);
/// The longest line that a person must read.
const LONGEST_LINE: usize = 10_000;

/// Runs a command to its end, with its streams in files of `folder`; `kill_after` sends SIGKILL if it still runs then.
pub(super) fn run(
    command: &mut Command,
    folder: &Path,
    kill_after: Option<Duration>,
) -> Result<Ended> {
    let (stdout, stderr) = (folder.join("stdout.txt"), folder.join("stderr.txt"));
    command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
    let begin = now();
    let program = command.get_program().to_owned();
    let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
    let (mut killed, mut in_time) = (false, true);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        killed = kill_after.is_some_and(|after| begin.elapsed() >= after);
        in_time = begin.elapsed() <= DEADLINE;
        if killed || !in_time {
            child.kill()?;
            let status = child.wait()?;
            // It may have ended by itself in the meantime.
            killed = killed && status.code().is_none();
            break status;
        }
        std::thread::sleep(STEP);
    };
    let read = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Ended {
        code: status.code(),
        signal: signal_of(status),
        killed,
        in_time,
        seconds: begin.elapsed().as_secs_f64(),
        stdout: read(&stdout)?,
        stderr: read(&stderr)?,
    })
}

#[cfg(unix)]
fn signal_of(status: std::process::ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;

    status.signal()
}

#[cfg(not(unix))]
fn signal_of(_: std::process::ExitStatus) -> Option<i32> {
    None
}

impl Ended {
    /// What no command may do, whatever it reads: hang, end by a signal or another code than these, show a panic or what a
    /// terminal obeys, or say with code 2 anything but one error in one line.
    pub(super) fn complaint(&self, codes: &[i32]) -> Option<String> {
        if !self.in_time {
            return Some(format!("it did not end within {} s", DEADLINE.as_secs()));
        }
        let Some(code) = self.code else {
            return Some(format!("signal {} ended it: {}", self.signal.unwrap_or(0), self.last()));
        };
        if !codes.contains(&code) {
            return Some(format!("exit code {code}: {}", self.last()));
        }
        for text in [&self.stdout, &self.stderr] {
            if text.contains("panicked at") {
                return Some(format!("it shows a panic: {}", self.last()));
            }
            if let Some(found) = text.chars().find(|c| is_obeyed(*c)) {
                return Some(format!("it writes {found:?} as it is"));
            }
            if let Some(line) = text.lines().find(|line| line.len() > LONGEST_LINE) {
                return Some(format!("it writes a line of {} bytes", line.len()));
            }
        }
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        // A hint may follow, indented.
        let last = self.stderr.trim_end().lines().rfind(|line| !line.starts_with("  "));
        let last_is_error = last.is_some_and(|line| line.starts_with("error: "));
        match (code, errors, last_is_error) {
            (2, 1, true) | (0 | 1 | 130, 0, _) => None,
            _ => Some(format!("{errors} errors with exit code {code}: {:?}", self.stderr)),
        }
    }

    fn last(&self) -> &str {
        self.stderr.trim_end().lines().last().unwrap_or("it said nothing")
    }
}

/// Whether a terminal obeys a character instead of showing it: control characters and marks of direction.
fn is_obeyed(c: char) -> bool {
    let direction = ['\u{200e}', '\u{200f}', '\u{61c}'].contains(&c)
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c);
    direction || (c.is_control() && !['\n', '\t'].contains(&c))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str, kill_after: Option<Duration>) -> Ended {
        let folder = tempfile::tempdir().unwrap();
        run(Command::new("sh").args(["-c", script]), folder.path(), kill_after).unwrap()
    }

    #[test]
    fn what_must_not_happen_is_seen() {
        let complaint = |script| shell(script, None).complaint(&[0, 2]).unwrap_or_default();
        assert_eq!(complaint("echo fine"), "");
        assert_eq!(complaint("echo warning >&2; echo 'error: no such' >&2; exit 2"), "");
        assert_eq!(complaint("echo 'error: a' >&2; echo '  hint: b' >&2; exit 2"), "");
        assert_eq!(complaint("exit 3"), "exit code 3: it said nothing");
        assert!(complaint("kill -SEGV $$").starts_with("signal 11 ended it"));
        assert!(complaint("echo thread main panicked at x >&2").starts_with("it shows a panic"));
        assert!(complaint("printf 'a\\033[2J'").contains("\\u{1b}"));
        assert!(complaint("printf 'a\\342\\200\\256'").contains("\\u{202e}"));
        assert!(complaint("exit 2").starts_with("0 errors with exit code 2"));
        assert!(complaint("echo error: a >&2; echo b >&2; exit 2").starts_with("1 errors"));
        assert!(complaint("echo error: a >&2").starts_with("1 errors with exit code 0"));
    }

    #[test]
    fn a_kill_on_purpose_is_told_from_an_end() {
        let killed = shell("sleep 60", Some(Duration::from_millis(20)));
        assert!(killed.killed && killed.code.is_none() && killed.seconds < 30.0);
        let ended = shell("exit 0", Some(Duration::from_secs(60)));
        assert!(!ended.killed && ended.code == Some(0));
    }
}

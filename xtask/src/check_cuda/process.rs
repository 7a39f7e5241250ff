//! Runs a command with a time limit, with its streams going to files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::test::now;

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Exit code; `None` if it was stopped by a signal, or here at its limit.
    pub(super) code: Option<i32>,
    pub(super) in_time: bool,
    pub(super) seconds: f64,
    pub(super) stdout: PathBuf,
    pub(super) stderr: PathBuf,
}

/// Interval at which a running command is polled.
const STEP: Duration = Duration::from_millis(20);

/// Runs `command` with its streams in `folder`, and stops it after `limit`.
pub(super) fn run(mut command: Command, folder: &Path, limit: Duration) -> Result<Ended> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let (stdout, stderr) = (folder.join("stdout.txt"), folder.join("stderr.txt"));
    command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
    let begin = now();
    let program = command.get_program().to_owned();
    let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
    let mut in_time = true;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > limit {
            in_time = false;
            child.kill()?;
            break child.wait()?;
        }
        std::thread::sleep(STEP);
    };
    let seconds = begin.elapsed().as_secs_f64();
    Ok(Ended { code: status.code(), in_time, seconds, stdout, stderr })
}

impl Ended {
    pub(super) fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Why a command failed: its error message, or how it ended and its last line.
    pub(super) fn reason(&self) -> String {
        let text = fs::read(&self.stderr).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let error = text.lines().rfind(|line| line.starts_with("error: "));
        let said = error.or(text.lines().rfind(|line| !line.trim().is_empty()));
        let how = match (self.in_time, self.code) {
            (false, _) => format!("did not end within {:.0} s", self.seconds),
            (true, None) => "was stopped by a signal".to_owned(),
            (true, Some(code)) => format!("ended with {code}"),
        };
        format!("{how}: {}", said.unwrap_or("it said nothing"))
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (Ended, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        (run(command, folder.path(), limit).unwrap(), folder)
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let (ended, _folder) =
            shell("echo result; echo error: no such >&2; echo bye >&2; exit 3", STEP * 500);
        assert_eq!((ended.code, ended.in_time), (Some(3), true));
        assert_eq!(ended.reason(), "ended with 3: error: no such");
        assert_eq!(fs::read_to_string(&ended.stdout).unwrap(), "result\n");
    }

    #[test]
    fn a_command_that_hangs_is_stopped() {
        let (ended, _folder) = shell("exec sleep 60", STEP * 5);
        assert!(!ended.in_time && !ended.succeeded() && ended.seconds < 30.0);
        assert!(ended.reason().starts_with("did not end within 0 s"), "{}", ended.reason());
    }
}

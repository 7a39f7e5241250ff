//! A process that contains a plugin, as the checking process sees it.

use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::Program;
use super::frame::{self, Reply, Request};

/// Most time that a process may take to answer; an ordinary answer takes milliseconds.
const ANSWER: Duration = Duration::from_secs(60);

/// Interval between checks whether a process has started.
const STEP: Duration = Duration::from_millis(5);
const STEPS: usize = 6000;

/// A process that answers.
pub(super) struct Process {
    child: Child,
    stream: UnixStream,
    /// The folder that receives everything it may leave behind.
    _folder: TempDir,
}

impl Process {
    /// Starts the program for a file; `file` is absolute.
    pub(super) fn start(file: &Path, program: &Program) -> std::io::Result<Process> {
        let folder = tempfile::Builder::new().prefix("strait-check-").tempdir()?;
        let (socket, own) = (folder.path().join("socket"), folder.path().join("tmp"));
        std::fs::create_dir(&own)?;
        let listener = UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        let mut command = program();
        command.arg(&socket).arg(file).current_dir(&own);
        for variable in ["TMPDIR", "TMP", "TEMP", "HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"] {
            command.env(variable, &own);
        }
        // The plugin's own output is not part of the checks' results.
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let stream = accept(&listener, &mut child)?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(Process { child, stream, _folder: folder })
    }

    /// Sends a request and returns the answer.
    ///
    /// # Errors
    /// How the process ended instead of answering.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        bytes: &[u8],
    ) -> Result<(Reply, Vec<u8>), String> {
        let asked = frame::write(&mut self.stream, request, bytes);
        match asked.and_then(|()| frame::read(&mut self.stream)) {
            Ok(answer) => Ok(answer),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.end();
                Err(format!("its process did not answer in {} s", ANSWER.as_secs()))
            }
            Err(_) => Err(self.how_it_ended()),
        }
    }

    fn how_it_ended(&mut self) -> String {
        // The stream ends a moment before the process does.
        for _ in 0..STEPS {
            match self.child.try_wait() {
                Ok(Some(status)) => return ended(status),
                Ok(None) => thread::sleep(STEP),
                Err(error) => return format!("its process is gone: {error}"),
            }
        }
        "its process closed the connection".to_owned()
    }

    fn end(&mut self) {
        // It may already have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("its process ended with signal {signal}"),
        (None, code) => format!("its process ended with exit code {}", code.unwrap_or_default()),
    }
}

fn accept(listener: &UnixListener, child: &mut Child) -> std::io::Result<UnixStream> {
    for _ in 0..STEPS {
        match listener.accept() {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if let Some(status) = child.try_wait()? {
            return Err(std::io::Error::other(ended(status)));
        }
        thread::sleep(STEP);
    }
    Err(std::io::Error::other("a process that does not connect"))
}

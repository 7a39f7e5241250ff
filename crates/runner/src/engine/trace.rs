//! Records what ran when, as a Chrome trace: `chrome://tracing` and Perfetto show it as a timeline.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::clock::Stopwatch;
use crate::error::RunnerError;

/// Writes spans to a file as they end, so that a long run needs no memory for them; or does
/// nothing.
#[derive(Debug)]
pub(crate) struct Trace {
    start: Stopwatch,
    out: Option<Out>,
}

#[derive(Debug)]
struct Out {
    path: PathBuf,
    file: Mutex<BufWriter<File>>,
}

/// The row of the timeline in which a span is shown: 0 is the thread that writes journals, the
/// others are lanes.
pub(crate) type Lane = usize;

impl Trace {
    /// A trace into `path`, or one that records nothing.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, RunnerError> {
        let out = match path {
            None => None,
            Some(path) => {
                let fail = |source| io(path, source);
                let mut file = BufWriter::new(File::create(path).map_err(fail)?);
                writeln!(file, "[").map_err(fail)?;
                Some(Out { path: path.into(), file: Mutex::new(file) })
            }
        };
        Ok(Self { start: Stopwatch::start(), out })
    }

    /// Runs `work` and records its span; returns its seconds too.
    pub(crate) fn span<T>(
        &self,
        lane: Lane,
        name: impl FnOnce() -> String,
        work: impl FnOnce() -> T,
    ) -> (T, f64) {
        let begin = self.start.seconds();
        let out = work();
        let seconds = self.start.seconds() - begin;
        if let Some(trace) = &self.out {
            let event = json!({
                "name": name(), "ph": "X", "pid": 1, "tid": lane,
                "ts": begin * 1e6, "dur": seconds * 1e6,
            });
            trace.write(&event);
        }
        (out, seconds)
    }

    /// Finishes the file.
    pub(crate) fn close(self) -> Result<(), RunnerError> {
        let Some(out) = self.out else { return Ok(()) };
        let Out { path, file } = out;
        let mut file = file.into_inner().map_err(RunnerError::internal)?;
        let first = json!({
            "name": "thread_name", "ph": "M", "pid": 1, "tid": 0, "args": {"name": "journals"},
        });
        writeln!(file, "{first}\n]").and_then(|()| file.flush()).map_err(|e| io(&path, e))
    }
}

impl Out {
    /// A trace that can no longer be written must not end the run, so the error is reported on
    /// closing.
    fn write(&self, event: &Value) {
        if let Ok(mut file) = self.file.lock() {
            let _ = writeln!(file, "{event},");
        }
    }
}

fn io(path: &Path, source: std::io::Error) -> RunnerError {
    RunnerError::Io { what: "write the trace", path: path.into(), source }
}

//! Cells whose plugins ended the process: what the note of an earlier run says of them, and why they
//! are left out of this one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strait_loader::{CallNote, End, Noted};

use super::folder::Folder;
use super::journal;
use crate::error::RunnerError;
use crate::plan::PlannedCell;

/// A process that is killed leaves no reason, and a call is nearly always at work then. A cell fails
/// for that only when it was at work in the same call of the same window so many times in a row: its
/// plugin takes all memory, say, and so does every run.
const MOST_UNEXPLAINED: u32 = 3;

/// The cells that are left out, and the note of this run while it lasts.
#[derive(Debug)]
pub(crate) struct Crashes {
    /// By the cell's identity.
    reasons: BTreeMap<String, String>,
    _note: Option<CallNote>,
}

/// What is kept of a cell in `journal/<id>.crash`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Crash {
    /// Why the cell is left out; null while it gets another chance.
    reason: Option<String>,
    /// The call in which the process ended without a reason, and the window.
    call: String,
    window: usize,
    /// How many times in a row.
    times: u32,
}

impl Crashes {
    /// Reads what the run before left, keeps it for each cell, and begins the note of this run.
    pub(crate) fn open(folder: &Folder, cells: &[PlannedCell]) -> Result<Self, RunnerError> {
        let note = note(folder);
        let fail = |what| {
            let path = note.clone();
            move |source| RunnerError::Io { what, path, source }
        };
        let noted = CallNote::read(&note).map_err(fail("read the note of the last run"))?;
        // Where one call ended the process, the others at work have nothing to do with it.
        let explained = noted.iter().any(|noted| noted.end != End::Unknown);
        for noted in noted.iter().filter(|noted| !explained || noted.end != End::Unknown) {
            if let Some(cell) = cells.iter().find(|cell| cell.id.starts_with(&noted.cell)) {
                keep(folder, cell, noted)?;
            }
        }
        let mut reasons = BTreeMap::new();
        for cell in cells {
            let path = place(folder, &cell.id);
            match read(&path)? {
                Some(Crash { reason: Some(reason), .. }) => {
                    reasons.insert(cell.id.clone(), reason);
                }
                // It was not at work when the last run ended, so it has ended nothing in a row.
                Some(_) if !noted.iter().any(|noted| cell.id.starts_with(&noted.cell)) => {
                    let _ = fs::remove_file(&path);
                }
                _ => {}
            }
        }
        // Another run of this process has the note already, or the folder's disk cannot be mapped:
        // crashes are then not told from kills, which is no reason not to run.
        let note = CallNote::begin(&note).unwrap_or_else(|error| {
            log::warn!("calls of plugins are not noted in {}: {error}", note.display());
            None
        });
        Ok(Crashes { reasons, _note: note })
    }

    /// Why the cell of this identity is left out.
    pub(crate) fn reason(&self, id: &str) -> Option<&str> {
        self.reasons.get(id).map(String::as_str)
    }
}

/// Where the calls at work are noted.
pub(crate) fn note(folder: &Folder) -> PathBuf {
    folder.path().join("journal/calls")
}

/// Where is kept what is known of a cell.
pub(crate) fn place(folder: &Folder, id: &str) -> PathBuf {
    folder.journal(id).with_extension("crash")
}

/// Adds to what is kept of a cell that it was at work when a process ended.
fn keep(folder: &Folder, cell: &PlannedCell, noted: &Noted) -> Result<(), RunnerError> {
    let (path, written) = (place(folder, &cell.id), folder.journal(&cell.id));
    let windows = if written.exists() { journal::read(&written, &cell.id, |_, _| {})? } else { 0 };
    let crash = add(read(&path)?.unwrap_or_default(), noted, windows);
    let text = serde_json::to_string(&crash).map_err(RunnerError::internal)?;
    // Renamed into place, so that a process that ends here leaves the old text or the new.
    let unfinished = path.with_extension("crash.new");
    fs::write(&unfinished, text)
        .and_then(|()| fs::rename(&unfinished, &path))
        .map_err(|source| RunnerError::Io { what: "keep what crashed in", path, source })
}

fn add(before: Crash, noted: &Noted, window: usize) -> Crash {
    let Noted { place, call, end, .. } = noted;
    let call = call.name();
    let same = before.call == call && before.window == window;
    let times = if same { before.times + 1 } else { 1 };
    let at = format!("{place}: {call} {end}, in window {window}");
    let reason = match end {
        End::Unknown if times < MOST_UNEXPLAINED => before.reason,
        End::Unknown => Some(format!(
            "{at}, {times} times in a row: killed, or out of memory; --fresh runs the cell again"
        )),
        _ => Some(format!("{at}; --fresh runs the cell again")),
    };
    Crash { reason, call: call.to_owned(), window, times }
}

fn read(path: &Path) -> Result<Option<Crash>, RunnerError> {
    match fs::read_to_string(path) {
        // What cannot be read any more is a cell that gets another chance.
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RunnerError::Io { what: "read", path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use strait_loader::CallKind;

    use super::*;

    fn noted(call: CallKind, end: End) -> Noted {
        Noted { cell: "ab".to_owned(), place: "plugin x.so, codec `c`".to_owned(), call, end }
    }

    #[test]
    fn a_crash_fails_its_cell_at_once_and_says_where() {
        let reason = |end| add(Crash::default(), &noted(CallKind::Encode, end), 4).reason.unwrap();
        assert_eq!(
            reason(End::Signal(11)),
            "plugin x.so, codec `c`: encode crashed with SIGSEGV, an address that it may not use, \
             in window 4; --fresh runs the cell again"
        );
        assert!(reason(End::Exit).contains("encode ended the process, in window 4"));
        assert!(reason(End::Deadline(9)).contains("encode did not return within 9 s"));
    }

    #[test]
    fn a_kill_fails_a_cell_only_where_it_happens_again_and_again() {
        let encode = noted(CallKind::Encode, End::Unknown);
        let mut crash = Crash::default();
        for window in [0, 0, 1, 1] {
            crash = add(crash, &encode, window);
            assert_eq!(crash.reason, None);
        }
        crash = add(crash, &noted(CallKind::Decode, End::Unknown), 1);
        assert_eq!((crash.times, &crash.reason), (1, &None), "another call");
        for _ in 0..2 {
            crash = add(crash, &noted(CallKind::Decode, End::Unknown), 1);
        }
        let reason = crash.reason.clone().unwrap();
        assert!(reason.contains("decode was at work") && reason.contains("3 times"), "{reason}");
        assert_eq!(add(crash, &encode, 2).reason, Some(reason), "once left out, always");
    }
}

//! The note of a run: its threads' slots in a file, which the kernel preserves however the process
//! ends.
//!
//! The file is mapped into memory, so that a call costs a few stores and no system call. It has a
//! little-endian record of 128 bytes for each slot: 16 bytes of the cell's identity and 88 bytes of the
//! plugin and codec as text, the number of the call (0 for none), how it ended (0 if unknown), the
//! seconds of a deadline, and 8 bytes that mean nothing to a reader.

// The mapping is not shared with other processes, but it is backed by a file, which makes creating it
// unsafe.
#![allow(unsafe_code)]

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed};

use memmap2::{MmapMut, MmapOptions};

use super::callee::{CallKind, Callee};
use super::guard;
use super::slots::SLOTS;

/// Size of a record in bytes.
const RECORD_BYTES: usize = 128;
/// Bytes of a cell's identity that are recorded.
const ID_BYTES: usize = 16;
/// Bytes of the plugin's and codec's names that are recorded.
const PLACE_BYTES: usize = 88;
/// The code for `exit`; lower numbers are signals.
const EXIT: u32 = 1000;
const DEADLINE: u32 = 1001;

/// One slot in the file.
#[repr(C)]
struct Record {
    names: [AtomicU64; (ID_BYTES + PLACE_BYTES) / 8],
    kind: AtomicU32,
    end: AtomicU32,
    deadline_s: AtomicU64,
    /// Address of the callee whose names are in the record; they are rewritten only when it changes.
    callee: AtomicU64,
}

const _: () = assert!(size_of::<Record>() == RECORD_BYTES);

/// The records of the open note; null if there is none.
static RECORDS: AtomicPtr<Record> = AtomicPtr::new(ptr::null_mut());

/// The open note of the current run.
#[derive(Debug)]
pub struct CallNote {
    path: PathBuf,
}

/// A call that was in progress for a cell when the process that noted it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The first characters of the cell's identity.
    pub cell: String,
    /// Plugin and codec or press as messages name them, truncated if long.
    pub place: String,
    /// The call.
    pub call: CallKind,
    /// How it ended.
    pub end: End,
}

/// How a call that did not return ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process is gone and the cause is unknown: it was killed, or the machine stopped.
    Unknown,
    /// The call crashed with this signal.
    Signal(i32),
    /// The call ended the process through `exit`.
    Exit,
    /// The call was still in progress after this many seconds.
    Deadline(u64),
}

impl fmt::Display for End {
    /// Writes what the call did, such as "crashed with SIGSEGV, …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Unknown => f.write_str("was at work when the process was ended from outside"),
            End::Signal(signal) => write!(f, "crashed with {}", guard::signal_words(*signal)),
            End::Exit => f.write_str("ended the process"),
            End::Deadline(seconds) => write!(f, "did not return within {seconds} s"),
        }
    }
}

impl CallNote {
    /// Creates the file and notes every call for a cell from now on. A process has one note at a time:
    /// returns `None` while there is another.
    ///
    /// # Errors
    /// When the file cannot be created or mapped.
    pub fn begin(path: &Path) -> io::Result<Option<CallNote>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len((SLOTS * RECORD_BYTES) as u64)?;
        // SAFETY: the file belongs to this run, which holds the lock of its folder; nobody makes it
        // shorter.
        let map: MmapMut = unsafe { MmapOptions::new().map_mut(&file)? };
        let records: *mut Record = map.as_ptr().cast_mut().cast();
        if RECORDS.compare_exchange(ptr::null_mut(), records, Relaxed, Relaxed).is_err() {
            return Ok(None);
        }
        // A thread may be about to write a record, so the few pages stay for the life of the process.
        std::mem::forget(map);
        Ok(Some(CallNote { path: path.to_owned() }))
    }

    /// The calls that were in progress when the process that left this note ended; empty if there is no
    /// note.
    ///
    /// # Errors
    /// When the file exists but cannot be read.
    pub fn read(path: &Path) -> io::Result<Vec<Noted>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(bytes.as_chunks::<RECORD_BYTES>().0.iter().filter_map(read_record).collect())
    }
}

impl Drop for CallNote {
    fn drop(&mut self) {
        RECORDS.store(ptr::null_mut(), Relaxed);
        // If removal fails, the file left behind says that no call is in progress.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn read_record(record: &[u8; RECORD_BYTES]) -> Option<Noted> {
    let (id, rest) = record.split_first_chunk::<ID_BYTES>()?;
    let (place, rest) = rest.split_first_chunk::<PLACE_BYTES>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let (end, rest) = rest.split_first_chunk::<4>()?;
    let (deadline, _) = rest.split_first_chunk::<8>()?;
    let call = CallKind::of_number(u32::from_le_bytes(*kind))?;
    let end = match u32::from_le_bytes(*end) {
        0 => End::Unknown,
        EXIT => End::Exit,
        DEADLINE => End::Deadline(u64::from_le_bytes(*deadline)),
        signal => End::Signal(i32::try_from(signal).ok()?),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    let noted = Noted { cell: text(id), place: text(place), call, end };
    (!noted.cell.is_empty()).then_some(noted)
}

/// Copies the state of a slot into the open note. Calls for no cell leave no trace: there is no cell to
/// continue without.
pub(super) fn mirror(slot: usize, call: Option<(&'static Callee, CallKind)>) {
    let Some(record) = record(slot) else { return };
    let cell = call.and_then(|(callee, kind)| Some((callee, callee.cell.as_ref()?, kind)));
    let Some((callee, id, kind)) = cell else {
        record.kind.store(0, Relaxed);
        return;
    };
    let address = ptr::from_ref(callee).addr() as u64;
    if record.callee.load(Relaxed) != address {
        let mut names = [0; ID_BYTES + PLACE_BYTES];
        let (id_bytes, place_bytes) = names.split_at_mut(ID_BYTES);
        for (target, text) in [(id_bytes, id), (place_bytes, &callee.place)] {
            let length = text.floor_char_boundary(target.len());
            target[..length].copy_from_slice(&text.as_bytes()[..length]);
        }
        for (word, bytes) in record.names.iter().zip(names.as_chunks::<8>().0) {
            word.store(u64::from_ne_bytes(*bytes), Relaxed);
        }
        record.callee.store(address, Relaxed);
    }
    record.kind.store(kind as u32, Relaxed);
}

/// Notes how the call of a slot ended; safe in a signal handler.
pub(super) fn end(slot: usize, end: End) {
    let Some(record) = record(slot) else { return };
    if let End::Deadline(seconds) = end {
        record.deadline_s.store(seconds, Relaxed);
    }
    let number = match end {
        End::Unknown => 0,
        End::Signal(signal) => signal.unsigned_abs(),
        End::Exit => EXIT,
        End::Deadline(_) => DEADLINE,
    };
    record.end.store(number, Relaxed);
}

fn record(slot: usize) -> Option<&'static Record> {
    let records = RECORDS.load(Relaxed);
    if records.is_null() {
        return None;
    }
    // SAFETY: the mapping has SLOTS records, is never unmapped, and its fields are atomics.
    Some(unsafe { &*records.add(slot) })
}

#[cfg(test)]
mod tests {
    use super::super::callee::CellName;
    use super::super::slots::{enter, mine};
    use super::*;

    /// A single test, because a process has one note.
    #[test]
    fn what_is_at_work_stands_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls");
        assert!(CallNote::read(&path).unwrap().is_empty());
        let note = CallNote::begin(&path).unwrap().unwrap();
        assert!(CallNote::begin(&folder.path().join("other")).unwrap().is_none());
        let cell = CellName { id: "0123456789abcdefff".to_owned(), label: "l".to_owned() };
        let of_cell = Callee::of("x.so", "codec `c`", Some(&cell));
        let noted = |end| {
            let (cell, place) =
                ("0123456789abcdef".to_owned(), "plugin x.so, codec `c`".to_owned());
            vec![Noted { cell, place, call: CallKind::Encode, end }]
        };
        {
            let _load = enter(Callee::of("x.so", "", None), CallKind::Load);
            assert!(CallNote::read(&path).unwrap().is_empty(), "no cell, no note");
            let _encode = enter(of_cell, CallKind::Encode);
            assert_eq!(CallNote::read(&path).unwrap(), noted(End::Unknown));
            let (slot, ..) = mine().unwrap();
            for how in [End::Signal(11), End::Exit, End::Deadline(77)] {
                end(slot, how);
                assert_eq!(CallNote::read(&path).unwrap(), noted(how));
            }
            end(slot, End::Unknown);
            let long = format!("codec `{}ü`", "x".repeat(67));
            let _other = enter(Callee::of("y.so", &long, Some(&cell)), CallKind::Press);
            let place = &CallNote::read(&path).unwrap()[0].place;
            assert!(place.starts_with("plugin y.so, codec `x") && place.ends_with('x'), "{place}");
        }
        assert!(CallNote::read(&path).unwrap().is_empty(), "the calls have ended");
        drop(note);
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_note_is_read_as_far_as_it_makes_sense() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls");
        std::fs::write(&path, [0xff; 3 * RECORD_BYTES + 5]).unwrap();
        assert!(CallNote::read(&path).unwrap().is_empty());
    }
}

//! The journal of a cell: one frame per finished window, appended and synced before the next starts.
//!
//! A record is computed from its journal alone, so a run that was killed and started again ends in
//! the same record as an undisturbed one. The first frame names the cell:
//!
//! ```text
//! magic u32 | length u32 | checksum [u8; 8] | {"journal": 2, "cell": identity} as JSON
//! ```
//!
//! and every other one holds a window:
//!
//! ```text
//! magic u32 | length u32 | checksum [u8; 8] | header length u32 | header JSON | nll f64… | baseline nll f64… | baseline top f32… | kld f32… | same-top u8… | kept u32…
//! ```
//!
//! in little-endian order. The header of the first window that a run appends says what the run measures with; it is that
//! of the windows behind it too. `length` counts what follows the checksum, which is the first eight
//! bytes of that part's SHA-256. Opening a journal to append cuts off a torn or damaged tail, and
//! those windows run again; reading it changes nothing, and whoever reads says how many windows there
//! must be.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strait_schema::{Environment, LinkCounts};

use crate::error::RunnerError;

const MAGIC: u32 = 0x324a_5453;
/// The version of the format, in the first frame. Journals of version 1 named no cell.
const VERSION: u32 = 2;
/// Bytes of a scored token in a frame.
pub(crate) const TOKEN_BYTES: usize = 25;
const PREFIX_BYTES: usize = 16;
/// Larger frames than this are damage: a window of a million tokens takes 25 MB.
const MAX_FRAME_BYTES: usize = 1 << 30;

/// What a cell measured in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowEntry {
    /// Index of the window in the protocol.
    pub index: usize,
    /// Negative log-likelihood of every scored token, in nats.
    pub nll: Vec<f64>,
    /// The baseline's negative log-likelihood of the same tokens, in nats.
    pub base_nll: Vec<f64>,
    /// The baseline's largest probability at every scored token.
    pub base_top: Vec<f32>,
    /// Kullback-Leibler divergence from the baseline at every scored token, in nats.
    pub kld: Vec<f32>,
    /// Whether cell and baseline agree on the most probable token.
    pub same_top: Vec<bool>,
    /// Counts of every link, in the order of the links.
    pub links: Vec<LinkCounts>,
    /// Where the time went.
    pub time: WindowTime,
    /// What presses kept, in the order in which they pressed; empty unless the experiment asks.
    pub kept: Vec<Kept>,
}

/// What is left of one key head's cache after the presses of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Tokens of the window so far.
    pub seen: u32,
    /// Layer of the model.
    pub layer: u32,
    /// Key head of the layer.
    pub head: u32,
    /// Positions of the tokens in the window that the head still has entries of, ascending.
    pub positions: Vec<u32>,
}

/// Seconds that one window of one cell took; passes that cells share are divided evenly.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowTime {
    /// Seconds of the run, counted from the end of the piece of work before the window's.
    pub wall_s: f64,
    /// Seconds in the model's stages and the scoring.
    pub model_s: f64,
    /// Seconds in each stage.
    #[serde(default)]
    pub stage_s: Vec<f64>,
}

/// What the first frame says.
#[derive(Serialize, Deserialize)]
struct Title {
    journal: u32,
    /// Identity of the cell.
    cell: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    index: usize,
    scored: usize,
    links: Vec<LinkCounts>,
    time: WindowTime,
    /// Number of words behind the tokens: for each of [`Kept`] its first three fields, the number of its
    /// positions, and these.
    #[serde(default, skip_serializing_if = "is_zero")]
    kept: usize,
    /// What this window and those behind it are measured with; absent where that is as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
}

impl WindowEntry {
    fn body(&self, environment: Option<&Environment>) -> Result<Vec<u8>, RunnerError> {
        let header = Header {
            index: self.index,
            scored: self.nll.len(),
            links: self.links.clone(),
            time: self.time.clone(),
            kept: self.kept.iter().map(Kept::words).sum(),
            environment: environment.cloned(),
        };
        let header = serde_json::to_vec(&header).map_err(RunnerError::internal)?;
        let mut body = Vec::with_capacity(4 + header.len() + self.nll.len() * TOKEN_BYTES);
        body.extend_from_slice(&(header.len() as u32).to_le_bytes());
        body.extend_from_slice(&header);
        self.nll.iter().for_each(|x| body.extend_from_slice(&x.to_le_bytes()));
        self.base_nll.iter().for_each(|x| body.extend_from_slice(&x.to_le_bytes()));
        self.base_top.iter().for_each(|x| body.extend_from_slice(&x.to_le_bytes()));
        self.kld.iter().for_each(|x| body.extend_from_slice(&x.to_le_bytes()));
        body.extend(self.same_top.iter().map(|&same| u8::from(same)));
        self.kept.iter().for_each(|kept| kept.write(&mut body));
        Ok(body)
    }

    fn parse(body: &[u8]) -> Option<(Self, Option<Environment>)> {
        let (length, rest) = body.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let (header, rest) = rest.split_at_checked(length)?;
        let Header { index, scored, links, time, kept, environment } =
            serde_json::from_slice(header).ok()?;
        let (rest, words) = rest.split_at_checked(scored.checked_mul(TOKEN_BYTES)?)?;
        if Some(words.len()) != kept.checked_mul(size_of::<u32>()) {
            return None;
        }
        let (nll, rest) = rest.split_at(scored * 8);
        let (base_nll, rest) = rest.split_at(scored * 8);
        let (base_top, rest) = rest.split_at(scored * 4);
        let (kld, same_top) = rest.split_at(scored * 4);
        let entry = Self {
            index,
            nll: f64s(nll),
            base_nll: f64s(base_nll),
            base_top: f32s(base_top),
            kld: f32s(kld),
            same_top: same_top.iter().map(|&byte| byte != 0).collect(),
            links,
            time,
            kept: Kept::parse(words)?,
        };
        Some((entry, environment))
    }
}

impl Kept {
    /// Words in a frame.
    fn words(&self) -> usize {
        4 + self.positions.len()
    }

    fn write(&self, body: &mut Vec<u8>) {
        let head = [self.seen, self.layer, self.head, self.positions.len() as u32];
        body.extend(head.iter().chain(&self.positions).flat_map(|word| word.to_le_bytes()));
    }

    fn parse(bytes: &[u8]) -> Option<Vec<Self>> {
        let words: Vec<u32> = bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let (mut kept, mut rest) = (Vec::new(), &words[..]);
        while !rest.is_empty() {
            let (&[seen, layer, head, count], behind) = rest.split_first_chunk()?;
            let (positions, behind) = behind.split_at_checked(count as usize)?;
            kept.push(Self { seen, layer, head, positions: positions.to_vec() });
            rest = behind;
        }
        Some(kept)
    }
}

/// Whether serde leaves the field out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(words: &usize) -> bool {
    *words == 0
}

fn f64s(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// An open journal, positioned behind its last whole frame.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    windows: usize,
    /// Bytes of all whole frames: where the next one begins.
    length: u64,
    /// What the windows of this run are measured with, until one of them says it.
    environment: Option<Environment>,
}

impl Journal {
    /// Opens or creates the journal of a cell at `path`, cutting off a torn tail, and hands every whole
    /// window to `visit` in order. Windows must be 0, 1, 2, …: whatever breaks that is cut off too. A
    /// journal of an earlier format begins anew.
    ///
    /// # Errors
    /// When the file cannot be created, read or shortened, or is the journal of another cell.
    pub fn open(
        path: &Path,
        cell: &str,
        mut visit: impl FnMut(&WindowEntry),
    ) -> Result<Self, RunnerError> {
        let fail = |source| RunnerError::Io { what: "open the journal", path: path.into(), source };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(fail)?;
        let mut journal = match read_all(&mut file, path, cell, |entry, _| visit(entry))? {
            Some(Whole { windows, length }) => {
                Self { path: path.into(), file, windows, length, environment: None }
            }
            None => Self { path: path.into(), file, windows: 0, length: 0, environment: None },
        };
        journal.file.set_len(journal.length).map_err(fail)?;
        journal.file.seek(SeekFrom::Start(journal.length)).map_err(fail)?;
        if journal.length == 0 {
            let title = Title { journal: VERSION, cell: cell.to_owned() };
            journal.write(&serde_json::to_vec(&title).map_err(RunnerError::internal)?)?;
        }
        Ok(journal)
    }

    /// Windows that are in the journal: also the index of the next one.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Says what the windows that follow are measured with.
    pub fn measured_with(&mut self, environment: Environment) {
        self.environment = Some(environment);
    }

    /// Appends one window and syncs it to disk.
    ///
    /// # Errors
    /// When it cannot be written (a full disk): the journal is cut back to its last whole frame. Also
    /// when somebody else has changed the file since it was opened.
    pub fn append(&mut self, entry: &WindowEntry) -> Result<(), RunnerError> {
        debug_assert_eq!(entry.index, self.windows);
        self.write(&entry.body(self.environment.as_ref())?)?;
        self.environment = None;
        self.windows += 1;
        Ok(())
    }

    fn write(&mut self, body: &[u8]) -> Result<(), RunnerError> {
        let fail = |source| RunnerError::Io {
            what: "append to the journal",
            path: self.path.clone(),
            source,
        };
        let found = self.file.metadata().map_err(fail)?.len();
        if found != self.length {
            let (path, expected) = (self.path.clone(), self.length);
            return Err(RunnerError::JournalChanged { path, expected, found });
        }
        let mut frame = Vec::with_capacity(PREFIX_BYTES + body.len());
        frame.extend_from_slice(&MAGIC.to_le_bytes());
        frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
        frame.extend_from_slice(&Sha256::digest(body)[..8]);
        frame.extend_from_slice(body);
        let written = self.file.write_all(&frame).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // A torn frame is also found at the next start; cutting it now only saves that step.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
            return Err(fail(source));
        }
        self.length += frame.len() as u64;
        Ok(())
    }
}

/// Reads the journal of a cell without changing it, and hands every window to `visit` in order, the first one of a run with
/// what that run measured with; gives their number.
///
/// # Errors
/// When the file is not there, cannot be read, or is the journal of another cell.
pub fn read(
    path: &Path,
    cell: &str,
    visit: impl FnMut(&WindowEntry, Option<Environment>),
) -> Result<usize, RunnerError> {
    let fail = |source| RunnerError::Io { what: "read the journal", path: path.into(), source };
    let mut file = File::open(path).map_err(fail)?;
    let whole = read_all(&mut file, path, cell, visit)?;
    Ok(whole.map_or(0, |whole| whole.windows))
}

/// What of a journal is whole.
struct Whole {
    windows: usize,
    /// Bytes of its frames.
    length: u64,
}

/// Reads frames up to the end or to damage; `None` if not even the title is whole and of this format.
fn read_all(
    file: &mut File,
    path: &Path,
    cell: &str,
    mut visit: impl FnMut(&WindowEntry, Option<Environment>),
) -> Result<Option<Whole>, RunnerError> {
    let fail = |source| RunnerError::Io { what: "read the journal", path: path.into(), source };
    let Some(title) = read_frame(file).map_err(fail)? else { return Ok(None) };
    let Ok(Title { journal: VERSION, cell: found }) = serde_json::from_slice(&title) else {
        return Ok(None);
    };
    if found != cell {
        let (path, expected) = (path.into(), cell.to_owned());
        return Err(RunnerError::ForeignJournal { path, expected, found });
    }
    let mut whole = Whole { windows: 0, length: (PREFIX_BYTES + title.len()) as u64 };
    while let Some(body) = read_frame(file).map_err(fail)? {
        match WindowEntry::parse(&body) {
            Some((entry, environment)) if entry.index == whole.windows => {
                visit(&entry, environment)
            }
            _ => break,
        }
        whole.windows += 1;
        whole.length += (PREFIX_BYTES + body.len()) as u64;
    }
    Ok(Some(whole))
}

/// The body of the next whole frame, or `None` at the end or at damage.
fn read_frame(file: &mut File) -> std::io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; PREFIX_BYTES];
    if !read_whole(file, &mut prefix)? {
        return Ok(None);
    }
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| prefix[at + i]));
    let length = word(4) as usize;
    if word(0) != MAGIC || length > MAX_FRAME_BYTES {
        return Ok(None);
    }
    let mut body = Vec::new();
    Read::take(&mut *file, length as u64).read_to_end(&mut body)?;
    let intact = body.len() == length && Sha256::digest(&body)[..8] == prefix[8..];
    Ok(intact.then_some(body))
}

fn read_whole(file: &mut File, buffer: &mut [u8]) -> std::io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: &str = "0123456789abcdef";

    fn entry(index: usize) -> WindowEntry {
        WindowEntry {
            index,
            nll: vec![0.1 + index as f64, 2.5],
            base_nll: vec![0.25, 2.0],
            base_top: vec![0.5, 0.75],
            kld: vec![1e-9, 3.0],
            same_top: vec![true, false],
            links: vec![],
            time: WindowTime { wall_s: 0.5, model_s: 0.25, stage_s: vec![0.25] },
            kept: (0..index as u32)
                .map(|head| Kept { seen: 9, layer: 3, head, positions: vec![0, 4 + head] })
                .collect(),
        }
    }

    fn opened(path: &Path) -> (Vec<WindowEntry>, Journal) {
        let mut seen = Vec::new();
        let journal = Journal::open(path, CELL, |entry| seen.push(entry.clone())).unwrap();
        (seen, journal)
    }

    /// A journal of so many windows, and its bytes.
    fn written(path: &Path, windows: usize) -> Vec<u8> {
        let (_, mut journal) = opened(path);
        (0..windows).for_each(|index| journal.append(&entry(index)).unwrap());
        std::fs::read(path).unwrap()
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let whole = written(&path, 3);
        let (seen, journal) = opened(&path);
        assert_eq!(seen, [entry(0), entry(1), entry(2)]);
        assert_eq!(journal.windows(), 3);
        let mut read_back = Vec::new();
        let windows = read(&path, CELL, |entry, _| read_back.push(entry.clone())).unwrap();
        assert_eq!((windows, read_back), (3, seen));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn the_first_window_of_a_run_says_what_the_run_measures_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        written(&path, 1);
        for (at, threads) in [(1, 2), (3, 8)] {
            let (_, mut journal) = opened(&path);
            journal.measured_with(Environment { threads, ..Environment::default() });
            (at..at + 2).for_each(|index| journal.append(&entry(index)).unwrap());
        }
        let mut threads = Vec::new();
        let of = |environment: Environment| environment.threads;
        read(&path, CELL, |_, environment| threads.push(environment.map(of))).unwrap();
        assert_eq!(threads, [None, Some(2), None, Some(8), None]);
    }

    #[test]
    fn any_torn_tail_costs_only_its_own_window_and_reading_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let first = written(&path, 1).len();
        let whole = written(&path, 0);
        assert_eq!(whole.len(), first);
        let (_, mut journal) = opened(&path);
        journal.append(&entry(1)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in first..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(&path, CELL, |_, _| ()).unwrap(), 1, "cut at {length}");
            assert_eq!(std::fs::read(&path).unwrap(), whole[..length]);
            let (seen, mut journal) = opened(&path);
            assert_eq!(seen, [entry(0)], "cut at {length}");
            journal.append(&entry(1)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_journal_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let first = written(&dir.path().join("first"), 1).len();
        let whole = written(&path, 2);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            let expected = usize::from(at >= first);
            assert_eq!(read(&path, CELL, |_, _| ()).unwrap(), expected, "byte {at}");
            assert_eq!(opened(&path).0.len(), expected, "byte {at}");
        }
    }

    #[test]
    fn the_journal_of_another_cell_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let whole = written(&path, 2);
        for error in [
            Journal::open(&path, "another", |_| ()).unwrap_err(),
            read(&path, "another", |_, _| ()).unwrap_err(),
        ] {
            assert!(matches!(error, RunnerError::ForeignJournal { .. }), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_journal_that_somebody_else_changes_is_not_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        written(&path, 1);
        let (_, mut journal) = opened(&path);
        let (_, mut other) = opened(&path);
        other.append(&entry(1)).unwrap();
        let error = journal.append(&entry(1)).unwrap_err();
        assert!(matches!(error, RunnerError::JournalChanged { .. }), "{error}");
        assert_eq!(read(&path, CELL, |_, _| ()).unwrap(), 2);
    }
}

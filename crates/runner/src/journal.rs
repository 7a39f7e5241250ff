//! The journal of a cell: one frame per finished window, appended and synced before the next starts.
//!
//! A record is computed from its journal alone, so a run that was killed and started again ends in
//! the same record as an undisturbed one. A frame is
//!
//! ```text
//! magic u32 | length u32 | checksum [u8; 8] | header length u32 | header JSON | nll f64… | baseline nll f64… | baseline top f32… | kld f32… | same-top u8…
//! ```
//!
//! in little-endian order. `length` counts what follows the checksum, which is the first eight
//! bytes of that part's SHA-256. A torn or damaged tail is cut off when the journal is opened, and
//! those windows run again.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strait_schema::LinkCounts;

use crate::error::RunnerError;

const MAGIC: u32 = 0x324a_5453;
/// Bytes of a scored token in a frame.
const TOKEN_BYTES: usize = 25;
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
}

/// Seconds that one window of one cell took; passes that cells share are divided evenly.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowTime {
    /// Of the run.
    pub wall_s: f64,
    /// In the model's stages and the scoring.
    pub model_s: f64,
    /// In each stage.
    #[serde(default)]
    pub stage_s: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    index: usize,
    scored: usize,
    links: Vec<LinkCounts>,
    time: WindowTime,
}

impl WindowEntry {
    fn body(&self) -> Result<Vec<u8>, RunnerError> {
        let header = Header {
            index: self.index,
            scored: self.nll.len(),
            links: self.links.clone(),
            time: self.time.clone(),
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
        Ok(body)
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let (length, rest) = body.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let (header, rest) = rest.split_at_checked(length)?;
        let Header { index, scored, links, time } = serde_json::from_slice(header).ok()?;
        if Some(rest.len()) != scored.checked_mul(TOKEN_BYTES) {
            return None;
        }
        let (nll, rest) = rest.split_at(scored * 8);
        let (base_nll, rest) = rest.split_at(scored * 8);
        let (base_top, rest) = rest.split_at(scored * 4);
        let (kld, same_top) = rest.split_at(scored * 4);
        Some(Self {
            index,
            nll: f64s(nll),
            base_nll: f64s(base_nll),
            base_top: f32s(base_top),
            kld: f32s(kld),
            same_top: same_top.iter().map(|&byte| byte != 0).collect(),
            links,
            time,
        })
    }
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
}

impl Journal {
    /// Opens or creates the journal at `path`, cutting off a torn tail, and hands every whole frame
    /// to `visit` in order. Frames must be windows 0, 1, 2, …: whatever breaks that is cut off too.
    ///
    /// # Errors
    /// When the file cannot be created, read or shortened.
    pub fn open(path: &Path, mut visit: impl FnMut(&WindowEntry)) -> Result<Self, RunnerError> {
        let fail = |source| RunnerError::Io { what: "open the journal", path: path.into(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fail)?;
        let (mut windows, mut good) = (0, 0);
        while let Some((entry, bytes)) = read_frame(&mut file).map_err(fail)? {
            if entry.index != windows {
                break;
            }
            visit(&entry);
            windows += 1;
            good += bytes;
        }
        file.set_len(good).map_err(fail)?;
        file.seek(SeekFrom::Start(good)).map_err(fail)?;
        Ok(Self { path: path.into(), file, windows })
    }

    /// Windows that are in the journal: also the index of the next one.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Appends one window and syncs it to disk.
    ///
    /// # Errors
    /// When it cannot be written (a full disk): the journal is cut back to its last whole frame.
    pub fn append(&mut self, entry: &WindowEntry) -> Result<(), RunnerError> {
        debug_assert_eq!(entry.index, self.windows);
        let body = entry.body()?;
        let mut frame = Vec::with_capacity(PREFIX_BYTES + body.len());
        frame.extend_from_slice(&MAGIC.to_le_bytes());
        frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
        frame.extend_from_slice(&Sha256::digest(&body)[..8]);
        frame.extend_from_slice(&body);
        let start = self.file.stream_position().unwrap_or(0);
        let written = self.file.write_all(&frame).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // A torn frame is also found at the next start; cutting it now only saves that step.
            let _ = self.file.set_len(start);
            let _ = self.file.seek(SeekFrom::Start(start));
            return Err(RunnerError::Io {
                what: "append to the journal",
                path: self.path.clone(),
                source,
            });
        }
        self.windows += 1;
        Ok(())
    }
}

/// The next whole frame and its length in bytes, or `None` at the end or at damage.
fn read_frame(file: &mut File) -> std::io::Result<Option<(WindowEntry, u64)>> {
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
    if body.len() != length || Sha256::digest(&body)[..8] != prefix[8..] {
        return Ok(None);
    }
    Ok(WindowEntry::parse(&body).map(|entry| (entry, (PREFIX_BYTES + length) as u64)))
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
        }
    }

    fn entries(path: &Path) -> (Vec<WindowEntry>, Journal) {
        let mut seen = Vec::new();
        let journal = Journal::open(path, |entry| seen.push(entry.clone())).unwrap();
        (seen, journal)
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let (_, mut journal) = entries(&path);
        (0..3).for_each(|i| journal.append(&entry(i)).unwrap());
        let (seen, journal) = entries(&path);
        assert_eq!(seen, [entry(0), entry(1), entry(2)]);
        assert_eq!(journal.windows(), 3);
    }

    #[test]
    fn any_torn_tail_costs_only_its_own_window() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let (_, mut journal) = entries(&path);
        journal.append(&entry(0)).unwrap();
        let first = std::fs::metadata(&path).unwrap().len();
        journal.append(&entry(1)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in first..whole.len() as u64 {
            std::fs::write(&path, &whole[..length as usize]).unwrap();
            let (seen, mut journal) = entries(&path);
            assert_eq!(seen, [entry(0)], "cut at {length}");
            journal.append(&entry(1)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_flipped_bit_cuts_the_journal_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let (_, mut journal) = entries(&path);
        (0..2).for_each(|i| journal.append(&entry(i)).unwrap());
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() / 2 {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            assert!(entries(&path).0.is_empty(), "byte {at}");
        }
    }
}

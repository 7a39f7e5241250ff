//! The results folder: locked while a run writes to it, checked before the first window.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use strait_schema::Record;

use super::journal::TOKEN_BYTES;
use crate::error::RunnerError;

/// Bytes that records, tables and pictures may take besides the journals.
const RECORD_BYTES: u64 = 4 << 20;

/// An open results folder. The lock is released when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder where it is missing, takes its lock, and proves that it can be written.
    pub(crate) fn open(path: &Path) -> Result<Self, RunnerError> {
        let fail = |what| {
            let path = path.to_owned();
            move |source| RunnerError::Io { what, path, source }
        };
        fs::create_dir_all(path.join("journal")).map_err(fail("create the results folder"))?;
        let lock_path = path.join("journal/lock");
        let lock = File::create(&lock_path).map_err(fail("write to the results folder"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RunnerError::Busy { path: path.into() }),
            Err(TryLockError::Error(source)) => {
                return Err(fail("lock the results folder")(source));
            }
        }
        let probe = path.join("journal/probe");
        File::create(&probe)
            .and_then(|mut file| file.write_all(&[0; 4096]).and_then(|()| file.sync_all()))
            .map_err(fail("write to the results folder"))?;
        fs::remove_file(&probe).map_err(fail("write to the results folder"))?;
        Ok(Self { path: path.into(), _lock: lock })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal of a cell lies.
    pub(crate) fn journal(&self, id: &str) -> PathBuf {
        self.of_cell("journal", id, "bin")
    }

    /// Where a file of a cell lies, in a folder for files of that kind.
    pub(crate) fn of_cell(&self, folder: &str, id: &str, extension: &str) -> PathBuf {
        self.path.join(folder).join(format!("{}.{extension}", &id[..id.len().min(16)]))
    }

    /// Checks that the disk has room for `cells` journals of `scored` tokens each.
    pub(crate) fn check_space(&self, cells: usize, scored: usize) -> Result<(), RunnerError> {
        let needed = RECORD_BYTES + (TOKEN_BYTES as u64) * (cells as u64) * (scored as u64);
        // A file system that does not tell its free space is not a reason to refuse.
        let available = fs4::available_space(&self.path).unwrap_or(u64::MAX);
        if available < needed {
            let path = self.path.clone();
            return Err(RunnerError::DiskFull { path, available, needed });
        }
        Ok(())
    }

    /// Every record of the folder. A file that is none, or of another release, is left alone with
    /// a warning: its cell runs again.
    pub(crate) fn records(&self) -> Result<Vec<(PathBuf, Record)>, RunnerError> {
        let fail = |source| RunnerError::Io {
            what: "list the results folder",
            path: self.path.clone(),
            source,
        };
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_none_or(|extension| extension != "json") || !path.is_file() {
                continue;
            }
            match Record::load(&path) {
                Ok(record) => records.push((path, record)),
                Err(error) => log::warn!("{error}; its cell runs again"),
            }
        }
        Ok(records)
    }
}

/// SHA-256 of a file's content, hexadecimal.
pub(crate) fn file_sha256(path: &Path) -> Result<String, RunnerError> {
    let fail = |source| RunnerError::Io { what: "read", path: path.into(), source };
    let mut file = File::open(path).map_err(fail)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(fail)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// SHA-256 of bytes, hexadecimal.
pub(crate) fn bytes_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_in_the_same_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::open(dir.path()).unwrap();
        let error = Folder::open(dir.path()).unwrap_err();
        assert!(matches!(error, RunnerError::Busy { .. }), "{error}");
        drop(first);
        Folder::open(dir.path()).unwrap();
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results");
        fs::write(&path, "").unwrap();
        let error = Folder::open(&path).unwrap_err().to_string();
        assert!(error.starts_with("cannot create the results folder "), "{error}");
    }

    #[test]
    fn a_disk_that_is_too_small_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        folder.check_space(10, 10_000).unwrap();
        let error = folder.check_space(usize::MAX >> 24, 1 << 20).unwrap_err();
        assert!(matches!(error, RunnerError::DiskFull { .. }), "{error}");
    }

    #[test]
    fn the_hash_of_a_file_is_that_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(file_sha256(&path).unwrap(), expected);
        assert_eq!(bytes_sha256(b"abc"), expected);
    }
}

//! The bytes of one checkpoint file, memory-mapped or owned.
//!
//! Mapping a file is `unsafe` because another process may shorten or rewrite it in the meantime. Only this file
//! does it: reading gigabytes into memory first would double the memory a model needs.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use strait_hub::StandIn;

use crate::WeightsError;

/// A file's path and its entire content.
pub(crate) struct FileBytes {
    pub(crate) path: PathBuf,
    content: Content,
}

enum Content {
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
}

impl FileBytes {
    /// Maps the file at `path` into memory, read-only.
    pub(crate) fn map(path: &Path) -> Result<Self, WeightsError> {
        let io =
            |action| move |source| WeightsError::Io { action, path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io("open"))?;
        let length = file.metadata().map_err(io("read"))?.len();
        let content = if length == 0 {
            Content::Owned(Vec::new())
        } else {
            // SAFETY: the mapping is private to this value, read-only, and never exposed as anything but bytes,
            // for which every bit pattern is valid. A file changed by another process meanwhile yields other
            // bytes, or a bus error if it is shortened; checkpoints are written once, and the crate's
            // documentation of `Checkpoint::open` states the condition.
            Content::Mapped(unsafe { memmap2::Mmap::map(&file) }.map_err(io("map"))?)
        };
        let file = Self { path: path.to_path_buf(), content };
        match StandIn::of(&file) {
            None => Ok(file),
            Some(what) => Err(WeightsError::StandIn { path: file.path, what }),
        }
    }

    /// Lets the system reclaim the memory of what was read; reading again brings it back.
    pub(crate) fn release(&self) {
        let Content::Mapped(map) = &self.content else { return };
        // SAFETY: the mapping is backed by a file, private and never written to, so dropped pages come back
        // from the file with the same bytes.
        let released = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        if let Err(error) = released {
            log::debug!("{}: pages stay in memory: {error}", self.path.display());
        }
    }

    /// Takes bytes that are already in memory; `path` only names them in messages.
    pub(crate) fn owned(path: &Path, content: Vec<u8>) -> Self {
        Self { path: path.to_path_buf(), content: Content::Owned(content) }
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.content {
            Content::Mapped(map) => map,
            Content::Owned(bytes) => bytes,
        }
    }
}

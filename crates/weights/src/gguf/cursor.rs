//! A reader over the header bytes of a GGUF file; every read is checked against the end.

use std::path::Path;

use crate::WeightsError;

/// Longer GGUF headers are rejected: the largest vocabularies need some tens of megabytes.
pub(super) const HEADER_LIMIT_BYTES: u64 = 1 << 29;

/// A position in the header.
pub(super) struct Cursor<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        Self { path, bytes, position: 0 }
    }

    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Returns the next `length` bytes.
    pub(super) fn take(&mut self, length: u64, what: &str) -> Result<&'a [u8], WeightsError> {
        let end = (self.position as u64).saturating_add(length);
        if end > self.bytes.len() as u64 {
            return Err(WeightsError::Truncated {
                path: self.path.to_path_buf(),
                what: what.to_owned(),
                needed: end,
                found: self.bytes.len() as u64,
            });
        }
        if end > HEADER_LIMIT_BYTES {
            return Err(WeightsError::TooLarge {
                path: self.path.to_path_buf(),
                what: format!("GGUF header up to {what}, in bytes,"),
                limit: HEADER_LIMIT_BYTES,
                found: end,
            });
        }
        let taken = &self.bytes[self.position..end as usize];
        self.position = end as usize;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], WeightsError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, WeightsError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, WeightsError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Reads a string: a 64-bit length, then UTF-8.
    pub(super) fn text(&mut self, what: &str) -> Result<&'a str, WeightsError> {
        let length = self.u64(what)?;
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|error| {
            self.invalid(what, "UTF-8 text", format!("a wrong byte at {}", error.valid_up_to()))
        })
    }

    /// Rejects a count of items, each at least `item_bytes` long, that the rest of the file cannot hold.
    pub(super) fn check_count(
        &self,
        count: u64,
        item_bytes: u64,
        what: &str,
    ) -> Result<usize, WeightsError> {
        let needed = count.saturating_mul(item_bytes).saturating_add(self.position as u64);
        if needed > self.bytes.len() as u64 {
            return Err(WeightsError::Truncated {
                path: self.path.to_path_buf(),
                what: format!("{count} {what}"),
                needed,
                found: self.bytes.len() as u64,
            });
        }
        // The count is bounded above by a slice's length, so it fits.
        Ok(count as usize)
    }

    /// Rejects more items than any model has, before they take up memory.
    pub(super) fn check_limit(
        &self,
        count: usize,
        limit: usize,
        what: &str,
    ) -> Result<(), WeightsError> {
        if count <= limit {
            return Ok(());
        }
        Err(WeightsError::TooLarge {
            path: self.path.to_path_buf(),
            what: format!("number of {what}"),
            limit: limit as u64,
            found: count as u64,
        })
    }

    pub(super) fn invalid(
        &self,
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> WeightsError {
        WeightsError::Invalid {
            path: self.path.to_path_buf(),
            what: what.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

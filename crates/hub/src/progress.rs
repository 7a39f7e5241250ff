//! Progress reports of a download.

/// Receives the progress of every download. Files are downloaded one at a time.
pub trait Progress {
    /// A download of `file` (`size` bytes) begins, with the first `done` bytes already present.
    /// Called again for the same file when a broken download is resumed.
    fn start(&mut self, file: &str, size: u64, done: u64);

    /// `bytes` more bytes have arrived.
    fn advance(&mut self, bytes: u64);

    /// The file is complete and checked, or it has failed.
    fn finish(&mut self);
}

/// A [`Progress`] that shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&mut self, _file: &str, _size: u64, _done: u64) {}
    fn advance(&mut self, _bytes: u64) {}
    fn finish(&mut self) {}
}

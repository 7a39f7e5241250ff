//! What a caller hears of a download.

/// Told of every download as it goes. One file at a time.
pub trait Progress {
    /// A download of `file` (`size` bytes) begins, with the first `done` bytes already there. Called
    /// again for the same file when the connection broke and it goes on.
    fn start(&mut self, file: &str, size: u64, done: u64);

    /// So many more bytes are there.
    fn advance(&mut self, bytes: u64);

    /// The file is complete and checked, or it has failed.
    fn finish(&mut self);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&mut self, _file: &str, _size: u64, _done: u64) {}
    fn advance(&mut self, _bytes: u64) {}
    fn finish(&mut self) {}
}

//! Why a tracker was dropped. The run continues.

use std::path::PathBuf;

/// Why a tracker cannot continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackError {
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The server rejected a call.
    #[error("MLflow did not take {call} at {server}: {reason}")]
    Server {
        /// The REST call.
        call: String,
        /// The server's address.
        server: String,
        /// The server's answer, or why it could not be reached.
        reason: String,
    },
    /// The status file could not be written.
    #[error(transparent)]
    Schema(#[from] strait_schema::SchemaError),
}

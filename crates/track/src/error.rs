//! Why a tracker was given up. The run goes on.

use std::path::PathBuf;

/// A tracker that cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackError {
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server did not take a call.
    #[error("MLflow did not take {call} at {server}: {reason}")]
    Server {
        /// The REST call.
        call: String,
        /// The server's address.
        server: String,
        /// What it answered, or why it could not be reached.
        reason: String,
    },
    /// The status file could not be written.
    #[error(transparent)]
    Schema(#[from] strait_schema::SchemaError),
}

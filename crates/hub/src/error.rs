//! Why a file could not be fetched from the hub, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A failure to get a file from the hub.
#[derive(Debug, thiserror::Error)]
#[error("{repository}: cannot fetch {file} from {endpoint}: {reason}; {}", reason.hint())]
pub struct HubError {
    /// The repository, as `hf:owner/name@revision`.
    pub repository: String,
    /// The file within the repository.
    pub file: String,
    /// Base address of the hub that was contacted.
    pub endpoint: String,
    /// The cause.
    pub reason: Box<Reason>,
}

/// The cause of a failed fetch.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The hub requires a token, or one with more rights (HTTP 401 or 403). It gives the same answer for a
    /// repository that does not exist.
    Denied(u16),
    /// The licence must be accepted first; holds the page on which to do so.
    Gated(String),
    /// The repository does not exist, or the token may not see it.
    NoRepository(u16),
    /// The repository has no such branch, tag or commit.
    NoRevision,
    /// The file does not exist. From a hub that reports nothing beyond HTTP 404, the revision or the repository
    /// may be missing instead.
    NotFound,
    /// The hub answered with another HTTP error status.
    Status(u16),
    /// The base address is not a valid URL.
    Endpoint(String),
    /// The server could not be reached.
    Unreachable(String),
    /// The connection broke, and broke again on every retry. The bytes received so far are kept.
    Broken {
        /// Bytes received so far.
        received: u64,
        /// Size of the whole file in bytes.
        size: u64,
        /// Number of attempts made.
        attempts: usize,
        /// The last failure.
        message: String,
    },
    /// The content received is not the file that the hub announced.
    Checksum {
        /// SHA-256 announced by the hub, in hexadecimal.
        expected: String,
        /// SHA-256 of the content received, in hexadecimal.
        found: String,
    },
    /// The answer did not come from a hub.
    Answer(String),
    /// `HF_HUB_OFFLINE` is set and the file is not in the cache.
    Offline,
    /// The cache could not be written.
    Cache {
        /// The action that failed: "create" or "write".
        action: &'static str,
        /// The file or folder it failed on.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl HubError {
    /// Whether the hub reported that the file does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(*self.reason, Reason::NotFound)
    }
}

impl Reason {
    /// A hint on how to resolve the failure.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Denied(_) => {
                "the repository does not exist or needs a token: check the name and set HF_TOKEN"
            }
            Self::Gated(_) => "and set HF_TOKEN to a token of the account that accepted it",
            Self::NoRepository(_) => {
                "check the name; a private repository needs HF_TOKEN with the right to read it"
            }
            Self::NoRevision => {
                "check the revision: a branch, a tag, or a commit with all of its 40 digits"
            }
            Self::Endpoint(_) => "check HF_ENDPOINT",
            Self::NotFound => {
                "check repository, revision and file name; a private repository needs HF_TOKEN"
            }
            Self::Status(_) => "try again later",
            Self::Unreachable(_) => "check the network, or fetch it elsewhere and give its path",
            Self::Broken { .. } => "start it again: it goes on where it stopped",
            Self::Checksum { .. } => {
                "it was deleted: try again, and look at what stands between here and the hub if it \
                 happens again"
            }
            Self::Answer(_) => "check HF_ENDPOINT",
            Self::Offline => "unset HF_HUB_OFFLINE, or fetch it where there is a network",
            Self::Cache { .. } => "make room or set HF_HOME to a folder that can be written",
        }
    }

    pub(crate) fn cache(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Cache { action, path, source }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(status) | Self::Status(status) => write!(f, "it answers {status}"),
            Self::Gated(page) => {
                write!(f, "the repository is gated: accept its licence at {page}")
            }
            Self::NoRepository(status) => {
                write!(f, "it answers {status}: no repository of this name can be seen")
            }
            Self::NoRevision => f.write_str("it answers 404: the repository has no such revision"),
            Self::Endpoint(what) => write!(f, "its address is none ({what})"),
            Self::NotFound => f.write_str("it answers 404"),
            Self::Unreachable(message) => f.write_str(message),
            Self::Broken { received, size, attempts, message } => write!(
                f,
                "the connection broke after {received} of {size} bytes in {attempts} attempts ({message})"
            ),
            Self::Checksum { expected, found } => {
                write!(f, "what arrived is damaged: expected SHA-256 {expected}, found {found}")
            }
            Self::Answer(what) => write!(f, "expected an answer of the hub, found one {what}"),
            Self::Offline => f.write_str("HF_HUB_OFFLINE is set and it is not in the cache"),
            Self::Cache { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
        }
    }
}

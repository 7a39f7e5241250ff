//! Why a press could not be opened or a call to it failed; each message is one line.

use std::path::PathBuf;

use strait_abi::CallEnd;
use strait_abi::params::ParamError;

use crate::LoaderError;
use crate::error::{not_used, one_line};

/// Why a press could not be opened or a call to it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PressError {
    /// No plugin provides this press.
    #[error("press `{id}`: expected {}, found no such press{}{}", offered(.known, .folder), did_you_mean(.nearest), not_used(.left_out))]
    Unknown {
        /// The requested id.
        id: String,
        /// Ids that the folder provides.
        known: Vec<String>,
        /// The most similar id.
        nearest: Option<String>,
        /// The folder that was searched.
        folder: PathBuf,
        /// Messages of the files that were rejected.
        left_out: Vec<String>,
    },
    /// Two files provide the same press.
    #[error("press `{id}`: expected one plugin to offer it, found {}; remove all but one", list(.files))]
    Duplicate {
        /// The id.
        id: String,
        /// The files that provide it.
        files: Vec<PathBuf>,
    },
    /// The plugin's press functions are of a version that this host cannot use.
    #[error(
        "press `{id}`: expected the press functions of ABI 1.1, found an older plugin; rebuild it with a newer strait-sdk"
    )]
    Old {
        /// The id.
        id: String,
    },
    /// A parameter was rejected.
    #[error("press `{id}`: {error}")]
    Param {
        /// The id.
        id: String,
        /// Which parameter, and why.
        error: ParamError,
    },
    /// The plugin file could not be used.
    #[error(transparent)]
    Plugin(#[from] Box<LoaderError>),
    /// The press returned with changed arithmetic settings.
    #[error(
        "press `{id}`: {call} left the arithmetic changed: expected the thread's rounding, denormals and traps as they were, found others; restore them before it returns"
    )]
    Arithmetic {
        /// The id.
        id: String,
        /// The call.
        call: &'static str,
    },
    /// The press returned an error.
    #[error("press `{id}`: {call} failed: {message}")]
    Failed {
        /// The id.
        id: String,
        /// The call.
        call: &'static str,
        /// The press's own words.
        message: String,
    },
    /// The press panicked; the instance is closed to further calls.
    #[error("press `{id}`: {call} panicked: {message}")]
    Panicked {
        /// The id.
        id: String,
        /// The call.
        call: &'static str,
        /// The panic's message.
        message: String,
    },
    /// The plugin was built before instances could be placed.
    #[error(
        "press `{id}`: place refused: expected a plugin of ABI 1.3 or later, found an older one; pass it host memory, or rebuild it with a newer strait-sdk"
    )]
    HostMemoryAlone {
        /// The id.
        id: String,
    },
    /// An earlier call panicked.
    #[error("press `{id}`: {call} refused: this instance panicked before; open another one")]
    Poisoned {
        /// The id.
        id: String,
        /// The call.
        call: &'static str,
    },
    /// The host passed a layer whose sizes do not fit together.
    #[error("press `{id}`: press refused: layer {layer}: expected {expected}, found {found}")]
    Layer {
        /// The id.
        id: String,
        /// The layer.
        layer: usize,
        /// What consistent sizes would be.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The press returned something that does not fit the layer.
    #[error("press `{id}`: layer {layer}: expected {expected}, found {found}; tell its author")]
    Result {
        /// The id.
        id: String,
        /// The layer.
        layer: usize,
        /// What a valid result has.
        expected: String,
        /// What this one has.
        found: String,
    },
}

impl PressError {
    /// Converts the end of a call that failed.
    pub(crate) fn from_end(id: &str, call: &'static str, end: CallEnd) -> Result<(), Self> {
        let id = id.to_owned();
        match end {
            CallEnd::Ok => Ok(()),
            CallEnd::Error(message) => {
                Err(PressError::Failed { id, call, message: one_line(&message) })
            }
            CallEnd::Panic(message) => {
                Err(PressError::Panicked { id, call, message: one_line(&message) })
            }
        }
    }
}

fn offered(known: &[String], folder: &std::path::Path) -> String {
    if known.is_empty() {
        format!("a plugin in {}, which offers no presses", folder.display())
    } else {
        format!("one of {} (from {})", known.join(", "), folder.display())
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => "; put the plugin's .so file there".to_owned(),
    }
}

fn list(files: &[PathBuf]) -> String {
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    files.join(" and ")
}

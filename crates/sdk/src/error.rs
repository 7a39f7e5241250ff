//! The error a codec returns.

/// Result of a codec's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a codec could not open, encode or decode; the text reaches the user.
///
/// Say what was expected, what was found and what to do. Any text converts:
/// `return Err("group must divide the row".into())`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An explanation in the codec's own words.
    #[error("{0}")]
    Message(String),
    /// The payload has not the length that the shape asks for.
    #[error("payload: expected {expected} bytes, found {found}")]
    PayloadLength {
        /// Bytes that the shape and the parameters ask for.
        expected: usize,
        /// Bytes in the payload.
        found: usize,
    },
    /// A slice does not have as many values as the message.
    #[error("message: expected {expected} values, found {found}")]
    ValueCount {
        /// Values in the message.
        expected: usize,
        /// Values in the slice.
        found: usize,
    },
    /// A codec inside this one failed.
    #[error("inner codec `{codec}`: {call} failed: {message}")]
    Inner {
        /// Id of the inner codec.
        codec: String,
        /// The call.
        call: &'static str,
        /// The inner codec's own words, or the text of its panic.
        message: String,
    },
    /// A parameter was refused.
    #[error(transparent)]
    Param(#[from] strait_abi::params::ParamError),
    /// A message whose dtype is not known, or that does not lie in the host's memory.
    #[error("message: {0}")]
    Matrix(#[from] strait_abi::MatrixError),
    /// Messages are to lie where this codec or press cannot reach them.
    #[error(transparent)]
    Placement(#[from] strait_abi::PlacementError),
}

impl Error {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Error::Message(message.into())
    }

    /// The payload has not the length that the shape asks for.
    pub fn payload_length(expected: usize, found: usize) -> Self {
        Error::PayloadLength { expected, found }
    }

    /// Checks the length of a payload.
    ///
    /// # Errors
    /// [`Error::PayloadLength`] when `found` is not `expected`.
    pub fn check_payload_length(expected: usize, found: usize) -> Result<()> {
        if expected == found { Ok(()) } else { Err(Error::payload_length(expected, found)) }
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Error::Message(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Error::Message(message.to_owned())
    }
}

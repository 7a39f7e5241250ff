//! How a call across the boundary ended.

use abi_stable::StableAbi;
use abi_stable::std_types::RString;

/// How a call ended. The text is owned by the side that reads it.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq, StableAbi)]
pub struct Outcome {
    status: u32,
    message: RString,
}

/// [`Outcome`] as a value to match on. A status that is not known reads as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// The call did what it should.
    Ok,
    /// The codec returned an error.
    Error(String),
    /// The codec panicked; its instance must not be used again.
    Panic(String),
}

const OK: u32 = 0;
const ERROR: u32 = 1;
const PANIC: u32 = 2;

impl Outcome {
    /// The call did what it should.
    pub fn ok() -> Self {
        Outcome { status: OK, message: RString::new() }
    }

    /// The codec returned an error.
    pub fn error(message: impl Into<RString>) -> Self {
        Outcome { status: ERROR, message: message.into() }
    }

    /// The codec panicked.
    pub fn panic(message: impl Into<RString>) -> Self {
        Outcome { status: PANIC, message: message.into() }
    }

    /// Reads the outcome.
    pub fn end(self) -> CallEnd {
        match self.status {
            OK => CallEnd::Ok,
            PANIC => CallEnd::Panic(self.message.into_string()),
            _ => CallEnd::Error(self.message.into_string()),
        }
    }
}

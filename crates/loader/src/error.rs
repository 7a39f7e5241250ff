//! Why a plugin could not be loaded or a call failed; each message is one line.

use std::path::PathBuf;

use strait_abi::params::ParamError;
use strait_abi::{ABI_MAJOR, CallEnd};

use crate::file::FileError;

/// Why a plugin or one of its codecs could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoaderError {
    /// The file or folder cannot be read.
    #[error("plugin {}: expected a readable file or folder, found {source}; check the path and its permissions", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file is not a plugin that this host can load; detected without running its code.
    #[error("plugin {}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: FileError,
    },
    /// The file's hash differs from the pinned one.
    #[error("plugin {}: expected sha256:{expected} (the pin), found sha256:{found}; restore that file or update the pin", .path.display())]
    Pin {
        /// The file.
        path: PathBuf,
        /// The pinned hash.
        expected: String,
        /// The hash of the file.
        found: String,
    },
    /// A pin is not a SHA-256 hash.
    #[error("plugin {}: expected a pin of the form sha256:<64 hex digits>, found `{found}`; run sha256sum on the file", .path.display())]
    PinForm {
        /// The pinned file.
        path: PathBuf,
        /// The text of the pin.
        found: String,
    },
    /// The system's loader refused the file.
    #[error("plugin {}: expected a library that the system can load, found: {reason}; rebuild it on this machine", .path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// The loader's reason.
        reason: String,
    },
    /// The version header matches, but the types behind it do not.
    #[error("plugin {}: expected the layout of ABI {ABI_MAJOR}, found another one ({reason}); rebuild it with strait-sdk {ABI_MAJOR} (details in the debug log)", .path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// Which check failed.
        reason: String,
    },
    /// The plugin failed during its setup.
    #[error("plugin {}: expected it to start and describe itself, found {reason}; tell its author", .path.display())]
    Start {
        /// The file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The plugin's description is not valid.
    #[error("plugin {}: expected {expected}, found {found}; tell its author", .path.display())]
    Descriptor {
        /// The file.
        path: PathBuf,
        /// What a valid description has.
        expected: String,
        /// What this one has.
        found: String,
    },
    /// A private copy could not be made.
    #[error("plugin {}: expected to load a private copy of it from {}, found: {source}; set TMPDIR to a folder with space that allows running code", .path.display(), .folder.display())]
    PrivateCopy {
        /// The plugin file.
        path: PathBuf,
        /// The folder for temporary files.
        folder: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No plugin provides this codec.
    #[error("codec `{id}`: expected {}, found no such codec{}{}", offered(.known, .folder), did_you_mean(.nearest), not_used(.left_out))]
    UnknownCodec {
        /// The requested id.
        id: String,
        /// Ids that the folder provides.
        known: Vec<String>,
        /// The most similar ids.
        nearest: Vec<String>,
        /// The folder that was searched.
        folder: PathBuf,
        /// Messages of the files that were rejected.
        left_out: Vec<String>,
    },
    /// Two files provide the same codec.
    #[error("codec `{id}`: expected one plugin to offer it, found {}; remove all but one", list(.files))]
    DuplicateCodec {
        /// The id.
        id: String,
        /// The files that provide it.
        files: Vec<PathBuf>,
    },
    /// The plugin is of a kind that this host cannot use.
    #[error("codec `{id}`: expected plugin kind `codec`, found `{found}`; use a newer strait")]
    Kind {
        /// The id.
        id: String,
        /// The kind in the descriptor.
        found: String,
    },
    /// A parameter was rejected.
    #[error("codec `{id}`: {error}")]
    Param {
        /// The id.
        id: String,
        /// Which parameter, and why.
        error: ParamError,
    },
    /// The codec itself failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why a call of an open codec failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The codec returned an error.
    #[error("codec `{codec}`: {call} failed: {message}")]
    Failed {
        /// Id of the codec.
        codec: String,
        /// The call.
        call: &'static str,
        /// The codec's own words.
        message: String,
    },
    /// The codec panicked; the instance is closed to further calls.
    #[error("codec `{codec}`: {call} panicked: {message}")]
    Panicked {
        /// Id of the codec.
        codec: String,
        /// The call.
        call: &'static str,
        /// The panic's message.
        message: String,
    },
    /// The payload is longer than the host allows.
    #[error(
        "codec `{codec}`: encode wrote too much: expected at most {limit} bytes, found {found}"
    )]
    TooMuch {
        /// Id of the codec.
        codec: String,
        /// The host's limit.
        limit: usize,
        /// Bytes that the codec wanted to write.
        found: usize,
    },
    /// The codec returned with changed arithmetic settings, which the host has restored.
    #[error(
        "codec `{codec}`: {call} left the arithmetic changed: expected the thread's rounding, denormals and traps as they were, found others; restore them before it returns"
    )]
    Arithmetic {
        /// Id of the codec.
        codec: String,
        /// The call.
        call: &'static str,
    },
    /// An earlier call panicked.
    #[error("codec `{codec}`: {call} refused: this instance panicked before; open another one")]
    Poisoned {
        /// Id of the codec.
        codec: String,
        /// The call.
        call: &'static str,
    },
    /// The plugin was built before instances could be placed.
    #[error(
        "codec `{codec}`: place refused: expected a plugin of ABI 1.3 or later, found an older one; pass it host memory, or rebuild it with a newer strait-sdk"
    )]
    HostMemoryAlone {
        /// Id of the codec.
        codec: String,
    },
    /// A decoder was called to encode, or an encoder to decode.
    #[error("codec `{codec}`: {call} refused: this instance was opened for the other side")]
    WrongSide {
        /// Id of the codec.
        codec: String,
        /// The call.
        call: &'static str,
    },
    /// The host passed a buffer that does not fit its shape.
    #[error(
        "codec `{codec}`: {call} refused: expected {expected} for {rows} rows of {channels} {dtype} values, found {found} bytes"
    )]
    Buffer {
        /// Id of the codec.
        codec: String,
        /// The call.
        call: &'static str,
        /// Rows of the shape.
        rows: usize,
        /// Channels of the shape.
        channels: usize,
        /// Dtype of the shape.
        dtype: strait_abi::Dtype,
        /// Expected number of bytes, as a phrase.
        expected: String,
        /// Number of bytes in the buffer.
        found: usize,
    },
}

impl CallError {
    /// Converts the end of a call that failed.
    pub(crate) fn from_end(codec: &str, call: &'static str, end: CallEnd) -> Result<(), Self> {
        let codec = codec.to_owned();
        match end {
            CallEnd::Ok => Ok(()),
            CallEnd::Error(message) => {
                Err(CallError::Failed { codec, call, message: one_line(&message) })
            }
            CallEnd::Panic(message) => {
                Err(CallError::Panicked { codec, call, message: one_line(&message) })
            }
        }
    }
}

/// The most letters of a plugin's message that reach the user.
const MOST_LETTERS: usize = 2000;

/// Makes a plugin's message fit to print: one line, of bounded length, with escapes for characters that
/// a terminal would interpret instead of showing.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut letters = text.split_whitespace().flat_map(|word| word.chars().chain([' ']));
    for letter in letters.by_ref().take(MOST_LETTERS) {
        if is_obeyed(letter) { line.extend(letter.escape_unicode()) } else { line.push(letter) }
    }
    let rest = letters.count();
    line.truncate(line.trim_end().len());
    if rest > 1 {
        line += &format!(" … ({} letters in all)", text.chars().count());
    }
    line
}

/// Whether a terminal interprets a character instead of showing it: control characters, and those that
/// change the direction of text.
fn is_obeyed(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn offered(known: &[String], folder: &std::path::Path) -> String {
    if known.is_empty() {
        format!("a plugin in {}, which offers no codecs", folder.display())
    } else {
        format!("one of {} (from {})", known.join(", "), folder.display())
    }
}

fn did_you_mean(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return "; put the plugin's .so file there".to_owned();
    }
    let names: Vec<_> = nearest.iter().map(|name| format!("`{name}`")).collect();
    format!("; did you mean {}?", names.join(" or "))
}

/// The end of a message about an unknown id, which lists the files that were rejected.
pub(crate) fn not_used(left_out: &[String]) -> String {
    if left_out.is_empty() {
        return String::new();
    }
    format!(" (not used: {})", left_out.join("; "))
}

fn list(files: &[PathBuf]) -> String {
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    files.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_plugins_are_one_short_line_that_no_terminal_obeys() {
        assert_eq!(one_line(" a\n\tb  c \n"), "a b c");
        assert_eq!(one_line("\u{1b}[2J\u{202e}x"), "\\u{1b}[2J\\u{202e}x");
        let just = "x".repeat(MOST_LETTERS);
        assert_eq!(one_line(&just), just);
        let long = one_line(&"x".repeat(10_000_000));
        assert_eq!(long, format!("{just} … (10000000 letters in all)"));
    }
}

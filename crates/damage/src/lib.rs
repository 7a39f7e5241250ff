//! Damaged files, and what every reader must make of them.
//!
//! A [`Kind`] is one kind of file that reaches strait from outside, with a function that hands any bytes to the
//! library's own reader and asserts what holds whatever the bytes are. [`mutate`] makes damaged files from
//! whole ones, from a seed. Three callers share both: the fuzz targets in `fuzz/`, the gate, which reads every
//! file of `fuzz/corpus` and some mutations of each, and `cargo xtask soak`, for which this crate's program
//! reads thousands of mutations in a process that may crash.

mod dice;
mod models;
mod mutate;
mod plugins;
mod results;
mod text;
mod texts;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

pub use dice::Dice;
pub use mutate::mutate;
pub use plugins::payload_seeds;

/// One kind of file from outside.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Name of its fuzz target, and of the folder of its cases in `fuzz/corpus`.
    pub name: &'static str,
    /// Reads bytes and asserts what holds for any bytes, and what holds if they are a damaged copy of others.
    read: fn(&[u8], Option<&[u8]>),
}

/// Every kind.
pub const KINDS: &[Kind] = &[
    Kind { name: "safetensors", read: models::safetensors },
    Kind { name: "quantized", read: models::quantized },
    Kind { name: "gguf", read: models::gguf },
    Kind { name: "config", read: models::config },
    Kind { name: "tokenizer", read: texts::tokenizer },
    Kind { name: "tokenizer_config", read: texts::tokenizer_config },
    Kind { name: "experiment", read: texts::experiment },
    Kind { name: "record", read: results::record },
    Kind { name: "journal", read: results::journal },
    Kind { name: "header", read: plugins::header },
    Kind { name: "payload", read: plugins::payload },
];

impl Kind {
    /// The kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// Reads any bytes.
    ///
    /// # Panics
    /// When the reader panics, or does not keep what it promises.
    pub fn read(&self, bytes: &[u8]) {
        (self.read)(bytes, None);
    }

    /// Reads bytes that were made by damaging `whole`, and gives what the reader did not keep.
    ///
    /// # Errors
    /// The text of the panic.
    pub fn read_damaged(&self, bytes: &[u8], whole: &[u8]) -> Result<(), String> {
        let read = AssertUnwindSafe(|| (self.read)(bytes, Some(whole)));
        catch_unwind(read).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            text.unwrap_or("a panic without a text").to_owned()
        })
    }

    /// The folder of the kind's cases: small whole files, and inputs that once failed.
    #[must_use]
    pub fn corpus(&self) -> PathBuf {
        repository().join("fuzz/corpus").join(self.name)
    }
}

/// The most that an error may say, in bytes. Readers shorten what they quote.
const LONGEST_MESSAGE: usize = 8000;

/// Asserts what holds for every error of a reader: it says something, and not a book.
fn assert_message(error: &dyn std::error::Error) {
    let message = error.to_string();
    assert!(!message.trim().is_empty(), "an error without a text");
    let length = message.len();
    assert!(length <= LONGEST_MESSAGE, "an error of {length} bytes: {}", &start_of(&message));
    assert!(!message.contains("panicked at"), "{message}");
}

fn start_of(text: &str) -> String {
    text.chars().take(200).collect()
}

/// The repository that this crate is part of.
fn repository() -> PathBuf {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

//! The embedded text and tokenizer, damaged and odd input files, and every preset against a literal
//! transcription of the program it reproduces.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "data/files.rs"]
mod files;
#[path = "data/presets.rs"]
mod presets;
#[path = "data/real.rs"]
mod real;
#[path = "../../hub/tests/hub/server.rs"]
#[allow(dead_code, reason = "the faults are for the tests of crates/hub")]
mod server;
#[path = "data/sets.rs"]
mod sets;
#[path = "data/streams.rs"]
mod streams;
#[path = "data/tokenizers.rs"]
mod tokenizers;
#[path = "data/windows.rs"]
mod windows;

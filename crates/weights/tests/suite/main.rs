//! Integration tests of strait-weights: files are built here or come from `golden/`, where reference packages made them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod damaged;
mod directory;
mod families;
mod gguf;
mod gguf_file;
mod goldens;
mod quantized;
mod quantized_errors;
mod quantized_model;
mod quantized_settings;
mod quantized_variants;
mod safetensors;
mod tokenizer;
mod unread;

use std::path::PathBuf;

use strait_weights::{Checkpoint, WeightsError};

/// A file of `golden/`.
fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// The message of the error that opening gave.
fn message(result: Result<Checkpoint, WeightsError>) -> String {
    match result {
        Ok(_) => panic!("opened without an error"),
        Err(error) => error.to_string(),
    }
}

/// Reads everything that a checkpoint offers; errors are fine, panics are not.
fn read_everything(checkpoint: &Checkpoint) {
    let names: Vec<_> = checkpoint.tensor_infos().map(|info| info.name.clone()).collect();
    for name in names {
        if let Ok(tensor) = checkpoint.tensor(&name) {
            assert_eq!(tensor.data.len(), tensor.shape.iter().product::<usize>());
        }
    }
    let _ = (checkpoint.config(), checkpoint.tokenizer(), checkpoint.summary(), checkpoint.files());
}

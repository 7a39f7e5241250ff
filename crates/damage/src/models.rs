//! Any bytes as the files of a model: headers, configuration, tokenizer and every tensor are read without a panic.

use std::path::Path;

use serde_json::Value;
use strait_model::ModelConfig;
use strait_weights::{Checkpoint, WeightsError};

use crate::assert_message;

/// Values of a tensor past which only its description is read: a small file may describe many by few bits.
const MOST_VALUES: u64 = 1 << 20;

/// A safetensors file without a configuration.
pub(crate) fn safetensors(bytes: &[u8], _: Option<&[u8]>) {
    check(Checkpoint::from_safetensors_bytes(name(), Value::Null, bytes.to_vec()));
}

/// A quantized checkpoint: two bytes give the length of its configuration, which comes next, then a safetensors file.
pub(crate) fn quantized(bytes: &[u8], _: Option<&[u8]>) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let Some((config, file)) = rest.split_at_checked(u16::from_le_bytes(*length).into()) else {
        return;
    };
    let Ok(config) = serde_json::from_slice(config) else { return };
    check(Checkpoint::from_safetensors_bytes(name(), config, file.to_vec()));
}

/// A GGUF file.
pub(crate) fn gguf(bytes: &[u8], _: Option<&[u8]>) {
    let checkpoint = Checkpoint::from_gguf_bytes(Path::new("fuzz.gguf"), bytes.to_vec());
    if let Ok(checkpoint) = &checkpoint {
        if let Err(error) = checkpoint.tokenizer() {
            assert_message(&error);
        }
        configuration(checkpoint.config());
    }
    check(checkpoint);
}

/// A `config.json`, with a checkpoint that has no tensor.
pub(crate) fn config(bytes: &[u8], _: Option<&[u8]>) {
    let Ok(config) = serde_json::from_slice::<Value>(bytes) else { return };
    configuration(&config);
    let no_tensor = [&2_u64.to_le_bytes()[..], b"{}"].concat();
    check(Checkpoint::from_safetensors_bytes(name(), config, no_tensor));
}

fn name() -> &'static Path {
    Path::new("fuzz.safetensors")
}

fn configuration(config: &Value) {
    match ModelConfig::from_json(config) {
        Ok(config) => {
            let _ = config.parameters();
        }
        Err(error) => assert_message(&error),
    }
}

/// Every tensor has as many values as its description says.
fn check(checkpoint: Result<Checkpoint, WeightsError>) {
    let checkpoint = match checkpoint {
        Ok(checkpoint) => checkpoint,
        Err(error) => return assert_message(&error),
    };
    let summary = checkpoint.summary();
    let values: u64 = checkpoint.tensor_infos().map(|info| info.values).sum();
    assert!(values == 0 || !summary.formats.is_empty());
    for info in checkpoint.tensor_infos().filter(|info| info.values <= MOST_VALUES) {
        match checkpoint.tensor(&info.name) {
            Ok(tensor) => assert_eq!(tensor.data.len() as u64, info.values, "{}", info.name),
            Err(error) => assert_message(&error),
        }
    }
}

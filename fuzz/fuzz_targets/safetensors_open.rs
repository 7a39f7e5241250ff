//! Any bytes as a safetensors file: the header and every tensor are read without a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use strait_weights::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    let name = Path::new("fuzz.safetensors");
    let Ok(checkpoint) = Checkpoint::from_safetensors_bytes(name, Value::Null, bytes.to_vec())
    else {
        return;
    };
    for info in checkpoint.tensor_infos() {
        if let Ok(tensor) = checkpoint.tensor(&info.name) {
            assert_eq!(tensor.data.len() as u64, info.values);
        }
    }
});

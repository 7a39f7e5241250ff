//! Any bytes as a GGUF file: headers, configuration, tokenizer and every tensor are read without a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use strait_weights::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    let Ok(checkpoint) = Checkpoint::from_gguf_bytes(Path::new("fuzz.gguf"), bytes.to_vec()) else {
        return;
    };
    let _ = checkpoint.tokenizer();
    for info in checkpoint.tensor_infos() {
        if let Ok(tensor) = checkpoint.tensor(&info.name) {
            assert_eq!(tensor.data.len() as u64, info.values);
        }
    }
});

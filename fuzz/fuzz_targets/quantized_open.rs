//! Any bytes as a quantized checkpoint: two bytes give the length of its configuration, which comes next, then a safetensors
//! file. Schemes are decided, and every weight read, without a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use strait_weights::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let Some((config, file)) = rest.split_at_checked(u16::from_le_bytes(*length).into()) else {
        return;
    };
    let Ok(config) = serde_json::from_slice(config) else { return };
    let name = Path::new("fuzz.safetensors");
    let Ok(checkpoint) = Checkpoint::from_safetensors_bytes(name, config, file.to_vec()) else {
        return;
    };
    let _ = checkpoint.summary();
    for info in checkpoint.tensor_infos() {
        if let Ok(tensor) = checkpoint.tensor(&info.name) {
            assert_eq!(tensor.data.len() as u64, info.values);
        }
    }
});

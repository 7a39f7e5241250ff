//! Any bytes as a quantized checkpoint: the length of its configuration, the configuration, and a safetensors file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| strait_fuzz::read("quantized", bytes));

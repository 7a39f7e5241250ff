//! Any bytes as a `tokenizer_config.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| strait_fuzz::read("tokenizer_config", bytes));

//! Any bytes as the payload of a codec, for every codec of the built plugins.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| strait_fuzz::read("payload", bytes));

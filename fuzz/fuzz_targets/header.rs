//! Any bytes as a plugin file, up to the point where its code would run.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| strait_fuzz::read("header", bytes));

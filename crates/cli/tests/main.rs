//! The `strait` binary as a user runs it: one test binary, one file a subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod cli {
    mod bad_input;
    mod devices;
    mod effects;
    mod exactness;
    mod fit;
    mod formats;
    mod generate;
    mod harness;
    mod hostile;
    mod importance;
    mod kv;
    mod look;
    mod memory;
    mod models;
    mod named;
    mod per_token;
    mod quickstart;
    mod reproduce;
    mod resume;
    mod weights;
}

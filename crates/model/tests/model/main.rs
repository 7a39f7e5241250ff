//! Whole models: against Transformers, against themselves cut and stacked, and against bad input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod exactness;
mod families;
mod loading;
mod past;
mod relevance;
mod scores;
mod support;
mod taps;
mod toy_tap;
mod unread;

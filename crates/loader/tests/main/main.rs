//! The loader against real plugin files: good, hostile, damaged, foreign, older and newer ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod build;
mod calls;
mod evolution;
mod files;
mod inner;
mod params;
mod presses;
mod services;
mod sets;

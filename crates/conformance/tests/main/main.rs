//! The kit on codecs that break one rule each, and on the built files of the plugins.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod allocations;
mod broken;
mod broken_press;
mod built;
mod guide;
mod payloads;
mod shortest;

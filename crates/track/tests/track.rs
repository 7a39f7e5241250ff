//! What trackers leave behind, read back by decoders of their own and by a server on loopback.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "track/files.rs"]
mod files;
#[path = "track/run.rs"]
mod run;
#[path = "track/server.rs"]
mod server;

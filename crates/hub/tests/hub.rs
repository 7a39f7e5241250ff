//! Downloads from a server on this machine that answers as the hub does, and misbehaves on demand.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "hub/download.rs"]
mod download;
#[path = "hub/errors.rs"]
mod errors;
#[path = "hub/server.rs"]
mod server;

//! The stable boundary between the host and a plugin: the types that cross it, the version header
//! that is read before any plugin code runs, and the parameter table. Plugin authors use
//! `strait-sdk`, which re-exports what they need; `docs/abi.md` is the text of the boundary.

// The StableAbi derive of abi_stable 0.11 writes its impls inside a const block.
#![allow(non_local_definitions)]

pub mod descriptor;
mod dtype;
mod header;
mod host;
pub mod inner;
mod listing;
mod matrix;
mod module;
mod outcome;
pub mod params;
mod placement;
pub mod press;
mod shape;
mod side;
mod sink;

pub use abi_stable;

pub use dtype::Dtype;
pub use header::{
    ABI_MAJOR, ABI_MINOR, HEADER_SYMBOL_PREFIX, MAGIC, MODULE_SYMBOL_PREFIX, PANIC_ABORT,
    PANIC_UNWIND, PluginHeader, version_number,
};
pub use host::{HostServices, HostServicesRef};
pub use listing::{LISTING_SYMBOL_PREFIX, Listing, listing, listing_length};
pub use matrix::{DEVICE_HOST, MatrixError, MatrixTarget, MatrixView};
pub use module::{
    Artifact, CodecModule, CodecModuleRef, InstanceHandle, OpenRequest, Opened, PayloadBound,
    PluginModule, PluginModuleRef, PressModule, PressModuleRef, Text,
};
pub use outcome::{CallEnd, Outcome};
pub use placement::{Placement, PlacementError};
pub use shape::{PayloadBytes, Shape};
pub use side::SideView;
pub use sink::{BoundedBuffer, PayloadSink, TooMuch};

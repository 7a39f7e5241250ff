//! Finds, verifies and opens plugin files behind a safe interface.
//!
//! The order is fixed. A file is hashed, its header read and its pin checked before any of its code
//! runs; then it is loaded, its layout checked, and its descriptor read. Parameters are resolved
//! against the descriptor before a codec is opened. Encoders run from one private copy of the file,
//! decoders from another, so the two share no static variable, and overwriting the file in the
//! meantime changes nothing.

mod calls;
mod entry;
mod error;
mod file;
mod host;
mod inner;
mod instance;
mod library;
mod matrix;
mod peers;
mod plugin;
mod press;
mod private;
mod set;

pub use calls::{AtWork, CallKind, CallNote, CellName, End, Guard, Noted, calls_at_work};
pub use entry::{CodecEntry, Side};
pub use error::{CallError, LoaderError};
pub use file::{FileError, FileHeader};
pub use host::HostServices;
pub use instance::CodecInstance;
pub use matrix::{MatrixMut, MatrixRef};
pub use plugin::Plugin;
pub use press::{
    ATTENTION_COUNT, ATTENTION_SUM, HIDDEN_STATES, KeptHead, KvHeadRef, LayerBudget, LayerRef,
    OUTPUT_NORM, PressDescriptor, PressEntry, PressError, PressInstance, PressNeeds, QUERIES,
    RopeLayout, RopeRef, SideNeed, SideRef, WINDOW_ATTENTION,
};
pub use private::with_copy;
pub use set::PluginSet;
pub use strait_abi::descriptor::CodecDescriptor;
pub use strait_abi::params::{
    ChoiceSpec, ParamError, ParamKind, ParamSpec, json_schema, nearest, resolve,
};
pub use strait_abi::{ABI_MAJOR, ABI_MINOR, Dtype, PayloadBytes, Placement, Shape};

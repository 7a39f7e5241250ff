//! What the host offers to a plugin.

// Accessors that the derive writes for fields of a later minor version are unsafe inside.
#![allow(unsafe_code)]

use abi_stable::StableAbi;
use abi_stable::std_types::RStr;

use crate::inner::InnerOpened;

/// Services of the host, handed to [`PluginModule::start`](crate::PluginModule) once per loaded
/// file; valid for the rest of the process. A minor version appends fields after the last one.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostServicesRef, prefix_fields = HostServicesPrefix)))]
#[sabi(missing_field(option))]
pub struct HostServices {
    /// The host's own number for this loaded file; passed back in every call.
    pub token: u64,
    /// Threads a codec may use in one call.
    pub threads: usize,
    /// `[any-thread]` Takes one log record: token, level (1 error … 5 trace), target, text.
    /// Both texts are borrowed until the call returns.
    pub log: extern "C" fn(u64, u32, RStr<'_>, RStr<'_>),
    /// `[any-thread]` The most verbose level that the host wants: 0 off, 1 error … 5 trace.
    #[sabi(last_prefix_field)]
    pub max_log_level: extern "C" fn(u64) -> u32,
    /// `[within open]` Opens another codec for the side that is being opened: token, id, parameters
    /// as one JSON object. Since ABI 1.1.
    pub open_inner: extern "C" fn(u64, RStr<'_>, RStr<'_>) -> InnerOpened,
}

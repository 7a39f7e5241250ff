//! The functions of a plugin. Fields are only ever added after the last one of a struct, in a minor
//! version; a missing field of an older plugin reads as `None`.

// Accessors that the derive writes for fields of a later minor version are unsafe inside.
#![allow(unsafe_code)]

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{ROption, RSlice, RStr, RString, RVec};

use crate::press::{LayerRequest, Pressed};
use crate::{HostServicesRef, MatrixTarget, MatrixView, Outcome, PayloadSink, Placement};

/// The root of a plugin: what is behind its module symbol.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef, prefix_fields = PluginModulePrefix)))]
#[sabi(missing_field(option))]
pub struct PluginModule {
    /// `[once, before all others]` Takes the host's services.
    pub start: extern "C" fn(HostServicesRef) -> Outcome,
    /// `[any-thread]` The [`PluginDescriptor`](crate::descriptor::PluginDescriptor) as JSON.
    pub describe: extern "C" fn() -> Text,
    /// Functions of plugin kind `codec`.
    pub codec: CodecModuleRef,
    /// Functions of plugin kind `press`, where the file offers some; since ABI 1.1.
    #[sabi(last_prefix_field)]
    pub press: ROption<PressModuleRef>,
}

/// The functions of kind `codec`. A codec is named by its index in the descriptor.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = CodecModuleRef, prefix_fields = CodecModulePrefix)))]
#[sabi(missing_field(option))]
pub struct CodecModule {
    /// `[any-thread]` Opens an instance; owned by the host until `close`.
    pub open: extern "C" fn(OpenRequest<'_>) -> Opened,
    /// `[any-thread]` Makes an artifact from samples. Arguments: codec, parameters as JSON, samples.
    pub fit: extern "C" fn(usize, RStr<'_>, RSlice<'_, MatrixView<'_>>) -> Artifact,
    /// `[exclusive]` Bound of the payload of a matrix: rows, channels, dtype tag.
    pub payload_bytes: extern "C" fn(InstanceHandle, usize, usize, u32) -> PayloadBound,
    /// `[exclusive]` Appends the payload of a matrix to the sink.
    pub encode: extern "C" fn(InstanceHandle, MatrixView<'_>, PayloadSink<'_>) -> Outcome,
    /// `[exclusive]` Fills a matrix from a payload.
    pub decode: extern "C" fn(InstanceHandle, RSlice<'_, u8>, MatrixTarget<'_>) -> Outcome,
    /// `[exclusive]` Forgets everything learnt from earlier matrices.
    pub reset: extern "C" fn(InstanceHandle) -> Outcome,
    /// `[exclusive, last]` Drops the instance; its handle is invalid afterwards.
    #[sabi(last_prefix_field)]
    pub close: extern "C" fn(InstanceHandle) -> Outcome,
    /// `[exclusive]` Says where the matrices of the following calls lie. Since ABI 1.3.
    pub place: extern "C" fn(InstanceHandle, Placement) -> Outcome,
}

/// The functions of kind `press`. A press is named by its index in the descriptor.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PressModuleRef, prefix_fields = PressModulePrefix)))]
#[sabi(missing_field(option))]
pub struct PressModule {
    /// `[any-thread]` Opens an instance; owned by the host until `close`.
    pub open: extern "C" fn(OpenRequest<'_>) -> Opened,
    /// `[exclusive, last]` Drops the instance; its handle is invalid afterwards.
    #[sabi(last_prefix_field)]
    pub close: extern "C" fn(InstanceHandle) -> Outcome,
    /// `[exclusive]` The [`PressNeeds`](crate::press::PressNeeds) as JSON. Since ABI 1.1.
    pub needs: extern "C" fn(InstanceHandle) -> Text,
    /// `[exclusive]` Chooses what stays of one layer. Since ABI 1.1.
    pub press: extern "C" fn(InstanceHandle, LayerRequest<'_>) -> Pressed,
    /// `[exclusive]` Forgets everything learnt from earlier calls. Since ABI 1.1.
    pub reset: extern "C" fn(InstanceHandle) -> Outcome,
    /// `[exclusive]` Says where the arrays of the following layers lie. Since ABI 1.3.
    pub place: extern "C" fn(InstanceHandle, Placement) -> Outcome,
}

/// An open instance inside the plugin; only the plugin looks behind the pointer.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct InstanceHandle(pub *mut ());

/// What to open; borrowed until the call returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct OpenRequest<'a> {
    /// Index in the descriptor, of a codec or of a press.
    pub codec: usize,
    /// Resolved parameters, one JSON object.
    pub params: RStr<'a>,
    /// What `fit` made, if the user gave an artifact.
    pub artifact: ROption<RSlice<'a, u8>>,
}

/// Result of `open`; the handle is valid when the outcome is ok.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct Opened {
    /// How the call ended.
    pub outcome: Outcome,
    /// The instance.
    pub handle: InstanceHandle,
}

/// Result of `describe`.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct Text {
    /// How the call ended.
    pub outcome: Outcome,
    /// The text, owned by the host; freed by the plugin's allocator.
    pub text: RString,
}

/// Result of `fit`.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct Artifact {
    /// How the call ended.
    pub outcome: Outcome,
    /// The artifact, owned by the host; freed by the plugin's allocator.
    pub bytes: RVec<u8>,
}

/// Result of `payload_bytes`.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct PayloadBound {
    /// How the call ended.
    pub outcome: Outcome,
    /// Payload bytes of the matrix.
    pub bytes: usize,
    /// Whether it is always exactly this many, or at most.
    pub exact: bool,
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}
    const BASE_NAME: &'static str = "strait_plugin";
    const NAME: &'static str = "strait_plugin";
    // One constant for the whole major: `PluginHeader` carries the minor.
    const VERSION_STRINGS: VersionStrings =
        VersionStrings::new(concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".0.0"));
}

//! What a plugin author imports: the [`Codec`] trait, dtype-tagged messages, parameters with a
//! derive, bit packing, vectorisation, and [`export!`], which turns codecs into a plugin file.
//!
//! ```
//! use strait_sdk::prelude::*;
//!
//! struct Copy;
//!
//! impl Codec for Copy {
//!     const INFO: CodecInfo = CodecInfo {
//!         id: "copy",
//!         summary: "the bytes of the model's dtype, as they are",
//!         lossless: true,
//!         ..CodecInfo::DEFAULT
//!     };
//!     type Params = NoParams;
//!
//!     fn open(_: NoParams) -> Result<Self> {
//!         Ok(Copy)
//!     }
//!     fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
//!         payload.extend_from_slice(message.bytes());
//!         Ok(())
//!     }
//!     fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
//!         Error::check_payload_length(message.shape().bytes(), payload.len())?;
//!         message.bytes_mut().copy_from_slice(payload);
//!         Ok(())
//!     }
//!     fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
//!         PayloadBytes::Exact(shape.bytes())
//!     }
//! }
//! strait_sdk::export!(Copy);
//! # fn main() {}
//! ```

extern crate self as strait_sdk;

#[cfg(target_endian = "big")]
compile_error!(
    "strait-sdk: messages are little-endian bytes; big-endian targets are not supported"
);

pub mod bits;
mod boundary;
mod codec;
mod convert;
mod dynamic_map;
pub mod entropy;
mod error;
pub mod host;
mod inner;
mod message;
mod message_mut;
pub mod minifloat;
mod params;
pub mod prelude;
pub mod press;
pub mod simd;
pub mod slices;
pub mod subset;

pub use log;
pub use serde_json;

pub use boundary::{Inner, offer};
pub use codec::{Codec, CodecInfo, Site};
pub use convert::{narrow, widen};
pub use dynamic_map::dynamic_map;
pub use error::{Error, Result};
pub use inner::InnerCodec;
pub use message::{Message, Side};
pub use message_mut::MessageMut;
pub use params::{Choice, NoParams, ParamField, Params};
pub use strait_abi::params::{ChoiceSpec, ParamError, ParamKind, ParamSpec, json_schema};
pub use strait_abi::{Dtype, PayloadBytes, Shape};
pub use strait_sdk_derive::{Choice, Params};

/// What the derives and [`export!`] expand to; not for direct use.
#[doc(hidden)]
pub mod __private {
    pub use crate::boundary::PressTable;
    pub use crate::boundary::{CodecTable, Exported, header, module};
    pub use crate::params::private::*;
    pub use strait_abi::abi_stable::library::LibHeader;
    pub use strait_abi::{PluginHeader, listing, listing_length};
}

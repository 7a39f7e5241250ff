//! What a plugin author imports: the [`Codec`] and [`Press`](press::Press) traits, dtype-tagged messages,
//! parameters with a derive, vectorisation, and [`export!`], which turns codecs into a plugin file.
//! Algorithms that plugins share (entropy coders, bit packing and the like) are in `strait-codec-kit`.
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

mod boundary;
mod codec;
mod convert;
mod error;
pub mod host;
mod inner;
mod message;
mod message_mut;
mod params;
pub mod prelude;
pub mod press;
pub mod simd;

pub use log;
pub use serde_json;

pub use boundary::{Inner, offer};
pub use codec::{Codec, CodecInfo, Site};
pub use convert::{narrow, widen};
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

//! A codec inside another: the parameter that names it, and the open instance.
//!
//! ```
//! use strait_sdk::prelude::*;
//!
//! #[derive(Params)]
//! struct NegativeParams {
//!     /// What the negated values are encoded with.
//!     #[param(default = r#"{ "codec": "affine", "bits": 4 }"#)]
//!     inner: InnerCodec,
//! }
//!
//! struct Negative(Inner);
//!
//! impl Codec for Negative {
//!     const INFO: CodecInfo =
//!         CodecInfo { id: "negative", summary: "-x", ..CodecInfo::DEFAULT };
//!     type Params = NegativeParams;
//!
//!     fn open(params: NegativeParams) -> Result<Self> {
//!         Ok(Negative(params.inner.open()?))
//!     }
//!     fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
//!         let values: Vec<f32> = message.to_f32().iter().map(|x| -x).collect();
//!         self.0.encode_f32(message.channels(), &values, message.sides(), payload)
//!     }
//!     fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
//!         let mut values = vec![0.0; message.shape().values()];
//!         self.0.decode_f32(message.channels(), payload, &mut values)?;
//!         values.iter_mut().for_each(|x| *x = -*x);
//!         message.write_f32(&values)
//!     }
//!     fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
//!         self.0.payload_bytes(Shape { dtype: Dtype::F32, ..shape })
//!     }
//!     fn reset(&mut self) {
//!         self.0.reset();
//!     }
//! }
//! strait_sdk::export!(Negative);
//! # fn main() {}
//! ```

use serde_json::{Map, Value};
use strait_abi::inner::InnerSpec;

use crate::{Inner, ParamField, ParamKind, Result};

/// A parameter that names a codec: `inner = { codec = "affine", bits = 4 }`, or `inner = "raw"`.
///
/// Its default is the id or the table as JSON text.
#[derive(Clone, Debug, PartialEq)]
pub struct InnerCodec {
    spec: InnerSpec,
}

impl InnerCodec {
    /// The codec of this id with these parameters.
    pub fn new(id: &str, params: Map<String, Value>) -> Self {
        InnerCodec { spec: InnerSpec { id: id.to_owned(), params } }
    }

    /// Id of the codec.
    pub fn id(&self) -> &str {
        &self.spec.id
    }

    /// Opens it for the side that is being opened. Works within [`Codec::open`](crate::Codec::open),
    /// `open_fitted` and `fit`, on the thread of that call.
    ///
    /// # Errors
    /// No such codec, parameters that it refuses, its own error or panic, codecs too deep inside one
    /// another, or a host before ABI 1.1.
    pub fn open(&self) -> Result<Inner> {
        Inner::open(&self.spec.id, &Value::Object(self.spec.params.clone()).to_string())
    }
}

impl ParamField for InnerCodec {
    const KIND: ParamKind = ParamKind::Codec;

    fn from_value(value: &Value) -> Option<Self> {
        Some(InnerCodec { spec: InnerSpec::read(value)? })
    }

    fn default_value(literal: Value) -> Value {
        let table = literal.as_str().and_then(|text| serde_json::from_str(text).ok());
        let value = table.unwrap_or(literal);
        InnerSpec::read(&value).map_or(value, |spec| spec.to_value())
    }
}

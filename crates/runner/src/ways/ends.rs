//! The two ends of a codec, and the one crossing that every message makes between them.

use serde_json::{Map, Value};
use strait_loader::{CodecEntry, CodecInstance, MatrixMut, MatrixRef, Side, with_copy};
use strait_schema::LinkCounts;

use crate::clock::timed;

/// All bits set, which is NaN in every dtype: what a decoder leaves unwritten cannot pass for a value.
const UNWRITTEN: u8 = 0xff;

/// The error for an encoder that wrote to its input.
const WROTE: &str =
    "the codec wrote to the message, which it may only read: copy what is to be changed";

/// Encoder and decoder. They share nothing but the payload: the decoder was opened from a private copy
/// of the library.
pub(crate) struct Ends {
    encoder: CodecInstance,
    decoder: CodecInstance,
    payload: Vec<u8>,
}

impl Ends {
    /// Opens a codec for both sides.
    ///
    /// # Errors
    /// The codec's error.
    pub(crate) fn open(
        entry: &CodecEntry,
        params: &Map<String, Value>,
        artifact: Option<&[u8]>,
    ) -> Result<Self, String> {
        let encoder = entry.open(Side::Encoder, params, artifact);
        let decoder = entry.open(Side::Decoder, params, artifact);
        Ok(Self {
            encoder: encoder.map_err(|error| error.to_string())?,
            decoder: decoder.map_err(|error| error.to_string())?,
            payload: Vec::new(),
        })
    }

    /// Begins a sequence: codecs must not remember any earlier messages.
    ///
    /// # Errors
    /// The codec's error, with the end at which it occurred.
    pub(crate) fn reset(&mut self) -> Result<(), String> {
        self.encoder.reset().map_err(|error| format!("encoder reset: {error}"))?;
        self.decoder.reset().map_err(|error| format!("decoder reset: {error}"))
    }

    /// Sends a message across into `output`, which has the message's shape. Counts the message and the
    /// time; returns the payload's size in bytes.
    ///
    /// # Errors
    /// The codec's error, with the end and the shape at which it occurred. `output` is then undefined.
    pub(crate) fn cross(
        &mut self,
        message: MatrixRef<'_>,
        output: &mut [u8],
        counts: &mut LinkCounts,
    ) -> Result<u64, String> {
        let Self { encoder, decoder, payload } = self;
        let MatrixRef { rows, channels, dtype, .. } = message;
        payload.clear();
        let encode = |message: MatrixRef<'_>| {
            timed(&mut counts.encode_s, || encoder.encode(message, payload))
        };
        let (encoded, written) = with_copy(message, encode);
        encoded.map_err(|error| format!("encode of {rows}x{channels}: {error}"))?;
        if written {
            return Err(format!("encode of {rows}x{channels}: {WROTE}"));
        }
        counts.messages += 1;
        output.fill(UNWRITTEN);
        let arrived = MatrixMut { rows, channels, dtype, bytes: output };
        timed(&mut counts.decode_s, || decoder.decode(payload, arrived)).map_err(|error| {
            format!("decode of {} bytes to {rows}x{channels}: {error}", payload.len())
        })?;
        Ok(payload.len() as u64)
    }
}

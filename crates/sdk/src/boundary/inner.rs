//! An open codec inside another: calls from one plugin into another one's functions.

// The handle of an inner instance belongs to this file, which passes it to the functions that it
// came with and closes it once.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::fmt;

use strait_abi::{
    BoundedBuffer, CallEnd, CodecModuleRef, InstanceHandle, MatrixTarget, MatrixView, Outcome,
};

use super::offer::open;
use crate::{Dtype, Error, Message, MessageMut, PayloadBytes, Result, Shape, Side};

/// Bytes that an inner payload may always have beyond its bound, as the host allows an outer one.
const LIMIT_SLACK: usize = 64 * 1024;

/// Byte that a message is filled with before it is decoded: NaN in every dtype.
const UNWRITTEN: u8 = 0xff;

/// An open codec inside another one. A panic inside is an error here, and ends the instance.
pub struct Inner {
    id: String,
    module: CodecModuleRef,
    handle: InstanceHandle,
    /// Why a call that returns no result did not end well; the next call returns it.
    failure: RefCell<Option<Error>>,
}

// SAFETY: the SDK only opens codecs that are Send, and an `Inner` is not Sync: the handle is used by
// one thread at a time.
unsafe impl Send for Inner {}

impl Inner {
    /// Opens a codec with parameters as JSON.
    pub(crate) fn open(id: &str, params: &str) -> Result<Self> {
        let opened = open(id, params)?;
        check(id, "open", opened.outcome)?;
        let module = opened.module.into_option();
        let module = module.ok_or_else(|| failed(id, "open", "the host gave no functions"))?;
        let (id, handle) = (id.to_owned(), opened.handle);
        Ok(Inner { id, module, handle, failure: RefCell::new(None) })
    }

    /// Id of the codec.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Appends the payload of a message to `payload`, which may hold bytes already.
    ///
    /// # Errors
    /// The codec's error or panic; more than `max(payload_bytes, 4 x message) + 64 KiB`.
    pub fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let shape = message.shape();
        let bound = self.payload_bytes(shape).limit();
        self.earlier_failure()?;
        let limit = bound.max(shape.bytes().saturating_mul(4)).saturating_add(LIMIT_SLACK);
        let view = MatrixView::host(
            shape.rows,
            shape.channels,
            shape.dtype,
            message.bytes(),
            message.sides(),
        );
        let start = payload.len();
        let mut buffer = BoundedBuffer::new(payload, start.saturating_add(limit));
        let outcome = (self.module.encode())(self.handle, view, buffer.sink());
        let result = match buffer.refused() {
            Some(found) => {
                let found = found.saturating_sub(start);
                let text = format!("wrote too much: expected at most {limit} bytes, found {found}");
                Err(failed(&self.id, "encode", &text))
            }
            None => check(&self.id, "encode", outcome),
        };
        result.inspect_err(|_| payload.truncate(start))
    }

    /// Fills a message from a payload; what the codec leaves out is NaN.
    ///
    /// # Errors
    /// The codec's error or panic.
    pub fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        self.earlier_failure()?;
        let Shape { rows, channels, dtype } = message.shape();
        let bytes = message.bytes_mut();
        bytes.fill(UNWRITTEN);
        let target = MatrixTarget::host(rows, channels, dtype, bytes);
        check(&self.id, "decode", (self.module.decode())(self.handle, payload.into(), target))
    }

    /// [`encode`](Inner::encode) for a payload that something follows: its length stands in front of it,
    /// 7 bits a byte, unless the codec states it exactly. Nothing is written for a message of no values.
    ///
    /// # Errors
    /// As [`encode`](Inner::encode).
    pub fn encode_framed(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let shape = message.shape();
        if shape.values() == 0 {
            return Ok(());
        }
        let start = payload.len();
        self.encode(message, payload)?;
        let found = payload.len() - start;
        match self.payload_bytes(shape) {
            PayloadBytes::Exact(bytes) if bytes == found => {}
            PayloadBytes::Exact(bytes) => {
                payload.truncate(start);
                let text = format!("expected exactly the {bytes} bytes it states, found {found}");
                return Err(failed(&self.id, "encode", &text));
            }
            PayloadBytes::AtMost(_) => {
                payload.splice(start..start, length_bytes(found));
            }
        }
        Ok(())
    }

    /// [`decode`](Inner::decode) of what [`encode_framed`](Inner::encode_framed) wrote at the start of
    /// `payload`; returns what follows.
    ///
    /// # Errors
    /// As [`decode`](Inner::decode); a payload that is too short.
    pub fn decode_framed<'p>(
        &mut self,
        payload: &'p [u8],
        message: &mut MessageMut<'_>,
    ) -> Result<&'p [u8]> {
        let shape = message.shape();
        if shape.values() == 0 {
            return Ok(payload);
        }
        let (length, payload) = match self.payload_bytes(shape) {
            PayloadBytes::Exact(bytes) => (bytes, payload),
            PayloadBytes::AtMost(_) => read_length(payload)?,
        };
        let (mine, rest) = payload
            .split_at_checked(length)
            .ok_or_else(|| Error::payload_length(length, payload.len()))?;
        self.decode(mine, message)?;
        Ok(rest)
    }

    /// Bytes of [`encode_framed`](Inner::encode_framed).
    pub fn framed_bytes(&self, shape: Shape) -> PayloadBytes {
        match self.payload_bytes(shape) {
            _ if shape.values() == 0 => PayloadBytes::Exact(0),
            PayloadBytes::Exact(bytes) => PayloadBytes::Exact(bytes),
            PayloadBytes::AtMost(bytes) => {
                PayloadBytes::AtMost(bytes.saturating_add(length_bytes(bytes).len()))
            }
        }
    }

    /// [`encode`](Inner::encode) of f32 values `[rows, channels]`, one row per value of each side.
    ///
    /// # Errors
    /// As [`encode`](Inner::encode); values that are not whole rows.
    pub fn encode_f32(
        &mut self,
        channels: usize,
        values: &[f32],
        sides: &[Side<'_>],
        payload: &mut Vec<u8>,
    ) -> Result<()> {
        let shape = rows_of(channels, values.len());
        self.encode(Message::new(shape, bytemuck::cast_slice(values), sides)?, payload)
    }

    /// [`decode`](Inner::decode) of f32 values `[rows, channels]`.
    ///
    /// # Errors
    /// As [`decode`](Inner::decode); values that are not whole rows.
    pub fn decode_f32(
        &mut self,
        channels: usize,
        payload: &[u8],
        values: &mut [f32],
    ) -> Result<()> {
        let shape = rows_of(channels, values.len());
        self.decode(payload, &mut MessageMut::new(shape, bytemuck::cast_slice_mut(values))?)
    }

    /// Payload bytes of a message of this shape. A panic of the codec is returned by the next call.
    pub fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let Shape { rows, channels, dtype } = shape;
        let bound = (self.module.payload_bytes())(self.handle, rows, channels, dtype.tag());
        self.keep(check(&self.id, "payload_bytes", bound.outcome));
        if bound.exact {
            PayloadBytes::Exact(bound.bytes)
        } else {
            PayloadBytes::AtMost(bound.bytes)
        }
    }

    /// Makes the codec forget earlier messages. A panic is returned by the next call.
    pub fn reset(&mut self) {
        let outcome = (self.module.reset())(self.handle);
        self.keep(check(&self.id, "reset", outcome));
    }

    fn keep(&self, result: Result<()>) {
        if let Err(error) = result {
            self.failure.borrow_mut().get_or_insert(error);
        }
    }

    fn earlier_failure(&self) -> Result<()> {
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("codec", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = check(&self.id, "drop", (self.module.close())(self.handle)) {
            log::warn!("{error}");
        }
    }
}

/// Rows of f32 values; one value too many shows as a message that does not fit its bytes.
fn rows_of(channels: usize, values: usize) -> Shape {
    Shape { rows: values.checked_div(channels).unwrap_or(0), channels, dtype: Dtype::F32 }
}

/// A length, 7 bits a byte, the lowest first; a set top bit says that more follow.
#[allow(clippy::cast_possible_truncation)]
fn length_bytes(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes
}

fn read_length(bytes: &[u8]) -> Result<(usize, &[u8])> {
    let mut length = 0;
    for (i, byte) in bytes.iter().take(6).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((length, &bytes[i + 1..]));
        }
    }
    Err("payload: expected the length of an inner payload, found none".into())
}

fn check(codec: &str, call: &'static str, outcome: Outcome) -> Result<()> {
    match outcome.end() {
        CallEnd::Ok => Ok(()),
        CallEnd::Error(message) => Err(failed(codec, call, &message)),
        CallEnd::Panic(message) => Err(failed(codec, call, &format!("panicked: {message}"))),
    }
}

fn failed(codec: &str, call: &'static str, message: &str) -> Error {
    Error::Inner { codec: codec.to_owned(), call, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_come_back() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 1 << 34] {
            let mut bytes = length_bytes(length);
            bytes.push(9);
            assert_eq!(read_length(&bytes).unwrap(), (length, &[9][..]));
        }
        for bytes in [&[][..], &[0x80], &[0xff; 9]] {
            assert!(read_length(bytes).is_err());
        }
    }
}

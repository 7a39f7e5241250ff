//! An open codec.

// The instance owns a handle into the plugin, which may move between threads.
#![allow(unsafe_code)]

use strait_abi::{
    BoundedBuffer, CodecModuleRef, InstanceHandle, MatrixTarget, MatrixView, Outcome, PayloadBytes,
    Placement, Shape, SideView,
};

use crate::calls::CallKind;
use crate::{CallError, CodecEntry, MatrixMut, MatrixRef, Side};

/// Bytes by which any payload may exceed its bound.
const LIMIT_SLACK: usize = 64 * 1024;

/// The byte that fills a message before it is decoded: NaN in every dtype, so that what a decoder
/// leaves out cannot pass for a value.
const UNWRITTEN: u8 = 0xff;

/// One open codec for one side of a link.
pub struct CodecInstance {
    entry: CodecEntry,
    side: Side,
    module: CodecModuleRef,
    handle: InstanceHandle,
    poisoned: bool,
}

// SAFETY: the SDK only opens codecs that are Send, and every call takes `&mut self`, so one thread
// at a time uses the handle.
unsafe impl Send for CodecInstance {}

impl CodecInstance {
    pub(crate) fn new(
        entry: CodecEntry,
        side: Side,
        module: CodecModuleRef,
        handle: InstanceHandle,
    ) -> Self {
        CodecInstance { entry, side, module, handle, poisoned: false }
    }

    /// The side that this instance serves.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Replaces `payload` by the payload of `message`; leaves it empty after an error.
    ///
    /// # Errors
    /// The codec's error or panic, or more bytes than `max(payload_bytes, 4 × message) + 64 KiB`.
    pub fn encode(
        &mut self,
        message: MatrixRef<'_>,
        payload: &mut Vec<u8>,
    ) -> Result<(), CallError> {
        payload.clear();
        self.check(Side::Encoder, "encode")?;
        check_buffer(self.entry.id(), "encode", message.shape(), message.bytes.len())?;
        let bound = self.payload_bytes(message.shape())?.limit();
        let limit = bound.max(message.bytes.len().saturating_mul(4)).saturating_add(LIMIT_SLACK);
        let side = side_views(message.side);
        let MatrixRef { rows, channels, dtype, bytes, .. } = message;
        let view = MatrixView::host(rows, channels, dtype, bytes, &side);
        let mut buffer = BoundedBuffer::new(payload, limit);
        let encode = || (self.module.encode())(self.handle, view, buffer.sink());
        let outcome = self.entry.call(CallKind::Encode, encode);
        let codec = || self.entry.id().to_owned();
        let result = match buffer.refused() {
            Some(found) => Err(CallError::TooMuch { codec: codec(), limit, found }),
            None => outcome.and_then(|outcome| self.finished("encode", outcome)),
        };
        result.inspect_err(|_| payload.clear())
    }

    /// Fills `message` from a payload; every element that the codec does not write is NaN.
    ///
    /// # Errors
    /// The codec's error or panic; `message` is then unusable.
    pub fn decode(&mut self, payload: &[u8], message: MatrixMut<'_>) -> Result<(), CallError> {
        self.check(Side::Decoder, "decode")?;
        check_buffer(self.entry.id(), "decode", message.shape(), message.bytes.len())?;
        let MatrixMut { rows, channels, dtype, bytes } = message;
        bytes.fill(UNWRITTEN);
        let target = MatrixTarget::host(rows, channels, dtype, bytes);
        let decode = || (self.module.decode())(self.handle, payload.into(), target);
        let outcome = self.entry.call(CallKind::Decode, decode)?;
        self.finished("decode", outcome)
    }

    /// Makes the codec forget earlier messages; called at the start of every sequence.
    ///
    /// # Errors
    /// The codec's panic.
    pub fn reset(&mut self) -> Result<(), CallError> {
        self.check(self.side, "reset")?;
        let reset = || (self.module.reset())(self.handle);
        let outcome = self.entry.call(CallKind::Reset, reset)?;
        self.finished("reset", outcome)
    }

    /// Asks the codec to take matrices that lie elsewhere from now on. An instance starts in host memory,
    /// which is all that [`encode`](CodecInstance::encode) and [`decode`](CodecInstance::decode) pass.
    ///
    /// # Errors
    /// A plugin older than ABI 1.3; the codec's refusal, after which it is placed as it was.
    pub fn place(&mut self, placement: Placement) -> Result<(), CallError> {
        self.check(self.side, "place")?;
        let Some(place) = self.module.place() else {
            return Err(CallError::HostMemoryAlone { codec: self.entry.id().to_owned() });
        };
        let handle = self.handle;
        let outcome = self.entry.call(CallKind::Place, || place(handle, placement))?;
        self.finished("place", outcome)
    }

    /// The payload size in bytes that the codec announces for a message of this shape.
    ///
    /// # Errors
    /// The codec's panic.
    pub fn payload_bytes(&mut self, shape: Shape) -> Result<PayloadBytes, CallError> {
        self.check(self.side, "payload_bytes")?;
        let Shape { rows, channels, dtype } = shape;
        let bound = || (self.module.payload_bytes())(self.handle, rows, channels, dtype.tag());
        let bound = self.entry.call(CallKind::PayloadBytes, bound)?;
        self.finished("payload_bytes", bound.outcome)?;
        let exact = bound.exact;
        Ok(if exact { PayloadBytes::Exact(bound.bytes) } else { PayloadBytes::AtMost(bound.bytes) })
    }

    /// Drops the codec and reports whether that succeeded; merely dropping the instance logs a
    /// failure.
    ///
    /// # Errors
    /// The codec's panic.
    pub fn close(mut self) -> Result<(), CallError> {
        self.release()
    }

    fn release(&mut self) -> Result<(), CallError> {
        let handle = std::mem::replace(&mut self.handle, InstanceHandle(std::ptr::null_mut()));
        if handle.0.is_null() {
            return Ok(());
        }
        let close = || (self.module.close())(handle);
        let outcome = self.entry.call(CallKind::Drop, close)?;
        self.finished("drop", outcome)
    }

    fn check(&self, side: Side, call: &'static str) -> Result<(), CallError> {
        let codec = || self.entry.id().to_owned();
        if self.side != side {
            return Err(CallError::WrongSide { codec: codec(), call });
        }
        if self.poisoned {
            return Err(CallError::Poisoned { codec: codec(), call });
        }
        Ok(())
    }

    fn finished(&mut self, call: &'static str, outcome: Outcome) -> Result<(), CallError> {
        let result = CallError::from_end(self.entry.id(), call, outcome.end());
        self.poisoned |= matches!(result, Err(CallError::Panicked { .. }));
        result
    }
}

impl std::fmt::Debug for CodecInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodecInstance")
            .field("codec", &self.entry.id())
            .field("side", &self.side)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

impl Drop for CodecInstance {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            log::warn!("{error}");
        }
    }
}

pub(crate) fn side_views<'a>(side: &'a [(&'a str, &'a [f32])]) -> Vec<SideView<'a>> {
    side.iter().map(|(name, values)| SideView::new(name, values)).collect()
}

/// Checks that a host buffer has exactly the size of its shape.
pub(crate) fn check_buffer(
    codec: &str,
    call: &'static str,
    shape: Shape,
    found: usize,
) -> Result<(), CallError> {
    let expected = shape.checked_bytes();
    if expected == Some(found) {
        return Ok(());
    }
    Err(CallError::Buffer {
        codec: codec.to_owned(),
        call,
        rows: shape.rows,
        channels: shape.channels,
        dtype: shape.dtype,
        expected: expected
            .map_or_else(|| "more than memory can hold".to_owned(), |n| format!("{n} bytes")),
        found,
    })
}

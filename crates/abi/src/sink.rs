//! The host's payload buffer as a plugin sees it: it can append, and the host counts.

// The sink carries a context pointer through the boundary; it is used only by the function made
// together with it.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use abi_stable::StableAbi;
use abi_stable::std_types::RSlice;

/// Appends payload bytes to a buffer of the host; borrowed until the call returns.
#[repr(C)]
#[derive(StableAbi)]
pub struct PayloadSink<'a> {
    context: *mut (),
    write: extern "C" fn(*mut (), RSlice<'_, u8>) -> u32,
    lifetime: PhantomData<&'a mut ()>,
}

const TAKEN: u32 = 0;
const TOO_MUCH: u32 = 1;

/// The host's limit for one payload is reached; nothing of the last write was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload: the host takes no more bytes; write less than `payload_bytes` announces")]
pub struct TooMuch;

impl PayloadSink<'_> {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`TooMuch`] when the host's limit is reached.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), TooMuch> {
        match (self.write)(self.context, bytes.into()) {
            TAKEN => Ok(()),
            _ => Err(TooMuch),
        }
    }
}

/// A payload buffer with a limit.
#[derive(Debug)]
pub struct BoundedBuffer<'a> {
    bytes: &'a mut Vec<u8>,
    limit: usize,
    refused: Option<usize>,
}

impl<'a> BoundedBuffer<'a> {
    /// Appends to `bytes` until it holds `limit` bytes.
    pub fn new(bytes: &'a mut Vec<u8>, limit: usize) -> Self {
        BoundedBuffer { bytes, limit, refused: None }
    }

    /// The sink to hand to a plugin.
    pub fn sink(&mut self) -> PayloadSink<'_> {
        PayloadSink {
            context: std::ptr::from_mut(self).cast(),
            write: write_bounded,
            lifetime: PhantomData,
        }
    }

    /// How many bytes the plugin wanted to have written in all, if that was over the limit.
    pub fn refused(&self) -> Option<usize> {
        self.refused
    }
}

extern "C" fn write_bounded(context: *mut (), bytes: RSlice<'_, u8>) -> u32 {
    // SAFETY: `context` was made from a `&mut BoundedBuffer` by `sink`, which borrows it for as long
    // as the sink lives; `write` takes the sink by `&mut`, so no other reference is in use.
    let buffer = unsafe { &mut *context.cast::<BoundedBuffer<'_>>() };
    let wanted = buffer.bytes.len().saturating_add(bytes.len());
    if wanted > buffer.limit || buffer.refused.is_some() {
        buffer.refused = Some(buffer.refused.unwrap_or(0).max(wanted));
        return TOO_MUCH;
    }
    buffer.bytes.extend_from_slice(bytes.as_slice());
    TAKEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds() {
        let mut bytes = Vec::new();
        let mut buffer = BoundedBuffer::new(&mut bytes, 4);
        assert_eq!(buffer.sink().write(&[1, 2, 3, 4]), Ok(()));
        assert_eq!(buffer.sink().write(&[]), Ok(()));
        assert_eq!(buffer.sink().write(&[5]), Err(TooMuch));
        assert_eq!(buffer.sink().write(&[]), Err(TooMuch), "nothing more after a refusal");
        assert_eq!(buffer.refused(), Some(5));
        assert_eq!(bytes, [1, 2, 3, 4]);
    }
}

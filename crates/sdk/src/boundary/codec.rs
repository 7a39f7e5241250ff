//! The functions of plugin kind `codec` that the host calls.

// Handles are raw pointers to instances that only this file makes, borrows and frees.
#![allow(unsafe_code)]

use strait_abi::abi_stable::std_types::{RSlice, RStr, RVec};
use strait_abi::{
    Artifact, CodecModule, Dtype, InstanceHandle, MatrixTarget, MatrixView, OpenRequest, Opened,
    Outcome, PayloadBound, PayloadSink,
};

use super::export::Exported;
use super::guard::guard;
use super::table::{AnyCodec, CodecTable};
use crate::serde_json::{self, Value};
use crate::{Error, Message, MessageMut, PayloadBytes, Result, Shape};

/// Bytes that are reserved beyond the announced bound at most: a codec that announces nonsense must
/// not exhaust the memory.
const RESERVE_SLACK: usize = 64 * 1024;

struct Instance {
    codec: Box<dyn AnyCodec>,
    /// Reused from call to call.
    payload: Vec<u8>,
    /// After a panic the codec may be half changed.
    poisoned: bool,
}

/// The functions of the codecs that `E` exports.
pub(super) fn module<E: Exported>() -> CodecModule {
    CodecModule { open: open::<E>, fit: fit::<E>, payload_bytes, encode, decode, reset, close }
}

extern "C" fn open<E: Exported>(request: OpenRequest<'_>) -> Opened {
    let (outcome, instance) = guard(|| {
        let params = parse(request.params)?;
        let artifact = request.artifact.into_option();
        let codec = (table::<E>(request.codec)?.open)(&params, artifact.map(|a| a.as_slice()))?;
        Ok(Box::new(Instance { codec, payload: Vec::new(), poisoned: false }))
    });
    let handle = instance.map_or(std::ptr::null_mut(), |instance| Box::into_raw(instance).cast());
    Opened { outcome, handle: InstanceHandle(handle) }
}

extern "C" fn fit<E: Exported>(
    codec: usize,
    params: RStr<'_>,
    samples: RSlice<'_, MatrixView<'_>>,
) -> Artifact {
    let (outcome, bytes) = guard(|| {
        let samples = samples.iter().map(message).collect::<Result<Vec<_>>>()?;
        (table::<E>(codec)?.fit)(&parse(params)?, &samples)
    });
    Artifact { outcome, bytes: RVec::from(bytes.unwrap_or_default()) }
}

extern "C" fn payload_bytes(
    handle: InstanceHandle,
    rows: usize,
    channels: usize,
    dtype: u32,
) -> PayloadBound {
    let (outcome, bound) = with_instance(handle, |instance| {
        let dtype = Dtype::from_tag(dtype).ok_or_else(|| Error::new("unknown dtype tag"))?;
        Ok(instance.codec.payload_bytes(Shape { rows, channels, dtype }))
    });
    let bound = bound.unwrap_or(PayloadBytes::AtMost(0));
    PayloadBound { outcome, bytes: bound.limit(), exact: matches!(bound, PayloadBytes::Exact(_)) }
}

extern "C" fn encode(
    handle: InstanceHandle,
    matrix: MatrixView<'_>,
    mut sink: PayloadSink<'_>,
) -> Outcome {
    let end = with_instance(handle, |instance| {
        let message = message(&matrix)?;
        let Instance { codec, payload, .. } = instance;
        payload.clear();
        let most = message.bytes().len().saturating_mul(4).saturating_add(RESERVE_SLACK);
        payload.reserve(codec.payload_bytes(message.shape()).limit().min(most));
        codec.encode(message, payload)?;
        sink.write(payload).map_err(|error| Error::new(error.to_string()))
    });
    end.0
}

extern "C" fn decode(
    handle: InstanceHandle,
    payload: RSlice<'_, u8>,
    target: MatrixTarget<'_>,
) -> Outcome {
    let end = with_instance(handle, |instance| {
        let (rows, channels) = (target.rows(), target.channels());
        let (dtype, bytes) = target.contents().map_err(|error| Error::new(error.to_string()))?;
        let mut message = MessageMut::new(Shape { rows, channels, dtype }, bytes)?;
        instance.codec.decode(payload.as_slice(), &mut message)
    });
    end.0
}

extern "C" fn reset(handle: InstanceHandle) -> Outcome {
    let end = with_instance(handle, |instance| {
        instance.codec.reset();
        Ok(())
    });
    end.0
}

extern "C" fn close(handle: InstanceHandle) -> Outcome {
    let end = guard(|| {
        if !handle.0.is_null() {
            // SAFETY: a handle that is not null was made by `open` from a Box<Instance>, and the
            // host closes it once, as the last call.
            drop(unsafe { Box::from_raw(handle.0.cast::<Instance>()) });
        }
        Ok(())
    });
    end.0
}

/// Runs `f` on the instance; a panic poisons it.
fn with_instance<T>(
    handle: InstanceHandle,
    f: impl FnOnce(&mut Instance) -> Result<T>,
) -> (Outcome, Option<T>) {
    // SAFETY: a handle that is not null was made by `open` from a Box<Instance> that lives until
    // `close`; the host calls for one instance from one thread at a time.
    let Some(instance) = (unsafe { handle.0.cast::<Instance>().as_mut() }) else {
        return (Outcome::error("the instance is not open"), None);
    };
    if instance.poisoned {
        return (Outcome::error("the instance cannot be used after a panic"), None);
    }
    // Cleared again below unless the author's code panics.
    instance.poisoned = true;
    guard(|| {
        let result = f(&mut *instance);
        instance.poisoned = false;
        result
    })
}

fn table<E: Exported>(codec: usize) -> Result<&'static CodecTable> {
    E::CODECS.get(codec).ok_or_else(|| {
        Error::new(format!("codec index: expected less than {}, found {codec}", E::CODECS.len()))
    })
}

fn parse(params: RStr<'_>) -> Result<Value> {
    serde_json::from_str(params.as_str())
        .map_err(|error| Error::new(format!("parameters: expected one JSON table, found {error}")))
}

fn message<'a>(matrix: &MatrixView<'a>) -> Result<Message<'a>> {
    let (dtype, bytes) = matrix.contents().map_err(|error| Error::new(error.to_string()))?;
    let shape = Shape { rows: matrix.rows(), channels: matrix.channels(), dtype };
    Message::new(shape, bytes, matrix.side())
}

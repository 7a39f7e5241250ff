//! The functions of plugin kind `codec` that the host calls.

// Handles are raw pointers to instances that only this file makes, borrows and frees.
#![allow(unsafe_code)]

use strait_abi::abi_stable::std_types::{RSlice, RStr, RVec};
use strait_abi::{
    Artifact, CodecModule, Dtype, InstanceHandle, MatrixTarget, MatrixView, OpenRequest, Opened,
    Outcome, PayloadBound, PayloadSink, Placement,
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
    CodecModule {
        open: open::<E>,
        fit: fit::<E>,
        payload_bytes,
        encode,
        decode,
        reset,
        close,
        place,
    }
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
        let samples = samples.iter().map(Message::from_view).collect::<Result<Vec<_>>>()?;
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
        let message = Message::from_view(&matrix)?;
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
        let mut message = MessageMut::from_target(target)?;
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

/// Every codec of this SDK takes host memory alone.
extern "C" fn place(handle: InstanceHandle, placement: Placement) -> Outcome {
    with_instance(handle, |_| Ok(placement.check_host()?)).0
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

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use strait_abi::abi_stable::std_types::ROption;
    use strait_abi::{BoundedBuffer, CallEnd};

    use super::*;
    use crate::{Codec, CodecInfo, NoParams};

    /// Copies; it reads and writes every byte of its messages.
    struct Copy;

    impl Codec for Copy {
        const INFO: CodecInfo = CodecInfo { id: "copy", ..CodecInfo::DEFAULT };
        type Params = NoParams;

        fn open(_: NoParams) -> Result<Self> {
            Ok(Copy)
        }
        fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
            payload.extend_from_slice(message.bytes());
            Ok(())
        }
        fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
            message.bytes_mut().copy_from_slice(payload);
            Ok(())
        }
        fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
            PayloadBytes::Exact(shape.bytes())
        }
    }

    struct OnlyCopy;

    impl Exported for OnlyCopy {
        const CODECS: &'static [CodecTable] = &[CodecTable::of::<Copy>()];
        const VERSION: &'static str = "";
    }

    const SHAPE: Shape = Shape { rows: 1, channels: 2, dtype: Dtype::F16 };

    fn opened() -> (CodecModule, InstanceHandle) {
        let functions = module::<OnlyCopy>();
        let request = OpenRequest { codec: 0, params: "{}".into(), artifact: ROption::RNone };
        let handle = (functions.open)(request).handle;
        (functions, handle)
    }

    fn encode(view: MatrixView<'_>) -> (CallEnd, Vec<u8>) {
        let (functions, handle) = opened();
        let mut payload = Vec::new();
        let mut buffer = BoundedBuffer::new(&mut payload, 100);
        let end = (functions.encode)(handle, view, buffer.sink()).end();
        assert_eq!((functions.close)(handle).end(), CallEnd::Ok);
        (end, payload)
    }

    #[test]
    fn a_message_in_other_memory_is_refused_and_its_pointer_not_used() {
        let bytes = [1, 2, 3, 4];
        let host = encode(MatrixView::host(1, 2, Dtype::F16, &bytes, &[]));
        assert_eq!(host, (CallEnd::Ok, bytes.to_vec()));

        // Nothing can be read or written at these addresses.
        let device = NonZero::new(1).unwrap();
        let refused = "message: device tag: expected 0 (host memory), found 1; rebuild the plugin \
                       with a newer strait-sdk";
        let view = MatrixView::on_device(SHAPE, device, std::ptr::without_provenance(8), &[]);
        assert_eq!(encode(view), (CallEnd::Error(refused.to_owned()), Vec::new()));
        let (functions, handle) = opened();
        let target = MatrixTarget::on_device(SHAPE, device, std::ptr::without_provenance_mut(8));
        let end = (functions.decode)(handle, bytes.as_slice().into(), target).end();
        assert_eq!(end, CallEnd::Error(refused.to_owned()));
        assert_eq!((functions.close)(handle).end(), CallEnd::Ok);
    }

    #[test]
    fn an_instance_is_placed_in_host_memory_and_nowhere_else() {
        let (functions, handle) = opened();
        assert_eq!((functions.place)(handle, Placement::HOST).end(), CallEnd::Ok);
        let stream = Placement { stream: 7, ..Placement::HOST };
        let refused = "placement: expected stream 0, as in host memory, found 7; rebuild the plugin \
                       with a newer strait-sdk";
        let end = (functions.place)(handle, stream).end();
        assert_eq!(end, CallEnd::Error(refused.to_owned()));
        // A refusal changes nothing.
        assert_eq!((functions.reset)(handle).end(), CallEnd::Ok);
        assert_eq!((functions.close)(handle).end(), CallEnd::Ok);
    }
}

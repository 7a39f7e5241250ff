//! A codec that copies messages, and does one bad thing in one of its calls.

use strait_sdk::prelude::*;

/// The call in which it happens.
#[derive(Choice, Clone, Copy, PartialEq)]
pub(crate) enum When {
    /// When an instance is opened.
    Open,
    /// When a message is encoded.
    Encode,
    /// When a payload is decoded.
    Decode,
    /// At the start of a sequence.
    Reset,
    /// When the instance is dropped.
    Drop,
}

/// What the call has in its hands.
pub(crate) enum Hands<'a> {
    Nothing,
    /// The message to encode and its payload, complete.
    Encoding(&'a [u8], &'a mut Vec<u8>),
    /// The payload and the decoded message, complete.
    Decoding(&'a [u8], &'a mut [u8]),
}

/// The bad thing, with its parameters.
pub(crate) trait Act: Params + Send + 'static {
    const ID: &'static str;
    const SUMMARY: &'static str;

    /// In which call.
    fn when(&self) -> When;

    /// Does it.
    fn act(&self, hands: Hands<'_>) -> Result<()>;
}

/// The codec.
pub(crate) struct Acting<A: Act>(A);

impl<A: Act> Acting<A> {
    fn act(&self, call: When, hands: Hands<'_>) -> Result<()> {
        if self.0.when() == call { self.0.act(hands) } else { Ok(()) }
    }
}

impl<A: Act> Codec for Acting<A> {
    const INFO: CodecInfo =
        CodecInfo { id: A::ID, summary: A::SUMMARY, lossless: true, ..CodecInfo::DEFAULT };
    type Params = A;

    fn open(params: A) -> Result<Self> {
        let codec = Acting(params);
        codec.act(When::Open, Hands::Nothing)?;
        Ok(codec)
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        payload.extend_from_slice(message.bytes());
        self.act(When::Encode, Hands::Encoding(message.bytes(), payload))
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        Error::check_payload_length(message.shape().bytes(), payload.len())?;
        message.bytes_mut().copy_from_slice(payload);
        self.act(When::Decode, Hands::Decoding(payload, message.bytes_mut()))
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(shape.bytes())
    }

    fn reset(&mut self) {
        // There is no way to say that it failed.
        let _ = self.act(When::Reset, Hands::Nothing);
    }
}

impl<A: Act> Drop for Acting<A> {
    fn drop(&mut self) {
        let _ = self.act(When::Drop, Hands::Nothing);
    }
}

//! Codecs whose payload or message has not the length that it should have.

use strait_sdk::prelude::*;

/// Parameters of [`Lengths`].
#[derive(Params)]
pub(crate) struct LengthParams {
    /// Bytes that encode writes for every byte of the message.
    #[param(default = 1, max = 1000)]
    factor: usize,
    /// Bytes that encode writes after that.
    #[param(default = 0)]
    extra: usize,
    /// Bytes that encode leaves away at the end.
    #[param(default = 0)]
    missing: usize,
    /// Payload bytes that it announces for every byte of the message.
    #[param(default = 1)]
    announced: usize,
}

/// Writes too much, too little, or announces nonsense.
pub(crate) struct Lengths(LengthParams);

impl Codec for Lengths {
    const INFO: CodecInfo = CodecInfo {
        id: "hostile.length",
        summary: "writes more or fewer bytes than the message has",
        ..CodecInfo::DEFAULT
    };
    type Params = LengthParams;

    fn open(params: LengthParams) -> Result<Self> {
        Ok(Lengths(params))
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        for _ in 0..self.0.factor {
            payload.extend_from_slice(message.bytes());
        }
        payload.resize(payload.len() + self.0.extra, 0xaa);
        payload.truncate(payload.len().saturating_sub(self.0.missing));
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        Error::check_payload_length(message.shape().bytes(), payload.len())?;
        message.bytes_mut().copy_from_slice(payload);
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(shape.bytes().saturating_mul(self.0.announced))
    }
}

/// Decodes only the first half of a message and says nothing about it.
pub(crate) struct HalfFilled;

impl Codec for HalfFilled {
    const INFO: CodecInfo = CodecInfo {
        id: "hostile.half-filled",
        summary: "leaves the second half of a message unwritten",
        ..CodecInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(HalfFilled)
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        payload.extend_from_slice(&message.bytes()[..message.bytes().len() / 2]);
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let half = message.shape().bytes() / 2;
        Error::check_payload_length(half, payload.len())?;
        message.bytes_mut()[..half].copy_from_slice(payload);
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(shape.bytes() / 2)
    }
}

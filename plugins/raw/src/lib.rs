//! raw: the model's own bytes, 32 or 16 bits a value, lossless. Example: `codec = "raw"`. No limits.
use strait_sdk::prelude::*;
struct Raw;
impl Codec for Raw {
    const INFO: CodecInfo = CodecInfo {
        id: "raw",
        summary: "the bytes of the model's dtype, as they are",
        lossless: true,
        ..CodecInfo::DEFAULT
    };
    type Params = NoParams;
    fn open(_: NoParams) -> Result<Self> {
        Ok(Raw)
    }
    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        payload.extend_from_slice(message.bytes());
        Ok(())
    }
    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        Error::check_payload_length(message.shape().bytes(), payload.len())?;
        message.bytes_mut().copy_from_slice(payload);
        Ok(())
    }
    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(shape.bytes())
    }
}
strait_sdk::export!(Raw);
#[cfg(test)]
strait_conformance::check!(Raw);

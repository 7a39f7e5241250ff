//! {{id}}: integers of `bits` bits on an even grid, one scale per token. Say here what yours does.
//!
//! Paper: none. Stored per value: `bits` bits; per token: one f32, max|x| / (2^(bits-1) - 1).
//! Example: `codec = "{{id}}"`, `params = { bits = 4 }`. Limits: NaN becomes 0, infinity saturates.
use strait_codec_kit::bits::{BitReader, pack_into, packed_bytes, unpack};
use strait_sdk::prelude::*;

#[derive(Params)]
struct {{Type}} {
    /// Bits per value.
    #[param(default = 8, min = 2, max = 8)]
    bits: u32,
}

impl Codec for {{Type}} {
    const INFO: CodecInfo = CodecInfo {
        id: "{{id}}",
        summary: "integers of 2 to 8 bits, one scale per token",
        ..CodecInfo::DEFAULT
    };
    type Params = Self;

    fn open(params: Self) -> Result<Self> {
        Ok(params)
    }
    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let most = ((1 << (self.bits - 1)) - 1) as f32;
        message.for_each_row(|_, row| {
            let scale = row.iter().fold(0.0, |max, x| x.abs().max(max)).min(f32::MAX) / most;
            let divisor = if scale > 0.0 { scale } else { 1.0 };
            let steps = row.iter().map(|x| if x.is_nan() { 0.0 } else { x / divisor });
            let codes = steps.map(|q| (q.round().clamp(-most, most) + most) as u8);
            payload.extend_from_slice(&scale.to_le_bytes());
            pack_into(self.bits, &codes.collect::<Vec<u8>>(), payload);
            Ok(())
        })
    }
    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        Error::check_payload_length(self.payload_bytes(message.shape()).limit(), payload.len())?;
        let most = ((1 << (self.bits - 1)) - 1) as f32;
        let row_bytes = 4 + packed_bytes(self.bits, message.channels());
        message.for_each_row(|i, row| {
            let (scale, codes) = payload[i * row_bytes..][..row_bytes].split_at(4);
            let scale = f32::from_bits(BitReader::new(scale).get(32)?);
            let codes = unpack(self.bits, codes, row.len())?;
            for (x, code) in row.iter_mut().zip(codes) {
                *x = ((f32::from(code) - most) * scale).clamp(f32::MIN, f32::MAX);
            }
            Ok(())
        })
    }
    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(shape.rows * (4 + packed_bytes(self.bits, shape.channels)))
    }
}
strait_sdk::export!({{Type}});
#[cfg(test)]
strait_conformance::check!({{Type}});

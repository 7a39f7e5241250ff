//! nvfp4: 4-bit floats, an fp8 scale per block of 16, and one f32 per message.
//!
//! Specification: NVIDIA's [NVFP4](https://developer.nvidia.com/blog/introducing-nvfp4-for-efficient-and-accurate-low-precision-inference/);
//! rounding of [compressed-tensors](https://github.com/vllm-project/compressed-tensors): with the
//! largest magnitude A of the message and a of a block, all in f32, G = (448 × 6) (1 / A),
//! s = e4m3((a / 6) G) or 0.125 where that is 0, code = e2m1(x / (s / G)), x' = e2m1 × (s / G); both to
//! nearest, ties to even, saturating.
//!
//! Stored per message: G, one f32. Stored per block of 16: s, one byte; all of them come first. Stored
//! per value: 4 bits, lower nibble first, each row ending at a byte: 4.5 bits a value and 32 a message.
//!
//! ```
//! # strait_conformance::check_example::<strait_blockfloat::Nvfp4>(r#"
//! [[compressor]]
//! codec = "nvfp4"
//! # "#);
//! ```
//!
//! Blocks never cross rows; the last of a row may be shorter. G makes a token's value depend on the whole
//! message. Limits: NaN is left out of A and a and encoded as 0; an infinity counts as the largest finite
//! value of the message's dtype; an A below 2^-126 counts as that, and G is 1 where the quotient
//! would be infinite. A payload whose G or scale is not a positive number is an error.

use strait_codec_kit::minifloat::{E2M1, E4M3};
use strait_codec_kit::slices::{larger, largest_magnitude};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;

use super::planes::Planes;

/// Values that share a scale.
const BLOCK: usize = 16;
/// Bytes of the global scale.
const HEAD: usize = 4;
/// What a scale of zero becomes.
const SMALLEST: f32 = 0.125;

/// The codec `nvfp4`.
#[derive(Debug)]
pub struct Nvfp4 {
    codes: Vec<u8>,
}

fn planes(shape: Shape) -> Planes {
    Planes::new(BLOCK, E2M1::BITS, shape)
}

fn payload_bytes(shape: Shape) -> usize {
    if shape.values() == 0 { 0 } else { HEAD + planes(shape).bytes }
}

impl Codec for Nvfp4 {
    const INFO: CodecInfo = CodecInfo {
        id: "nvfp4",
        summary: "4-bit floats with an fp8 scale per 16 values and an f32 per message",
        paper: "https://developer.nvidia.com/blog/introducing-nvfp4-for-efficient-and-accurate-low-precision-inference/",
        ..CodecInfo::DEFAULT
    };
    type Params = NoParams;

    fn open(_: NoParams) -> Result<Self> {
        Ok(Nvfp4 { codes: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        if message.shape().values() == 0 {
            return Ok(());
        }
        let mut most = 0.0;
        message.for_each_row(|_, values| {
            most = larger(
                most,
                vectorize(
                    #[inline(always)]
                    || largest_magnitude(values, message.dtype().largest()),
                ),
            );
            Ok(())
        })?;
        let global = global_scale(most);
        payload.extend_from_slice(&global.to_le_bytes());
        planes(message.shape()).append::<E2M1>(
            message,
            &mut self.codes,
            payload,
            #[inline(always)]
            |most| scale_byte(most, global),
            #[inline(always)]
            |byte| E4M3::value(u32::from(byte)) / global,
        )
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        Error::check_payload_length(payload_bytes(message.shape()), payload.len())?;
        let Some((head, rest)) = payload.split_first_chunk::<HEAD>() else { return Ok(()) };
        let global = f32::from_le_bytes(*head);
        if !(global > 0.0 && global.is_finite()) {
            return Err(Error::new(format!(
                "payload: expected a positive global scale, found {global}"
            )));
        }
        planes(message.shape()).read::<E2M1>(
            rest,
            message,
            &mut self.codes,
            #[inline(always)]
            |byte| match byte {
                1..0x7f => Ok(E4M3::value(u32::from(byte)) / global),
                _ => Err("payload: expected a positive e4m3 scale, found another byte".into()),
            },
        )
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(payload_bytes(shape))
    }
}

/// (448 × 6) (1 / A), finite.
fn global_scale(most: f32) -> f32 {
    let global = E4M3::LARGEST * E2M1::LARGEST * (1.0 / larger(f32::MIN_POSITIVE, most));
    if global.is_finite() { global } else { 1.0 }
}

/// The e4m3 code of a block's scale; positive, as the largest magnitude is.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn scale_byte(most: f32, global: f32) -> u8 {
    let code = E4M3::code(global * (most / E2M1::LARGEST));
    (if code == 0 { E4M3::code(SMALLEST) } else { code }) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_block_has_the_largest_scale_and_zeros_an_eighth() {
        let global = global_scale(3.0);
        assert_eq!(scale_byte(3.0, global), 0x7e);
        assert_eq!(E4M3::value(u32::from(scale_byte(0.0, global))), 0.125);
        assert_eq!((global_scale(0.0), global_scale(1e-40)), (1.0, 1.0));
        assert!(global_scale(f32::MAX) > 0.0);
    }
}

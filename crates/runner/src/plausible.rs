//! Whether a payload can carry what arrived. Every sequence is asked the cheap question; the costly one
//! is for those that fail it, which honest codecs hardly ever do.

use strait_loader::Dtype;
use strait_metrics::{Crossing, Distortion, Shortfall};

use crate::link::{Sequence, widen};

/// What a sequence that crossed a link is short of.
pub(crate) fn shortfall(
    sequence: Sequence,
    input: &[u8],
    output: &[u8],
    distortion: &Distortion,
    payload_bytes: u64,
) -> Shortfall {
    let Sequence { channels, dtype, .. } = sequence;
    let mantissa_bits = mantissa_bits(dtype);
    if !Shortfall::is_possible(distortion, mantissa_bits, payload_bytes) {
        return Shortfall::default();
    }
    let (mut sent, mut arrived) = (Vec::new(), Vec::new());
    widen(dtype, input, &mut sent);
    widen(dtype, output, &mut arrived);
    let crossing = Crossing { sent: &sent, arrived: &arrived, channels, mantissa_bits };
    crossing.shortfall(payload_bytes)
}

/// What a message of values `[rows, channels]` is short of.
pub(crate) fn shortfall_of_values(
    (channels, dtype): (usize, Dtype),
    sent: &[f32],
    arrived: &[f32],
    payload_bytes: u64,
) -> Shortfall {
    let mantissa_bits = mantissa_bits(dtype);
    let mut distortion = Distortion::default();
    distortion.push(sent, arrived);
    if !Shortfall::is_possible(&distortion, mantissa_bits, payload_bytes) {
        return Shortfall::default();
    }
    Crossing { sent, arrived, channels, mantissa_bits }.shortfall(payload_bytes)
}

/// Bits of the mantissa, the hidden one counted.
fn mantissa_bits(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F32 => 24,
        Dtype::F16 => 11,
        Dtype::BF16 => 8,
    }
}

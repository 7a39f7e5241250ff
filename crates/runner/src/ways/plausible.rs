//! Whether a payload can carry what arrived. Every sequence gets the cheap test; the costly one is for
//! those that fail it, which honest codecs hardly ever do.

use strait_metrics::{Crossing, Distortion, Shortfall};
use strait_model::Dtype;

/// The shortfall of a sequence of messages with this many channels.
pub(crate) fn shortfall(
    (channels, dtype): (usize, Dtype),
    input: &[u8],
    output: &[u8],
    distortion: &Distortion,
    payload_bytes: u64,
) -> Shortfall {
    let mantissa_bits = mantissa_bits(dtype);
    if !Shortfall::is_possible(distortion, mantissa_bits, payload_bytes) {
        return Shortfall::default();
    }
    let values = input.len() / dtype.size();
    let (mut sent, mut arrived) = (vec![0.0; values], vec![0.0; values]);
    dtype.decode(input, &mut sent);
    dtype.decode(output, &mut arrived);
    let crossing = Crossing { sent: &sent, arrived: &arrived, channels, mantissa_bits };
    crossing.shortfall(payload_bytes)
}

/// The shortfall of a message of values `[rows, channels]`.
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

/// Bits of the mantissa, including the hidden one.
fn mantissa_bits(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F32 => 24,
        Dtype::F16 => 11,
        Dtype::Bf16 => 8,
    }
}

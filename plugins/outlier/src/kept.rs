//! Values that are kept in 16 bits.

use strait_codec_kit::slices::bounded;
use strait_sdk::prelude::*;
use strait_sdk::{narrow, widen};

/// Type of the values kept.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// IEEE 754 binary16, up to 65504.
    F16,
    /// bfloat16, the range of f32.
    #[choice(name = "bf16")]
    Bf16,
}

impl Keep {
    fn dtype(self) -> Dtype {
        match self {
            Keep::F16 => Dtype::F16,
            Keep::Bf16 => Dtype::BF16,
        }
    }

    /// Appends values, which are bounded in place.
    pub(crate) fn write(self, values: &mut [f32], bytes: &mut Vec<u8>) {
        bound(values, self.dtype().largest());
        let start = bytes.len();
        bytes.resize(start + 2 * values.len(), 0);
        narrow(self.dtype(), values, &mut bytes[start..]);
    }

    /// Reads values, within the range of a message's dtype; `bytes` has two for each.
    pub(crate) fn read(self, bytes: &[u8], dtype: Dtype, values: &mut [f32]) {
        widen(self.dtype(), bytes, values);
        bound(values, dtype.largest());
    }
}

fn bound(values: &mut [f32], most: f32) {
    for value in values {
        *value = bounded(if value.is_nan() { 0.0 } else { *value }, most);
    }
}

/// A magnitude to compare by: NaN counts as 0.
#[inline(always)]
pub(crate) fn magnitude(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.abs() }
}

/// Encodes with the inner codec what is left, if anything is.
pub(crate) fn encode_rest(
    inner: &mut Inner,
    shape: Shape,
    bytes: &[u8],
    message: &Message<'_>,
    payload: &mut Vec<u8>,
) -> Result<()> {
    if shape.values() == 0 {
        return Ok(());
    }
    // Side information is one value per row, and rows may have gone.
    let sides = if shape.rows == message.rows() { message.sides() } else { &[] };
    inner.encode(Message::new(shape, bytes, sides)?, payload)
}

/// Decodes what [`encode_rest`] encoded.
pub(crate) fn decode_rest(
    inner: &mut Inner,
    shape: Shape,
    payload: &[u8],
    bytes: &mut [u8],
) -> Result<()> {
    if shape.values() == 0 {
        return Error::check_payload_length(0, payload.len());
    }
    inner.decode(payload, &mut MessageMut::new(shape, bytes)?)
}

/// Splits a payload after `count` bytes.
pub(crate) fn split(payload: &[u8], count: usize) -> Result<(&[u8], &[u8])> {
    payload.split_at_checked(count).ok_or_else(|| Error::payload_length(count, payload.len()))
}

//! Kept values as bytes: 16 bits each, or `bits` bits times a scale per token.

use strait_codec_kit::bits::{pack_into, packed_bytes, unpack_into};
use strait_sdk::prelude::*;
use strait_sdk::{narrow, widen};

use crate::{SparseParams, Values};

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, ties to even, and
/// leaves that integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Stores and reads the kept values of one token.
#[derive(Debug)]
pub(crate) struct Store {
    values: Values,
    bits: u32,
    codes: Vec<u8>,
}

impl Store {
    pub(crate) fn new(params: &SparseParams) -> Store {
        Store { values: params.values, bits: params.bits, codes: Vec::new() }
    }

    /// Bytes of the `k` values of one token.
    pub(crate) fn bytes(&self, k: usize) -> usize {
        match self.values {
            Values::F16 | Values::Bf16 => 2 * k,
            Values::Int => 4 + packed_bytes(self.bits, k),
        }
    }

    /// Appends finite values, and replaces them by what the decoder will read.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn write(&mut self, kept: &mut [f32], bytes: &mut Vec<u8>) -> Result<()> {
        let start = bytes.len();
        match self.values {
            Values::F16 | Values::Bf16 => {
                let dtype = self.dtype();
                let largest = largest(dtype);
                kept.iter_mut().for_each(|value| *value = value.clamp(-largest, largest));
                bytes.resize(start + 2 * kept.len(), 0);
                narrow(dtype, kept, &mut bytes[start..]);
            }
            Values::Int => {
                let most = self.most();
                let scale = kept.iter().fold(0.0_f32, |most, value| most.max(value.abs())) / most;
                let divisor = if scale > 0.0 { scale } else { 1.0 };
                self.codes.clear();
                self.codes.extend(kept.iter().map(|value| {
                    let rounded = (value / divisor).clamp(-most, most) + ROUND;
                    (rounded + most).to_bits() as u8
                }));
                bytes.extend_from_slice(&scale.to_le_bytes());
                pack_into(self.bits, &self.codes, bytes);
            }
        }
        self.read(&bytes[start..], kept)
    }

    /// Fills `kept` from [`bytes`](Store::bytes) bytes.
    pub(crate) fn read(&mut self, bytes: &[u8], kept: &mut [f32]) -> Result<()> {
        match self.values {
            Values::F16 | Values::Bf16 => widen(self.dtype(), bytes, kept),
            Values::Int => {
                let (scale, packed) = bytes.split_at(4);
                let mut scales = [0.0];
                widen(Dtype::F32, scale, &mut scales);
                self.codes.resize(kept.len(), 0);
                unpack_into(self.bits, packed, &mut self.codes)?;
                let most = self.most();
                for (value, code) in kept.iter_mut().zip(&self.codes) {
                    *value = (f32::from(*code) - most) * scales[0];
                }
            }
        }
        Ok(())
    }

    fn dtype(&self) -> Dtype {
        match self.values {
            Values::F16 => Dtype::F16,
            Values::Bf16 => Dtype::BF16,
            Values::Int => Dtype::F32,
        }
    }

    /// The largest code: 2^(bits-1) - 1.
    fn most(&self) -> f32 {
        f32::from(u8::MAX >> (9 - self.bits))
    }
}

/// The largest finite value of a dtype.
pub(crate) fn largest(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F32 => f32::MAX,
        Dtype::F16 => 65504.0,
        Dtype::BF16 => f32::from_bits(0x7f7f_0000),
    }
}

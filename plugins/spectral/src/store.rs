//! Rows of coefficients as bytes.

use strait_codec_kit::bits::{pack_into, packed_bytes, unpack_into};
use strait_sdk::prelude::*;
use strait_sdk::{narrow, widen};

use crate::{SpectralParams, Values};

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, ties to even, and
/// leaves that integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Stores and reads one row of coefficients at a time.
#[derive(Debug)]
pub(crate) struct Store {
    values: Values,
    bits: u32,
    codes: Vec<u8>,
}

impl Store {
    pub(crate) fn new(params: &SpectralParams) -> Store {
        Store { values: params.values, bits: params.bits, codes: Vec::new() }
    }

    /// Bytes of a row of so many numbers.
    pub(crate) fn bytes(&self, count: usize) -> usize {
        match self.values {
            Values::Bf16 => 2 * count,
            Values::F16 => 4 + 2 * count,
            Values::Int => 4 + packed_bytes(self.bits, count),
        }
    }

    /// Appends a row of finite numbers; what is left in it means nothing.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn write(&mut self, row: &mut [f32], bytes: &mut Vec<u8>) {
        let largest = row.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        match self.values {
            Values::Bf16 => {}
            Values::F16 => {
                bytes.extend_from_slice(&largest.to_le_bytes());
                let divisor = if largest > 0.0 { largest } else { 1.0 };
                row.iter_mut().for_each(|value| *value /= divisor);
            }
            Values::Int => {
                let most = self.most();
                let step = largest / most;
                let divisor = if step > 0.0 { step } else { 1.0 };
                self.codes.clear();
                self.codes.extend(row.iter().map(|value| {
                    let rounded = (value / divisor).clamp(-most, most) + ROUND;
                    (rounded + most).to_bits() as u8
                }));
                bytes.extend_from_slice(&step.to_le_bytes());
                pack_into(self.bits, &self.codes, bytes);
                return;
            }
        }
        let start = bytes.len();
        bytes.resize(start + 2 * row.len(), 0);
        narrow(self.dtype(), row, &mut bytes[start..]);
    }

    /// Fills a row from [`bytes`](Store::bytes) bytes.
    pub(crate) fn read(&mut self, bytes: &[u8], row: &mut [f32]) -> Result<()> {
        let head = if self.values == Values::Bf16 { 0 } else { 4 };
        let (head, rest) = bytes.split_at(head);
        let mut scale = [1.0];
        if !head.is_empty() {
            widen(Dtype::F32, head, &mut scale);
        }
        match self.values {
            Values::Bf16 | Values::F16 => {
                widen(self.dtype(), rest, row);
                row.iter_mut().for_each(|value| *value *= scale[0]);
            }
            Values::Int => {
                self.codes.resize(row.len(), 0);
                unpack_into(self.bits, rest, &mut self.codes)?;
                let most = self.most();
                for (value, code) in row.iter_mut().zip(&self.codes) {
                    *value = (f32::from(*code) - most) * scale[0];
                }
            }
        }
        Ok(())
    }

    fn dtype(&self) -> Dtype {
        if self.values == Values::F16 { Dtype::F16 } else { Dtype::BF16 }
    }

    /// The largest code: 2^(bits-1) - 1.
    fn most(&self) -> f32 {
        f32::from(u8::MAX >> (9 - self.bits))
    }
}

//! The inner loops: values to codes, codes to values.
//!
//! Written for [`strait_sdk::simd::vectorize`]: every function is inlined into its caller.

use crate::tables::Table;

/// The smallest absmax that is divided by, as in bitsandbytes: its inverse is finite.
const SMALLEST: f32 = 1e-38;

/// Codes of one block: the nearest entry to value × (1 / absmax).
#[inline(always)]
pub(crate) fn encode(table: &Table, absmax: f32, values: &[f32], codes: &mut [u8]) {
    let factor = 1.0 / absmax.max(SMALLEST);
    for (code, value) in codes.iter_mut().zip(values) {
        *code = table.code(*value * factor);
    }
}

/// Values of one block, at most `largest` in magnitude.
#[inline(always)]
pub(crate) fn decode(table: &Table, absmax: f32, largest: f32, codes: &[u8], values: &mut [f32]) {
    let scaled = table.values.map(|value| (value * absmax).max(-largest).min(largest));
    for (value, code) in values.iter_mut().zip(codes) {
        *value = scaled[usize::from(code & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{FP4, NF4};

    #[test]
    fn zeros_and_the_smallest_blocks_decode_to_themselves_or_zero() {
        for table in [&NF4, &FP4] {
            for absmax in [0.0, f32::from_bits(1), 1e-30] {
                let mut codes = [0; 3];
                encode(table, absmax, &[0.0, absmax, f32::NAN], &mut codes);
                let mut back = [1.0; 3];
                decode(table, absmax, 1.0, &codes, &mut back);
                assert!(back[0] == 0.0 && back[2] == 0.0 && back[1].abs() <= absmax);
            }
        }
    }
}

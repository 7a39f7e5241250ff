//! What dense weights are quantized to on load.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::named;

/// What the weights of linear layers are quantized to on load. Activations stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoadIn {
    /// LLM.int8: 8 bits, one f32 scale for each output.
    Int8,
    /// Normal float: 4 bits, one f32 scale for 64 values.
    Nf4,
    /// Float with two exponent bits and one mantissa bit: 4 bits, one f32 scale for 64 values.
    Fp4,
}

named!(LoadIn, "quantization on load", Int8 = "int8", Nf4 = "nf4", Fp4 = "fp4");

impl LoadIn {
    /// Values that share a scale in NF4 and FP4.
    pub const BLOCK: usize = 64;

    /// Bytes that a weight of `shape` takes, scales included.
    #[must_use]
    pub fn stored_bytes(self, shape: &[usize]) -> u64 {
        let values = shape.iter().product::<usize>() as u64;
        match self {
            Self::Int8 => values + 4 * shape.first().copied().unwrap_or(1) as u64,
            Self::Nf4 | Self::Fp4 => values.div_ceil(2) + 4 * values.div_ceil(Self::BLOCK as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bytes_count_the_scales() {
        assert_eq!(LoadIn::Int8.stored_bytes(&[3, 100]), 300 + 12);
        assert_eq!(LoadIn::Nf4.stored_bytes(&[3, 100]), 150 + 4 * 5);
    }

    #[test]
    fn names_parse() {
        assert_eq!("nf4".parse(), Ok(LoadIn::Nf4));
        assert!(
            "int4".parse::<LoadIn>().unwrap_err().to_string().contains("expected one of int8, nf4")
        );
    }
}

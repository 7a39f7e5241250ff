//! The stored formats that can be made dense: their names, block sizes and bytes per block.

/// The supported formats, as messages list them.
pub(crate) const SUPPORTED_FORMATS: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K, IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ4_NL, IQ4_XS, TQ1_0, TQ2_0, MXFP4, NVFP4";

/// A stored element format. Values come in blocks of [`Format::block_values`], each [`Format::block_bytes`] long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an IEEE single.
    BF16,
    /// 4 bits, one f16 scale per 32.
    Q4_0,
    /// 4 bits, f16 scale and minimum per 32.
    Q4_1,
    /// 5 bits, one f16 scale per 32.
    Q5_0,
    /// 5 bits, f16 scale and minimum per 32.
    Q5_1,
    /// 8 bits, one f16 scale per 32.
    Q8_0,
    /// 2 bits, 4-bit scales and minima per 16, two f16 per 256.
    Q2K,
    /// 3 bits, 6-bit scales per 16, one f16 per 256.
    Q3K,
    /// 4 bits, 6-bit scales and minima per 32, two f16 per 256.
    Q4K,
    /// 5 bits, 6-bit scales and minima per 32, two f16 per 256.
    Q5K,
    /// 6 bits, 8-bit scales per 16, one f16 per 256.
    Q6K,
    /// 8 bits, one f32 per 256; its stored sums are not needed.
    Q8K,
    /// 8 ternary values from a codebook of 2048, 3-bit scales per 32, one f16 per 256.
    IQ1S,
    /// Like `IQ1_S`, with scales per 16.
    IQ1M,
    /// 8 values from a codebook of 256, 4-bit scales per 32, one f16 per 256.
    IQ2XXS,
    /// 8 values from a codebook of 512, 4-bit scales per 16, one f16 per 256.
    IQ2XS,
    /// 8 values from a codebook of 1024, 4-bit scales per 16, one f16 per 256.
    IQ2S,
    /// 4 values from a codebook of 256, 4-bit scales per 32, one f16 per 256.
    IQ3XXS,
    /// 4 values from a codebook of 512, 4-bit scales per 32, one f16 per 256.
    IQ3S,
    /// 4 bits that select among 16 non-uniform levels, one f16 scale per 32.
    IQ4NL,
    /// Like `IQ4_NL`, with 6-bit scales per 32, one f16 per 256.
    IQ4XS,
    /// Ternary, 1.6 bits, one f16 per 256.
    TQ1_0,
    /// Ternary, 2 bits, one f16 per 256.
    TQ2_0,
    /// E2M1 floats, one E8M0 scale per 32.
    MXFP4,
    /// E2M1 floats, one E4M3 scale per 16; the scale of the whole tensor is stored as a separate tensor.
    NVFP4,
}

impl Format {
    /// Every format, in the order in which messages list them.
    pub const ALL: [Self; 27] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Q8K,
        Self::IQ1S,
        Self::IQ1M,
        Self::IQ2XXS,
        Self::IQ2XS,
        Self::IQ2S,
        Self::IQ3XXS,
        Self::IQ3S,
        Self::IQ4NL,
        Self::IQ4XS,
        Self::TQ1_0,
        Self::TQ2_0,
        Self::MXFP4,
        Self::NVFP4,
    ];

    /// The name used in files and records, for example `Q4_K`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::Q8K => "Q8_K",
            Self::IQ1S => "IQ1_S",
            Self::IQ1M => "IQ1_M",
            Self::IQ2XXS => "IQ2_XXS",
            Self::IQ2XS => "IQ2_XS",
            Self::IQ2S => "IQ2_S",
            Self::IQ3XXS => "IQ3_XXS",
            Self::IQ3S => "IQ3_S",
            Self::IQ4NL => "IQ4_NL",
            Self::IQ4XS => "IQ4_XS",
            Self::TQ1_0 => "TQ1_0",
            Self::TQ2_0 => "TQ2_0",
            Self::MXFP4 => "MXFP4",
            Self::NVFP4 => "NVFP4",
        }
    }

    /// The format with that name, if it is supported.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Values per block.
    pub fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::IQ4NL | Self::MXFP4 => 32,
            Self::NVFP4 => 64,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K | Self::Q8K => 256,
            Self::IQ1S
            | Self::IQ1M
            | Self::IQ2XXS
            | Self::IQ2XS
            | Self::IQ2S
            | Self::IQ3XXS
            | Self::IQ3S
            | Self::IQ4XS
            | Self::TQ1_0
            | Self::TQ2_0 => 256,
        }
    }

    /// Bytes per block, scales included.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
            Self::Q8K => 292,
            Self::IQ1S => 50,
            Self::IQ1M => 56,
            Self::IQ2XXS => 66,
            Self::IQ2XS => 74,
            Self::IQ2S => 82,
            Self::IQ3XXS => 98,
            Self::IQ3S => 110,
            Self::IQ4NL => 18,
            Self::IQ4XS => 136,
            Self::TQ1_0 => 54,
            Self::TQ2_0 => 66,
            Self::MXFP4 => 17,
            Self::NVFP4 => 36,
        }
    }
}

/// The number of values in a shape, or `None` if it overflows.
pub(crate) fn shape_values(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_in_messages_is_the_list_of_formats() {
        let names: Vec<_> = Format::ALL.iter().map(|format| format.name()).collect();
        assert_eq!(names.join(", "), SUPPORTED_FORMATS);
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(format));
        }
        assert_eq!(Format::from_name("Q8_1"), None);
    }

    #[test]
    fn shape_products_do_not_wrap() {
        assert_eq!(shape_values(&[]), Some(1));
        assert_eq!(shape_values(&[3, 0, 5]), Some(0));
        assert_eq!(shape_values(&[1 << 32, 1 << 32]), None);
    }
}

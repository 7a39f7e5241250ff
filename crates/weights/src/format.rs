//! The stored formats that can be made dense: their names, block sizes and bytes per block.

/// The supported formats, as messages list them.
pub(crate) const SUPPORTED_FORMATS: &str =
    "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K";

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
}

impl Format {
    /// Every format, in the order in which messages list them.
    pub const ALL: [Self; 13] = [
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
        }
    }

    /// The format of that name, if it is supported.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Values per block.
    pub fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => 256,
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
        }
    }
}

/// The number of values of a shape, or `None` if it does not fit.
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
        assert_eq!(Format::from_name("IQ1_S"), None);
    }

    #[test]
    fn shape_products_do_not_wrap() {
        assert_eq!(shape_values(&[]), Some(1));
        assert_eq!(shape_values(&[3, 0, 5]), Some(0));
        assert_eq!(shape_values(&[1 << 32, 1 << 32]), None);
    }
}

//! GGML's element types: number, name and block layout, both for supported types and for those that are only
//! recognised.

/// One element type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GgmlType {
    pub(super) id: u32,
    pub(super) name: &'static str,
    pub(super) block_values: u64,
    pub(super) block_bytes: u64,
}

/// The type of number `id`.
pub(super) fn by_id(id: u32) -> Option<&'static GgmlType> {
    TYPES.iter().find(|kind| kind.id == id)
}

const fn kind(id: u32, name: &'static str, block_values: u64, block_bytes: u64) -> GgmlType {
    GgmlType { id, name, block_values, block_bytes }
}

static TYPES: [GgmlType; 35] = [
    kind(0, "F32", 1, 4),
    kind(1, "F16", 1, 2),
    kind(2, "Q4_0", 32, 18),
    kind(3, "Q4_1", 32, 20),
    kind(6, "Q5_0", 32, 22),
    kind(7, "Q5_1", 32, 24),
    kind(8, "Q8_0", 32, 34),
    kind(9, "Q8_1", 32, 36),
    kind(10, "Q2_K", 256, 84),
    kind(11, "Q3_K", 256, 110),
    kind(12, "Q4_K", 256, 144),
    kind(13, "Q5_K", 256, 176),
    kind(14, "Q6_K", 256, 210),
    kind(15, "Q8_K", 256, 292),
    kind(16, "IQ2_XXS", 256, 66),
    kind(17, "IQ2_XS", 256, 74),
    kind(18, "IQ3_XXS", 256, 98),
    kind(19, "IQ1_S", 256, 50),
    kind(20, "IQ4_NL", 32, 18),
    kind(21, "IQ3_S", 256, 110),
    kind(22, "IQ2_S", 256, 82),
    kind(23, "IQ4_XS", 256, 136),
    kind(24, "I8", 1, 1),
    kind(25, "I16", 1, 2),
    kind(26, "I32", 1, 4),
    kind(27, "I64", 1, 8),
    kind(28, "F64", 1, 8),
    kind(29, "IQ1_M", 256, 56),
    kind(30, "BF16", 1, 2),
    kind(34, "TQ1_0", 256, 54),
    kind(35, "TQ2_0", 256, 66),
    kind(39, "MXFP4", 32, 17),
    kind(40, "NVFP4", 64, 36),
    kind(41, "Q1_0", 128, 18),
    kind(42, "Q2_0", 64, 18),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    #[test]
    fn block_sizes_agree_with_the_formats() {
        for format in Format::ALL {
            let kind = TYPES.iter().find(|kind| kind.name == format.name()).unwrap();
            assert_eq!(kind.block_values, format.block_values() as u64, "{}", kind.name);
            assert_eq!(kind.block_bytes, format.block_bytes() as u64, "{}", kind.name);
        }
        assert!(TYPES.is_sorted_by_key(|kind| kind.id));
        assert_eq!(by_id(4), None);
    }
}

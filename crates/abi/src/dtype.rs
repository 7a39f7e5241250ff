//! The element types that cross the boundary.

use serde::{Deserialize, Serialize};

/// Type of the elements of a message: raw little-endian values of the model's own dtype.
///
/// On the boundary a dtype is its [`tag`](Dtype::tag), so that a host may learn a new dtype
/// without handing an unknown enum value to an older plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE 754 binary32, 4 bytes.
    F32,
    /// IEEE 754 binary16, 2 bytes.
    F16,
    /// bfloat16 (the upper half of a binary32), 2 bytes.
    BF16,
}

impl Dtype {
    /// Every dtype, in the order of the tags.
    pub const ALL: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::BF16];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
        }
    }

    /// The largest finite value.
    pub const fn largest(self) -> f32 {
        match self {
            Dtype::F32 => f32::MAX,
            Dtype::F16 => 65504.0,
            Dtype::BF16 => f32::from_bits(0x7f7f_0000),
        }
    }

    /// Name as in TOML files: `f32`, `f16` or `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::BF16 => "bf16",
        }
    }

    /// Number that stands for this dtype on the boundary.
    pub const fn tag(self) -> u32 {
        match self {
            Dtype::F32 => 0,
            Dtype::F16 => 1,
            Dtype::BF16 => 2,
        }
    }

    /// The dtype of a tag, or `None` for a tag that this version does not know.
    pub const fn from_tag(tag: u32) -> Option<Dtype> {
        match tag {
            0 => Some(Dtype::F32),
            1 => Some(Dtype::F16),
            2 => Some(Dtype::BF16),
            _ => None,
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Dtype;

    #[test]
    fn tags_round_trip() {
        for dtype in Dtype::ALL {
            assert_eq!(Dtype::from_tag(dtype.tag()), Some(dtype));
        }
        assert_eq!(Dtype::from_tag(3), None);
    }

    #[test]
    fn serde_name_is_the_display_name() {
        for dtype in Dtype::ALL {
            assert_eq!(serde_json::to_value(dtype).unwrap(), serde_json::json!(dtype.to_string()));
        }
    }
}

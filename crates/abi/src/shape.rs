//! Shape of a message and size of its payload.

use crate::Dtype;

/// Shape and element type of a message: a row-major matrix `[rows, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows: one per token.
    pub rows: usize,
    /// Values per row.
    pub channels: usize,
    /// Type of the elements.
    pub dtype: Dtype,
}

impl Shape {
    /// Number of elements.
    pub const fn values(self) -> usize {
        self.rows * self.channels
    }

    /// Bytes of the whole matrix.
    pub const fn bytes(self) -> usize {
        self.values() * self.dtype.size()
    }

    /// Bytes of one row.
    pub const fn row_bytes(self) -> usize {
        self.channels * self.dtype.size()
    }

    /// Bytes of the whole matrix, or `None` when they are more than an address can count.
    pub const fn checked_bytes(self) -> Option<usize> {
        match self.rows.checked_mul(self.channels) {
            Some(values) => values.checked_mul(self.dtype.size()),
            None => None,
        }
    }
}

/// Payload bytes of a message, known before it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadBytes {
    /// Always exactly this many bytes.
    Exact(usize),
    /// Never more than this many bytes.
    AtMost(usize),
}

impl PayloadBytes {
    /// The number, whatever its meaning.
    pub const fn limit(self) -> usize {
        match self {
            PayloadBytes::Exact(bytes) | PayloadBytes::AtMost(bytes) => bytes,
        }
    }
}

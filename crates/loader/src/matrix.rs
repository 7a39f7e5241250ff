//! Matrices that the host passes to a codec.

use strait_abi::{Dtype, Shape};

/// A row-major matrix `[rows, channels]` to encode: little-endian bytes of `dtype`.
///
/// Buffers aligned to 64 bytes are read in place; others are copied by the codec where it needs f32.
#[derive(Clone, Copy, Debug)]
pub struct MatrixRef<'a> {
    /// Rows: one per token.
    pub rows: usize,
    /// Values per row.
    pub channels: usize,
    /// Type of the elements.
    pub dtype: Dtype,
    /// rows × channels elements.
    pub bytes: &'a [u8],
    /// Side information: name and one value per row.
    pub side: &'a [(&'a str, &'a [f32])],
}

/// A row-major matrix `[rows, channels]` to decode into.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    /// Rows: one per token.
    pub rows: usize,
    /// Values per row.
    pub channels: usize,
    /// Type of the elements.
    pub dtype: Dtype,
    /// rows × channels elements.
    pub bytes: &'a mut [u8],
}

impl MatrixRef<'_> {
    /// Shape and dtype.
    pub fn shape(&self) -> Shape {
        Shape { rows: self.rows, channels: self.channels, dtype: self.dtype }
    }
}

impl MatrixMut<'_> {
    /// Shape and dtype.
    pub fn shape(&self) -> Shape {
        Shape { rows: self.rows, channels: self.channels, dtype: self.dtype }
    }
}

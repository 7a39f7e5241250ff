//! Matrices that the host passes to a codec.

use strait_abi::{Dtype, Shape};

/// A row-major matrix `[rows, channels]` to encode, as little-endian bytes of `dtype`.
///
/// Buffers aligned to 64 bytes are read in place; from others the codec makes a copy where it needs
/// f32.
#[derive(Clone, Copy, Debug)]
pub struct MatrixRef<'a> {
    /// Number of rows, one per token.
    pub rows: usize,
    /// Number of values per row.
    pub channels: usize,
    /// Element type.
    pub dtype: Dtype,
    /// The bytes of rows × channels elements.
    pub bytes: &'a [u8],
    /// Side information: a name with one value per row.
    pub side: &'a [(&'a str, &'a [f32])],
}

/// A row-major matrix `[rows, channels]` to decode into.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    /// Number of rows, one per token.
    pub rows: usize,
    /// Number of values per row.
    pub channels: usize,
    /// Element type.
    pub dtype: Dtype,
    /// The bytes of rows × channels elements.
    pub bytes: &'a mut [u8],
}

impl MatrixRef<'_> {
    /// The shape, including the dtype.
    pub fn shape(&self) -> Shape {
        Shape { rows: self.rows, channels: self.channels, dtype: self.dtype }
    }
}

impl MatrixMut<'_> {
    /// The shape, including the dtype.
    pub fn shape(&self) -> Shape {
        Shape { rows: self.rows, channels: self.channels, dtype: self.dtype }
    }
}

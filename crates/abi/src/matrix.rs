//! Matrices as they cross the boundary: a borrowed view to encode, a borrowed target to decode into.
//!
//! Both carry a device tag, so that a later minor version can pass device memory; 0 is host memory,
//! and a side that meets another tag refuses the call. What else device memory takes is told to an
//! instance beforehand, by a [`Placement`](crate::Placement).

// The pointers come from the other side of the boundary and become slices here, in one place.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::num::NonZero;

use abi_stable::StableAbi;
use abi_stable::std_types::RSlice;

use crate::{Dtype, Shape, SideView};

/// Device tag of host memory.
pub const DEVICE_HOST: u32 = 0;

/// A matrix `[rows, channels]` to read; borrowed until the call returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct MatrixView<'a> {
    rows: usize,
    channels: usize,
    dtype: u32,
    device: u32,
    bytes: *const u8,
    length: usize,
    side: RSlice<'a, SideView<'a>>,
    lifetime: PhantomData<&'a u8>,
}

/// A matrix `[rows, channels]` to fill; borrowed exclusively until the call returns.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct MatrixTarget<'a> {
    rows: usize,
    channels: usize,
    dtype: u32,
    device: u32,
    bytes: *mut u8,
    length: usize,
    lifetime: PhantomData<&'a mut u8>,
}

/// Why a matrix from the other side cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// A dtype that this side does not know.
    #[error(
        "dtype tag: expected 0 (f32), 1 (f16) or 2 (bf16), found {0}; rebuild the plugin with a newer strait-sdk"
    )]
    Dtype(u32),
    /// Memory that this side cannot reach.
    #[error(
        "device tag: expected 0 (host memory), found {0}; rebuild the plugin with a newer strait-sdk"
    )]
    Device(u32),
}

impl<'a> MatrixView<'a> {
    /// A view of host memory.
    pub fn host(
        rows: usize,
        channels: usize,
        dtype: Dtype,
        bytes: &'a [u8],
        side: &'a [SideView<'a>],
    ) -> Self {
        MatrixView {
            rows,
            channels,
            dtype: dtype.tag(),
            device: DEVICE_HOST,
            bytes: bytes.as_ptr(),
            length: bytes.len(),
            side: side.into(),
            lifetime: PhantomData,
        }
    }

    /// A view of a device's memory. Only a side that knows the tag may use the address.
    pub fn on_device(
        Shape { rows, channels, dtype }: Shape,
        device: NonZero<u32>,
        address: *const u8,
        side: &'a [SideView<'a>],
    ) -> Self {
        let nothing = MatrixView::host(rows, channels, dtype, &[], side);
        let length = rows * channels * dtype.size();
        MatrixView { device: device.get(), bytes: address, length, ..nothing }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values per row.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Side information, one value per row.
    pub fn side(&self) -> &'a [SideView<'a>] {
        self.side.as_slice()
    }

    /// Dtype and bytes.
    ///
    /// # Errors
    /// A dtype or device that this version does not know.
    pub fn contents(&self) -> Result<(Dtype, &'a [u8]), MatrixError> {
        let dtype = check(self.dtype, self.device)?;
        // SAFETY: a view with the host's tag is only made by `host`, on this or the other side, from a slice
        // that lives for 'a; the layout of the fields is checked when the plugin is loaded.
        Ok((dtype, unsafe { std::slice::from_raw_parts(self.bytes, self.length) }))
    }
}

impl<'a> MatrixTarget<'a> {
    /// A target in host memory.
    pub fn host(rows: usize, channels: usize, dtype: Dtype, bytes: &'a mut [u8]) -> Self {
        MatrixTarget {
            rows,
            channels,
            dtype: dtype.tag(),
            device: DEVICE_HOST,
            length: bytes.len(),
            bytes: bytes.as_mut_ptr(),
            lifetime: PhantomData,
        }
    }

    /// A target in a device's memory. Only a side that knows the tag may use the address.
    pub fn on_device(
        Shape { rows, channels, dtype }: Shape,
        device: NonZero<u32>,
        address: *mut u8,
    ) -> Self {
        let length = rows * channels * dtype.size();
        let lifetime = PhantomData;
        MatrixTarget {
            rows,
            channels,
            dtype: dtype.tag(),
            device: device.get(),
            bytes: address,
            length,
            lifetime,
        }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values per row.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Dtype and bytes.
    ///
    /// # Errors
    /// A dtype or device that this version does not know.
    pub fn contents(self) -> Result<(Dtype, &'a mut [u8]), MatrixError> {
        let dtype = check(self.dtype, self.device)?;
        // SAFETY: a target with the host's tag is only made by `host` from a slice borrowed exclusively for
        // 'a, and this consumes the target, which is not Clone: the slice is handed out once.
        Ok((dtype, unsafe { std::slice::from_raw_parts_mut(self.bytes, self.length) }))
    }
}

fn check(dtype: u32, device: u32) -> Result<Dtype, MatrixError> {
    if device != DEVICE_HOST {
        return Err(MatrixError::Device(device));
    }
    Dtype::from_tag(dtype).ok_or(MatrixError::Dtype(dtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_tags_are_refused_before_the_memory_is_touched() {
        let mut view = MatrixView::host(1, 2, Dtype::F16, &[1, 2, 3, 4], &[]);
        assert_eq!(view.contents().unwrap(), (Dtype::F16, &[1, 2, 3, 4][..]));
        view.dtype = 7;
        assert_eq!(view.contents().unwrap_err(), MatrixError::Dtype(7));
        let shape = Shape { rows: 1, channels: 2, dtype: Dtype::F16 };
        let device = NonZero::new(1).unwrap();
        let nowhere = MatrixView::on_device(shape, device, std::ptr::without_provenance(8), &[]);
        assert_eq!(nowhere.contents().unwrap_err(), MatrixError::Device(1));
        let nowhere = MatrixTarget::on_device(shape, device, std::ptr::without_provenance_mut(8));
        assert_eq!(nowhere.contents().unwrap_err(), MatrixError::Device(1));
    }
}

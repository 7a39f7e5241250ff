//! Side information as it crosses the boundary.

use abi_stable::StableAbi;
use abi_stable::std_types::{RSlice, RStr};

/// One piece of side information: a name and one `f32` per row. Borrowed until the call returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct SideView<'a> {
    name: RStr<'a>,
    values: RSlice<'a, f32>,
}

impl<'a> SideView<'a> {
    /// Side information of this name.
    pub fn new(name: &'a str, values: &'a [f32]) -> Self {
        SideView { name: name.into(), values: values.into() }
    }

    /// The name.
    pub fn name(&self) -> &'a str {
        self.name.as_str()
    }

    /// One value per row.
    pub fn values(&self) -> &'a [f32] {
        self.values.as_slice()
    }
}

//! The codecs `mx` and `nvfp4`: small floats or integers with an 8-bit scale per block.

mod element;
mod mx;
mod nvfp4;
mod planes;

pub use mx::{Format, Mx, MxParams, ScaleRule};
pub use nvfp4::Nvfp4;
